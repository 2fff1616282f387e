//! TensorRT behind the engine trait: plans from disk or built, sessions on a GPU.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use mdetr_tensorrt::{
    BuildOptions, Device, Error as TrtError, Input, IoTensor, Library, Output, Range, Session,
};

use super::plan_cache::{Origin, PlanCache, PlanKey};
use super::watchers::Watchers;
use super::{
    Data, Engine, EngineInfo, Graph, GraphSource, InputShape, Plan, PlanEvent, PlanWatcher,
    Precision, Resident, Tensor, TensorRtOptions, View, describe,
};
use crate::error::{EngineError, Error};
use crate::registry::Registry;
use crate::sync::locked;

pub(crate) const NAME: &str = "tensorrt";

/// What is missing here.
fn unavailable(error: TrtError) -> EngineError {
    EngineError::Unavailable {
        engine: NAME,
        message: error.to_string(),
    }
}

/// Opens TensorRT.
pub(crate) fn open_library() -> Result<Arc<Library>, EngineError> {
    Library::open().map_err(unavailable)
}

#[derive(Debug)]
pub(super) struct TensorRt {
    shared: Arc<Shared>,
    reason: String,
}

/// What graphs need of their engine.
struct Shared {
    library: Arc<Library>,
    device: Arc<Device>,
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
    pub(super) fn new(options: &TensorRtOptions, reason: String) -> Result<TensorRt, Error> {
        let library = open_library()?;
        let device = Device::open(options.device_id).map_err(unavailable)?;
        let plans = options.plan_cache_dir.as_deref();
        let plans = plans.map(|dir| PlanCache::open(dir, options.plan_cache_bytes));
        Ok(TensorRt {
            reason: format!("{reason}, on {}", device.name()),
            shared: Arc::new(Shared {
                library,
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
            name: NAME,
            version: self.shared.library.version(),
            reason: self.reason.clone(),
        }
    }

    fn texts_at_once(&self) -> usize {
        crate::grounder::MOST_TEXTS
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
        half: precision == Precision::Fp16 && !source.half,
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
    engines: Registry<String, mdetr_tensorrt::Engine>,
}

impl std::fmt::Debug for TrtGraph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TrtGraph")
            .field("path", &self.source.path)
            .finish_non_exhaustive()
    }
}

/// Sizes of one plan for these shapes and all that differ where they vary.
pub(crate) fn ranges(shapes: &[InputShape]) -> Vec<Range> {
    shapes
        .iter()
        .map(|input| {
            let mut range = Range {
                name: input.name.to_owned(),
                min: input.shape.clone(),
                opt: input.shape.clone(),
                max: input.shape.clone(),
            };
            for &(dimension, most) in &input.varies {
                let most = most.max(input.shape[dimension]);
                range.min[dimension] = 1;
                // The same for every shape, so that it is one plan. Short ones are the rule.
                range.opt[dimension] = most.div_ceil(4);
                range.max[dimension] = most;
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
    fn engine(&self, ranges: &[Range]) -> Result<Arc<mdetr_tensorrt::Engine>, String> {
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
        self.engines.get_or_make(sizes, || self.find(&key, ranges))
    }

    fn find(&self, key: &PlanKey, ranges: &[Range]) -> Result<mdetr_tensorrt::Engine, String> {
        let graph = || self.source.path.clone();
        let Some(cache) = &self.shared.plans else {
            let plan = self.built(ranges)?;
            return self.loaded(&plan, true);
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
        let (plan, origin) = found.map_err(|error| {
            error
                .unwrap_or_else(|| "waiting for another process's build was interrupted".to_owned())
        })?;
        match self.loaded(&plan, origin != Origin::Disk) {
            // Sound, but not for this machine after all, such as after a change of the driver.
            Err(_) if origin == Origin::Disk => {
                let plan = self.built(ranges)?;
                cache.replace(&self.source.path, key, &plan);
                self.loaded(&plan, true)
            }
            loaded => loaded,
        }
    }

    fn loaded(&self, plan: &[u8], built: bool) -> Result<mdetr_tensorrt::Engine, String> {
        let engine = self.shared.device.enter();
        let engine = engine.and_then(|()| self.shared.library.load(plan));
        let engine = engine.map_err(|error| error.to_string())?;
        self.tell(&PlanEvent::Ready {
            graph: self.source.path.clone(),
            built,
            bytes: plan.len() as u64,
        });
        Ok(engine)
    }

    fn built(&self, ranges: &[Range]) -> Result<Vec<u8>, String> {
        let mut progress = |progress: mdetr_tensorrt::Progress| {
            self.tell(&PlanEvent::Building {
                graph: self.source.path.clone(),
                phase: progress.phase.to_owned(),
                step: progress.step,
                steps: progress.steps,
            })
        };
        let (library, cache) = (&self.shared.library, self.shared.plans.as_ref());
        let timings = cache.map(|cache| (cache, library.version(), self.shared.device()));
        let mut options = self.build.clone();
        if let Some((cache, engine, device)) = &timings {
            options.timing_cache = cache.timings(engine, device);
        }
        let built = self.shared.device.enter().and_then(|()| {
            let GraphSource { onnx, path, .. } = &self.source;
            library.build(onnx, path, ranges, &options, &mut progress)
        });
        let built = built.map_err(|error| error.to_string())?;
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
        let plan = TrtPlan {
            engine: self.engine(&ranges(shapes)).map_err(fault)?,
            device: self.shared.device.clone(),
            path: self.source.path.clone(),
            shapes: shapes.to_vec(),
            idle: Mutex::default(),
        };
        let session = plan.session().map_err(|e| fault(e.to_string()))?;
        locked(&plan.idle).push(session);
        Ok(Arc::new(plan))
    }
}

/// A plan at fixed shapes; as many sessions are made as threads run it at once.
#[derive(Debug)]
struct TrtPlan {
    engine: Arc<mdetr_tensorrt::Engine>,
    device: Arc<Device>,
    path: String,
    shapes: Vec<InputShape>,
    idle: Mutex<Vec<Session>>,
}

impl TrtPlan {
    fn session(&self) -> Result<Session, TrtError> {
        let shapes = self.shapes.iter();
        let shapes: Vec<(&str, Vec<usize>)> = shapes.map(|i| (i.name, i.shape.clone())).collect();
        Session::new(&self.engine, &self.device, &shapes)
    }

    fn execute(
        &self,
        session: &mut Session,
        inputs: &[View],
        outputs: &[&'static str],
        keep: &[&'static str],
    ) -> Result<Vec<Tensor>, String> {
        let fed = inputs.iter().map(|view| match *view {
            View::F32(values) => Ok(Input::F32(values)),
            View::I64(values) => Ok(Input::I64(values)),
            View::Device(resident) => (resident as &dyn std::any::Any)
                .downcast_ref::<Held>()
                .map(|held| Input::Device(&held.0))
                .ok_or("an input is in the memory of another engine"),
        });
        let fed: Vec<Input> = fed.collect::<Result<_, _>>()?;
        let wanted: Vec<(&str, bool)> = outputs
            .iter()
            .map(|name| (*name, keep.contains(name)))
            .collect();
        let found = session.run(&fed, &wanted).map_err(|e| e.to_string())?;
        let tensors = found.into_iter().map(|(shape, output)| Tensor {
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
        let fault = |message| EngineError::Run {
            engine: NAME,
            graph: self.path.clone(),
            shapes: describe(&self.shapes),
            message,
        };
        let idle = locked(&self.idle).pop();
        let mut session = match idle {
            Some(session) => session,
            None => self.session().map_err(|e| fault(e.to_string()))?,
        };
        let found = self
            .execute(&mut session, inputs, outputs, keep)
            .map_err(fault)?;
        // A session that failed is not used again.
        locked(&self.idle).push(session);
        Ok(found)
    }
}

/// An output that stayed on the GPU.
#[derive(Debug)]
struct Held(mdetr_tensorrt::Buffer);

impl Resident for Held {}

/// What a trial build of a graph gave.
#[derive(Debug)]
pub(crate) struct Trial {
    pub plan_bytes: u64,
    pub tensors: Vec<IoTensor>,
}

/// Builds a plan without a device and keeps nothing.
pub(crate) fn try_build(
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
