//! The document of a group.

use mdetr_grounding::query::QueryEntry;
use mdetr_rules::document::{Line, Rule, Zone};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

use crate::config::{Camera, Document, schema};

/// What `schema` of a document says.
pub const SCHEMA: &str = "mdetr-fleet/1";
/// Most bytes of a document.
pub const MAX_BYTES: usize = 512 << 10;

/// What a group of programs watches for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FleetDocument {
    /// `mdetr-fleet/1`.
    pub schema: String,
    /// Rises with each change of the document.
    pub revision: u64,
    /// What all of the group watch for, but those that try the candidate.
    pub stable: Stable,
    /// What a share of the group tries.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub candidate: Option<Candidate>,
    /// What was stable before, to go back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(required = false)]
    pub previous: Option<Stable>,
}

/// What is watched for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Stable {
    /// Revision of the document that brought it.
    pub revision: u64,
    /// For which cameras what; of several that fit, the first.
    pub watch: Vec<Watch>,
}

/// What is tried.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Candidate {
    /// Revision of the document that brought it.
    pub revision: u64,
    /// Share of the group that tries it, 0 to 1. Which programs these are follows from their names and `revision`:
    /// those of a smaller share are among those of a larger one.
    pub share: f64,
    /// As that of `stable`.
    pub watch: Vec<Watch>,
}

/// What is watched for in some cameras. It takes the place of all that they watched for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Watch {
    /// Names of cameras, with `*` and `?`: `gate-*`.
    pub camera: String,
    /// Standing queries.
    #[serde(default, rename = "query", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::QueryEntry>)]
    pub queries: Vec<QueryEntry>,
    /// Zones.
    #[serde(default, rename = "zone", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Zone>)]
    pub zones: Vec<Zone>,
    /// Lines.
    #[serde(default, rename = "line", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Line>)]
    pub lines: Vec<Line>,
    /// Rules.
    #[serde(default, rename = "rule", skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<schema::Rule>)]
    pub rules: Vec<Rule>,
}

/// What one program of the group is to watch for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Release<'a> {
    /// Revision of the document that brought it.
    pub revision: u64,
    /// Whether it is tried only.
    pub is_candidate: bool,
    /// For which cameras what.
    pub watch: &'a [Watch],
}

impl FleetDocument {
    /// Reads a document.
    ///
    /// # Errors
    /// In words: what was expected and found.
    pub fn parse(json: &[u8]) -> Result<FleetDocument, String> {
        if json.len() > MAX_BYTES {
            let found = json.len();
            return Err(format!("expected at most {MAX_BYTES} bytes, found {found}"));
        }
        let mut deserializer = serde_json::Deserializer::from_slice(json);
        let document: FleetDocument = serde_path_to_error::deserialize(&mut deserializer)
            .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
        deserializer.end().map_err(|error| error.to_string())?;
        document.check()?;
        Ok(document)
    }

    fn check(&self) -> Result<(), String> {
        if self.schema != SCHEMA {
            let found = &self.schema;
            return Err(format!("schema: expected {SCHEMA:?}, found {found:?}"));
        }
        let mut parts = vec![("stable", self.stable.revision, &self.stable.watch)];
        if let Some(candidate) = &self.candidate {
            let share = candidate.share;
            if !(0.0..=1.0).contains(&share) {
                return Err(format!("candidate.share: expected 0 to 1, found {share}"));
            }
            parts.push(("candidate", candidate.revision, &candidate.watch));
        }
        if let Some(previous) = &self.previous {
            parts.push(("previous", previous.revision, &previous.watch));
        }
        for (place, revision, watch) in parts {
            if revision > self.revision {
                return Err(format!(
                    "{place}.revision: expected at most that of the document, {}, found {revision}",
                    self.revision
                ));
            }
            for (number, watch) in watch.iter().enumerate() {
                glob::Pattern::new(&watch.camera)
                    .map_err(|error| format!("{place}.watch[{number}].camera: {error}"))?;
            }
        }
        Ok(())
    }

    /// What the program of this name is to watch for.
    pub fn release(&self, device: &str) -> Release<'_> {
        match &self.candidate {
            Some(candidate) if place(candidate.revision, device) < candidate.share => Release {
                revision: candidate.revision,
                is_candidate: true,
                watch: &candidate.watch,
            },
            _ => Release {
                revision: self.stable.revision,
                is_candidate: false,
                watch: &self.stable.watch,
            },
        }
    }
}

/// Where a program stands between 0 and 1 among those that may try a candidate.
fn place(revision: u64, device: &str) -> f64 {
    let digest = Sha256::digest(format!("{revision}/{device}"));
    let head = digest.first_chunk().expect("a digest has 32 bytes");
    // Below 1 after rounding, too.
    (u64::from_be_bytes(*head) >> 11) as f64 / (1_u64 << 53) as f64
}

impl Watch {
    /// Lets a camera watch for this and nothing else.
    pub(super) fn give(&self, camera: &mut Camera) {
        camera.queries.clone_from(&self.queries);
        camera.zones.clone_from(&self.zones);
        camera.lines.clone_from(&self.lines);
        camera.rules.clone_from(&self.rules);
    }
}

