//! Home Assistant finds cameras by itself: one device for each camera, with the components of its queries and rules.
//!
//! It is the form for devices, which Home Assistant understands since 2024.11. A component that is gone is named once
//! more with its platform only; a device that is gone gets an empty message.

use std::collections::BTreeMap;

use mdetr_grounding::Query;
use mdetr_grounding::query::QueryEntry;
use mdetr_rules::Rule;
use serde_json::{Map, Value, json};

use super::topics::Topics;
use crate::config::{Camera, Document};

/// Name of the program in messages.
const NAME: &str = "mdetr-monitor";
/// Longest state that Home Assistant takes, in characters.
const MAX_STATE: u32 = 255;
/// Most removed components of a device that are remembered.
const MAX_REMOVED: usize = 256;

/// Names of components and their platforms.
type Platforms = BTreeMap<String, String>;

/// Makes the messages.
#[derive(Debug)]
pub struct Discovery {
    prefix: String,
    /// What names of devices begin with.
    node: String,
    known: BTreeMap<String, Known>,
}

/// What was published of a device.
#[derive(Debug, Default)]
struct Known {
    present: Platforms,
    removed: Platforms,
}

impl Known {
    fn update(&mut self, present: Platforms) {
        let before = std::mem::replace(&mut self.present, present);
        self.removed.extend(before);
        self.removed
            .retain(|key, _| !self.present.contains_key(key));
        while self.removed.len() > MAX_REMOVED {
            self.removed.pop_first();
        }
    }
}

impl Discovery {
    /// With the prefix of discovery, `homeassistant` as a rule, and the name of our client, which makes devices ours.
    pub fn new(prefix: &str, client_id: &str) -> Discovery {
        let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-';
        let node = client_id.chars().map(|c| if allowed(c) { c } else { '-' });
        Discovery {
            prefix: prefix.trim_end_matches('/').to_owned(),
            node: node.collect(),
            known: BTreeMap::new(),
        }
    }

    /// Topic on which Home Assistant says `online` when it starts.
    pub fn birth(&self) -> String {
        format!("{}/status", self.prefix)
    }

    /// Filter of all devices, ours and others.
    pub fn filter(&self) -> String {
        format!("{}/device/+/config", self.prefix)
    }

    /// Whether a topic is that of a device, ours or another's.
    pub fn is_device(&self, topic: &str) -> bool {
        let path = topic.strip_prefix(&self.prefix);
        path.is_some_and(|path| path.starts_with("/device/") && path.ends_with("/config"))
    }

    /// Name of the camera of a device, if the device is ours.
    pub fn camera_of<'t>(&self, topic: &'t str) -> Option<&'t str> {
        let device = topic.strip_prefix(&self.prefix)?.strip_prefix("/device/")?;
        let name = device.strip_prefix(&self.node)?.strip_prefix('_')?;
        name.strip_suffix("/config")
    }

    fn device_id(&self, camera: &str) -> String {
        format!("{}_{camera}", self.node)
    }

    fn topic(&self, camera: &str) -> String {
        format!("{}/device/{}/config", self.prefix, self.device_id(camera))
    }

    /// Topics and messages of all cameras.
    pub fn devices(&mut self, document: &Document, topics: &Topics) -> Vec<(String, Value)> {
        let known = std::mem::take(&mut self.known);
        let of_cameras = |(name, known): (String, Known)| {
            let there = document.cameras.iter().any(|camera| camera.name == name);
            there.then_some((name, known))
        };
        self.known = known.into_iter().filter_map(of_cameras).collect();
        let cameras = document.cameras.iter();
        cameras
            .map(|camera| (self.topic(&camera.name), self.device(camera, topics)))
            .collect()
    }

    /// What to say to a device that the broker has kept from an earlier run, if it is ours: `None` if it is gone.
    pub fn found(
        &mut self,
        topic: &str,
        payload: &[u8],
        document: &Document,
        topics: &Topics,
    ) -> Option<(String, Option<Value>)> {
        let name = self.camera_of(topic)?;
        let kept: Value = serde_json::from_slice(payload).ok()?;
        if kept["o"]["name"] != NAME {
            return None;
        }
        let Some(camera) = document.cameras.iter().find(|camera| camera.name == name) else {
            return Some((topic.to_owned(), None));
        };
        let components = kept["cmps"].as_object()?;
        let known = self.known.entry(camera.name.clone()).or_default();
        let platform = |value: &Value| Some(value["p"].as_str()?.to_owned());
        // What has its platform only was removed by the run before.
        let there = components
            .iter()
            .filter(|(_, value)| value.as_object().is_some_and(|value| value.len() > 1));
        for (key, value) in there {
            if !known.present.contains_key(key)
                && let Some(platform) = platform(value)
            {
                known.removed.insert(key.clone(), platform);
            }
        }
        Some((topic.to_owned(), Some(self.device(camera, topics))))
    }

    fn device(&mut self, camera: &Camera, topics: &Topics) -> Value {
        let id = self.device_id(&camera.name);
        let parts = Parts {
            topics,
            camera,
            id: &id,
        };
        let mut components = parts.all();
        let platform = |value: &Value| value["p"].as_str().unwrap_or_default().to_owned();
        let present = components
            .iter()
            .map(|(key, value)| (key.clone(), platform(value)));
        let known = self.known.entry(camera.name.clone()).or_default();
        known.update(present.collect());
        for (key, platform) in &known.removed {
            components.insert(key.clone(), json!({ "p": platform }));
        }
        json!({
            "dev": {
                "ids": [id],
                "name": camera.name,
                "mf": "mdetr",
                "mdl": "Camera watched by sentences",
                "sw": env!("CARGO_PKG_VERSION"),
            },
            "o": { "name": NAME, "sw": env!("CARGO_PKG_VERSION") },
            "availability": [program_available(topics)],
            "availability_mode": "all",
            "qos": 1,
            "cmps": components,
        })
    }
}

