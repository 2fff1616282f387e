//! The node's parameters: names, kinds, defaults, and what may be set when.

use std::collections::BTreeMap;

use mdetr::EngineChoice;
use mdetr::engine::Fallback;
use mdetr_ros2_messages::rcl_interfaces;
use ros2_client::ParameterValue;
use ros2_client::parameters::{NumericRange, ParameterDescriptor, ParameterType, raw};

use crate::prompt;

/// When a parameter may be changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    /// At any time.
    Always,
    /// In the state unconfigured.
    Unconfigured,
    /// At the start only.
    Never,
}

/// Values that a parameter can have, beside its kind.
#[derive(Debug, Clone, Copy)]
enum Allowed {
    Any,
    Integers(i64, i64),
    Doubles(f64, f64),
    Words(&'static [&'static str]),
    Queries,
    Names,
    Engines,
}

/// A parameter.
struct Declared {
    name: &'static str,
    default: fn() -> ParameterValue,
    allowed: Allowed,
    change: Change,
    description: &'static str,
}

/// How images are received.
pub(crate) const RELIABILITIES: &[&str] = &["best_effort", "reliable"];
/// What images come as.
pub(crate) const TRANSPORTS: &[&str] = &["raw", "compressed"];
const FALLBACKS: &[&str] = &["auto", "onnxruntime", "tract", "none"];
/// A threshold that is not set.
const UNSET: f64 = -1.0;

