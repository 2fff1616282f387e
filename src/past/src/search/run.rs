//! One search on its way.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;

use mdetr::{Answer, Detection, Encoded, Error, Grounder};

use super::changes::{HOLD, changes, presence};
use super::ranking::Ranking;
use super::types::{CurvePoint, Event, Hit, Mode, Moment, Outcome, Search};
use crate::error::PastError;
use crate::reader::Past;

/// The first round asks every so many frames of a camera.
const COARSE: usize = 64;
/// Gaps of the first round that are asked in any case, those beside the best scores first.
const GAPS: usize = 16;
/// Gaps beside scores above this share of the threshold are asked too.
const PROMISING: f32 = 0.6;

pub(super) struct Run<'a> {
    past: &'a Past,
    grounder: &'a Grounder,
    wanted: &'a Search,
    cancel: &'a AtomicBool,
    asked: Encoded,
    /// Places of each camera's frames.
    cameras: Vec<Range<usize>>,
    found: BTreeMap<usize, Found>,
    ranking: Ranking,
    /// Those that cannot be asked.
    unreadable: BTreeSet<usize>,
    first_unreadable: Option<String>,
}

/// What a frame answered.
#[derive(Debug, Clone)]
struct Found {
    /// Of the best detection, whatever the threshold; 0 without any.
    score: f32,
    size: (u32, u32),
    /// Above the threshold.
    detections: Vec<Detection>,
    answer: Option<Answer>,
}