/// `stopped` and `offline` both mean that it is not there.
fn program_available(topics: &Topics) -> Value {
    json!({
        "topic": topics.own("available"),
        "value_template": "{{ 'online' if value == 'online' else 'offline' }}",
    })
}

/// Makes the components of a camera.
struct Parts<'a> {
    topics: &'a Topics,
    camera: &'a Camera,
    id: &'a str,
}

impl Parts<'_> {
    fn all(&self) -> Map<String, Value> {
        let mut all = Map::new();
        let camera = &self.camera.name;
        let enabled = self.topics.camera(camera, "enabled");
        self.add(&mut all, "enabled", json!({ "p": "switch", "name": "Watching",
            "state_topic": enabled, "command_topic": format!("{enabled}/set"), "entity_category": "config" }));
        for query in &self.camera.queries {
            self.query(&mut all, query);
        }
        for rule in &self.camera.rules {
            self.rule(&mut all, rule);
        }
        all
    }

    fn add(&self, all: &mut Map<String, Value>, key: &str, mut component: Value) {
        component["unique_id"] = format!("{}_{key}", self.id).into();
        all.insert(key.to_owned(), component);
    }

    /// Of what is known only while the camera gives frames.
    fn available(&self) -> Value {
        let status = self.topics.camera(&self.camera.name, "status");
        let camera = json!({
            "topic": status,
            "value_template": "{{ 'online' if value == 'online' else 'offline' }}",
        });
        json!([program_available(self.topics), camera])
    }

    fn query(&self, all: &mut Map<String, Value>, query: &QueryEntry) {
        let id = &query.id;
        let topic = |leaf| self.topics.query(&self.camera.name, id, leaf);
        let key = |what: &str| format!("query_{id}_{what}");
        let available = self.available();
        let mut add = |what: &str, component: Value| self.add(all, &key(what), component);
        let text = topic("text");
        add(
            "text",
            json!({ "p": "text", "name": format!("{id} sentence"), "icon": "mdi:text-search",
            "state_topic": text, "command_topic": format!("{text}/set"), "min": 1, "max": MAX_STATE,
            "value_template": format!("{{{{ value[:{MAX_STATE}] }}}}"), "entity_category": "config" }),
        );
        add(
            "state",
            json!({ "p": "binary_sensor", "name": id, "device_class": "occupancy",
            "state_topic": topic("state"), "payload_on": "ON", "payload_off": "OFF",
            "json_attributes_topic": topic("attributes"),
            "availability": available, "availability_mode": "all" }),
        );
        add(
            "count",
            json!({ "p": "sensor", "name": format!("{id} count"), "icon": "mdi:counter",
            "state_topic": topic("count"), "state_class": "measurement",
            "availability": available, "availability_mode": "all" }),
        );
        add(
            "snapshot",
            json!({ "p": "image", "name": format!("{id} last event"),
            "image_topic": topic("snapshot"), "content_type": "image/jpeg" }),
        );
        if Query::from_entry(query).is_ok_and(|query| query.is_question()) {
            add(
                "answer",
                json!({ "p": "sensor", "name": format!("{id} answer"), "icon": "mdi:comment-question",
                "state_topic": topic("answer"), "json_attributes_topic": topic("attributes"),
                "value_template": format!("{{{{ value[:{MAX_STATE}] }}}}"),
                "availability": available, "availability_mode": "all" }),
            );
        }
    }

    fn rule(&self, all: &mut Map<String, Value>, rule: &Rule) {
        let id = &rule.id;
        let topic = |leaf| self.topics.rule(&self.camera.name, id, leaf);
        let enabled = topic("enabled");
        self.add(all, &format!("rule_{id}_enabled"), json!({ "p": "switch", "name": format!("Rule {id}"),
            "state_topic": enabled, "command_topic": format!("{enabled}/set"), "entity_category": "config" }));
        self.add(all, &format!("rule_{id}_state"), json!({ "p": "binary_sensor", "name": format!("Event {id}"),
            "device_class": "problem", "state_topic": topic("state"), "payload_on": "ON", "payload_off": "OFF",
            "availability": self.available(), "availability_mode": "all" }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_toml;

    /// Devices as tests against Home Assistant's own schemas read them.
    const EXAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/home-assistant.json");

    fn document(queries: &str) -> Document {
        let text = format!(
            "data = \"data\"\n[[camera]]\nname = \"gate\"\nurl = \"rtsp://camera/1\"\n{queries}\n\
             [[camera.rule]]\nid = \"no-helmet\"\nwhen = {{ is = \"present\", query = \"helmet\" }}\n"
        );
        parse_toml(&text).unwrap()
    }

    fn example() -> Document {
        document(
            "[[camera.query]]\nid = \"helmet\"\ntext = \"[a person] without a helmet\"\n\
             [[camera.query]]\nid = \"how many / cones?\"\ntext = \"how many cones are there?\"\n",
        )
    }

    #[test]
    fn the_example_is_what_is_published() {
        let mut discovery = Discovery::new("homeassistant", "mdetr-monitor");
        let topics = Topics::new("mdetr");
        discovery.devices(&example(), &topics);
        // One query is gone, so that its removal stands in the example as well.
        let mut changed = example();
        let mut gone = changed.cameras[0].queries[0].clone();
        gone.id = "bicycle".to_owned();
        changed.cameras[0].queries.push(gone);
        discovery.devices(&changed, &topics);
        let devices = discovery.devices(&example(), &topics);
        let devices: BTreeMap<_, _> = devices.into_iter().collect();
        let text = serde_json::to_string_pretty(&devices).unwrap() + "\n";
        if std::env::var_os("MDETR_UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(EXAMPLE, &text).unwrap();
        }
        let known = std::fs::read_to_string(EXAMPLE).unwrap();
        assert!(
            known == text,
            "{EXAMPLE} is another: run this test with MDETR_UPDATE_SNAPSHOTS=1"
        );
    }

    #[test]
    fn no_sentence_is_in_a_topic_and_all_ids_are_unique() {
        let topics = Topics::new("mdetr");
        let mut discovery = Discovery::new("homeassistant", "my monitor/1");
        let (topic, device) = discovery.devices(&example(), &topics).remove(0);
        assert_eq!(topic, "homeassistant/device/my-monitor-1_gate/config");
        let components = device["cmps"].as_object().unwrap();
        let ids: std::collections::BTreeSet<_> = components
            .values()
            .map(|component| component["unique_id"].as_str())
            .collect();
        assert_eq!(ids.len(), components.len());
        for component in components.values() {
            for (key, value) in component.as_object().unwrap() {
                if key.ends_with("topic") {
                    let topic = value.as_str().unwrap();
                    assert!(topic.starts_with("mdetr/gate/"), "{topic}");
                    assert!(!topic.contains("person") && !topic.contains(' '), "{topic}");
                }
            }
        }
    }

    #[test]
    fn removed_components_do_not_pile_up() {
        let topics = Topics::new("mdetr");
        let mut discovery = Discovery::new("homeassistant", "m");
        for round in 0..200 {
            let queries = format!("[[camera.query]]\nid = \"q{round}\"\ntext = \"a dog\"\n");
            discovery.devices(&document(&queries), &topics);
        }
        let (_, device) = discovery.devices(&example(), &topics).remove(0);
        assert!(device["cmps"].as_object().unwrap().len() < MAX_REMOVED + 32);
    }
}
