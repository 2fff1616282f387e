//! What cameras, queries and rules are now, as retained topics.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mdetr_grounding::{BBox, Grounding, QueryResult};
use mdetr_rules::{Event, EventKind};
use serde_json::{Value, json};

use super::board::{Board, Payload};
use super::discovery::Discovery;
use super::topics::Topics;
use crate::config::Document;
use crate::fleet::FleetTopics;
use crate::hub::{CameraState, CameraStatus, Current, Report};

/// New results in a row that must agree before the state of a query changes.
const AGREEING: u32 = 2;
/// Two results whose times differ by less are the same, carried from frame to frame.
const SAME_RESULT_MS: f64 = 1.5;
/// Most objects in the attributes of a query: the best come first.
const MAX_OBJECTS: usize = 50;

/// What is known of a query.
#[derive(Debug, Default)]
struct Seen {
    /// Its text without brackets, as the results have it.
    text: String,
    revision: u64,
    /// When the newest result was inferred, in milliseconds.
    inferred_ms: Option<f64>,
    /// What the last new results said, and how many in a row.
    said: Option<(bool, u32)>,
    /// The newest result, until it was published.
    newest: Option<(Arc<Grounding>, usize)>,
}

/// Names of a camera and of a query or a rule of it.
type Key = (String, String);

/// Follows what happens, and puts it on the board.
#[derive(Debug)]
pub struct States {
    topics: Topics,
    board: Arc<Board>,
    discovery: Option<Discovery>,
    queries: BTreeMap<Key, Seen>,
    /// Events that go on, of each rule.
    open: BTreeMap<Key, BTreeSet<String>>,
}

impl States {
    /// Puts everything on the board.
    pub fn new(topics: Topics, board: Arc<Board>, discovery: Option<Discovery>) -> States {
        States {
            topics,
            board,
            discovery,
            queries: BTreeMap::new(),
            open: BTreeMap::new(),
        }
    }

    /// A configuration is in force.
    pub fn configure(&mut self, current: &Current, cameras: &[Arc<CameraStatus>]) {
        let document = &current.document;
        let mut topics = BTreeSet::from([self.topics.own("available")]);
        if let Some(fleet) = &document.fleet
            && let Some(group) = FleetTopics::of(fleet)
        {
            topics.insert(group.receipt(&fleet.device));
        }
        for camera in &document.cameras {
            self.set(
                &mut topics,
                self.topics.camera(&camera.name, "enabled"),
                on(camera.enabled),
            );
            let status = cameras.iter().find(|status| status.name == camera.name);
            let state = match status {
                _ if !camera.enabled => CameraState::Disabled,
                Some(status) => status.state,
                None => CameraState::Connecting,
            };
            self.set(
                &mut topics,
                self.topics.camera(&camera.name, "status"),
                state_word(state),
            );
            for query in &camera.queries {
                let topic = |leaf| self.topics.query(&camera.name, &query.id, leaf);
                self.set(&mut topics, topic("text"), &query.text);
                let leaves = ["state", "count", "answer", "attributes", "snapshot"];
                topics.extend(leaves.map(topic));
            }
            for rule in &camera.rules {
                let topic = |leaf| self.topics.rule(&camera.name, &rule.id, leaf);
                self.set(&mut topics, topic("enabled"), on(rule.enabled));
                let key = (camera.name.clone(), rule.id.clone());
                let open = self.open.get(&key).is_some_and(|open| !open.is_empty());
                self.set(&mut topics, topic("state"), on(open));
            }
        }
        if let Some(discovery) = &mut self.discovery {
            for (topic, payload) in discovery.devices(document, &self.topics) {
                topics.insert(topic.clone());
                self.board.set(topic, payload.to_string());
            }
        }
        self.board.keep_only(&topics);
        self.queries.retain(|key, _| has_query(document, key));
        self.open.retain(|key, _| has_rule(document, key));
        for camera in &document.cameras {
            for query in &camera.queries {
                let key = (camera.name.clone(), query.id.clone());
                self.queries.entry(key).or_default();
            }
        }
    }

