//! Different engines for the graphs of a bundle.

use std::sync::Arc;

use crate::choice::GraphRole;
use crate::error::EngineError;
use crate::events::PlanWatcher;
use crate::graph::{
    Engine, EngineInfo, Graph, GraphCounts, GraphSource, InputShape, Plan, RemoteCounts,
};
use crate::tensor::{Tensor, View};

/// Runs each graph on the engine that is chosen for it. What a graph gives comes to the host, as the next may be on
/// another engine.
#[derive(Debug)]
pub(crate) struct Mixed {
    engines: Vec<Box<dyn Engine>>,
    /// For each role the engine's place.
    places: [usize; GraphRole::ALL.len()],
}

impl Mixed {
    /// `places`: of the engine of each role, in the order of [`GraphRole::ALL`].
    pub(crate) fn new(
        engines: Vec<Box<dyn Engine>>,
        places: [usize; GraphRole::ALL.len()],
    ) -> Mixed {
        Mixed { engines, places }
    }

    fn of(&self, role: GraphRole) -> &dyn Engine {
        let place = GraphRole::ALL.iter().position(|&known| known == role);
        let place = self.places[place.expect("all roles are among them")];
        self.engines[place].as_ref()
    }
}

impl Engine for Mixed {
    fn info(&self) -> EngineInfo {
        let join = |part: &dyn Fn(EngineInfo) -> String, between: &str| {
            let parts = self.engines.iter().map(|engine| part(engine.info()));
            parts.collect::<Vec<String>>().join(between)
        };
        let named = GraphRole::ALL.map(|role| format!("{role}:{}", self.of(role).info().name));
        EngineInfo {
            name: named.join(","),
            version: join(&|info| format!("{} {}", info.name, info.version), ", "),
            reason: join(&|info| info.reason, "; "),
        }
    }

    fn graph_counts(&self) -> GraphCounts {
        let counts = self.engines.iter().map(|engine| engine.graph_counts());
        counts.fold(GraphCounts::default(), |all, some| GraphCounts {
            captures: all.captures + some.captures,
            capture_failures: all.capture_failures + some.capture_failures,
            replay_failures: all.replay_failures + some.replay_failures,
        })
    }

    fn remote_counts(&self) -> RemoteCounts {
        let counts = self.engines.iter().map(|engine| engine.remote_counts());
        counts.fold(RemoteCounts::default(), |all, some| RemoteCounts {
            answers: all.answers + some.answers,
            failures: all.failures + some.failures,
            fallbacks: all.fallbacks + some.fallbacks,
        })
    }

    fn plans_take_long(&self) -> bool {
        self.engines.iter().any(|engine| engine.plans_take_long())
    }

    fn watch(&self, watcher: PlanWatcher) {
        for engine in &self.engines {
            engine.watch(watcher.clone());
        }
    }

    fn texts_at_once(&self) -> usize {
        self.of(GraphRole::Fusion).texts_at_once()
    }

    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        let graph = self.of(source.role).load(source)?;
        Ok(Box::new(HostGraph(graph)))
    }

    fn load_briefly(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        let graph = self.of(source.role).load_briefly(source)?;
        Ok(Box::new(HostGraph(graph)))
    }
}

#[derive(Debug)]
struct HostGraph(Box<dyn Graph>);

impl Graph for HostGraph {
    fn plan(&self, shapes: &[InputShape]) -> Result<Arc<dyn Plan>, EngineError> {
        Ok(Arc::new(HostPlan(self.0.plan(shapes)?)))
    }
}

#[derive(Debug)]
struct HostPlan(Arc<dyn Plan>);

impl Plan for HostPlan {
    fn run(
        &self,
        inputs: &[View],
        outputs: &[&'static str],
        _keep: &[&'static str],
    ) -> Result<Vec<Tensor>, EngineError> {
        self.0.run(inputs, outputs, &[])
    }
}
