//! TensorRT behind the engine trait: plans from disk or built, run on a GPU.

use std::fmt::Write as _;
use std::sync::Arc;

use mdetr_tensorrt::{
    BuildOptions, Device, Error as TrtError, Input, Lanes, LogMessage, Output, Severity,
};
pub use mdetr_tensorrt::{Element, IoTensor, Library, Range};

use crate::error::{EngineError, OpenError};
use crate::events::{PlanEvent, PlanWatcher};
use crate::graph::{
    Engine, EngineInfo, Graph, GraphCounts, GraphSource, InputShape, MOST_TEXTS, Plan, describe,
};
use crate::log::{EngineLog, EngineMessage, LogLevel};
use crate::options::{Precision, TensorRtOptions};
use crate::plan_cache::{Origin, PlanCache, PlanKey};
use crate::registry::Registry;
use crate::tensor::{Constant, Data, Resident, Tensor, View};
use crate::watchers::Watchers;

/// The engine's name, as in [`EngineKind`](crate::EngineKind).
pub const NAME: &str = "tensorrt";

/// What is missing here.
fn unavailable(error: TrtError) -> EngineError {
    EngineError::Unavailable {
        engine: NAME,
        message: error.to_string(),
    }
}

/// Lets `log` hear what TensorRT logs.
pub(crate) fn set_log(log: Option<EngineLog>) {
    mdetr_tensorrt::set_log_hook(log.map(|log| -> mdetr_tensorrt::LogHook {
        Arc::new(move |message: &LogMessage| {
            log(&EngineMessage {
                level: match message.severity {
                    Severity::Error => LogLevel::Error,
                    Severity::Warning => LogLevel::Warning,
                    Severity::Info => LogLevel::Info,
                    _ => LogLevel::Debug,
                },
                graph: message.graph,
                text: message.text,
            });
        })
    }));
}

/// Opens TensorRT.
pub fn open_library() -> Result<Arc<Library>, EngineError> {
    Library::open().map_err(unavailable)
}

#[derive(Debug)]
pub(crate) struct TensorRt {
    shared: Arc<Shared>,
    reason: String,
}

/// What graphs need of their engine.
struct Shared {
    library: Arc<Library>,
    device: Arc<Device>,
    lanes: Arc<Lanes>,
    options: TensorRtOptions,
    plans: Option<PlanCache>,
    watchers: Watchers,
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared")
            .field("library", &self.library)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// The GPU with its compute capability.
    fn device(&self) -> String {
        let (major, minor) = self.device.capability();
        format!("{}, compute capability {major}.{minor}", self.device.name())
    }
}

impl TensorRt {
    pub(crate) fn new(options: &TensorRtOptions, reason: String) -> Result<TensorRt, OpenError> {
        let library = open_library()?;
        let device = Device::open(options.device_id).map_err(unavailable)?;
        let plans = options.plan_cache_dir.as_deref();
        let plans = plans.map(|dir| PlanCache::open(dir, options.plan_cache_bytes));
        Ok(TensorRt {
            reason: format!("{reason}, on {}", device.name()),
            shared: Arc::new(Shared {
                library,
                lanes: Arc::new(Lanes::new(&device, options.lanes)),
                device,
                options: options.clone(),
                plans: plans.transpose()?,
                watchers: Watchers::default(),
            }),
        })
    }
}

impl Engine for TensorRt {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: NAME.to_owned(),
            version: self.shared.library.version(),
            reason: self.reason.clone(),
        }
    }

    fn graph_counts(&self) -> GraphCounts {
        let stats = self.shared.lanes.stats();
        GraphCounts {
            captures: stats.captures,
            capture_failures: stats.capture_failures,
            replay_failures: stats.replay_failures,
        }
    }

    fn texts_at_once(&self) -> usize {
        MOST_TEXTS
    }

    fn plans_take_long(&self) -> bool {
        true
    }

    fn watch(&self, watcher: PlanWatcher) {
        self.shared.watchers.add(watcher);
    }

    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        let build = build_options(&self.shared.library, &source, &self.shared.options)?;
        Ok(Box::new(TrtGraph {
            source,
            build,
            shared: self.shared.clone(),
            engines: Registry::new(),
        }))
    }
}

