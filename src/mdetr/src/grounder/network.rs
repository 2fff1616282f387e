//! The graphs that see frames, fuse them with texts and draw masks, and their plans.

use std::convert::Infallible;
use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lru::LruCache;

use mdetr_engine::{
    Constant, Data, Engine, EngineError, Graph, InputShape, InputType, MOST_TEXTS, Plan, Tensor,
    View, locked,
};

use super::bound::BoundPlans;
use super::past::{self, Aged};
use super::positions::{grid, sine_positions};
use crate::bundle::{Bundle, FUSION_GRAPH, MASK_GRAPH, Network as Sizes, VISION_GRAPH};
use crate::decode::answers::AnswerLogits;
use crate::error::Error;
use crate::text::TextMemory;

/// The network without its text encoder.
#[derive(Debug)]
pub(super) struct Network {
    sizes: Sizes,
    /// Feature maps for the mask graph and their strides.
    pyramid: Vec<(&'static str, usize)>,
    answer_heads: &'static [&'static str],
    grids: BoundPlans<(u32, u32), Arc<TokenGrid>>,
    vision: Stage<(u32, u32), Arc<SizePlan>>,
    fusion: Stage<FusionShape, Arc<dyn Plan>>,
    mask: Option<Stage<MaskShape, Arc<dyn Plan>>>,
    texts: Mutex<LruCache<TextsKey, Arc<Texts>>>,
}

/// Sizes of the input whose positions are kept.
const KEPT_GRIDS: NonZeroUsize = NonZeroUsize::new(8).unwrap();

/// Batches of texts that are kept ready for the fusion graph: those of some streams' standing queries.
const KEPT_TEXTS: NonZeroUsize = NonZeroUsize::new(32).unwrap();

/// The memories of a batch, by their addresses, and the length they are padded to.
type TextsKey = (Vec<usize>, usize);

/// Texts as the fusion graph takes them.
#[derive(Debug)]
struct Texts {
    /// `[texts, length, d]`.
    memory: Constant,
    /// `[texts, length]`.
    mask: Constant,
    /// As long as they live no other has their addresses.
    _memories: Vec<Arc<TextMemory>>,
}

impl Texts {
    fn new(memories: &[Arc<TextMemory>], length: usize, d: usize) -> Texts {
        let mut memory = Vec::with_capacity(memories.len() * length * d);
        let mut mask = Vec::with_capacity(memories.len() * length);
        for (text, end) in memories.iter().zip(1..) {
            memory.extend_from_slice(&text.data);
            memory.resize(end * length * d, 0.0);
            mask.resize(mask.len() + text.tokens.ids.len(), 1);
            mask.resize(end * length, 0);
        }
        Texts {
            memory: Constant::f32(memory),
            mask: Constant::i64(mask),
            _memories: memories.to_vec(),
        }
    }
}

/// A graph and its plans.
#[derive(Debug)]
struct Stage<K: Hash + Eq, V> {
    path: String,
    graph: Box<dyn Graph>,
    plans: BoundPlans<K, V>,
}

impl<K: Hash + Eq + Clone, V: Clone> Stage<K, V> {
    /// Plans hold weights of their own: few of a large graph are kept, more of a small one.
    fn load(bundle: &Bundle, name: &str, engine: &dyn Engine, least: usize) -> Result<Self, Error> {
        const BYTES: usize = 256 << 20;
        const MOST: usize = 32;
        let source = bundle.graph(name)?;
        let plans = (BYTES / source.onnx.len().max(1)).clamp(least, MOST);
        let plans = BoundPlans::new(NonZeroUsize::new(plans).unwrap_or(NonZeroUsize::MIN));
        Ok(Stage {
            path: source.path.clone(),
            graph: engine.load(source)?,
            plans,
        })
    }
}

/// Where the tokens of an input lie: it depends only on the input's size.
#[derive(Debug)]
pub(super) struct TokenGrid {
    /// Width and height of the input.
    pub size: (u32, u32),
    /// Rows and columns of tokens.
    pub cells: (usize, usize),
    /// Number of vision tokens.
    pub tokens: usize,
    /// `[tokens, d]`.
    positions: Constant,
}

/// What is made to see inputs of a size.
#[derive(Debug)]
pub(super) struct SizePlan {
    pub grid: Arc<TokenGrid>,
    vision: Arc<dyn Plan>,
}

