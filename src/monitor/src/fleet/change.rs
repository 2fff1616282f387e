//! Changes of a group's document.

use std::path::Path;

use gstmdetr::text_file;
use serde::Deserialize;

use super::document::{Candidate, FleetDocument, MAX_BYTES, SCHEMA, Stable, Watch};
use crate::config::{Camera, Document, check, parse_toml};

/// A change of a group's document.
#[derive(Debug, Clone, PartialEq)]
pub enum Change {
    /// Something new: for all, or for a share of the group that tries it.
    Publish {
        /// What is watched for.
        watch: Vec<Watch>,
        /// The share; all without.
        share: Option<f64>,
    },
    /// Another share of the group tries the candidate.
    Share(f64),
    /// The candidate is for all.
    Promote,
    /// The candidate is given up; without one, what was stable before is stable again.
    RollBack,
}

impl Change {
    /// The document after a change of the one before, if there was one.
    ///
    /// # Errors
    /// In words: why that cannot be.
    pub fn of(self, before: Option<FleetDocument>) -> Result<FleetDocument, String> {
        let Some(before) = before else {
            return match self {
                Change::Publish { watch, share: None } => Ok(FleetDocument {
                    schema: SCHEMA.to_owned(),
                    revision: 1,
                    stable: Stable { revision: 1, watch },
                    candidate: None,
                    previous: None,
                }),
                Change::Publish { share: Some(_), .. } => Err(
                    "nothing is stable yet: publish something for all of the group first"
                        .to_owned(),
                ),
                _ => Err("the group has no document yet: publish one first".to_owned()),
            };
        };
        let revision = before.revision + 1;
        let after = FleetDocument {
            revision,
            ..before.clone()
        };
        let none = || "the group tries no candidate: publish one with --share".to_owned();
        let after = match self {
            Change::Publish { watch, share: None } => FleetDocument {
                stable: Stable { revision, watch },
                candidate: None,
                previous: Some(before.stable),
                ..after
            },
            Change::Publish {
                watch,
                share: Some(share),
            } => FleetDocument {
                candidate: Some(Candidate {
                    revision,
                    share,
                    watch,
                }),
                ..after
            },
            Change::Share(share) => {
                let candidate = before.candidate.ok_or_else(none)?;
                FleetDocument {
                    candidate: Some(Candidate { share, ..candidate }),
                    ..after
                }
            }
            Change::Promote => {
                let candidate = before.candidate.ok_or_else(none)?;
                FleetDocument {
                    stable: Stable {
                        revision: candidate.revision,
                        watch: candidate.watch,
                    },
                    candidate: None,
                    previous: Some(before.stable),
                    ..after
                }
            }
            Change::RollBack if before.candidate.is_some() => FleetDocument {
                candidate: None,
                ..after
            },
            Change::RollBack => FleetDocument {
                stable: before
                    .previous
                    .ok_or("nothing was stable before: there is nothing to go back to")?,
                previous: Some(before.stable),
                ..after
            },
        };
        // As the programs of the group will read it.
        FleetDocument::parse(&after.to_json())
    }
}

impl FleetDocument {
    /// As it is retained.
    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("a document always serialises")
    }
}

/// What a file says that a group is to watch for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct WatchFile {
    watch: Vec<Watch>,
}

/// Reads what is to be watched for from a TOML file with tables `[[watch]]`, and checks it as a program would.
///
/// # Errors
/// In words: the file, the place, what was expected and found.
pub fn read_watch(path: &Path) -> Result<Vec<Watch>, String> {
    let place = path.display();
    let text = match text_file::read(path, MAX_BYTES as u64) {
        Ok(Some(text)) => text,
        Ok(None) => return Err(format!("{place}: expected at most {MAX_BYTES} bytes")),
        Err(error) => return Err(format!("{place}: cannot be read: {error}")),
    };
    let file: WatchFile = toml::from_str(&text)
        .map_err(|error| format!("{place}: {}", error.to_string().trim_end()))?;
    for (number, watch) in file.watch.iter().enumerate() {
        let faults = check(&trial(watch));
        if let Some(fault) = faults.first() {
            let pattern = &watch.camera;
            return Err(format!("{place}: watch {number} ({pattern:?}): {fault}"));
        }
    }
    Ok(file.watch)
}