impl<'a> Run<'a> {
    pub(super) fn new(
        past: &'a Past,
        grounder: &'a Grounder,
        wanted: &'a Search,
        cancel: &'a AtomicBool,
    ) -> Result<Run<'a>, PastError> {
        // Scores below the threshold tell where to look further.
        let query = wanted.query.clone().with_score_threshold(0.0);
        let query = query.map_err(Error::from)?;
        let frames = past.frames();
        let mut cameras = Vec::new();
        let mut begin = 0;
        for chunk in frames.chunk_by(|a, b| a.camera() == b.camera()) {
            cameras.push(begin..begin + chunk.len());
            begin += chunk.len();
        }
        let apart = i64::try_from(wanted.apart.as_nanos()).unwrap_or(i64::MAX);
        Ok(Run {
            past,
            grounder,
            wanted,
            cancel,
            asked: grounder.encode(vec![query])?,
            cameras,
            found: BTreeMap::new(),
            ranking: Ranking::new(wanted.limit, apart),
            unreadable: BTreeSet::new(),
            first_unreadable: None,
        })
    }

    /// Every so many frames of each camera, and its last.
    pub(super) fn coarse(&mut self, on: &mut dyn FnMut(Event)) -> Result<(), PastError> {
        let places = self.cameras.iter().flat_map(|camera| {
            let last = camera.end - 1;
            let steps = camera.clone().step_by(COARSE);
            steps.chain((last % COARSE != camera.start % COARSE).then_some(last))
        });
        let mut places: Vec<usize> = places.collect();
        places.dedup();
        self.ask(&places, on)
    }

    /// All that was not asked yet; where the best are wanted, beside the best scores first.
    pub(super) fn all(&mut self, on: &mut dyn FnMut(Event)) -> Result<(), PastError> {
        let mut gaps = self.gaps();
        if self.wanted.mode == Mode::Best {
            gaps.sort_by(|a, b| b.1.total_cmp(&a.1));
        }
        let places: Vec<usize> = gaps.into_iter().flat_map(|(gap, _)| gap).collect();
        self.ask(&places, on)
    }

    /// What lies beside the best scores.
    pub(super) fn around_the_best(&mut self, on: &mut dyn FnMut(Event)) -> Result<(), PastError> {
        let mut gaps = self.gaps();
        gaps.sort_by(|a, b| b.1.total_cmp(&a.1));
        let least = PROMISING * self.wanted.threshold;
        let promising = gaps.partition_point(|(_, score)| *score > least);
        gaps.truncate(promising.max(GAPS));
        let places: Vec<usize> = gaps.into_iter().flat_map(|(gap, _)| gap).collect();
        self.ask(&places, on)
    }

    /// What lies between frames that differ, by halves, and beside where they do.
    pub(super) fn between_changes(&mut self, on: &mut dyn FnMut(Event)) -> Result<(), PastError> {
        loop {
            let mut places = Vec::new();
            for camera in &self.cameras {
                let samples: Vec<usize> = self.samples(camera).collect();
                let states = self.states(&samples);
                for (pair, state) in samples.windows(2).zip(states.windows(2)) {
                    if state[0] == state[1] {
                        continue;
                    }
                    if let Some(middle) = self.middle(pair[0]..pair[1]) {
                        places.push(middle);
                        continue;
                    }
                    // As many on both sides as decide whether it is a change.
                    let before = (pair[0] + 1).saturating_sub(HOLD).max(camera.start);
                    places.extend(before..(pair[1] + HOLD).min(camera.end));
                }
            }
            places.retain(|place| self.is_left(place));
            places.sort_unstable();
            places.dedup();
            if places.is_empty() || self.cancelled() {
                return Ok(());
            }
            self.ask(&places, on)?;
        }
    }

    /// The place nearest to the middle of those between two that can be asked; none if nothing is left.
    fn middle(&self, pair: Range<usize>) -> Option<usize> {
        let middle = pair.start + (pair.end - pair.start) / 2;
        let between = (pair.start + 1..pair.end).filter(|place| self.is_left(place));
        between.min_by_key(|place| place.abs_diff(middle))
    }

    /// Whether a frame was not asked yet.
    fn is_left(&self, place: &usize) -> bool {
        !self.found.contains_key(place) && !self.unreadable.contains(place)
    }

    /// What was not asked between two frames of a camera that were, with the better score of the two.
    fn gaps(&self) -> Vec<(Range<usize>, f32)> {
        let mut gaps: Vec<(Range<usize>, f32)> = Vec::new();
        for camera in &self.cameras {
            let mut before = 0.0f32;
            let mut begin = camera.start;
            for place in camera.start..=camera.end {
                if place < camera.end && self.is_left(&place) {
                    continue;
                }
                let score = self.found.get(&place).map_or(0.0, |found| found.score);
                let score = if place < camera.end { score } else { 0.0 };
                if place > begin {
                    gaps.push((begin..place, score.max(before)));
                }
                (begin, before) = (place + 1, score);
            }
        }
        gaps
    }

    /// Places of a camera's frames that were asked.
    fn samples(&self, camera: &Range<usize>) -> impl Iterator<Item = usize> {
        self.found.range(camera.clone()).map(|(place, _)| *place)
    }

    /// What of the frames at these places is to be told apart: answers, or whether something is there.
    fn states(&self, samples: &[usize]) -> Vec<String> {
        if self.wanted.mode == Mode::Curve {
            let answer = |place: &usize| {
                let answer = self.found[place].answer.as_ref();
                answer.map_or(String::new(), |answer| answer.text.clone())
            };
            return samples.iter().map(answer).collect();
        }
        let scores: Vec<f32> = samples
            .iter()
            .map(|place| self.found[place].score)
            .collect();
        let present = presence(&scores, self.wanted.threshold);
        present.iter().map(bool::to_string).collect()
    }

    fn cancelled(&self) -> bool {
        self.cancel.load(Ordering::Relaxed)
    }

    /// Asks frames on as many threads as are wanted, and tells of what they answer on this one.
    fn ask(&mut self, places: &[usize], on: &mut dyn FnMut(Event)) -> Result<(), PastError> {
        let (past, grounder, wanted, asked) = (self.past, self.grounder, self.wanted, &self.asked);
        let cancel = self.cancel;
        let next = AtomicUsize::new(0);
        let stop = AtomicBool::new(false);
        let threads = wanted.threads.clamp(1, places.len().max(1));
        // What is found waits for whoever is told of it, not in memory.
        let (send, receive) = sync_channel(4 * threads);
        let mut failure = None;
        let mut heard: Vec<(usize, Result<Found, String>)> = Vec::new();
        thread::scope(|scope| {
            for _ in 0..threads {
                let (send, next, stop) = (send.clone(), &next, &stop);
                scope.spawn(move || {
                    while !cancel.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        let Some(&place) = places.get(at) else {
                            return;
                        };
                        let found = ask_frame(past, grounder, asked, wanted.threshold, place);
                        if send.send((place, found)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(send);
            let ranking = &mut self.ranking;
            let mut count = self.found.len() + self.unreadable.len();
            for (place, found) in receive {
                let found = match found {
                    Ok(found) => Ok(found),
                    Err(error) if concerns_one_frame(&error) => Err(error.to_string()),
                    Err(error) => {
                        stop.store(true, Ordering::Relaxed);
                        failure.get_or_insert(error);
                        continue;
                    }
                };
                count += 1;
                if let Ok(found) = &found {
                    tell(past, wanted, ranking, place, found, on);
                }
                let of = past.frames().len();
                on(Event::Progress { asked: count, of });
                heard.push((place, found));
            }
        });
        for (place, found) in heard {
            match found {
                Ok(found) => {
                    self.found.insert(place, found);
                }
                Err(error) => {
                    self.unreadable.insert(place);
                    self.first_unreadable.get_or_insert(error);
                }
            }
        }
        failure.map_or(Ok(()), Err)
    }

    pub(super) fn outcome(self) -> Result<Outcome, PastError> {
        let asked = self.found.len();
        if let Some(first) = self.first_unreadable.as_ref().filter(|_| asked == 0) {
            return Err(PastError::Unreadable {
                frames: self.unreadable.len(),
                first: first.clone(),
            });
        }
        let (mut curve, mut moments) = (Vec::new(), Vec::new());
        for camera in &self.cameras {
            let samples: Vec<usize> = self.samples(camera).collect();
            let found = changes(&self.states(&samples));
            match self.wanted.mode {
                Mode::Best => {}
                Mode::Curve => curve.extend(self.curve(&samples, &found)),
                Mode::Moments => moments.extend(self.moments(&samples, &found)),
            }
        }
        Ok(Outcome {
            mode: self.wanted.mode,
            frames: self.past.frames().len(),
            asked,
            unreadable: self.unreadable.len(),
            cancelled: self.cancelled(),
            first_unreadable: self.first_unreadable,
            hits: self.ranking.into_hits(),
            curve,
            moments,
        })
    }

    /// A point for each change of the answer, which holds until the next.
    fn curve(&self, samples: &[usize], changes: &[usize]) -> Vec<CurvePoint> {
        let ends = changes.iter().skip(1).copied().chain([samples.len()]);
        let points = changes.iter().zip(ends).map(|(&begin, end)| {
            let last = self.past.frames()[samples[end - 1]];
            let point = point(self.past, samples[begin], &self.found[&samples[begin]]);
            CurvePoint {
                until: last.until(),
                ..point
            }
        });
        points.collect()
    }

    /// Where the target comes and goes. That it is there from the beginning is no moment.
    fn moments(&self, samples: &[usize], changes: &[usize]) -> Vec<Moment> {
        let states = self.states(samples);
        let moments = changes.iter().skip(1).map(|&at| {
            let (place, before) = (samples[at], samples[at - 1]);
            let appears = states[at] == "true";
            let shown = if appears { place } else { before };
            let frames = self.past.frames();
            let is_shown = !self.found[&shown].detections.is_empty();
            Moment {
                camera: self.past.cameras()[frames[place].camera()].clone(),
                appears,
                time: frames[place].time(),
                after: frames[before].until(),
                shown: is_shown.then(|| hit(self.past, shown, &self.found[&shown])),
            }
        });
        moments.collect()
    }
}

/// Whether other frames may be asked after such an error.
fn concerns_one_frame(error: &PastError) -> bool {
    match error {
        PastError::Model(error) => matches!(error, Error::Seen(_) | Error::Frame(_)),
        _ => true,
    }
}

fn ask_frame(
    past: &Past,
    grounder: &Grounder,
    asked: &Encoded,
    threshold: f32,
    place: usize,
) -> Result<Found, PastError> {
    let seen = grounder.restore(&past.tokens(&past.frames()[place])?)?;
    let (result, _) = grounder.ask(&seen, asked)?.remove(0);
    let mut detections = result.detections;
    let score = detections.first().map_or(0.0, |best| best.score);
    detections.retain(|detection| detection.score > threshold);
    Ok(Found {
        score,
        size: seen.frame_size(),
        detections,
        answer: result.answer,
    })
}

/// Tells of what a frame answered, if that is what is wanted.
fn tell(
    past: &Past,
    wanted: &Search,
    ranking: &mut Ranking,
    place: usize,
    found: &Found,
    on: &mut dyn FnMut(Event),
) {
    match wanted.mode {
        Mode::Curve => on(Event::Answer(&point(past, place, found))),
        Mode::Best if !found.detections.is_empty() => {
            if let Some(hit) = ranking.offer(hit(past, place, found)) {
                on(Event::Hit(hit));
            }
        }
        _ => {}
    }
}

fn hit(past: &Past, place: usize, found: &Found) -> Hit {
    let frame = past.frames()[place];
    Hit {
        camera: past.cameras()[frame.camera()].clone(),
        time: frame.time(),
        until: frame.until(),
        size: found.size,
        score: found.score,
        detections: found.detections.clone(),
        frame: place,
        has_picture: frame.has_picture(),
    }
}

fn point(past: &Past, place: usize, found: &Found) -> CurvePoint {
    let frame = past.frames()[place];
    CurvePoint {
        camera: past.cameras()[frame.camera()].clone(),
        time: frame.time(),
        until: frame.until(),
        answer: found.answer.clone(),
    }
}
