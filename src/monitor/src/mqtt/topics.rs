//! Names of topics. Names of cameras and rules stand in them as they are; ids of queries may be any text, and what is
//! not a letter, a digit, `-`, `_` or `.` is percent-encoded in them.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// The topics of a program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topics {
    prefix: String,
}

/// What a command is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A camera is switched.
    Camera {
        /// Its name.
        camera: String,
    },
    /// A query gets another text.
    Text {
        /// The query's camera.
        camera: String,
        /// Id of the query.
        query: String,
    },
    /// A rule is switched.
    Rule {
        /// The rule's camera.
        camera: String,
        /// Id of the rule.
        rule: String,
    },
}

impl Topics {
    /// Below a prefix.
    pub fn new(prefix: &str) -> Topics {
        Topics {
            prefix: prefix.trim_end_matches('/').to_owned(),
        }
    }

    /// Of the program itself: `available`, `events`, `stats`, `error`.
    pub fn own(&self, leaf: &str) -> String {
        format!("{}/{leaf}", self.prefix)
    }

    /// Of a camera.
    pub fn camera(&self, camera: &str, leaf: &str) -> String {
        format!("{}/{camera}/{leaf}", self.prefix)
    }

    /// Of a query.
    pub fn query(&self, camera: &str, query: &str, leaf: &str) -> String {
        format!("{}/{camera}/{}/{leaf}", self.prefix, encoded(query))
    }

    /// Of a rule.
    pub fn rule(&self, camera: &str, rule: &str, leaf: &str) -> String {
        format!("{}/{camera}/rule/{rule}/{leaf}", self.prefix)
    }

    /// Filters of all commands.
    pub fn commands(&self) -> Vec<String> {
        ["+/enabled/set", "+/+/text/set", "+/rule/+/enabled/set"]
            .map(|filter| self.own(filter))
            .to_vec()
    }

    /// What the command on a topic is for.
    pub fn target(&self, topic: &str) -> Option<Target> {
        let path = topic.strip_prefix(&self.prefix)?.strip_prefix('/')?;
        let parts: Vec<&str> = path.split('/').collect();
        match parts[..] {
            [camera, "enabled", "set"] => Some(Target::Camera {
                camera: camera.to_owned(),
            }),
            [camera, query, "text", "set"] => Some(Target::Text {
                camera: camera.to_owned(),
                query: decoded(query)?,
            }),
            [camera, "rule", rule, "enabled", "set"] => Some(Target::Rule {
                camera: camera.to_owned(),
                rule: rule.to_owned(),
            }),
            _ => None,
        }
    }
}

/// What is not said as it is.
const STRANGE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Text as one level of a topic.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, STRANGE).to_string()
}

/// The text of a level, if it is one.
pub fn decoded(level: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(level.len());
    let mut rest = level.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        rest = behind;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let digits = rest
            .get(..2)
            .filter(|two| two.iter().all(u8::is_ascii_hexdigit))?;
        let digits = std::str::from_utf8(digits).ok()?;
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = &rest[2..];
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_understood() {
        let topics = Topics::new("site/mdetr/");
        let text = topics.query("gate", "a red/green+ball #1 é", "text/set");
        assert_eq!(
            text,
            "site/mdetr/gate/a%20red%2Fgreen%2Bball%20%231%20%C3%A9/text/set"
        );
        let query = "a red/green+ball #1 é".to_owned();
        let camera = "gate".to_owned();
        assert_eq!(
            topics.target(&text),
            Some(Target::Text {
                camera: camera.clone(),
                query
            })
        );
        let rule = "night".to_owned();
        assert_eq!(
            topics.target("site/mdetr/gate/rule/night/enabled/set"),
            Some(Target::Rule {
                camera: camera.clone(),
                rule
            })
        );
        assert_eq!(
            topics.target("site/mdetr/gate/enabled/set"),
            Some(Target::Camera { camera })
        );
        for unknown in [
            "site/mdetr/gate/enabled",
            "other/gate/enabled/set",
            "site/mdetrgate/enabled/set",
            "site/mdetr/gate/%zz/text/set",
            "site/mdetr/gate/%2/text/set",
            "site/mdetr/gate/%FF/text/set",
        ] {
            assert_eq!(topics.target(unknown), None, "{unknown}");
        }
    }

    proptest! {
        #[test]
        fn every_text_is_one_level(text in ".*") {
            let level = encoded(&text);
            prop_assert!(!level.contains(['/', '+', '#', '\0', '$']));
            prop_assert_eq!(decoded(&level), Some(text));
        }

        #[test]
        fn no_topic_is_too_strange(topic in ".*") {
            let topics = Topics::new("");
            topics.target(&topic);
            decoded(&topic);
        }
    }
}
