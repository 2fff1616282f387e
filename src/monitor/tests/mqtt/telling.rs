//! The part of the program that tells a broker, running.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mdetr_monitor::config;
use mdetr_monitor::control::{Control, first};
use mdetr_monitor::hub::{CameraState, CameraStatus};
use mdetr_monitor::mqtt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::peers::{Mosquitto, Program, until};

/// The part of the program that tells the broker, running.
pub struct Telling {
    pub program: Program,
    pub control: Arc<Control>,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Telling {
    pub async fn start(more: &str) -> Telling {
        Telling::of(Program::start(more).await).await
    }

    pub async fn of(program: Program) -> Telling {
        let file = config::read(&program.file).unwrap();
        first(&file, &program.store).await.unwrap();
        let control = Control::new(program.hub.clone(), program.store.clone(), &file).await;
        let control = Arc::new(control);
        let (stop, stopped) = watch::channel(false);
        let task = tokio::spawn(mqtt::run(
            program.hub.clone(),
            program.store.clone(),
            control.clone(),
            stopped,
        ));
        Telling {
            program,
            control,
            stop,
            task,
        }
    }

    pub async fn connected(&self) {
        until("the broker is connected", async || {
            self.program
                .hub
                .broker()
                .is_some_and(|broker| broker.connected)
        })
        .await;
    }

    /// Waits until the broker is not connected, and says why.
    pub async fn refused(&self) -> String {
        let message = || self.program.hub.broker()?.message.clone();
        until("the broker is refused", async || message().is_some()).await;
        message().unwrap()
    }

    pub async fn stop(self) -> Program {
        let begun = std::time::Instant::now();
        self.stop.send_replace(true);
        self.task.await.unwrap();
        assert!(
            begun.elapsed() < Duration::from_secs(2),
            "stopping took {:?}",
            begun.elapsed()
        );
        self.program
    }
}

pub fn settings(broker: &Mosquitto, more: &str) -> String {
    format!("[mqtt]\nurl = \"{}\"\n{more}\n", broker.url())
}

pub fn time() -> Timestamp {
    "2026-01-05T10:15:03Z".parse().unwrap()
}

pub fn status(name: &str, state: CameraState) -> CameraStatus {
    CameraStatus {
        name: name.to_owned(),
        state,
        since: time(),
        message: None,
        size: None,
        video: false,
        fps: 15.0,
        inferred_fps: 15.0,
        reconnects: 0,
        revision: 1,
    }
}
