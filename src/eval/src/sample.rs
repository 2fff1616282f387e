//! What a model is asked.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize};

/// Id of a sample: an entry, sentence, task or question of the truth.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct SampleId(String);

impl SampleId {
    /// The id as text; an integer in decimal.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl<T: fmt::Display> From<T> for SampleId {
    fn from(id: T) -> SampleId {
        SampleId(id.to_string())
    }
}

impl<'de> Deserialize<'de> for SampleId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SampleId, D::Error> {
        struct Visitor;
        impl serde::de::Visitor<'_> for Visitor {
            type Value = SampleId;
            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("a string or an integer")
            }
            fn visit_str<E>(self, id: &str) -> Result<SampleId, E> {
                Ok(SampleId(id.to_owned()))
            }
            fn visit_u64<E>(self, id: u64) -> Result<SampleId, E> {
                Ok(SampleId::from(id))
            }
            fn visit_i64<E>(self, id: i64) -> Result<SampleId, E> {
                Ok(SampleId::from(id))
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What a model is asked: a text about a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sample {
    /// Id of the sample among the predictions.
    pub id: SampleId,
    /// File of the picture, relative to the data set's directory of pictures.
    pub image: String,
    /// The caption, phrase or question, verbatim.
    pub text: String,
}
