//! A node of ROS 2 on a thread of its own, for one element.

use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mdetr_ros2_bus::{Bus, BusError, LINGER, NodeName, Surroundings};
use tokio::runtime::Builder;
use tokio::sync::oneshot;
use tokio::task::LocalSet;
use tracing::Dispatch;

/// A running node. It leaves the network when this is dropped.
pub(crate) struct Node {
    stop: Option<oneshot::Sender<Duration>>,
    thread: Option<JoinHandle<()>>,
}

impl Node {
    /// Joins the network. `make` makes topics, on the node's thread; tasks that it spawns there run as long as the node.
    /// What is worth a warning goes to `log`.
    ///
    /// # Errors
    /// A name is wrong, DDS refuses, or the system has no more threads.
    pub fn start<T: Send + 'static>(
        name: NodeName,
        log: Dispatch,
        make: impl FnOnce(&Bus) -> Result<T, BusError> + Send + 'static,
    ) -> Result<(Node, T), String> {
        let (stop, stopped) = oneshot::channel();
        let (made, making) = mpsc::sync_channel(1);
        let run = move || {
            tracing::dispatcher::with_default(&log, || spin(&name, make, &made, stopped));
        };
        let builder = thread::Builder::new().name("mdetr-ros2".into());
        let thread = builder
            .spawn(run)
            .map_err(|error| format!("a thread cannot be started: {error}"))?;
        let node = Node {
            stop: Some(stop),
            thread: Some(thread),
        };
        match making.recv() {
            Ok(Ok(made)) => Ok((node, made)),
            Ok(Err(error)) => Err(error),
            Err(_) => Err("the node's thread ended; please report it".to_owned()),
        }
    }

    /// Leaves the network; not before subscribers could ask again for the last messages, if somebody `listens`.
    pub fn stop(mut self, listens: bool) {
        let linger = if listens { LINGER } else { Duration::ZERO };
        self.end(linger);
    }

    fn end(&mut self, linger: Duration) {
        if let Some(stop) = self.stop.take() {
            // A thread that has ended needs no telling.
            let _ = stop.send(linger);
        }
        if let Some(thread) = self.thread.take() {
            // A panic there was printed, and there is nothing to undo.
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.end(Duration::ZERO);
    }
}

fn spin<T>(
    name: &NodeName,
    make: impl FnOnce(&Bus) -> Result<T, BusError>,
    made: &mpsc::SyncSender<Result<T, String>>,
    stopped: oneshot::Receiver<Duration>,
) {
    let runtime = match Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            let _ = made.send(Err(error.to_string()));
            return;
        }
    };
    let local = LocalSet::new();
    local.block_on(&runtime, async {
        let bus = Surroundings::of_environment()
            .and_then(|surroundings| Bus::new(surroundings, name, &[]));
        let ready = bus.and_then(|bus| make(&bus).map(|made| (bus, made)));
        let (bus, outcome) = match ready {
            Ok((bus, made)) => (Some(bus), Ok(made)),
            Err(error) => (None, Err(error.to_string())),
        };
        // Whoever started the node waits for this.
        let _ = made.send(outcome);
        if let Some(bus) = bus {
            let leave = async {
                let linger = stopped.await.unwrap_or_default();
                tokio::time::sleep(linger).await;
            };
            tokio::select! {
                () = bus.follow_listeners() => (),
                () = leave => (),
            }
        }
    });
    // Tasks go before the node that they listen with.
    drop(local);
}
