//! Queries with their encoded texts.

use std::sync::Arc;

use mdetr_grounding::{QuerySet, Span};

use crate::bundle::Captions;
use crate::decode::packed::Words;
use crate::pack::{Member, Pack, Packing, pack};
use crate::text::{Normalised, TextEncoder, TextMemory, Tokens};

/// Queries with their encoded texts, ready to be answered: [`Grounder::encode`](super::Grounder::encode).
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    pub(super) set: Arc<QuerySet>,
    /// Shorter ones first, so that neighbours can be fused in one run.
    pub(super) captions: Vec<Caption>,
}

/// A text that is fused with a frame, and the queries that it answers.
#[derive(Debug, Clone)]
pub(super) struct Caption {
    /// As the tokenizer takes it.
    pub text: String,
    pub memory: Arc<TextMemory>,
    pub queries: Asking,
}

/// Which queries a caption answers, by their places in the set, and its tokens' places in their texts.
#[derive(Debug, Clone)]
pub(super) enum Asking {
    /// Those with this text.
    Same(Vec<(usize, Vec<Option<Span>>)>),
    /// Those whose texts are parts of it.
    Parts(Vec<(usize, Words)>),
}

impl Encoded {
    pub(super) fn new(set: Arc<QuerySet>, mut captions: Vec<Caption>) -> Encoded {
        captions.sort_by_key(Caption::length);
        Encoded { set, captions }
    }

    /// The queries.
    pub fn queries(&self) -> &QuerySet {
        &self.set
    }
}

/// Which queries are answered by which caption; `texts` are theirs.
pub(super) fn packs(
    set: &QuerySet,
    texts: &[Normalised],
    packing: Packing,
    captions: Captions,
    encoder: &TextEncoder,
) -> Vec<Pack> {
    let normal: Vec<&str> = texts.iter().map(Normalised::text).collect();
    pack(set.queries(), &normal, packing, captions, |pack| {
        let tokens = encoder.tokenize("", &pack.caption);
        tokens.is_ok_and(|tokens| parts(pack, &tokens, texts).is_some())
    })
}

/// The members and their words; `None` if one has none.
fn parts(pack: &Pack, tokens: &Tokens, texts: &[Normalised]) -> Option<Vec<(usize, Words)>> {
    let words = |member: &Member| {
        let words = Words::new(&tokens.spans, member)?;
        Some(words.placed(|span| texts[member.query].typed(span)))
    };
    let members = pack.members.iter();
    members
        .map(|member| Some((member.query, words(member)?)))
        .collect()
}

impl Caption {
    /// A pack that [`packs`] made of `texts`, with its encoded caption.
    pub(super) fn new(pack: Pack, texts: &[Normalised], memory: Arc<TextMemory>) -> Caption {
        let queries = if pack.is_single() {
            let placed = |query: usize| {
                let spans = memory.tokens.spans.iter();
                let typed = |span: &Option<Span>| span.map(|span| texts[query].typed(span));
                (query, spans.map(typed).collect())
            };
            let queries = pack.members.iter().map(|member| placed(member.query));
            Asking::Same(queries.collect())
        } else {
            let parts = parts(&pack, &memory.tokens, texts);
            Asking::Parts(parts.expect("queries without words are not joined"))
        };
        Caption {
            text: pack.caption,
            memory,
            queries,
        }
    }

    /// Tokens of the text.
    pub(super) fn length(&self) -> usize {
        self.memory.tokens.ids.len()
    }
}
