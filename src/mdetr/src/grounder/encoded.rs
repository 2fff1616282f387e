//! Queries with their encoded texts.

use std::sync::Arc;

use crate::bundle::Captions;
use crate::ground::packed::Words;
use crate::query::{Member, Pack, Packing, QuerySet, pack};
use crate::text::{TextEncoder, TextMemory, Tokens};

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
    pub text: String,
    pub memory: Arc<TextMemory>,
    pub queries: Asking,
}

/// Which queries a caption answers, by their places in the set.
#[derive(Debug, Clone)]
pub(super) enum Asking {
    /// Those with this text.
    Same(Vec<usize>),
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

/// Which queries are answered by which caption.
pub(super) fn packs(
    set: &QuerySet,
    packing: Packing,
    captions: Captions,
    encoder: &TextEncoder,
) -> Vec<Pack> {
    pack(set.queries(), packing, captions, |pack| {
        let tokens = encoder.tokenize("", &pack.caption);
        tokens.is_ok_and(|tokens| parts(pack, &tokens).is_some())
    })
}

/// The members and their words; `None` if one has none.
fn parts(pack: &Pack, tokens: &Tokens) -> Option<Vec<(usize, Words)>> {
    let words = |member: &Member| Words::new(&tokens.spans, member);
    let members = pack.members.iter();
    members
        .map(|member| Some((member.query, words(member)?)))
        .collect()
}

impl Caption {
    /// A pack that [`packs`] made, with its encoded caption.
    pub(super) fn new(pack: Pack, memory: Arc<TextMemory>) -> Caption {
        let queries = if pack.is_single() {
            Asking::Same(pack.members.iter().map(|member| member.query).collect())
        } else {
            let parts = parts(&pack, &memory.tokens);
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