/// How to build plans of a graph; refuses a precision that TensorRT cannot give it.
fn build_options(
    library: &Library,
    source: &GraphSource,
    options: &TensorRtOptions,
) -> Result<BuildOptions, EngineError> {
    let precision = options.precision;
    let found = if source.half { "fp16" } else { "fp32" };
    let fits = match precision {
        Precision::Auto => true,
        Precision::Fp32 => !source.half,
        Precision::Fp16 => source.half || library.chooses_types(),
    };
    if !fits {
        return Err(EngineError::Load {
            engine: NAME,
            graph: source.path.clone(),
            message: format!(
                "precision: {precision} was asked for, the bundle is of {found}, and {} takes the \
                 graph's types; export the bundle with --precision {precision}",
                library.version()
            ),
        });
    }
    Ok(BuildOptions {
        half: library.chooses_types() && (source.half || precision == Precision::Fp16),
        tf32: precision != Precision::Fp32,
        workspace: options.workspace,
        ..BuildOptions::default()
    })
}

struct TrtGraph {
    source: GraphSource,
    build: BuildOptions,
    shared: Arc<Shared>,
    /// Plans in use, by the sizes they take, as text.
    engines: Registry<String, Loaded>,
}

/// A plan on the GPU, for as long as it is in use.
#[derive(Debug)]
struct Loaded {
    engine: Arc<mdetr_tensorrt::Engine>,
    lanes: Arc<Lanes>,
}

impl Drop for Loaded {
    fn drop(&mut self) {
        self.engine.retire();
        self.lanes.drop_retired();
    }
}

impl std::fmt::Debug for TrtGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrtGraph")
            .field("path", &self.source.path)
            .finish_non_exhaustive()
    }
}

/// Sizes of one plan for these shapes and all that differ where they vary.
pub fn ranges(shapes: &[InputShape]) -> Vec<Range> {
    shapes
        .iter()
        .map(|input| {
            let mut range = Range {
                name: input.name.to_owned(),
                min: input.shape.clone(),
                opt: input.shape.clone(),
                max: input.shape.clone(),
            };
            for varying in &input.varies {
                let dimension = varying.dimension;
                // The same for every shape, so that it is one plan.
                range.min[dimension] = 1;
                range.opt[dimension] = varying.usual;
                range.max[dimension] = varying.most.max(input.shape[dimension]);
            }
            range
        })
        .collect()
}

fn text(ranges: &[Range]) -> String {
    let mut text = String::new();
    for Range {
        name,
        min,
        opt,
        max,
    } in ranges
    {
        let separator = if text.is_empty() { "" } else { ", " };
        // Writing to a String does not fail.
        let _ = match min == max {
            true => write!(text, "{separator}{name} {max:?}"),
            false => write!(text, "{separator}{name} {min:?} to {max:?}, best {opt:?}"),
        };
    }
    text
}

impl TrtGraph {
    fn tell(&self, event: &PlanEvent) -> bool {
        self.shared.watchers.tell(event)
    }

    /// The plan of these sizes, from memory, disk or the builder.
    fn loaded(&self, ranges: &[Range]) -> Result<Arc<Loaded>, String> {
        let sizes = text(ranges);
        let options = &self.shared.options;
        let limit = options.workspace.map(|bytes| format!("{bytes} bytes"));
        let key = PlanKey {
            graph: self.source.sha256.clone(),
            engine: self.shared.library.version(),
            device: self.shared.device(),
            shapes: sizes.clone(),
            precision: options.precision.to_string(),
            workspace: limit.unwrap_or_default(),
        };
        self.engines.get_or_make(sizes, || {
            Ok(Loaded {
                engine: Arc::new(self.find(&key, ranges)?),
                lanes: self.shared.lanes.clone(),
            })
        })
    }