/// What a plan of the fusion graph is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct FusionShape {
    /// Texts in one run.
    pub texts: usize,
    /// Vision tokens.
    pub tokens: usize,
    /// Text tokens with padding.
    pub length: usize,
}

impl FusionShape {
    /// Texts are padded to a multiple of this, so that few plans serve texts of any length.
    const LENGTH_STEP: usize = 8;

    /// For texts of which the longest has `length` tokens.
    pub(super) fn new(texts: usize, tokens: usize, length: usize) -> FusionShape {
        FusionShape {
            texts,
            tokens,
            length: FusionShape::padded(length),
        }
    }

    /// The length to which a text is padded.
    pub(super) fn padded(length: usize) -> usize {
        length.next_multiple_of(Self::LENGTH_STEP)
    }
}

/// What a plan of the mask graph is made for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct MaskShape {
    pub objects: usize,
    pub tokens: usize,
    /// Of each feature map.
    pub pyramid: Vec<Vec<usize>>,
}

/// Most objects that the mask graph takes at once: the maps are large.
pub(super) const MOST_OBJECTS: usize = 8;
/// The fusion graph's output that the mask graph is fed with.
const MEMORY: &str = "memory";
const IDENTITY: &str = "identity";

/// What the vision graph gave for a frame.
#[derive(Debug)]
pub(super) struct Features {
    pub grid: Arc<TokenGrid>,
    /// `[1, tokens, d]`.
    pub tokens: Tensor,
    /// Feature maps for the mask graph; none of tokens that were stored.
    pyramid: Vec<Tensor>,
}

/// What the fusion graph gave for a frame and a text.
#[derive(Debug)]
pub(super) struct Fused {
    /// `[queries + lost, slots]`.
    pub logits: Vec<f32>,
    /// `[queries + lost, 4]`.
    pub boxes: Vec<f32>,
    /// Seconds since what is not seen any more was, `[lost]`.
    pub lost_age: Vec<f32>,
    pub answers: AnswerLogits,
    /// `[queries, d]`; empty if the model draws no masks and remembers nothing.
    pub hidden: Vec<f32>,
    /// Boxes before the past was heard, `[queries, 4]`; empty if the model remembers nothing.
    pub present_boxes: Vec<f32>,
    /// What tells their objects from others, `[queries, any]`; empty if the model remembers nothing.
    pub identity: Vec<f32>,
    /// `[1, tokens, d]`; none if the model draws no masks.
    pub memory: Option<Tensor>,
}

impl Network {
    pub(super) fn load(bundle: &Bundle, engine: &dyn Engine) -> Result<Network, Error> {
        let manifest = bundle.manifest();
        let mask = match manifest.segments() {
            true => Some(Stage::load(bundle, MASK_GRAPH, engine, 8)?),
            false => None,
        };
        Ok(Network {
            sizes: manifest.network.clone(),
            pyramid: bundle.pyramid()?,
            answer_heads: manifest.answers.as_ref().map_or(&[], |a| a.kind.heads()),
            grids: BoundPlans::new(KEPT_GRIDS),
            vision: Stage::load(bundle, VISION_GRAPH, engine, 2)?,
            fusion: Stage::load(bundle, FUSION_GRAPH, engine, 8)?,
            mask,
            texts: Mutex::new(LruCache::new(KEPT_TEXTS)),
        })
    }

    pub(super) fn remembers(&self) -> bool {
        self.sizes.past > 0
    }

    pub(super) fn past_interval(&self) -> Option<Duration> {
        self.remembers().then(|| self.sizes.between_instants())
    }

    pub(super) fn segments(&self) -> bool {
        self.mask.is_some()
    }

    /// Whether masks can be drawn of what was seen.
    pub(super) fn can_draw(&self, features: &Features) -> bool {
        self.segments() && features.pyramid.len() == self.pyramid.len()
    }

    /// Where the tokens of inputs of `size` lie: width and height.
    pub(super) fn token_grid(&self, size: (u32, u32)) -> Arc<TokenGrid> {
        let made = self.grids.get_or_make(size, || {
            let (rows, columns) = grid(size, self.sizes.stride);
            Ok::<_, Infallible>(Arc::new(TokenGrid {
                size,
                cells: (rows, columns),
                tokens: rows * columns,
                positions: Constant::f32(sine_positions(rows, columns, self.sizes.d_model)),
            }))
        });
        match made {
            Ok(grid) => grid,
            Err(never) => match never {},
        }
    }

