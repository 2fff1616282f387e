//! The standing queries as viewers of Foxglove see and change them: from threads that are not the node's.

use std::rc::Rc;

use mdetr_foxglove::Queries;
use tokio::sync::{mpsc, oneshot};
use tokio::task::{JoinHandle, spawn_local};

use crate::entries::Entries;
use crate::node::Node;

/// Changes that may wait for the node; the view lets one through at a time.
const WAITING: usize = 1;

/// What a viewer asks for.
pub(crate) struct Change {
    entries: Vec<String>,
    done: oneshot::Sender<Result<(), String>>,
}

/// Hands changes to the node.
pub(crate) struct Viewers {
    entries: Entries,
    changes: mpsc::Sender<Change>,
}

impl Viewers {
    /// With what the node is to follow.
    pub fn new(entries: Entries) -> (Viewers, mpsc::Receiver<Change>) {
        let (changes, receiver) = mpsc::channel(WAITING);
        (Viewers { entries, changes }, receiver)
    }
}

impl Queries for Viewers {
    fn get(&self) -> Vec<String> {
        self.entries.get()
    }

    fn set(&self, entries: Vec<String>) -> Result<(), String> {
        let (done, answer) = oneshot::channel();
        let stopping = || "the node is about to stop".to_owned();
        let sent = self.changes.blocking_send(Change { entries, done });
        sent.map_err(|_| stopping())?;
        answer.blocking_recv().unwrap_or_else(|_| Err(stopping()))
    }
}

/// Makes the changes that viewers ask for.
pub(crate) fn follow(node: &Rc<Node>, mut changes: mpsc::Receiver<Change>) -> JoinHandle<()> {
    let node = node.clone();
    spawn_local(async move {
        while let Some(change) = changes.recv().await {
            let set = node.set_queries(change.entries).await.map(|_| ());
            if let Err(error) = &set {
                tracing::warn!("Foxglove: queries: refused: {error}");
            }
            // The viewer may be gone.
            let _ = change.done.send(set);
        }
    })
}