    fn find(&self, key: &PlanKey, ranges: &[Range]) -> Result<mdetr_tensorrt::Engine, String> {
        let graph = || self.source.path.clone();
        let words = |error: TrtError| error.to_string();
        let Some(cache) = &self.shared.plans else {
            let plan = self.built(ranges).map_err(words)?;
            return self.load(&plan, true).map_err(words);
        };
        let found = cache.get_or_build(
            &self.source.path,
            key,
            || self.tell(&PlanEvent::Waiting { graph: graph() }),
            |error| {
                let message =
                    format!("{error}; free space there or name another plan cache directory");
                self.tell(&PlanEvent::NotKept {
                    graph: graph(),
                    message,
                });
            },
            || self.built(ranges),
        );
        let (plan, origin) = found.map_err(|error| match error {
            Some(error) => words(error),
            None => "waiting for another process's build was interrupted".to_owned(),
        })?;
        match self.load(&plan, origin != Origin::Disk) {
            // Sound, but not for this machine after all, such as after a change of the driver.
            Err(TrtError::Load(_)) if origin == Origin::Disk => {
                let plan = self.built(ranges).map_err(words)?;
                cache.replace(&self.source.path, key, &plan);
                self.load(&plan, true).map_err(words)
            }
            loaded => loaded.map_err(words),
        }
    }

    fn load(&self, plan: &[u8], built: bool) -> Result<mdetr_tensorrt::Engine, TrtError> {
        let Shared {
            device,
            lanes,
            library,
            ..
        } = &*self.shared;
        device.enter()?;
        let engine = lanes.with_memory(|| library.load(plan))?;
        self.tell(&PlanEvent::Ready {
            graph: self.source.path.clone(),
            built,
            bytes: plan.len() as u64,
        });
        Ok(engine)
    }

    fn built(&self, ranges: &[Range]) -> Result<Vec<u8>, TrtError> {
        let mut progress = |progress: mdetr_tensorrt::Progress| {
            self.tell(&PlanEvent::Building {
                graph: self.source.path.clone(),
                phase: progress.phase.to_owned(),
                step: progress.step,
                steps: progress.steps,
            })
        };
        let Shared {
            device,
            lanes,
            library,
            plans,
            ..
        } = &*self.shared;
        let timings = plans
            .as_ref()
            .map(|cache| (cache, library.version(), self.shared.device()));
        let mut options = self.build.clone();
        if let Some((cache, engine, device)) = &timings {
            options.timing_cache = cache.timings(engine, device);
        }
        let GraphSource { onnx, path, .. } = &self.source;
        device.enter()?;
        let built =
            lanes.with_memory(|| library.build(onnx, path, ranges, &options, &mut progress))?;
        if let Some((cache, engine, device)) = &timings {
            cache.keep_timings(engine, device, &built.timing_cache);
        }
        Ok(built.plan)
    }
}

impl Graph for TrtGraph {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
        let fault = |message| EngineError::Plan {
            engine: NAME,
            graph: self.source.path.clone(),
            shapes: describe(shapes),
            message,
        };
        let named = shapes.iter().map(|i| (i.name, i.shape.clone())).collect();
        let plan = TrtPlan {
            loaded: self.loaded(&ranges(shapes)).map_err(fault)?,
            path: self.source.path.clone(),
            shapes: named,
        };
        let Loaded { engine, lanes } = &*plan.loaded;
        lanes
            .prepare(engine, &plan.shapes)
            .map_err(|error| fault(error.to_string()))?;
        Ok(Arc::new(plan))
    }
}