    fn set(&self, topics: &mut BTreeSet<String>, topic: String, payload: &str) {
        topics.insert(topic.clone());
        self.board.set(topic, payload);
    }

    /// A camera is in another state.
    pub fn camera(&mut self, status: &CameraStatus, document: &Document) {
        if document
            .cameras
            .iter()
            .any(|camera| camera.name == status.name)
        {
            let topic = self.topics.camera(&status.name, "status");
            self.board.set(topic, state_word(status.state));
        }
        if status.state != CameraState::Online {
            for ((camera, _), seen) in &mut self.queries {
                if *camera == status.name {
                    *seen = Seen::default();
                }
            }
        }
    }

    /// A frame was reported.
    pub fn report(&mut self, report: &Report) {
        let Some(grounding) = &report.grounding else {
            return;
        };
        let inferred_ms = report.utc.as_microsecond() as f64 / 1e3 - report.age_ms;
        for (index, result) in grounding.queries.iter().enumerate() {
            let key = (report.camera.to_string(), result.query.id().to_owned());
            let Some(seen) = self.queries.get_mut(&key) else {
                continue;
            };
            if seen.text != result.query.text() {
                *seen = Seen {
                    text: result.query.text().to_owned(),
                    ..Seen::default()
                };
            }
            let known = seen
                .inferred_ms
                .is_some_and(|known| (known - inferred_ms).abs() < SAME_RESULT_MS);
            if known && seen.revision == grounding.revision {
                continue;
            }
            seen.inferred_ms = Some(inferred_ms);
            seen.revision = grounding.revision;
            seen.newest = Some((grounding.clone(), index));
            if is_grounded(result) {
                let present = result.present();
                let times = match seen.said {
                    Some((said, times)) if said == present => times.saturating_add(1),
                    _ => 1,
                };
                seen.said = Some((present, times));
                if times >= AGREEING {
                    let topic = self.topics.query(&key.0, &key.1, "state");
                    self.board.set(topic, on(present));
                }
            }
        }
    }

    /// Publishes what changed since the last call; to be called twice a second.
    pub fn publish(&mut self) {
        for ((camera, query), seen) in &mut self.queries {
            let Some((grounding, index)) = seen.newest.take() else {
                continue;
            };
            let result = &grounding.queries[index];
            let topic = |leaf| self.topics.query(camera, query, leaf);
            if is_grounded(result) {
                let count = result.detections.len().to_string();
                self.board.set(topic("count"), count);
            }
            if let Some(answer) = &result.answer {
                self.board.set(topic("answer"), answer.text.as_str());
            }
            let attributes = attributes(&grounding, result).to_string();
            self.board.set(topic("attributes"), attributes);
        }
    }

    /// A step of an event is in the store.
    pub fn event(&mut self, event: &Event, document: &Document) {
        if event.kind != EventKind::End {
            self.show(event, document);
        }
        let key = (event.camera.clone(), event.rule.clone());
        if !has_rule(document, &key) {
            return;
        }
        let open = self.open.entry(key).or_default();
        if event.kind == EventKind::End {
            open.remove(&event.id);
        } else {
            open.insert(event.id.clone());
        }
        let topic = self.topics.rule(&event.camera, &event.rule, "state");
        self.board.set(topic, on(!open.is_empty()));
    }

    /// Publishes the picture of an event.
    fn show(&self, event: &Event, document: &Document) {
        let query = (event.camera.clone(), event.query.clone());
        if has_query(document, &query) {
            let topic = self.topics.query(&event.camera, &event.query, "snapshot");
            // Each step may have a better picture under the same id, so it is not compared with the last.
            self.board
                .replace(topic, Payload::Picture(event.id.as_str().into()));
        }
    }