const DECLARED: &[Declared] = &[
    Declared {
        name: "autostart",
        default: || ParameterValue::Boolean(true),
        allowed: Allowed::Any,
        change: Change::Never,
        description: "Configure and activate the node when it starts, without a lifecycle manager.",
    },
    Declared {
        name: "ca_file",
        default: || ParameterValue::String(String::new()),
        allowed: Allowed::Any,
        change: Change::Unconfigured,
        description: "Certificates, in PEM, of the authorities that the endpoints are known by. Empty: those of the \
                      system.",
    },
    Declared {
        name: "cameras",
        default: || ParameterValue::StringArray(Vec::new()),
        allowed: Allowed::Names,
        change: Change::Unconfigured,
        description: "Names of several cameras: each has the topics NAME/image, ~/NAME/detections and so on. \
                      Empty: one camera, with the topics image, ~/detections and so on.",
    },
    Declared {
        name: "depth",
        default: || ParameterValue::Boolean(false),
        allowed: Allowed::Any,
        change: Change::Unconfigured,
        description: "Take depth images and camera_info too, and publish detections_3d.",
    },
    Declared {
        name: "depth_tolerance",
        default: || ParameterValue::Double(0.05),
        allowed: Allowed::Doubles(0.0, 10.0),
        change: Change::Unconfigured,
        description: "How far apart the stamps of a picture and its depth image may be, in seconds.",
    },
    Declared {
        name: "endpoints",
        default: || ParameterValue::StringArray(Vec::new()),
        allowed: Allowed::Any,
        change: Change::Always,
        description: "Servers with the model, for the engine kserve, as grpc://HOST:PORT or, with TLS, grpcs://HOST:PORT.",
    },
    Declared {
        name: "engine",
        default: || ParameterValue::String("auto".into()),
        allowed: Allowed::Engines,
        change: Change::Always,
        description: "What runs the model: auto, tensorrt, onnxruntime, tract or kserve; or for each graph, as \
                      vision:tract,fusion:kserve, of text, vision, fusion and mask.",
    },
    Declared {
        name: "fallback",
        default: || ParameterValue::String("auto".into()),
        allowed: Allowed::Words(FALLBACKS),
        change: Change::Always,
        description: "What answers when no endpoint does.",
    },
    Declared {
        name: "image_transport",
        default: || ParameterValue::String("raw".into()),
        allowed: Allowed::Words(TRANSPORTS),
        change: Change::Unconfigured,
        description: "What pictures come as: raw, on the topic image, or compressed, on image/compressed.",
    },
    Declared {
        name: "masks",
        default: || ParameterValue::Boolean(true),
        allowed: Allowed::Any,
        change: Change::Always,
        description: "Draw masks, if the model can. Without them a picture takes less time, and boxes of some models are looser.",
    },
    Declared {
        name: "max_detections",
        default: || ParameterValue::Integer(100),
        allowed: Allowed::Integers(1, 1000),
        change: Change::Always,
        description: "Most detections of a query in a frame.",
    },
    Declared {
        name: "max_rate",
        default: || ParameterValue::Double(0.0),
        allowed: Allowed::Doubles(0.0, 1000.0),
        change: Change::Always,
        description: "Most frames a second that are inferred, for each camera; 0: as many as come.",
    },
    Declared {
        name: "model",
        default: || ParameterValue::String(String::new()),
        allowed: Allowed::Any,
        change: Change::Always,
        description: "Name or directory of the model. Empty: what MDETR_MODEL names, else the bundled model.",
    },
    Declared {
        name: "overlap_threshold",
        default: || ParameterValue::Double(UNSET),
        allowed: Allowed::Doubles(UNSET, 1.0),
        change: Change::Always,
        description: "Overlap, as intersection over union, above which the second box on an object is dropped. \
                      Below 0: the model's.",
    },
    Declared {
        name: "phrase_threshold",
        default: || ParameterValue::Double(UNSET),
        allowed: Allowed::Doubles(UNSET, 1.0),
        change: Change::Always,
        description: "Least probability of a word that a box answers to. Below 0: the model's.",
    },
    Declared {
        name: "queries",
        default: || ParameterValue::StringArray(Vec::new()),
        allowed: Allowed::Queries,
        change: Change::Always,
        description: "What to look for, a sentence each; only words in [brackets] are reported, if there are any. \
                      Instead of a sentence: {\"id\": ..., \"text\": ..., \"score_threshold\": ...}.",
    },
    Declared {
        name: "queue_size",
        default: || ParameterValue::Integer(1),
        allowed: Allowed::Integers(1, 100),
        change: Change::Unconfigured,
        description: "Pictures of a camera that may wait. The oldest is dropped; with 1, the newest picture wins.",
    },
    Declared {
        name: "rectified",
        default: || ParameterValue::Boolean(false),
        allowed: Allowed::Any,
        change: Change::Unconfigured,
        description: "Pictures are rectified, though camera_info has distortion: its matrix p holds, not k.",
    },
    Declared {
        name: "reliability",
        default: || ParameterValue::String("best_effort".into()),
        allowed: Allowed::Words(RELIABILITIES),
        change: Change::Unconfigured,
        description: "Whether pictures, depth and camera_info that are lost on the way are asked for again.",
    },
    Declared {
        name: "remote_deadline",
        default: || ParameterValue::Double(2.0),
        allowed: Allowed::Doubles(0.001, 600.0),
        change: Change::Always,
        description: "Seconds that a graph may take on the endpoints, all attempts together.",
    },
    Declared {
        name: "rules",
        default: || ParameterValue::String(String::new()),
        allowed: Allowed::Any,
        change: Change::Unconfigured,
        description: "A TOML file with [[rule]], [[zone]] and [[line]] tables; events go to ~/events.",
    },
    Declared {
        name: "score_threshold",
        default: || ParameterValue::Double(UNSET),
        allowed: Allowed::Doubles(UNSET, 1.0),
        change: Change::Always,
        description: "Least score of a detection. Below 0: the model's.",
    },
    Declared {
        name: "short_side",
        default: || ParameterValue::Integer(0),
        allowed: Allowed::Integers(0, 16384),
        change: Change::Always,
        description: "Short side in pixels to which pictures are scaled for the model; 0: the model's.",
    },
    Declared {
        name: "text_cache_dir",
        default: || ParameterValue::String(String::new()),
        allowed: Allowed::Any,
        change: Change::Unconfigured,
        description: "Where encoded sentences are kept between runs. Empty: nowhere.",
    },
    Declared {
        name: "token_file",
        default: || ParameterValue::String(String::new()),
        allowed: Allowed::Any,
        change: Change::Unconfigured,
        description: "File with the token that the endpoints ask for. Empty: what is in MDETR_KSERVE_TOKEN.",
    },
    Declared {
        name: "track",
        default: || ParameterValue::Boolean(true),
        allowed: Allowed::Any,
        change: Change::Always,
        description: "Give detections ids that stay the same from frame to frame.",
    },
    Declared {
        name: "use_sim_time",
        default: || ParameterValue::Boolean(false),
        allowed: Allowed::Any,
        change: Change::Always,
        description: "Take the time from the topic /clock.",
    },
];

fn declared(name: &str) -> Option<&'static Declared> {
    DECLARED.iter().find(|declared| declared.name == name)
}

/// Whether there is a parameter of this name.
pub(crate) fn is_known(name: &str) -> bool {
    declared(name).is_some()
}

/// The values of all parameters.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Values(BTreeMap<&'static str, ParameterValue>);

impl Default for Values {
    fn default() -> Values {
        let pairs = DECLARED.iter();
        Values(
            pairs
                .map(|declared| (declared.name, (declared.default)()))
                .collect(),
        )
    }
}

