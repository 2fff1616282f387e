//! Commands that come from the broker.
//!
//! A command is a message on a topic that ends with `/set`. Messages that the broker has kept are no commands: a switch
//! that somebody pressed last month is not pressed again because the program is started.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::mpsc;

use super::board::Board;
use super::topics::{Target, Topics};
use crate::control::Control;
use crate::fleet::{Refusal, Taken};

/// Most bytes of a command.
const MAX_BYTES: usize = 4096;
/// Commands that may wait.
const QUEUE: usize = 32;
/// Whose changes of the configuration these are.
const ORIGIN: &str = "mqtt";

/// What carries out commands.
pub trait Commands: Send + Sync + 'static {
    /// Gives a query another text. An error says in words why not.
    fn set_text(
        &self,
        camera: &str,
        query: &str,
        text: &str,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Switches a camera.
    fn set_camera(&self, camera: &str, on: bool)
    -> impl Future<Output = Result<(), String>> + Send;

    /// Switches a rule.
    fn set_rule(
        &self,
        camera: &str,
        rule: &str,
        on: bool,
    ) -> impl Future<Output = Result<(), String>> + Send;

    /// Takes the document of the fleet's group.
    fn take_fleet(&self, json: &[u8]) -> impl Future<Output = Result<Taken, Refusal>> + Send;

    /// What was taken of the fleet.
    fn fleet(&self) -> impl Future<Output = Option<Taken>> + Send;
}

impl Commands for Control {
    async fn set_text(&self, camera: &str, query: &str, text: &str) -> Result<(), String> {
        let change = |document: &mut crate::config::Document| {
            let cameras = &mut document.cameras;
            let camera = find(cameras, camera, |known| &known.name, "camera")?;
            let query = find(&mut camera.queries, query, |known| &known.id, "query")?;
            query.text = text.to_owned();
            Ok(())
        };
        let taken = self.edit(ORIGIN, change).await;
        taken.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn set_camera(&self, camera: &str, on: bool) -> Result<(), String> {
        let change = |document: &mut crate::config::Document| {
            let cameras = &mut document.cameras;
            find(cameras, camera, |known| &known.name, "camera")?.enabled = on;
            Ok(())
        };
        let taken = self.edit(ORIGIN, change).await;
        taken.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn set_rule(&self, camera: &str, rule: &str, on: bool) -> Result<(), String> {
        let change = |document: &mut crate::config::Document| {
            let cameras = &mut document.cameras;
            let camera = find(cameras, camera, |known| &known.name, "camera")?;
            find(&mut camera.rules, rule, |known| &known.id, "rule")?.enabled = on;
            Ok(())
        };
        let taken = self.edit(ORIGIN, change).await;
        taken.map(|_| ()).map_err(|error| error.to_string())
    }

    async fn take_fleet(&self, json: &[u8]) -> Result<Taken, Refusal> {
        Control::take_fleet(self, json).await
    }

    async fn fleet(&self) -> Option<Taken> {
        Control::fleet(self).await
    }
}

fn find<'a, T>(
    all: &'a mut [T],
    name: &str,
    name_of: impl Fn(&T) -> &String,
    what: &str,
) -> Result<&'a mut T, String> {
    all.iter_mut()
        .find(|known| name_of(known) == name)
        .ok_or_else(|| format!("there is no {what} {name:?}"))
}

/// A command as it came.
#[derive(Debug)]
pub struct Command {
    topic: String,
    payload: Vec<u8>,
}

/// Takes commands, and carries them out one after the other.
#[derive(Debug)]
pub struct Desk {
    topics: Topics,
    board: Arc<Board>,
    queue: mpsc::Sender<Command>,
}

impl Desk {
    /// Begins to carry out commands; ends with the desk.
    pub fn open<C: Commands>(topics: Topics, board: Arc<Board>, commands: Arc<C>) -> Desk {
        let (queue, mut taken) = mpsc::channel::<Command>(QUEUE);
        let desk = Desk {
            topics: topics.clone(),
            board: board.clone(),
            queue,
        };
        tokio::spawn(async move {
            while let Some(command) = taken.recv().await {
                let done = carry_out(&topics, &*commands, &command).await;
                if let Err(error) = done {
                    refuse(&topics, &board, &command.topic, &error);
                }
            }
        });
        desk
    }

    /// Takes a command; one too many is refused.
    pub fn take(&self, topic: String, payload: Vec<u8>) {
        if payload.len() > MAX_BYTES {
            let found = payload.len();
            let error = format!("expected at most {MAX_BYTES} bytes, found {found}");
            return refuse(&self.topics, &self.board, &topic, &error);
        }
        if let Err(error) = self.queue.try_send(Command { topic, payload }) {
            let (mpsc::error::TrySendError::Full(command)
            | mpsc::error::TrySendError::Closed(command)) = error;
            let error = format!("{QUEUE} commands wait already: send it again later");
            refuse(&self.topics, &self.board, &command.topic, &error);
        }
    }
}

/// Says so on the topic for errors.
fn refuse(topics: &Topics, board: &Board, topic: &str, error: &str) {
    tracing::warn!(topic, error, "a command was refused");
    let answer = json!({ "topic": topic, "error": error });
    board.say(topics.own("error"), answer.to_string());
}

async fn carry_out(
    topics: &Topics,
    commands: &impl Commands,
    command: &Command,
) -> Result<(), String> {
    let target = topics
        .target(&command.topic)
        .ok_or("no such command: expected CAMERA/enabled/set, CAMERA/QUERY/text/set or CAMERA/rule/RULE/enabled/set")?;
    let text = std::str::from_utf8(&command.payload)
        .map_err(|_| "expected UTF-8, found other bytes".to_owned())?
        .trim();
    match target {
        Target::Camera { camera } => commands.set_camera(&camera, is_on(text)?).await,
        Target::Rule { camera, rule } => commands.set_rule(&camera, &rule, is_on(text)?).await,
        Target::Text { camera, query } => commands.set_text(&camera, &query, text).await,
    }
}

fn is_on(text: &str) -> Result<bool, String> {
    match text {
        "ON" | "on" => Ok(true),
        "OFF" | "off" => Ok(false),
        other => {
            let other: String = other.chars().take(40).collect();
            Err(format!("expected ON or OFF, found {other:?}"))
        }
    }
}
