//! An engine that can be out of reach, and a local one that answers meanwhile.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use crate::error::EngineError;
use crate::graph::{Engine, EngineInfo, Graph, GraphSource, InputShape, Plan, RemoteCounts};
use crate::log::{self, LogLevel};
use crate::sync::locked;
use crate::tensor::{Tensor, View};

/// Runs graphs on `primary`, and on `substitute` what that cannot run. Both compute on the host, so that a frame's graphs
/// may be run by different ones. The substitute loads a graph when it is needed first, and keeps it.
#[derive(Debug)]
pub(crate) struct Fallback {
    primary: Box<dyn Engine>,
    substitute: Arc<dyn Engine>,
    runs: Arc<AtomicU64>,
}

impl Fallback {
    pub(crate) fn new(primary: Box<dyn Engine>, substitute: Box<dyn Engine>) -> Fallback {
        Fallback {
            primary,
            substitute: substitute.into(),
            runs: Arc::default(),
        }
    }
}

impl Engine for Fallback {
    fn info(&self) -> EngineInfo {
        let info = self.primary.info();
        let substitute = self.substitute.info().name;
        EngineInfo {
            reason: format!("{}; {substitute} answers when none does", info.reason),
            ..info
        }
    }

    fn remote_counts(&self) -> RemoteCounts {
        RemoteCounts {
            fallbacks: self.runs.load(Ordering::Relaxed),
            ..self.primary.remote_counts()
        }
    }

    fn texts_at_once(&self) -> usize {
        self.primary.texts_at_once()
    }

    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        Ok(Box::new(FallbackGraph {
            primary: self.primary.load(source.clone())?,
            substitute: Arc::new(Substitute {
                engine: self.substitute.clone(),
                source,
                graph: Mutex::default(),
                stands_in: AtomicBool::new(false),
                runs: self.runs.clone(),
            }),
        }))
    }
}

#[derive(Debug)]
struct FallbackGraph {
    primary: Box<dyn Graph>,
    substitute: Arc<Substitute>,
}

impl Graph for FallbackGraph {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
        Ok(Arc::new(FallbackPlan {
            primary: self.primary.plan(shapes)?,
            substitute: self.substitute.clone(),
            shapes: shapes.to_vec(),
            plan: Mutex::default(),
        }))
    }
}

/// A graph of the local engine.
struct Substitute {
    engine: Arc<dyn Engine>,
    source: GraphSource,
    graph: Mutex<Option<Arc<dyn Graph>>>,
    /// Whether it answered last, so that a change is told once.
    stands_in: AtomicBool,
    runs: Arc<AtomicU64>,
}

impl std::fmt::Debug for Substitute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Substitute")
            .field("engine", &self.engine)
            .field("path", &self.source.path)
            .finish_non_exhaustive()
    }
}

impl Substitute {
    fn graph(&self) -> Result<Arc<dyn Graph>, EngineError> {
        let mut graph = locked(&self.graph);
        if let Some(graph) = &*graph {
            return Ok(graph.clone());
        }
        let loaded = self.engine.load(self.source.clone())?.into();
        Ok(graph.insert(loaded).clone())
    }

    fn tell(&self, failure: Option<&EngineError>) {
        let before = self.stands_in.swap(failure.is_some(), Ordering::Relaxed);
        let path = &self.source.path;
        match failure {
            Some(error) if !before => {
                let name = self.engine.info().name;
                let words = format!("{error}; {name} answers until a server does");
                log::tell(LogLevel::Warning, path, &words);
            }
            None if before => log::tell(LogLevel::Info, path, "servers answer again"),
            _ => {}
        }
    }
}

#[derive(Debug)]
struct FallbackPlan {
    primary: Arc<dyn Plan>,
    substitute: Arc<Substitute>,
    shapes: Vec<InputShape>,
    /// Of the local engine.
    plan: Mutex<Option<Arc<dyn Plan>>>,
}

impl FallbackPlan {
    fn substitute(&self) -> Result<Arc<dyn Plan>, EngineError> {
        let mut plan = locked(&self.plan);
        if let Some(plan) = &*plan {
            return Ok(plan.clone());
        }
        let made = self.substitute.graph()?.plan(&self.shapes)?;
        Ok(plan.insert(made).clone())
    }
}

impl Plan for FallbackPlan {
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        _keep: &[&'static str],
    ) -> Result<Vec<Tensor>, EngineError> {
        match self.primary.run(inputs, outputs, &[]) {
            Ok(found) => {
                self.substitute.tell(None);
                Ok(found)
            }
            Err(error) => {
                self.substitute.tell(Some(&error));
                self.substitute.runs.fetch_add(1, Ordering::Relaxed);
                self.substitute()?.run(inputs, outputs, &[])
            }
        }
    }
}