/// In which phase of its life a node is, as far as parameters are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// It is about to start.
    Start,
    /// It has no model and no topics.
    Unconfigured,
    /// It has.
    Configured,
}

impl Values {
    /// These values with those of `changes`; of several for a parameter the last counts.
    ///
    /// # Errors
    /// One of them cannot be set: names the parameter, and what was expected and found.
    pub fn with(
        &self,
        changes: &[(String, ParameterValue)],
        phase: Phase,
    ) -> Result<Values, String> {
        let mut values = self.clone();
        for (name, value) in changes {
            let Some(declared) = declared(name) else {
                return Err(format!("{name}: there is no such parameter"));
            };
            let value = checked(declared, value)?;
            let old = values.0.insert(declared.name, value.clone());
            let same = old.as_ref() == Some(&value);
            let when = match (declared.change, phase) {
                (Change::Never, Phase::Unconfigured | Phase::Configured) => "when the node starts",
                (Change::Unconfigured, Phase::Configured) => {
                    "in the state unconfigured: deactivate and clean up the node first"
                }
                _ => continue,
            };
            if !same {
                return Err(format!("{name}: can only be set {when}"));
            }
        }
        Ok(values)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&ParameterValue> {
        self.0.get(name)
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.keys().copied()
    }

    /// Parameters whose values are others in `new`, with those.
    pub fn changed(&self, new: &Values) -> Vec<(&'static str, ParameterValue)> {
        let pairs = new.0.iter();
        let other = pairs.filter(|(name, value)| self.0.get(*name) != Some(*value));
        other.map(|(name, value)| (*name, value.clone())).collect()
    }

    /// Of a parameter that is declared a string.
    pub fn string(&self, name: &str) -> &str {
        match self.get(name) {
            Some(ParameterValue::String(value)) => value,
            other => unreachable!("{name} is declared a string, not {other:?}"),
        }
    }

    /// Of a parameter that is declared a list of strings.
    pub fn strings(&self, name: &str) -> &[String] {
        match self.get(name) {
            Some(ParameterValue::StringArray(value)) => value,
            other => unreachable!("{name} is declared a list of strings, not {other:?}"),
        }
    }

    /// Of a parameter that is declared a boolean.
    pub fn boolean(&self, name: &str) -> bool {
        match self.get(name) {
            Some(ParameterValue::Boolean(value)) => *value,
            other => unreachable!("{name} is declared a boolean, not {other:?}"),
        }
    }

    /// Of a parameter that is declared a whole number that is not negative.
    pub fn integer(&self, name: &str) -> u32 {
        match self.get(name) {
            Some(ParameterValue::Integer(value)) => u32::try_from(*value).unwrap_or(0),
            other => unreachable!("{name} is declared a whole number, not {other:?}"),
        }
    }

    /// Of a parameter that is declared a number.
    pub fn double(&self, name: &str) -> f64 {
        match self.get(name) {
            Some(ParameterValue::Double(value)) => *value,
            other => unreachable!("{name} is declared a number, not {other:?}"),
        }
    }

    /// A threshold; `None`: the model's.
    pub fn threshold(&self, name: &str) -> Option<f32> {
        Some(self.double(name))
            .filter(|threshold| *threshold >= 0.0)
            .map(|threshold| threshold as f32)
    }

    /// What runs the model.
    pub fn engine(&self) -> EngineChoice {
        // It was checked when it was set.
        self.string("engine").parse().unwrap_or_default()
    }

    /// What answers when no server does.
    pub fn fallback(&self) -> Fallback {
        self.string("fallback").parse().unwrap_or_default()
    }
}

/// The value as the parameter takes it.
fn checked(declared: &Declared, value: &ParameterValue) -> Result<ParameterValue, String> {
    let name = declared.name;
    let default = (declared.default)();
    let value = match (&default, value) {
        // rclcpp refuses 5 where 5.0 is meant; there is nothing to be confused about.
        (ParameterValue::Double(_), ParameterValue::Integer(whole)) => {
            ParameterValue::Double(*whole as f64)
        }
        (_, value) if kind(value) == kind(&default) => value.clone(),
        (_, value) => {
            let (expected, found) = (kind_name(&default), kind_name(value));
            return Err(format!("{name}: expected {expected}, found {found}"));
        }
    };
    let refuse = |expected: String, found: String| {
        Err(format!("{name}: expected {expected}, found {found}"))
    };
    match (declared.allowed, &value) {
        (Allowed::Integers(least, most), ParameterValue::Integer(found))
            if !(least..=most).contains(found) =>
        {
            refuse(format!("{least} to {most}"), found.to_string())
        }
        (Allowed::Doubles(least, most), ParameterValue::Double(found))
            if !(least..=most).contains(found) =>
        {
            refuse(format!("{least} to {most}"), found.to_string())
        }
        (Allowed::Words(words), ParameterValue::String(found))
            if !words.contains(&found.as_str()) =>
        {
            refuse(format!("one of {}", words.join(", ")), format!("{found:?}"))
        }
        (Allowed::Queries, ParameterValue::StringArray(entries)) => {
            let parsed = prompt::parse_entries(entries);
            parsed.map_err(|error| format!("{name}: {error}"))?;
            Ok(value)
        }
        (Allowed::Engines, ParameterValue::String(found)) => match found.parse::<EngineChoice>() {
            Err(error) => refuse(error.expected.to_owned(), format!("{:?}", error.found)),
            Ok(_) => Ok(value),
        },
        (Allowed::Names, ParameterValue::StringArray(names)) => match unusable(names) {
            Some(bad) => refuse(
                "names of letters, digits and underscores, each once".into(),
                format!("{bad:?}"),
            ),
            None => Ok(value),
        },
        _ => Ok(value),
    }
}

/// Most cameras of a node.
const MAX_CAMERAS: usize = 64;

/// A name that cannot be part of topics, or that was there before.
fn unusable(names: &[String]) -> Option<&String> {
    let sound = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic())
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
            && !name.contains("__")
            && name.len() <= 64
    };
    let again = |at: usize| names[..at].contains(&names[at]);
    (0..names.len())
        .find(|at| !sound(&names[*at]) || again(*at) || *at >= MAX_CAMERAS)
        .map(|at| &names[at])
}

