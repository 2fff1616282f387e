//! Whether a file is the model's tokenizer.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

/// Most bytes of a tokenizer.
pub(crate) const MAX_BYTES: usize = 64 << 20;

#[derive(Deserialize)]
struct File {
    model: Model,
    #[serde(default)]
    added_tokens: Vec<Added>,
}

#[derive(Deserialize)]
struct Model {
    vocab: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
struct Added {
    content: String,
}

/// Checks that a `tokenizer.json` has this many tokens.
///
/// # Errors
/// In words: what was expected and found.
pub(crate) fn check(json: &[u8], vocabulary: usize) -> Result<(), String> {
    let file: File = serde_json::from_slice(json)
        .map_err(|error| format!("not a tokenizer.json of Hugging Face's tokenizers: {error}"))?;
    let added = file.added_tokens.iter().map(|token| &token.content);
    let tokens: BTreeSet<&String> = file.model.vocab.keys().chain(added).collect();
    match tokens.len() == vocabulary {
        true => Ok(()),
        false => Err(format!(
            "expected {vocabulary} tokens, found {}",
            tokens.len()
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_counted_once() {
        let json = br#"{"version": "1.0", "added_tokens": [{"id": 0, "content": "<s>"}, {"id": 3, "content": "<x>"}],
            "model": {"type": "BPE", "vocab": {"<s>": 0, "a": 1, "b": 2}, "merges": []}}"#;
        assert_eq!(check(json, 4), Ok(()));
        let error = check(json, 50265).unwrap_err();
        assert!(error.contains("expected 50265 tokens, found 4"), "{error}");
        for nonsense in [&b"<html>"[..], b"{}", b"{\"model\": {\"vocab\": [1]}}", b""] {
            let error = check(nonsense, 4).unwrap_err();
            assert!(error.contains("not a tokenizer.json"), "{error}");
        }
    }
}
