//! GQA's answers by head and class.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use crate::bounded;
use crate::entries::Entries;
use crate::error::ImportError;

/// Heads that answer in words.
const HEADS: [&str; 5] = [
    "answer_obj",
    "answer_rel",
    "answer_attr",
    "answer_cat",
    "answer_global",
];
const MAX_FILE: u64 = 16 << 20;

/// The answers.json of a bundle, from gqa_answer2id_by_type.json: class by answer by head.
pub fn words(path: &Path, entries: &Entries) -> Result<Vec<u8>, ImportError> {
    let wrong = |message: String| ImportError::Answers {
        path: path.to_owned(),
        message,
    };
    let bytes = bounded::read(path, MAX_FILE, wrong)?;
    let table: Map<String, Value> = serde_json::from_slice(&bytes)
        .map_err(|error| wrong(format!("expected a JSON object of heads, found: {error}")))?;
    let mut found = BTreeMap::new();
    for head in HEADS {
        let classes: u64 = entries
            .shape(&format!("{head}_head.bias"))?
            .iter()
            .product();
        let words = match table.get(head) {
            Some(Value::Object(ids)) => in_order(ids, classes).ok_or_else(|| {
                wrong(format!(
                    "{head}: expected the classes 0 to {} once each, found {} answers; use the file that belongs to the \
                     weights",
                    classes.saturating_sub(1),
                    ids.len()
                ))
            })?,
            _ => {
                let message = format!("{head}: expected a table of answers, found none");
                return Err(wrong(message));
            }
        };
        found.insert(head, words);
    }
    let mut json = serde_json::to_vec(&found).expect("words are JSON");
    json.push(b'\n');
    Ok(json)
}

/// Answers by class; `None` unless each of so many classes has one.
fn in_order(ids: &Map<String, Value>, classes: u64) -> Option<Vec<&str>> {
    if ids.len() as u64 != classes {
        return None;
    }
    let mut words = vec![None; ids.len()];
    for (word, id) in ids {
        let place = words.get_mut(usize::try_from(id.as_u64()?).ok()?)?;
        if place.replace(word.as_str()).is_some() {
            return None;
        }
    }
    words.into_iter().collect()
}