impl Release<'_> {
    /// Gives the cameras of a configuration what they are to watch for. Those that no pattern fits stay as they are.
    pub fn apply(&self, document: &mut Document) {
        let patterns: Vec<_> = self
            .watch
            .iter()
            .filter_map(|watch| Some((glob::Pattern::new(&watch.camera).ok()?, watch)))
            .collect();
        for camera in &mut document.cameras {
            let fitting = patterns
                .iter()
                .find(|(pattern, _)| pattern.matches(&camera.name));
            if let Some((_, watch)) = fitting {
                watch.give(camera);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::config::parse_toml;

    fn watch(camera: &str, text: &str) -> Watch {
        serde_json::from_value(serde_json::json!({
            "camera": camera,
            "query": [{ "id": "q", "text": text }],
        }))
        .unwrap()
    }

    fn document() -> FleetDocument {
        FleetDocument {
            schema: SCHEMA.to_owned(),
            revision: 7,
            stable: Stable {
                revision: 5,
                watch: vec![watch("gate-*", "a truck"), watch("*", "a person")],
            },
            candidate: Some(Candidate {
                revision: 7,
                share: 0.25,
                watch: vec![watch("*", "a dog")],
            }),
            previous: None,
        }
    }

    #[test]
    fn the_first_pattern_that_fits_counts() {
        let text = "data = \"x\"\n[[camera]]\nname = \"gate-1\"\nurl = \"tabletop://\"\n\
                    [[camera]]\nname = \"yard\"\nurl = \"tabletop://\"\n";
        let mut config = parse_toml(text).unwrap();
        let fleet = document();
        let release = Release {
            revision: 5,
            is_candidate: false,
            watch: &fleet.stable.watch,
        };
        release.apply(&mut config);
        let texts: Vec<&str> = config
            .cameras
            .iter()
            .map(|camera| camera.queries[0].text.as_str())
            .collect();
        assert_eq!(texts, ["a truck", "a person"]);
        let before = config.clone();
        Release {
            watch: &[watch("other", "a cat")],
            ..release
        }
        .apply(&mut config);
        assert_eq!(config, before);
    }

    #[test]
    fn a_share_of_the_group_tries_the_candidate() {
        let fleet = document();
        let devices: Vec<String> = (0..2000).map(|number| format!("site-{number}")).collect();
        let tries = |share| {
            let mut fleet = fleet.clone();
            fleet.candidate.as_mut().unwrap().share = share;
            let chosen = devices
                .iter()
                .filter(|device| fleet.release(device).is_candidate);
            chosen.cloned().collect::<Vec<_>>()
        };
        let (few, many) = (tries(0.25), tries(0.5));
        assert!((400..600).contains(&few.len()), "{}", few.len());
        assert!(few.iter().all(|device| many.contains(device)));
        assert_eq!((tries(0.0).len(), tries(1.0).len()), (0, 2000));
        // Another candidate is tried by others.
        let mut later = fleet.clone();
        later.candidate.as_mut().unwrap().revision = 6;
        let others = devices
            .iter()
            .filter(|device| later.release(device).is_candidate);
        assert!(others.filter(|device| few.contains(device)).count() < 200);
    }

    #[test]
    fn what_is_wrong_is_named() {
        type Change = fn(&mut serde_json::Value);
        let good = serde_json::to_value(document()).unwrap();
        let parse = |change: Change| {
            let mut value = good.clone();
            change(&mut value);
            FleetDocument::parse(value.to_string().as_bytes())
        };
        assert_eq!(parse(|_| ()).unwrap(), document());
        let wrong: [(Change, &str); 6] = [
            (
                |v| v["schema"] = "x".into(),
                "schema: expected \"mdetr-fleet/1\"",
            ),
            (
                |v| v["candidate"]["share"] = 1.5.into(),
                "candidate.share: expected 0 to 1, found 1.5",
            ),
            (
                |v| v["stable"]["revision"] = 8.into(),
                "stable.revision: expected at most that of the document, 7, found 8",
            ),
            (
                |v| v["stable"]["watch"][0]["camera"] = "a***".into(),
                "stable.watch[0].camera: ",
            ),
            (
                |v| v["stable"]["watch"][0]["query"][0]["txt"] = 1.into(),
                "stable.watch[0]",
            ),
            (|v| v["more"] = 1.into(), "unknown field `more`"),
        ];
        for (change, expected) in wrong {
            let message = parse(change).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let long = vec![b' '; MAX_BYTES + 1];
        assert!(FleetDocument::parse(&long).unwrap_err().contains("bytes"));
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_strange(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = FleetDocument::parse(&bytes);
        }

        #[test]
        fn spoilt_documents_are_refused_or_taken(at in 0_usize..400, byte: u8) {
            let mut bytes = serde_json::to_vec(&document()).unwrap();
            let at = at % bytes.len();
            bytes[at] = byte;
            if let Ok(found) = FleetDocument::parse(&bytes) {
                found.release("site-1");
            }
        }
    }
}
