//! Graphs that servers run, behind the engine trait.

mod contract;
mod graph;
mod servers;

use std::sync::Arc;

use crate::error::EngineError;
use crate::graph::{Engine, EngineInfo, Graph, GraphSource, MOST_TEXTS, RemoteCounts};
use crate::options::KServeOptions;
use graph::RemoteGraph;
use servers::Servers;

const NAME: &str = "kserve";

#[derive(Debug)]
pub(crate) struct KServe {
    servers: Arc<Servers>,
    reason: String,
}

impl KServe {
    /// Connects to nobody yet.
    pub(crate) fn new(options: &KServeOptions, reason: String) -> Result<KServe, EngineError> {
        match Servers::new(options) {
            Ok(servers) => Ok(KServe {
                servers: Arc::new(servers),
                reason,
            }),
            Err(message) => Err(EngineError::Unavailable {
                engine: NAME,
                message,
            }),
        }
    }
}

impl Engine for KServe {
    fn info(&self) -> EngineInfo {
        EngineInfo {
            name: NAME.to_owned(),
            // Of the protocol.
            version: "2".to_owned(),
            reason: format!("{}; servers: {}", self.reason, self.servers),
        }
    }

    fn remote_counts(&self) -> RemoteCounts {
        self.servers.counts()
    }

    fn texts_at_once(&self) -> usize {
        MOST_TEXTS
    }

    fn load(&self, source: GraphSource) -> Result<Box<dyn Graph>, EngineError> {
        Ok(Box::new(RemoteGraph::new(self.servers.clone(), &source)))
    }
}
