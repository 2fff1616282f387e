//! How conditions are read.
//!
//! Serde's own `flatten` takes any key in silence. Here each condition takes the keys that mean something to it, and
//! what is wrong is said with the key's name.

use std::fmt;

use jiff::SignedDuration;
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::document::{Anchor, Bounds, Condition, Direction, Place};

const KINDS: &str = "present, absent, count, answer, enters, leaves, dwells, crosses, still, moves, all, any or not";

/// Every key of every condition.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Fields {
    is: Option<String>,
    query: Option<String>,
    zone: Option<String>,
    anchor: Option<Anchor>,
    share: Option<f32>,
    over: Option<f64>,
    under: Option<f64>,
    equals: Option<Equals>,
    longer_than: Option<SignedDuration>,
    faster_than: Option<f32>,
    line: Option<String>,
    direction: Option<Direction>,
    of: Option<Of>,
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Condition, D::Error> {
        let fields = Fields::deserialize(deserializer)?;
        fields.condition().map_err(de::Error::custom)
    }
}

impl Fields {
    fn condition(mut self) -> Result<Condition, String> {
        let Some(is) = self.is.take() else {
            return Err(format!("`is` is missing: expected is = one of {KINDS}"));
        };
        let condition = self.of_kind(&is)?;
        match self.left() {
            Some(key) => Err(format!(
                "`{key}` means nothing where is = {is:?}: remove it"
            )),
            None => Ok(condition),
        }
    }

    fn of_kind(&mut self, is: &str) -> Result<Condition, String> {
        Ok(match is {
            "present" => Condition::Present {
                query: self.query(is)?,
                place: self.place(),
            },
            "absent" => Condition::Absent {
                query: self.query(is)?,
                place: self.place(),
            },
            "count" => Condition::Count {
                query: self.query(is)?,
                place: self.place(),
                bounds: self.bounds()?,
            },
            "answer" => Condition::Answer {
                query: self.query(is)?,
                equals: match needed(self.equals.take(), "equals", is)? {
                    Equals::Text(text) => text,
                    Equals::Number(number) => number.to_string(),
                },
            },
            "enters" => Condition::Enters {
                query: self.query(is)?,
                place: self.place(),
            },
            "leaves" => Condition::Leaves {
                query: self.query(is)?,
                place: self.place(),
            },
            "dwells" => Condition::Dwells {
                query: self.query(is)?,
                place: self.place(),
                longer_than: needed(self.longer_than.take(), "longer_than", is)?,
            },
            "crosses" => Condition::Crosses {
                query: self.query(is)?,
                line: needed(self.line.take(), "line", is)?,
                direction: self.direction.take().unwrap_or_default(),
                anchor: self.anchor.take().unwrap_or_default(),
            },
            "still" => Condition::Still {
                query: self.query(is)?,
                place: self.place(),
                longer_than: needed(self.longer_than.take(), "longer_than", is)?,
            },
            "moves" => Condition::Moves {
                query: self.query(is)?,
                place: self.place(),
                faster_than: needed(self.faster_than.take(), "faster_than", is)?,
            },
            "all" => Condition::All {
                of: self.several(is)?,
            },
            "any" => Condition::Any {
                of: self.several(is)?,
            },
            "not" => match needed(self.of.take(), "of", is)? {
                Of::One(one) => Condition::Not { of: one },
                Of::Several(_) => {
                    let remedy = "expected one condition, found a list: { is = \"any\", of = [...] } inside denies several";
                    return Err(format!("`of` of is = \"not\": {remedy}"));
                }
            },
            _ => return Err(format!("`is`: expected {KINDS}, found {is:?}")),
        })
    }

    fn query(&mut self, is: &str) -> Result<String, String> {
        needed(self.query.take(), "query", is)
    }

    fn place(&mut self) -> Place {
        Place {
            zone: self.zone.take(),
            anchor: self.anchor.take().unwrap_or_default(),
            share: self.share.take(),
        }
    }

    fn bounds(&mut self) -> Result<Bounds, String> {
        let equals = match self.equals.take() {
            None => None,
            Some(Equals::Number(number)) => Some(number),
            Some(Equals::Text(text)) => {
                return Err(format!("`equals`: expected a number, found {text:?}"));
            }
        };
        Ok(Bounds {
            over: self.over.take(),
            under: self.under.take(),
            equals,
        })
    }

    fn several(&mut self, is: &str) -> Result<Vec<Condition>, String> {
        match needed(self.of.take(), "of", is)? {
            Of::Several(several) => Ok(several),
            Of::One(_) => Err(format!(
                "`of` of is = {is:?}: expected a list of conditions, found one"
            )),
        }
    }

    /// A key that the condition did not take.
    fn left(&self) -> Option<&'static str> {
        let given = [
            ("query", self.query.is_some()),
            ("zone", self.zone.is_some()),
            ("anchor", self.anchor.is_some()),
            ("share", self.share.is_some()),
            ("over", self.over.is_some()),
            ("under", self.under.is_some()),
            ("equals", self.equals.is_some()),
            ("longer_than", self.longer_than.is_some()),
            ("faster_than", self.faster_than.is_some()),
            ("line", self.line.is_some()),
            ("direction", self.direction.is_some()),
            ("of", self.of.is_some()),
        ];
        given.into_iter().find(|(_, is)| *is).map(|(key, _)| key)
    }
}

fn needed<T>(value: Option<T>, key: &str, is: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("is = {is:?} needs `{key}`"))
}

/// The value of an `equals`.
enum Equals {
    Number(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Equals {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Equals, D::Error> {
        struct Either;
        impl Visitor<'_> for Either {
            type Value = Equals;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number or a text")
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Equals, E> {
                Ok(Equals::Number(value as f64))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Equals, E> {
                Ok(Equals::Number(value as f64))
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Equals, E> {
                Ok(Equals::Number(value))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Equals, E> {
                Ok(Equals::Text(value.to_owned()))
            }
        }
        deserializer.deserialize_any(Either)
    }
}

/// The value of an `of`.
enum Of {
    One(Box<Condition>),
    Several(Vec<Condition>),
}

impl<'de> Deserialize<'de> for Of {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Of, D::Error> {
        struct Either;
        impl<'de> Visitor<'de> for Either {
            type Value = Of;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a condition or a list of conditions")
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Of, A::Error> {
                let one = Condition::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Of::One(Box::new(one)))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Of, A::Error> {
                Vec::deserialize(SeqAccessDeserializer::new(seq)).map(Of::Several)
            }
        }
        deserializer.deserialize_any(Either)
    }
}