    /// The plan for inputs of `size`: width and height.
    pub(super) fn size_plan(&self, size: (u32, u32)) -> Result<Arc<SizePlan>, EngineError> {
        self.vision.plans.get_or_make(size, || {
            Ok(Arc::new(SizePlan {
                grid: self.token_grid(size),
                vision: self.vision.graph.plan(&vision_inputs(size))?,
            }))
        })
    }

    /// What was seen of an input of this size, from its tokens alone, `[tokens, d]`.
    pub(super) fn features(&self, size: (u32, u32), tokens: Vec<f32>) -> Features {
        let grid = self.token_grid(size);
        let shape = vec![1, grid.tokens, self.sizes.d_model];
        debug_assert_eq!(tokens.len(), grid.tokens * self.sizes.d_model);
        Features {
            grid,
            tokens: Tensor {
                shape,
                data: Data::Host(tokens),
            },
            pyramid: Vec::new(),
        }
    }

    /// The plan for a frame's and texts' lengths.
    pub(super) fn fusion_plan(&self, shape: FusionShape) -> Result<Arc<dyn Plan>, EngineError> {
        self.fusion.plans.get_or_make(shape, || {
            self.fusion.graph.plan(&fusion_inputs(&self.sizes, shape))
        })
    }

    /// Runs the vision graph on a normalised image of the plan's size, `[3, height, width]`. What it gives
    /// is brought to the host, or stays where the engine has it.
    pub(super) fn see(
        &self,
        plan: &SizePlan,
        image: &[f32],
        to_host: bool,
    ) -> Result<Features, EngineError> {
        const TOKENS: &str = "tokens";
        let mut names = vec![TOKENS];
        names.extend(self.pyramid.iter().map(|(name, _)| *name));
        let keep: &[&'static str] = if to_host { &[] } else { &names };
        let mut outputs = plan.vision.run(&[View::F32(image)], &names, keep)?;
        let path = &self.vision.path;
        let grid_of_tokens = &plan.grid;
        for ((name, stride), map) in self.pyramid.iter().zip(&outputs[1..]) {
            let (h, w) = grid(grid_of_tokens.size, *stride);
            let channels = map.elements() / (h * w);
            map.check(path, name, &[1, channels, h, w])?;
        }
        let pyramid = outputs.split_off(1);
        let tokens = outputs.remove(0);
        let expected = [1, grid_of_tokens.tokens, self.sizes.d_model];
        tokens.check(path, TOKENS, &expected)?;
        Ok(Features {
            grid: plan.grid.clone(),
            tokens,
            pyramid,
        })
    }

    /// Runs the fusion graph on as many texts as `shape` has, each padded to its length, with what is
    /// remembered of each; gives what was found for each.
    pub(super) fn fuse(
        &self,
        seen: &Features,
        texts: &[Arc<TextMemory>],
        shape: FusionShape,
        instants: &[Vec<Aged>],
    ) -> Result<Vec<Fused>, EngineError> {
        let Sizes {
            d_model: d,
            queries,
            slots,
            lost,
            ..
        } = self.sizes;
        let count = texts.len();
        let key = texts
            .iter()
            .map(|text| Arc::as_ptr(text) as usize)
            .collect();
        let ready = locked(&self.texts)
            .get_or_insert((key, shape.length), || {
                Arc::new(Texts::new(texts, shape.length, d))
            })
            .clone();
        let mut inputs = vec![
            seen.tokens.view(),
            View::Constant(&seen.grid.positions),
            View::Constant(&ready.memory),
            View::Constant(&ready.mask),
        ];
        let past = match self.remembers() {
            true => Some(past::inputs(count, instants, &self.sizes)),
            false => None,
        };
        inputs.extend(past.iter().flatten().map(|values| View::F32(values)));
        let mut expected = vec![
            ("logits", vec![count, queries + lost, slots]),
            ("boxes", vec![count, queries + lost, 4]),
        ];
        if self.segments() || self.remembers() {
            expected.push(("hidden", vec![count, queries, d]));
        }
        if self.segments() {
            expected.push((MEMORY, vec![count, seen.grid.tokens, d]));
        }
        if self.remembers() {
            expected.push(("present_boxes", vec![count, queries, 4]));
        }
        if lost > 0 {
            expected.push(("lost_age", vec![count, lost]));
        }
        let mut names: Vec<&'static str> = expected.iter().map(|(name, _)| *name).collect();
        if self.remembers() {
            names.push(IDENTITY);
        }
        names.extend(self.answer_heads);
        // Several texts' memory is cut, which is done on the host.
        let keep: &[&'static str] = if count == 1 { &[MEMORY] } else { &[] };
        let outputs = self.fusion_plan(shape)?.run(&inputs, &names, keep)?;
        let path = &self.fusion.path;
        for ((name, shape), tensor) in expected.iter().zip(&outputs) {
            tensor.check(path, name, shape)?;
        }
        let mut others = outputs[expected.len()..].iter();
        if let (true, Some(tensor)) = (self.remembers(), others.next()) {
            let width = tensor.elements() / (count * queries).max(1);
            tensor.check(path, IDENTITY, &[count, queries, width])?;
        }
        for (name, tensor) in self.answer_heads.iter().zip(others) {
            tensor.check(path, name, &[count, tensor.elements() / count.max(1)])?;
        }
        let mut rows: Vec<_> = outputs
            .into_iter()
            .map(|tensor| rows(tensor, count).into_iter())
            .collect();
        let fused = (0..count).map(|_| {
            let mut tensors = rows.iter_mut().filter_map(Iterator::next);
            let mut next = || {
                tensors
                    .next()
                    .expect("a plan gives all outputs it is asked for")
            };
            let (logits, boxes) = (next().into_host(), next().into_host());
            let gives_hidden = self.segments() || self.remembers();
            let hidden = gives_hidden.then(|| next().into_host());
            let memory = self.segments().then(&mut next);
            let present_boxes = self.remembers().then(|| next().into_host());
            let lost_age = (lost > 0).then(|| next().into_host());
            let identity = self.remembers().then(|| next().into_host());
            let answers = tensors.map(Tensor::into_host);
            Fused {
                logits,
                boxes,
                lost_age: lost_age.unwrap_or_default(),
                hidden: hidden.unwrap_or_default(),
                present_boxes: present_boxes.unwrap_or_default(),
                identity: identity.unwrap_or_default(),
                memory,
                answers: self.answer_heads.iter().copied().zip(answers).collect(),
            }
        });
        Ok(fused.collect())
    }

    /// Mask logits of the object queries at `objects`, one map `[h, w]` for each, with h and w.
    /// Nothing if the model draws no masks.
    pub(super) fn masks(
        &self,
        seen: &Features,
        fused: &Fused,
        objects: &[usize],
    ) -> Result<Vec<MaskLogits>, EngineError> {
        let mut masks = Vec::new();
        if let (Some(stage), Some(memory)) = (&self.mask, &fused.memory) {
            let mut rest = objects;
            while !rest.is_empty() {
                let (now, later) = rest.split_at(batch(rest.len()));
                masks.extend(self.mask_batch(stage, seen, (&fused.hidden, memory), now)?);
                rest = later;
            }
        }
        Ok(masks)
    }

    fn mask_batch(
        &self,
        stage: &Stage<MaskShape, Arc<dyn Plan>>,
        seen: &Features,
        (hidden, memory): (&[f32], &Tensor),
        objects: &[usize],
    ) -> Result<Vec<MaskLogits>, EngineError> {
        const OUTPUT: &str = "masks";
        let d = self.sizes.d_model;
        let shape = MaskShape {
            objects: objects.len(),
            tokens: seen.grid.tokens,
            pyramid: seen.pyramid.iter().map(|map| map.shape.clone()).collect(),
        };
        let plan = stage.plans.get_or_make(shape.clone(), || {
            stage.graph.plan(&mask_inputs(
                d,
                &shape,
                self.pyramid.iter().map(|(name, _)| *name),
            ))
        })?;
        let hidden: Vec<f32> = objects
            .iter()
            .flat_map(|&object| &hidden[object * d..(object + 1) * d])
            .copied()
            .collect();
        let mut inputs = vec![View::F32(&hidden), memory.view(), seen.tokens.view()];
        inputs.extend(seen.pyramid.iter().map(Tensor::view));
        let masks = plan.run(&inputs, &[OUTPUT], &[])?.remove(0);
        let (height, width) = match masks.shape[..] {
            [1, count, height, width] if count == objects.len() && height * width > 0 => {
                (height, width)
            }
            _ => {
                return Err(EngineError::OutputShape {
                    graph: stage.path.clone(),
                    output: OUTPUT,
                    expected: vec![1, objects.len(), 1, 1],
                    found: masks.shape,
                });
            }
        };
        let values = masks.into_host();
        let maps = values.chunks_exact(height * width);
        let logits = maps.map(|values| MaskLogits {
            values: values.to_vec(),
            width,
            height,
        });
        Ok(logits.collect())
    }
}

/// One object's mask before it is scaled and cut.
#[derive(Debug)]
pub(super) struct MaskLogits {
    /// `[height, width]`.
    pub values: Vec<f32>,
    pub width: usize,
    pub height: usize,
}

/// How many of `left` objects the mask graph takes at once: powers of two, so that few plans serve
/// any number, and not too many.
fn batch(left: usize) -> usize {
    if left >= MOST_OBJECTS {
        MOST_OBJECTS
    } else {
        1 << left.max(1).ilog2()
    }
}

/// A tensor cut along its first axis of `count`; one that is not cut may be on a device.
fn rows(tensor: Tensor, count: usize) -> Vec<Tensor> {
    if count == 1 {
        return vec![tensor];
    }
    let mut shape = tensor.shape.clone();
    shape[0] = 1;
    let values = tensor.into_host();
    let size = values.len() / count.max(1);
    (0..count)
        .map(|row| Tensor {
            shape: shape.clone(),
            data: Data::Host(values[row * size..(row + 1) * size].to_vec()),
        })
        .collect()
}

fn float<const N: usize>(name: &'static str, shape: [usize; N]) -> InputShape {
    InputShape::new(name, InputType::F32, shape.to_vec())
}

/// Inputs of the vision graph for a picture of width and height.
pub(crate) fn vision_inputs((width, height): (u32, u32)) -> Vec<InputShape> {
    vec![float("image", [1, 3, height as usize, width as usize])]
}

/// Inputs of the fusion graph.
pub(crate) fn fusion_inputs(sizes: &Sizes, shape: FusionShape) -> Vec<InputShape> {
    let FusionShape {
        texts,
        tokens,
        length,
    } = shape;
    let d = sizes.d_model;
    let longest = FusionShape::padded(sizes.max_tokens);
    // One query of a few words.
    let usual = FusionShape::LENGTH_STEP;
    let varying = |input: InputShape| input.varying(0, 1, MOST_TEXTS).varying(1, usual, longest);
    let mask = InputShape::new("text_mask", InputType::I64, vec![texts, length]);
    let mut inputs = vec![
        float("tokens", [1, tokens, d]),
        float("position", [1, tokens, d]),
        varying(float("text_memory", [texts, length, d])),
        varying(mask),
    ];
    let (past, queries) = (sizes.past, sizes.queries);
    if past > 0 {
        let several = |input: InputShape| input.varying(0, 1, MOST_TEXTS);
        inputs.extend([
            several(float("past", [texts, past, queries, d])),
            several(float("past_boxes", [texts, past, queries, 4])),
            several(float("past_age", [texts, past])),
        ]);
    }
    inputs
}

/// Inputs of the mask graph, the feature maps by their names.
pub(crate) fn mask_inputs(
    d: usize,
    shape: &MaskShape,
    pyramid: impl Iterator<Item = &'static str>,
) -> Vec<InputShape> {
    let mut inputs = vec![
        float("hidden", [1, shape.objects, d]).varying(1, 1, MOST_OBJECTS),
        float("memory", [1, shape.tokens, d]),
        float("tokens", [1, shape.tokens, d]),
    ];
    let maps = pyramid.zip(&shape.pyramid);
    inputs.extend(maps.map(|(name, shape)| InputShape::new(name, InputType::F32, shape.clone())));
    inputs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_cover_any_number() {
        let cut = |mut left: usize| {
            let mut batches = Vec::new();
            while left > 0 {
                batches.push(batch(left));
                left -= batches.last().unwrap();
            }
            batches
        };
        assert_eq!(cut(1), [1]);
        assert_eq!(cut(7), [4, 2, 1]);
        assert_eq!(cut(21), [8, 8, 4, 1]);
    }
}
