//! ONNX Runtime behind the engine trait; its library is opened at run time.

use std::env;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};

use ort::environment::Environment;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionInputValue};
use ort::value::TensorRef;

use crate::error::EngineError;
use crate::graph::{
    Engine, EngineInfo, Graph, GraphSource, InputShape, Plan, describe, not_on_the_host,
};
use crate::guard::guard;
use crate::sync::locked;
use crate::tensor::{Data, Tensor, View};

const NAME: &str = "onnxruntime";
/// Names the library's file.
const VARIABLE: &str = "ORT_DYLIB_PATH";
/// What it is otherwise: on the system's search path, else that of the package mdetr-onnxruntime.
const CANDIDATES: [&str; 3] = [
    "libonnxruntime.so",
    "libonnxruntime.so.1",
    "/usr/lib/mdetr/libonnxruntime.so",
];

/// The library, once it is open; it stays open. A failure is tried again, as the user may mend it.
static ENVIRONMENT: OnceLock<Environment> = OnceLock::new();
static OPENING: Mutex<()> = Mutex::new(());
/// Where else it may be.
static PLACES: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

pub(crate) fn add_place(library: PathBuf) {
    let mut places = locked(&PLACES);
    if !places.contains(&library) {
        places.push(library);
    }
}

/// Opens the library if it is not open yet.
fn open_library() -> Result<(), String> {
    let _opening = locked(&OPENING);
    if ENVIRONMENT.get().is_some() {
        return Ok(());
    }
    let named = env::var_os(VARIABLE).filter(|path| !path.is_empty());
    let paths = match &named {
        Some(path) => vec![PathBuf::from(path)],
        None => {
            let added = locked(&PLACES).clone();
            let system = CANDIDATES.map(PathBuf::from);
            added.into_iter().chain(system).collect()
        }
    };
    let mut failures = Vec::new();
    for path in paths {
        let opened = guard(|| ort::init_from(&path))
            .and_then(|builder| guard(|| builder.with_name("mdetr").with_telemetry(false).build()));
        match opened {
            Ok(environment) => {
                ENVIRONMENT.get_or_init(|| environment);
                return Ok(());
            }
            Err(failure) => failures.push(failure),
        }
    }
    let failures = failures.join("; ");
    Err(match named {
        Some(_) => format!("{failures} ({VARIABLE} names this file)"),
        None => format!(
            "{failures}; install ONNX Runtime 1.17 or later, or name its library in {VARIABLE}"
        ),
    })
}

#[derive(Debug)]
pub(crate) struct OnnxRuntime {
    reason: String,
}

impl OnnxRuntime {
    pub(crate) fn new(reason: String) -> Result<OnnxRuntime, EngineError> {
        match open_library() {
            Ok(()) => Ok(OnnxRuntime { reason }),
            Err(message) => Err(EngineError::Unavailable {
                engine: NAME,
                message,
            }),
        }
    }
}

impl Engine for OnnxRuntime {
    fn info(&self) -> EngineInfo {
        // "ORT Build Info: git-branch=rel-1.32.0, git-commit-id=..., ..."
        let build = ort::info();
        let branch = build.split("git-branch=").nth(1).unwrap_or(build);
        let version = branch.split(',').next().unwrap_or(branch);
        EngineInfo {
            name: NAME.to_owned(),
            version: version.trim_start_matches("rel-").to_owned(),
            reason: self.reason.clone(),
        }
    }

    fn texts_at_once(&self) -> usize {
        4
    }

    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        let graph = Arc::new(Shared {
            source,
            idle: Mutex::default(),
        });
        let session = guard(|| graph.session()).map_err(|message| EngineError::Load {
            engine: NAME,
            graph: graph.source.path.clone(),
            message,
        })?;
        locked(&graph.idle).push(session);
        Ok(Box::new(OrtGraph(graph)))
    }
}

/// A graph and its sessions. A session runs once at a time and takes any shapes: as many are made as
/// threads run the graph at once.
struct Shared {
    source: GraphSource,
    idle: Mutex<Vec<Session>>,
}

impl Shared {
    /// Single-threaded: frames and streams run side by side instead.
    fn session(&self) -> Result<Session, ort::Error> {
        let environment = ENVIRONMENT.get().expect("an engine has opened the library");
        Session::builder(environment)?
            .with_intra_threads(1)?
            .with_inter_threads(1)?
            .with_optimization_level(GraphOptimizationLevel::Level3)?
            .commit_from_memory(&self.source.onnx)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OrtGraph")
            .field("path", &self.source.path)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct OrtGraph(Arc<Shared>);

impl Graph for OrtGraph {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
        Ok(Arc::new(OrtPlan {
            graph: self.0.clone(),
            shapes: shapes.to_vec(),
        }))
    }
}

#[derive(Debug)]
struct OrtPlan {
    graph: Arc<Shared>,
    shapes: Vec<InputShape>,
}

type Fallible<T> = Result<T, Box<dyn std::error::Error + Send + Sync>>;

impl OrtPlan {
    fn execute(
        &self,
        session: &mut Session,
        inputs: &[View],
        outputs: &[&'static str],
    ) -> Fallible<Vec<Tensor>> {
        let mut fed: Vec<(&str, SessionInputValue)> = Vec::with_capacity(inputs.len());
        for (index, input) in self.shapes.iter().enumerate() {
            let shape = input.shape.clone();
            let value = match inputs.get(index).map(|view| view.on_the_host()) {
                Some(View::F32(data)) => TensorRef::from_array_view((shape, data))?.into(),
                Some(View::I64(data)) => TensorRef::from_array_view((shape, data))?.into(),
                Some(View::Constant(_) | View::Device(_)) => {
                    return Err(not_on_the_host(input).into());
                }
                None => return Err(format!("input {} was not fed", input.name).into()),
            };
            fed.push((input.name, value));
        }
        let found = session.run(fed)?;
        outputs
            .iter()
            .map(|name| {
                let value = found
                    .get(*name)
                    .ok_or_else(|| format!("the graph has no output {name}"))?;
                let (shape, data) = value.try_extract_tensor::<f32>()?;
                let shape = shape.iter().map(|&side| usize::try_from(side));
                Ok(Tensor {
                    shape: shape.collect::<Result<_, _>>()?,
                    data: Data::Host(data.to_vec()),
                })
            })
            .collect()
    }
}

impl Plan for OrtPlan {
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        _keep: &[&'static str],
    ) -> Result<Vec<Tensor>, EngineError> {
        let fault = |message| EngineError::Run {
            engine: NAME,
            graph: self.graph.source.path.clone(),
            shapes: describe(&self.shapes),
            message,
        };
        let idle = locked(&self.graph.idle).pop();
        let mut session = match idle {
            Some(session) => session,
            None => guard(|| self.graph.session()).map_err(fault)?,
        };
        let found = guard(|| self.execute(&mut session, inputs, outputs)).map_err(fault)?;
        // A session that failed is not used again.
        locked(&self.graph.idle).push(session);
        Ok(found)
    }
}
