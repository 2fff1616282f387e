//! One frame on its way through the network.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mdetr_engine::EngineError;
use mdetr_grounding::{Detection, Identity, Query, QueryResult, Rle, Span};

use super::encoded::{Asking, Caption, Encoded};
use super::memory;
use super::model::Model;
use super::network::{Features, Fused, FusionShape, MaskLogits, TokenGrid};
use super::past::{Aged, Past};
use super::seen::Seen;
use super::settings::Settings;
use super::sizes::{Prepared, Sizes};
use crate::counters::Counters;
use crate::decode::masks::{self, Map};
use crate::decode::packed::{Words, split};
use crate::decode::{Decoding, RawOutputs};
use crate::error::Error;
use crate::frame::Frame;
use crate::text::TextMemory;

/// What answers a frame, with the settings of its moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run<'a> {
    pub model: &'a Model,
    pub sizes: &'a Sizes,
    pub counters: &'a Counters,
    pub settings: Settings,
    /// What is remembered of the frame's stream, and the frame's time in it; `None`: it stands alone.
    pub past: Option<(&'a Past, Duration)>,
}

impl Run<'_> {
    /// What is found for each query, with the outputs that it was decoded from.
    pub(super) fn ground(
        &self,
        frame: &Frame,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        match self.see_if_asked(frame, asked)? {
            Some(seen) => self.ask(&seen, asked),
            None => Ok(Vec::new()),
        }
    }

    /// As [`ground`](Self::ground), of a frame that was seen.
    pub(super) fn ask(
        &self,
        seen: &Seen,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        self.answer(seen, asked, |fused, outputs| {
            let results = self.results(seen, fused, &outputs)?;
            let pairs = results.into_iter().zip(outputs);
            Ok(pairs
                .map(|(result, (query, raw))| (query, (result, raw)))
                .collect())
        })
    }

    /// The network's outputs for each query.
    pub(super) fn outputs(&self, frame: &Frame, asked: &Encoded) -> Result<Vec<RawOutputs>, Error> {
        match self.see_if_asked(frame, asked)? {
            Some(seen) => self.answer(&seen, asked, |_, outputs| Ok(outputs)),
            None => Ok(Vec::new()),
        }
    }

    /// What `answer` makes of each caption's outputs, in the order of the queries.
    fn answer<T>(
        &self,
        seen: &Seen,
        asked: &Encoded,
        answer: impl Fn(&Fused, Vec<(usize, RawOutputs)>) -> Result<Vec<(usize, T)>, EngineError>,
    ) -> Result<Vec<T>, Error> {
        let (features, masks) = (&seen.features, self.draws_masks());
        let memory = self
            .sizes
            .memory_of(self.model, seen.frame, features.grid.size, masks)?;
        let _share = memory.map(|(bytes, limit)| memory::BUDGET.take(bytes, limit));
        let mut found = Vec::new();
        for captions in self.batches(&features.grid, asked) {
            for (caption, mut fused) in captions.iter().zip(self.fuse(features, captions)?) {
                self.remember(caption, &mut fused);
                let outputs = self.raw_outputs(asked, caption, &mut fused);
                found.extend(answer(&fused, outputs)?);
            }
        }
        Ok(in_order(found))
    }

    /// What a caption gave for each of its queries.
    fn results(
        &self,
        seen: &Seen,
        fused: &Fused,
        outputs: &[(usize, RawOutputs)],
    ) -> Result<Vec<QueryResult>, EngineError> {
        let size = seen.frame;
        let decoded = outputs.iter().map(|(_, outputs)| {
            let decoding = self.decoding(&outputs.query);
            decoding.decode(outputs, size.0, size.1)
        });
        let mut found: Vec<Vec<(usize, Detection)>> = decoded.collect();
        for (object, detection) in found.iter_mut().flatten() {
            detection.identity = self.identity(fused, *object);
        }
        self.draw_masks(&mut found, seen, fused)?;
        if let Some(least) = self.model.bundle.manifest().thresholds.tight {
            for (found, (_, outputs)) in found.iter_mut().zip(outputs) {
                for (_, detection) in found.iter_mut() {
                    detection.tighten(least);
                }
                // Boxes that were apart may be around one mask now.
                let decoding = self.decoding(&outputs.query);
                *found = decoding.without_seconds(std::mem::take(found));
            }
        }
        let result = |(found, (_, outputs)): (Vec<(usize, Detection)>, &(usize, RawOutputs))| {
            let query = outputs.query.clone();
            let answering = self.model.answering.as_ref();
            let answering = answering.filter(|_| query.is_question());
            QueryResult {
                answer: answering.and_then(|answering| answering.decode(&outputs.answers)),
                detections: found.into_iter().map(|(_, detection)| detection).collect(),
                query,
            }
        };
        Ok(found.into_iter().zip(outputs).map(result).collect())
    }

    fn identity(&self, fused: &Fused, object: usize) -> Option<Identity> {
        let width = fused.identity.len() / self.model.bundle.manifest().network.queries;
        let vector = fused.identity.get(object * width..(object + 1) * width)?;
        (width > 0).then(|| Identity::new(vector, self.model.identity.number()))
    }

    fn draws_masks(&self) -> bool {
        self.model.network.segments() && self.settings.masks
    }

    /// Gives each detection the mask of its object query, if masks are drawn and what they are drawn of was
    /// not left out.
    fn draw_masks(
        &self,
        found: &mut [Vec<(usize, Detection)>],
        seen: &Seen,
        fused: &Fused,
    ) -> Result<(), EngineError> {
        let seen_now = found
            .iter()
            .flatten()
            .filter(|(_, d)| d.hidden_ms.is_none());
        let objects: BTreeSet<usize> = seen_now.map(|(object, _)| *object).collect();
        let features = &seen.features;
        if !self.draws_masks() || !self.model.network.can_draw(features) || objects.is_empty() {
            return Ok(());
        }
        let objects: Vec<usize> = objects.into_iter().collect();
        self.counters.mask_runs.add(1);
        self.counters.mask_time.measure(|| {
            let logits = self.model.network.masks(features, fused, &objects)?;
            let mask = |logits: &MaskLogits| {
                let map = Map {
                    values: &logits.values,
                    width: logits.width,
                    height: logits.height,
                };
                masks::mask(map, features.grid.size, seen.frame)
            };
            let masks: BTreeMap<usize, Rle> =
                objects.into_iter().zip(logits.iter().map(mask)).collect();
            for (object, detection) in found.iter_mut().flatten() {
                detection.mask = masks.get(object).cloned();
            }
            Ok(())
        })
    }

    fn decoding(&self, query: &Query) -> Decoding {
        let settings = &self.settings;
        Decoding {
            score_threshold: query.score_threshold().unwrap_or(settings.score_threshold),
            phrase_threshold: query
                .phrase_threshold()
                .unwrap_or(settings.phrase_threshold),
            overlap_threshold: settings.overlap_threshold,
            max_detections: settings.max_detections,
        }
    }

    /// What is made and checked for a frame size before anything runs.
    pub(super) fn prepared(&self, frame: (u32, u32)) -> Result<Prepared, Error> {
        self.sizes.prepared(self.model, frame, self.draws_masks())
    }

    /// The frame as the network sees it; `None` if nothing is asked.
    fn see_if_asked(&self, frame: &Frame, asked: &Encoded) -> Result<Option<Seen>, Error> {
        if asked.captions.is_empty() {
            self.counters.frames.add(1);
            return Ok(None);
        }
        self.see(frame, false).map(Some)
    }

    /// The frame as the network sees it, brought to the host or left where the engine has it.
    pub(super) fn see(&self, frame: &Frame, to_host: bool) -> Result<Seen, Error> {
        self.counters.frames.add(1);
        let size = (frame.width(), frame.height());
        let Prepared { plan, memory, .. } = self.prepared(size)?;
        let _share = memory.map(|(bytes, limit)| memory::BUDGET.take(bytes, limit));
        let (width, height) = plan.grid.size;
        let image = self
            .counters
            .preprocess_time
            .measure(|| self.model.normalisation.tensor(frame, width, height));
        let features = self
            .counters
            .vision_time
            .measure(|| self.model.network.see(&plan, &image, to_host))?;
        self.counters.vision_runs.add(1);
        Ok(Seen {
            frame: size,
            by: self.model.identity,
            features,
        })
    }

    /// Captions that are fused in one run: of one padded length, and no more than the engine gains
    /// from.
    pub(super) fn batches<'a>(
        &self,
        grid: &TokenGrid,
        asked: &'a Encoded,
    ) -> impl Iterator<Item = &'a [Caption]> + use<'a> {
        let footprint = self
            .model
            .footprint(grid.size, grid.size, self.draws_masks());
        let most = footprint.texts_at_once(self.model.texts_at_once());
        let padded = |caption: &Caption| FusionShape::padded(caption.length());
        let alike = asked.captions.chunk_by(move |a, b| padded(a) == padded(b));
        alike.flat_map(move |captions| captions.chunks(most))
    }

    pub(super) fn fuse(
        &self,
        seen: &Features,
        captions: &[Caption],
    ) -> Result<Vec<Fused>, EngineError> {
        let memories: Vec<Arc<TextMemory>> = captions.iter().map(|c| c.memory.clone()).collect();
        let shape = fusion_shape(&seen.grid, captions);
        self.counters.fusion_runs.add(captions.len() as u64);
        self.counters.fusion_time.measure(|| {
            let instants = captions.iter().map(|caption| self.remembered(caption));
            let instants: Vec<_> = instants.collect();
            self.model.network.fuse(seen, &memories, shape, &instants)
        })
    }

    fn remembered(&self, caption: &Caption) -> Vec<Aged> {
        let sizes = &self.model.bundle.manifest().network;
        let known =
            |(past, at): (&Past, Duration)| past.before(self.model.number, caption, at, sizes);
        self.past.map(known).unwrap_or_default()
    }

    fn remember(&self, caption: &Caption, fused: &mut Fused) {
        if let (Some((past, at)), true) = (self.past, self.model.network.remembers()) {
            let sizes = &self.model.bundle.manifest().network;
            let boxes = std::mem::take(&mut fused.present_boxes);
            past.keep(self.model.number, caption, at, &fused.hidden, boxes, sizes);
        }
    }

    /// What a caption's outputs say about each of its queries, with their places in the set. Logits and
    /// answers are taken out of `fused`.
    fn raw_outputs(
        &self,
        asked: &Encoded,
        caption: &Caption,
        fused: &mut Fused,
    ) -> Vec<(usize, RawOutputs)> {
        let slots = self.model.bundle.manifest().network.slots;
        let logits = std::mem::take(&mut fused.logits);
        let answers = std::mem::take(&mut fused.answers);
        let boxes: Vec<[f32; 4]> = fused
            .boxes
            .chunks_exact(4)
            .map(|b| [b[0], b[1], b[2], b[3]])
            .collect();
        let raw = |query: usize, logits, tokens: &[Option<Span>], answers| RawOutputs {
            query: asked.set.queries()[query].clone(),
            slots,
            logits,
            boxes: boxes.clone(),
            lost_age: fused.lost_age.clone(),
            tokens: tokens.to_vec(),
            answers,
        };
        match &caption.queries {
            Asking::Same(queries) => {
                let Some(((last, tokens), others)) = queries.split_last() else {
                    return Vec::new();
                };
                let copied = |(query, tokens): &(usize, Vec<Option<Span>>)| {
                    let outputs = raw(*query, logits.clone(), tokens, answers.clone());
                    (*query, outputs)
                };
                let mut same: Vec<_> = others.iter().map(copied).collect();
                same.push((*last, raw(*last, logits, tokens, answers)));
                same
            }
            Asking::Parts(parts) => {
                let words: Vec<&Words> = parts.iter().map(|(_, words)| words).collect();
                let split = parts.iter().zip(split(&logits, slots, &words));
                let part = |((query, words), logits): (&(usize, Words), Vec<f32>)| {
                    let outputs = raw(*query, logits, &words.tokens, BTreeMap::new());
                    (*query, outputs)
                };
                split.map(part).collect()
            }
        }
    }
}

pub(super) fn fusion_shape(grid: &TokenGrid, captions: &[Caption]) -> FusionShape {
    let longest = captions.iter().map(Caption::length).max().unwrap_or(0);
    FusionShape::new(captions.len(), grid.tokens, longest)
}

/// What was found for each query, in the order of the queries.
fn in_order<T>(mut found: Vec<(usize, T)>) -> Vec<T> {
    found.sort_by_key(|(query, _)| *query);
    found.into_iter().map(|(_, found)| found).collect()
}