fn kind(value: &ParameterValue) -> ParameterType {
    value.to_parameter_type()
}

fn kind_name(value: &ParameterValue) -> &'static str {
    match value {
        ParameterValue::NotSet => "nothing",
        ParameterValue::Boolean(_) => "a boolean",
        ParameterValue::Integer(_) => "a whole number",
        ParameterValue::Double(_) => "a number",
        ParameterValue::String(_) => "a string",
        ParameterValue::ByteArray(_) => "bytes",
        ParameterValue::BooleanArray(_) => "a list of booleans",
        ParameterValue::IntegerArray(_) => "a list of whole numbers",
        ParameterValue::DoubleArray(_) => "a list of numbers",
        ParameterValue::StringArray(_) => "a list of strings",
    }
}

/// What tools show of a parameter.
pub(crate) fn describe(name: &str) -> ParameterDescriptor {
    let Some(declared) = declared(name) else {
        return ParameterDescriptor::unknown(name);
    };
    ParameterDescriptor {
        name: name.to_owned(),
        param_type: kind(&(declared.default)()),
        description: declared.description.to_owned(),
        additional_constraints: match (declared.allowed, declared.change) {
            (Allowed::Words(words), _) => format!("One of {}.", words.join(", ")),
            (_, Change::Unconfigured) => "Changes in the state unconfigured only.".to_owned(),
            _ => String::new(),
        },
        read_only: declared.change == Change::Never,
        dynamic_typing: false,
        range: match declared.allowed {
            Allowed::Integers(from_value, to_value) => NumericRange::IntegerRange {
                from_value,
                to_value,
                step: 1,
            },
            Allowed::Doubles(from_value, to_value) => NumericRange::FloatingPointRange {
                from_value,
                to_value,
                step: 0.0,
            },
            _ => NumericRange::NotSpecified,
        },
    }
}

/// A value as messages have it.
pub(crate) fn message(value: ParameterValue) -> rcl_interfaces::ParameterValue {
    let raw = raw::ParameterValue::from(value);
    rcl_interfaces::ParameterValue {
        r#type: raw.ptype,
        bool_value: raw.boolean_value,
        integer_value: raw.int_value,
        double_value: raw.double_value,
        string_value: raw.string_value,
        byte_array_value: raw.byte_array,
        bool_array_value: raw.bool_array,
        integer_array_value: raw.int_array,
        double_array_value: raw.double_array,
        string_array_value: raw.string_array,
    }
}

/// A line for each parameter, for the help.
pub(crate) fn help() -> String {
    let lines = DECLARED.iter().map(|declared| {
        let (name, kind) = (declared.name, kind_name(&(declared.default)()));
        format!("  {name}: {kind}. {}\n", declared.description)
    });
    lines.collect()
}

#[cfg(test)]
#[path = "parameters_tests.rs"]
mod tests;