/// A configuration with one camera that watches for it.
fn trial(watch: &Watch) -> Document {
    let mut document = parse_toml("data = \"x\"").expect("it is a configuration");
    let mut camera = Camera::new("any".to_owned(), "tabletop://".to_owned());
    watch.give(&mut camera);
    document.cameras.push(camera);
    document
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watch(text: &str) -> Vec<Watch> {
        let query = serde_json::json!([{ "id": "q", "text": text }]);
        vec![serde_json::from_value(serde_json::json!({ "camera": "*", "query": query })).unwrap()]
    }

    fn publish(text: &str, share: Option<f64>) -> Change {
        let watch = watch(text);
        Change::Publish { watch, share }
    }

    #[test]
    fn a_candidate_becomes_stable_or_is_given_up() {
        let first = publish("a dog", None).of(None).unwrap();
        assert_eq!((first.revision, first.stable.revision), (1, 1));
        let tried = publish("a cat", Some(0.1)).of(Some(first.clone())).unwrap();
        assert_eq!(tried.stable, first.stable);
        let more = Change::Share(0.5).of(Some(tried.clone())).unwrap();
        let candidate = more.candidate.clone().unwrap();
        // The same candidate, so that those who try it go on.
        assert_eq!(
            (more.revision, candidate.revision, candidate.share),
            (3, 2, 0.5)
        );
        let all = Change::Promote.of(Some(more.clone())).unwrap();
        assert_eq!((all.revision, all.stable.revision), (4, 2));
        assert_eq!(all.stable.watch, watch("a cat"));
        assert!(all.candidate.is_none());
        let back = Change::RollBack.of(Some(all)).unwrap();
        assert_eq!((back.revision, &back.stable), (5, &first.stable));
        let given_up = Change::RollBack.of(Some(more)).unwrap();
        assert_eq!(given_up.stable, first.stable);
        assert!(given_up.candidate.is_none());
    }

    #[test]
    fn what_cannot_be_is_told() {
        let first = publish("a dog", None).of(None).unwrap();
        for (change, before, expected) in [
            (Change::Promote, None, "publish one first"),
            (publish("a cat", Some(0.1)), None, "nothing is stable yet"),
            (Change::Promote, Some(&first), "tries no candidate"),
            (Change::Share(0.1), Some(&first), "tries no candidate"),
            (Change::RollBack, Some(&first), "nothing to go back to"),
            (publish("a cat", Some(1.5)), Some(&first), "candidate.share"),
        ] {
            let error = change.of(before.cloned()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn files_are_checked_before_they_are_published() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("gates.toml");
        let read = |text: &str| {
            std::fs::write(&path, text).unwrap();
            read_watch(&path)
        };
        let good = "[[watch]]\ncamera = \"*\"\n[[watch.query]]\nid = \"q\"\ntext = \"a dog\"\n";
        assert_eq!(read(good).unwrap(), watch("a dog"));
        let rule = "[[watch.rule]]\nid = \"r\"\nwhen = { is = \"present\", query = \"other\" }\n";
        let error = read(&format!("{good}{rule}")).unwrap_err();
        assert!(
            error.contains("watch 0 (\"*\")") && error.contains("other"),
            "{error}"
        );
        let error = read("[[watch]]\ncam = 1\n").unwrap_err();
        assert!(
            error.contains("gates.toml") && error.contains("cam"),
            "{error}"
        );
        assert!(
            read_watch(&directory.path().join("no"))
                .unwrap_err()
                .contains("cannot be read")
        );
    }
}
