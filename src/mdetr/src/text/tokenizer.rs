//! Query text to token ids and their places in the text.

use std::path::Path;

use mdetr_engine::guard;
use mdetr_grounding::query::excerpt;
use mdetr_grounding::{QueryError, Span};
use tokenizers::Tokenizer;

use crate::bundle::BundleError;

/// A tokenised text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tokens {
    pub ids: Vec<i64>,
    /// For each token its code points without surrounding white space, so none for white space;
    /// `None` for special tokens.
    pub spans: Vec<Option<Span>>,
}

#[derive(Debug)]
pub(crate) struct TextTokenizer {
    tokenizer: Tokenizer,
    max_tokens: usize,
}

impl TextTokenizer {
    /// From the bytes of the `tokenizer.json` at `path`; sequences over `max_tokens` are refused.
    pub(crate) fn new(
        path: &Path,
        json: &[u8],
        max_tokens: usize,
    ) -> Result<TextTokenizer, BundleError> {
        let mut tokenizer =
            guard(|| Tokenizer::from_bytes(json)).map_err(|message| BundleError::Tokenizer {
                path: path.to_owned(),
                message,
            })?;
        tokenizer.with_padding(None);
        tokenizer
            .with_truncation(None)
            .map_err(|e| BundleError::Tokenizer {
                path: path.to_owned(),
                message: e.to_string(),
            })?;
        // "</s>" typed by a user is four characters, not the end of the sequence.
        tokenizer.set_encode_special_tokens(true);
        Ok(TextTokenizer {
            tokenizer,
            max_tokens,
        })
    }

    /// `id` is that of a query, for messages.
    pub(crate) fn tokenize(&self, id: &str, text: &str) -> Result<Tokens, QueryError> {
        let encoding =
            guard(|| self.tokenizer.encode_char_offsets(text, true)).map_err(|message| {
                QueryError::Tokenizer {
                    id: id.to_owned(),
                    excerpt: excerpt(text),
                    message,
                }
            })?;
        let found = encoding.len();
        if found > self.max_tokens {
            return Err(QueryError::TooManyTokens {
                id: id.to_owned(),
                excerpt: excerpt(text),
                max: self.max_tokens,
                found,
            });
        }
        let characters: Vec<char> = text.chars().collect();
        let spans = encoding
            .get_offsets()
            .iter()
            .zip(encoding.get_special_tokens_mask())
            .map(|(&(start, end), &special)| {
                (special == 0).then(|| visible(&characters, start, end))
            })
            .collect();
        Ok(Tokens {
            ids: encoding.get_ids().iter().map(|&id| id.into()).collect(),
            spans,
        })
    }
}

/// The range without white space at its ends; empty if nothing is left.
fn visible(characters: &[char], start: usize, end: usize) -> Span {
    let is_visible = |position: &usize| !characters[*position].is_whitespace();
    let end = end.min(characters.len());
    let first = (start..end).find(is_visible).unwrap_or(end);
    let last = (first..end)
        .rfind(is_visible)
        .map_or(first, |last| last + 1);
    Span {
        start: first as u32,
        end: last as u32,
    }
}