    /// These events go on, the newest first, and no others: some steps were missed.
    pub fn open_events(&mut self, events: &[Event], document: &Document) {
        self.open.clear();
        for event in events.iter().rev() {
            self.show(event, document);
            let key = (event.camera.clone(), event.rule.clone());
            self.open.entry(key).or_default().insert(event.id.clone());
        }
        self.open.retain(|key, _| has_rule(document, key));
        for camera in &document.cameras {
            for rule in &camera.rules {
                let key = (camera.name.clone(), rule.id.clone());
                let topic = self.topics.rule(&camera.name, &rule.id, "state");
                self.board.set(topic, on(self.open.contains_key(&key)));
            }
        }
    }

    /// A device that the broker has kept from an earlier run.
    pub fn found_device(&mut self, topic: &str, payload: &[u8], document: &Document) {
        if let Some(discovery) = &mut self.discovery
            && let Some((topic, payload)) = discovery.found(topic, payload, document, &self.topics)
        {
            let payload = payload.map_or(Payload::Gone, |payload| payload.to_string().into());
            self.board.set(topic, payload);
        }
    }
}

fn on(on: bool) -> &'static str {
    if on { "ON" } else { "OFF" }
}

/// The word for a camera's state.
fn state_word(state: CameraState) -> &'static str {
    match state {
        CameraState::Online => "online",
        CameraState::Stalled => "stalled",
        CameraState::Connecting | CameraState::Offline => "offline",
        CameraState::Disabled => "disabled",
    }
}

fn has_query(document: &Document, (camera, query): &Key) -> bool {
    let mut cameras = document.cameras.iter();
    let camera = cameras.find(|known| known.name == *camera);
    camera.is_some_and(|camera| camera.queries.iter().any(|known| known.id == *query))
}

fn has_rule(document: &Document, (camera, rule): &Key) -> bool {
    let mut cameras = document.cameras.iter();
    let camera = cameras.find(|known| known.name == *camera);
    camera.is_some_and(|camera| camera.rules.iter().any(|known| known.id == *rule))
}

/// Whether a result says what is there: an answer without boxes does not.
fn is_grounded(result: &QueryResult) -> bool {
    result.answer.is_none() || result.present()
}

fn rounded(value: f32, digits: f64) -> f64 {
    (f64::from(value) * digits).round() / digits
}

/// x, y, width and height as parts of the picture's.
fn relative(bbox: BBox, grounding: &Grounding) -> [f64; 4] {
    let (width, height) = (
        grounding.width.max(1) as f32,
        grounding.height.max(1) as f32,
    );
    [
        bbox.x / width,
        bbox.y / height,
        bbox.width / width,
        bbox.height / height,
    ]
    .map(|value| rounded(value, 1e3))
}

fn attributes(grounding: &Grounding, result: &QueryResult) -> Value {
    let objects = result.detections.iter().take(MAX_OBJECTS);
    let objects: Vec<Value> = objects
        .map(|object| {
            let phrases: Vec<Value> = object
                .phrases
                .iter()
                .map(|phrase| {
                    json!({
                        "text": phrase.text,
                        "span": phrase.span,
                        "score": rounded(phrase.score, 1e2),
                    })
                })
                .collect();
            let mut value = json!({
                "box": relative(object.bbox, grounding),
                "score": rounded(object.score, 1e2),
                "phrases": phrases,
            });
            if let Some(track) = object.track {
                value["track"] = track.into();
            }
            if let Some(hidden_ms) = object.hidden_ms {
                value["hidden_ms"] = rounded(hidden_ms, 1.0).into();
            }
            value
        })
        .collect();
    let mut value = json!({ "text": result.query.text(), "revision": grounding.revision });
    if is_grounded(result) {
        let best = result.detections.iter().map(|object| object.score);
        value["present"] = result.present().into();
        value["score"] = rounded(best.fold(0.0, f32::max), 1e2).into();
        value["objects"] = objects.into();
    }
    if let Some(answer) = &result.answer {
        value["answer"] = answer.text.as_str().into();
        value["answer_score"] = rounded(answer.score, 1e2).into();
    }
    value
}