/// A plan at fixed shapes.
#[derive(Debug)]
struct TrtPlan {
    loaded: Arc<Loaded>,
    path: String,
    shapes: Vec<(&'static str, Vec<usize>)>,
}

/// What is fed to one input.
enum Fed<'a> {
    Host(Input<'a>),
    Kept(&'a Held),
}

impl TrtPlan {
    fn feed<'a>(&self, name: &str, view: View<'a>) -> Result<Fed<'a>, String> {
        let held = |resident: &'a dyn Resident| {
            (resident as &dyn std::any::Any)
                .downcast_ref::<Held>()
                .map(Fed::Kept)
                .ok_or("an input is in the memory of another engine".to_owned())
        };
        match view {
            View::F32(values) => Ok(Fed::Host(Input::F32(values))),
            View::I64(values) => Ok(Fed::Host(Input::I64(values))),
            View::Device(resident) => held(resident),
            View::Constant(constant) => held(self.resident(name, constant)?),
        }
    }

    /// The constant on the GPU, from its first run on.
    fn resident<'a>(&self, name: &str, constant: &'a Constant) -> Result<&'a dyn Resident, String> {
        if constant.resident.get().is_none() {
            let Loaded { engine, lanes } = &*self.loaded;
            let tensor = engine
                .find(name)
                .ok_or_else(|| format!("the plan has no input {name}"))?;
            let Fed::Host(input) = self.feed(name, constant.view())? else {
                return Err(format!("input {name} is not on the host"));
            };
            let buffer = lanes
                .hold(input, tensor.element)
                .map_err(|e| e.to_string())?;
            // Another thread may have been faster.
            let _ = constant.resident.set(Arc::new(Held(buffer)));
        }
        let resident = constant.resident.get();
        resident
            .map(Arc::as_ref)
            .ok_or_else(|| format!("input {name} is not on the GPU"))
    }

    fn execute(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        keep: &[&'static str],
    ) -> Result<Vec<Tensor>, String> {
        let fed = self.shapes.iter().zip(inputs);
        let fed: Vec<Fed> = fed
            .map(|((name, _), &view)| self.feed(name, view))
            .collect::<Result<_, _>>()?;
        let inputs: Vec<Input> = fed
            .iter()
            .map(|fed| match fed {
                Fed::Host(input) => *input,
                Fed::Kept(held) => Input::Device(&held.0),
            })
            .collect();
        let wanted: Vec<(&str, bool)> = outputs
            .iter()
            .map(|name| (*name, keep.contains(name)))
            .collect();
        let Loaded { engine, lanes } = &*self.loaded;
        let found = lanes.run(engine, &self.shapes, &inputs, &wanted);
        let tensors = found.map_err(|e| e.to_string())?.into_iter();
        let tensors = tensors.map(|(shape, output)| Tensor {
            shape,
            data: match output {
                Output::Host(values) => Data::Host(values),
                Output::Device(buffer) => Data::Device(Arc::new(Held(buffer))),
            },
        });
        Ok(tensors.collect())
    }
}

impl Plan for TrtPlan {
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        keep: &[&'static str],
    ) -> Result<Vec<Tensor>, EngineError> {
        self.execute(inputs, outputs, keep).map_err(|message| {
            let shapes = self
                .shapes
                .iter()
                .map(|(name, shape)| format!("{name} {shape:?}"));
            EngineError::Run {
                engine: NAME,
                graph: self.path.clone(),
                shapes: shapes.collect::<Vec<_>>().join(", "),
                message,
            }
        })
    }
}

/// An output that stayed on the GPU.
#[derive(Debug)]
struct Held(mdetr_tensorrt::Buffer);

impl Resident for Held {}

/// What a trial build of a graph gave.
#[derive(Debug)]
pub struct Trial {
    /// Size of the plan.
    pub plan_bytes: u64,
    /// Its inputs and outputs.
    pub tensors: Vec<IoTensor>,
}

/// Builds a plan without a device and keeps nothing.
pub fn try_build(
    library: &Library,
    source: &GraphSource,
    shapes: &[InputShape],
    options: &TensorRtOptions,
    watcher: &PlanWatcher,
) -> Result<Trial, EngineError> {
    let options = build_options(library, source, options)?;
    let mut progress = |progress: mdetr_tensorrt::Progress| {
        watcher(&PlanEvent::Building {
            graph: source.path.clone(),
            phase: progress.phase.to_owned(),
            step: progress.step,
            steps: progress.steps,
        })
    };
    let built = library.build(
        &source.onnx,
        &source.path,
        &ranges(shapes),
        &options,
        &mut progress,
    );
    let built = built.map_err(|error| EngineError::Plan {
        engine: NAME,
        graph: source.path.clone(),
        shapes: describe(shapes),
        message: error.to_string(),
    })?;
    Ok(Trial {
        plan_bytes: built.plan.len() as u64,
        tensors: built.tensors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::InputType;

    #[test]
    fn plans_are_fastest_at_what_is_used_most() {
        let shape = InputShape::new("text_memory", InputType::F32, vec![3, 40, 128]);
        let shape = shape.varying(0, 1, 8).varying(1, 8, 256);
        let range = ranges(&[shape]).remove(0);
        assert_eq!(range.min, [1, 1, 128]);
        assert_eq!(range.opt, [1, 8, 128]);
        assert_eq!(range.max, [8, 256, 128]);
        // A model whose texts are shorter than the usual.
        let short = InputShape::new("input_ids", InputType::I64, vec![1, 4]).varying(1, 8, 6);
        assert_eq!(ranges(&[short])[0].opt, [1, 6]);
    }
}
