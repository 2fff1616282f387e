//! Which queries share one caption.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use mdetr_engine::OptionError;
use mdetr_grounding::{Query, Span};

use crate::bundle::Captions;

/// Which standing queries are joined into one caption, "a forklift. a ladder. a dog." (or as the bundle's
/// manifest says), that is fused with the frame once for all of them. This takes less time, and it costs
/// accuracy.
///
/// A detection of the caption is handed to every query whose words it answers to. Its score is
/// (1 - p(no object)) 2r / (1 + r), where r is the geometric mean of the probabilities of the query's
/// words over that of the query which has most. The network learns to spread an object's probability
/// evenly over all words that mean it: if one query means it and another one does with probability
/// q, the latter's words get r = q / (2 - q) of the former's. So a query alone, and whichever has most,
/// has the score 1 - p(no object). Where a text has several noun phrases, the one with most counts.
///
/// Questions are never joined, nor are more texts than the model has tokens for: the rest
/// go into further captions. Queries with the same text share their place in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Packing {
    /// None: each is fused by itself.
    #[default]
    None,
    /// Those that only name things, in English: without a word of relation ("left of", "behind", "on",
    /// "with", "holding" ...), and without text outside the target.
    Simple,
    /// All but questions.
    All,
}

impl Packing {
    /// All kinds.
    pub const ALL: &[Packing] = &[Packing::None, Packing::Simple, Packing::All];

    /// Its name in properties, options and messages.
    pub const fn name(self) -> &'static str {
        match self {
            Packing::None => "none",
            Packing::Simple => "simple",
            Packing::All => "all",
        }
    }

    /// Whether `query` may be joined with others.
    pub fn takes(self, query: &Query) -> bool {
        match self {
            Packing::None => false,
            _ if query.is_question() => false,
            Packing::Simple => is_simple(query),
            Packing::All => true,
        }
    }
}

impl fmt::Display for Packing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Packing {
    type Err = OptionError;

    fn from_str(name: &str) -> Result<Packing, OptionError> {
        let found = Packing::ALL.iter().find(|kind| kind.name() == name);
        found.copied().ok_or_else(|| OptionError {
            option: "pack-queries",
            expected: "none, simple or all",
            found: name.to_owned(),
        })
    }
}

/// Queries with one caption.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pack {
    /// The text of one query, or the texts of several, without the full stops at their ends and joined.
    pub caption: String,
    pub members: Vec<Member>,
}

/// A query of a pack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// Its place among all queries.
    pub query: usize,
    /// Where its text is in the caption, perhaps without the full stop at its end.
    pub span: Span,
    /// Where the noun phrases of its text are in the caption; perhaps none.
    pub phrases: Vec<Span>,
}

impl Pack {
    fn of(index: usize, text: &str) -> Pack {
        Pack {
            caption: text.to_owned(),
            members: vec![Member::at(0, index, text)],
        }
    }

    /// Whether all members have the same text, which is the caption.
    pub(crate) fn is_single(&self) -> bool {
        let first = self.members.first().map(|member| member.span);
        self.members.iter().all(|member| Some(member.span) == first)
    }

    /// This pack and the query at `index`.
    fn with(&self, index: usize, texts: &[&str], captions: Captions) -> Pack {
        let same = |member: &&Member| texts[member.query] == texts[index];
        if let Some(twin) = self.members.iter().find(same) {
            let twin = Member {
                query: index,
                ..twin.clone()
            };
            let members = self.members.iter().cloned().chain([twin]);
            return Pack {
                caption: self.caption.clone(),
                members: members.collect(),
            };
        }
        let (between, end) = match captions {
            Captions::Sentences => (". ", "."),
            Captions::List => (", ", ""),
        };
        let mut caption = String::new();
        let mut members: Vec<Member> = Vec::new();
        for member in &self.members {
            let before = self.members[..members.len()]
                .iter()
                .position(|before| before.span == member.span);
            let member = match before {
                Some(twin) => Member {
                    query: member.query,
                    ..members[twin].clone()
                },
                None => Member::append(&mut caption, between, member.query, texts),
            };
            members.push(member);
        }
        members.push(Member::append(&mut caption, between, index, texts));
        Pack {
            caption: caption + end,
            members,
        }
    }
}

impl Member {
    fn append(caption: &mut String, between: &str, query: usize, texts: &[&str]) -> Member {
        if !caption.is_empty() {
            caption.push_str(between);
        }
        let text = texts[query];
        let bare = text.trim_end_matches('.');
        let text = if bare.is_empty() { text } else { bare };
        let start = caption.chars().count() as u32;
        caption.push_str(text);
        Member::at(start, query, text)
    }

    fn at(start: u32, query: usize, text: &str) -> Member {
        let moved = |span: Span| Span {
            start: span.start + start,
            end: span.end + start,
        };
        let whole = Span {
            start: 0,
            end: text.chars().count() as u32,
        };
        Member {
            query,
            span: moved(whole),
            phrases: noun_phrases(text).into_iter().map(moved).collect(),
        }
    }
}

/// Every query in exactly one pack. `texts` are theirs as the tokenizer takes them; `fits` says whether a
/// pack of several is within the model's limits.
pub(crate) fn pack(
    queries: &[Arc<Query>],
    texts: &[&str],
    packing: Packing,
    captions: Captions,
    fits: impl Fn(&Pack) -> bool,
) -> Vec<Pack> {
    let mut packs: Vec<Pack> = Vec::new();
    let mut open: Option<usize> = None;
    for (index, query) in queries.iter().enumerate() {
        let joined = open
            .filter(|_| packing.takes(query))
            .map(|at| (at, packs[at].with(index, texts, captions)))
            .filter(|(_, pack)| fits(pack));
        if let Some((at, pack)) = joined {
            packs[at] = pack;
            continue;
        }
        if packing.takes(query) {
            open = Some(packs.len());
        }
        packs.push(Pack::of(index, texts[index]));
    }
    packs
}

/// Words that relate a thing to another one. What is taken for one by mistake costs time, not accuracy.
const RELATIONS: &[&str] = &[
    // Prepositions.
    "about",
    "above",
    "across",
    "after",
    "against",
    "along",
    "alongside",
    "amid",
    "among",
    "amongst",
    "around",
    "as",
    "at",
    "atop",
    "before",
    "behind",
    "below",
    "beneath",
    "beside",
    "besides",
    "between",
    "beyond",
    "by",
    "down",
    "except",
    "for",
    "from",
    "in",
    "inside",
    "into",
    "like",
    "near",
    "of",
    "off",
    "on",
    "onto",
    "opposite",
    "out",
    "outside",
    "over",
    "past",
    "than",
    "through",
    "to",
    "toward",
    "towards",
    "under",
    "underneath",
    "up",
    "upon",
    "via",
    "with",
    "within",
    "without",
    // Places.
    "adjacent",
    "close",
    "closer",
    "closest",
    "far",
    "farther",
    "farthest",
    "front",
    "left",
    "leftmost",
    "nearer",
    "nearest",
    "next",
    "right",
    "rightmost",
    // Clauses.
    "are",
    "has",
    "have",
    "having",
    "is",
    "no",
    "not",
    "that",
    "where",
    "which",
    "while",
    "who",
    "whose",
    // Verbs with an object.
    "carrying",
    "catching",
    "chasing",
    "containing",
    "covering",
    "crossing",
    "cutting",
    "drinking",
    "driving",
    "eating",
    "entering",
    "facing",
    "feeding",
    "following",
    "hitting",
    "holding",
    "hugging",
    "kicking",
    "leaving",
    "lifting",
    "pulling",
    "pushing",
    "reading",
    "riding",
    "supporting",
    "throwing",
    "touching",
    "using",
    "watching",
    "wearing",
];

/// Words between noun phrases of a list.
const CONJUNCTIONS: &[&str] = &["and", "or", "plus"];

const ARTICLES: &[&str] = &["a", "an", "the"];

/// Whether a query only names things.
fn is_simple(query: &Query) -> bool {
    let whole = Span {
        start: 0,
        end: query.text().chars().count() as u32,
    };
    let related =
        |piece: Piece| matches!(piece, Piece::Word(_, word) if RELATIONS.contains(&word.as_str()));
    matches!(query.targets(), [] | [_])
        && query.targets().iter().all(|target| *target == whole)
        && !pieces(query.text()).into_iter().any(related)
}

#[derive(Debug)]
enum Piece {
    /// In lower case.
    Word(Span, String),
    Punctuation,
}

fn pieces(text: &str) -> Vec<Piece> {
    const IN_WORDS: [char; 3] = ['-', '\'', '_'];
    const WIDE: [char; 4] = ['、', '。', '，', '；'];
    let mut pieces = Vec::new();
    let mut word: Option<(u32, String)> = None;
    for (at, character) in (0..).zip(text.chars()) {
        let punctuation = (character.is_ascii_punctuation() && !IN_WORDS.contains(&character))
            || WIDE.contains(&character);
        if !punctuation && !character.is_whitespace() {
            let (_, word) = word.get_or_insert_with(|| (at, String::new()));
            word.extend(character.to_lowercase());
            continue;
        }
        let ended = word.take();
        pieces.extend(ended.map(|(start, word)| Piece::Word(Span { start, end: at }, word)));
        if punctuation {
            pieces.push(Piece::Punctuation);
        }
    }
    let end = text.chars().count() as u32;
    pieces.extend(word.map(|(start, word)| Piece::Word(Span { start, end }, word)));
    pieces
}

fn separates(word: &str) -> bool {
    RELATIONS.contains(&word) || CONJUNCTIONS.contains(&word)
}

/// What is left of a text between words of relation, conjunctions and punctuation.
fn noun_phrases(text: &str) -> Vec<Span> {
    let mut phrases: Vec<Span> = Vec::new();
    let mut open: Option<(Span, bool)> = None;
    let mut close = |open: &mut Option<(Span, bool)>| {
        let named = open.take().filter(|(_, named)| *named);
        phrases.extend(named.map(|(span, _)| span));
    };
    for piece in pieces(text) {
        match piece {
            Piece::Word(span, word) if !separates(&word) => {
                let named = !ARTICLES.contains(&word.as_str());
                let (so_far, before) = open.unwrap_or((span, false));
                let span = Span {
                    end: span.end,
                    ..so_far
                };
                open = Some((span, before || named));
            }
            _ => close(&mut open),
        }
    }
    close(&mut open);
    phrases
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn query(source: &str) -> Arc<Query> {
        Arc::new(Query::parse("q", source).unwrap())
    }

    fn queries(sources: &[&str]) -> Vec<Arc<Query>> {
        sources.iter().map(|source| query(source)).collect()
    }

    fn packed(
        asked: &[Arc<Query>],
        packing: Packing,
        captions: Captions,
        fits: impl Fn(&Pack) -> bool,
    ) -> Vec<Pack> {
        let texts: Vec<&str> = asked.iter().map(|query| query.text()).collect();
        pack(asked, &texts, packing, captions, fits)
    }

    fn captions(packs: &[Pack]) -> Vec<&str> {
        packs.iter().map(|pack| pack.caption.as_str()).collect()
    }

    #[test]
    fn relations_questions_and_targets_are_told_apart() {
        let simple = [
            "a forklift",
            "the big red ball",
            "all small rubber things",
            "[a dog]",
            "[ a dog ]",
            "a cube, a ball and two cones",
            "Rollerblades",
            "a right-handed glove",
            "左の赤い玉",
        ];
        let related = [
            "a ball left of a cube",
            "a ball to the Right of a cube",
            "a person without a helmet",
            "[a person] holding a phone",
            "a dog on the sofa",
            "a dog, under the table",
            "the cup next to it",
            "a man who smokes",
            "[a dog] barking",
            "[a dog] and [a cat]",
        ];
        for source in simple {
            assert!(Packing::Simple.takes(&query(source)), "{source}");
        }
        for source in related {
            assert!(!Packing::Simple.takes(&query(source)), "{source}");
            assert!(Packing::All.takes(&query(source)), "{source}");
        }
        for kind in Packing::ALL {
            assert!(!kind.takes(&query("is there a dog?")), "{kind}");
        }
        assert!(!Packing::None.takes(&query("a dog")));
    }

    #[test]
    fn simple_queries_become_sentences_of_a_caption() {
        let asked = queries(&[
            "a forklift",
            "a dog on a sofa",
            "a ladder.",
            "how many dogs are there?",
            "ein Würfel",
            "a ladder.",
        ]);
        let packs = packed(&asked, Packing::Simple, Captions::Sentences, |_| true);
        assert_eq!(
            captions(&packs),
            [
                "a forklift. a ladder. ein Würfel.",
                "a dog on a sofa",
                "how many dogs are there?"
            ]
        );
        let members: Vec<(usize, &str)> = packs[0]
            .members
            .iter()
            .map(|member| (member.query, member.span.slice(&packs[0].caption)))
            .collect();
        let expected = [
            (0, "a forklift"),
            (2, "a ladder"),
            (4, "ein Würfel"),
            (5, "a ladder"),
        ];
        assert_eq!(members, expected);
        let packs = packed(&asked, Packing::Simple, Captions::List, |_| true);
        assert_eq!(packs[0].caption, "a forklift, a ladder, ein Würfel");
        let packs = packed(&asked, Packing::None, Captions::Sentences, |_| true);
        let texts: Vec<&str> = asked.iter().map(|query| query.text()).collect();
        assert_eq!(captions(&packs), texts);
    }

    #[test]
    fn what_does_not_fit_begins_a_new_caption() {
        let asked = queries(&["a dog", "a cat", "a very long story", "a cow", "a pig"]);
        let fits = |pack: &Pack| pack.caption.len() <= 16;
        let packs = packed(&asked, Packing::Simple, Captions::Sentences, fits);
        assert_eq!(
            captions(&packs),
            ["a dog. a cat.", "a very long story", "a cow. a pig."]
        );
    }

    #[test]
    fn one_text_alone_stays_as_it_is() {
        let packs = packed(
            &queries(&["a dog.", "a dog."]),
            Packing::All,
            Captions::List,
            |_| true,
        );
        assert_eq!(captions(&packs), ["a dog."]);
        assert!(packs[0].is_single());
        assert_eq!(packs[0].members.len(), 2);
    }

    #[test]
    fn noun_phrases_stand_between_the_other_words() {
        let found = |text: &str| -> Vec<String> {
            let phrases = noun_phrases(text);
            phrases.iter().map(|s| s.slice(text).to_owned()).collect()
        };
        let cases: [(&str, &[&str]); 6] = [
            ("the big red ball", &["the big red ball"]),
            ("a ball to the left of the cube", &["a ball", "the cube"]),
            (
                "A cube, a ball and two cones.",
                &["A cube", "a ball", "two cones"],
            ),
            ("a größerer Würfel on 机", &["a größerer Würfel", "机"]),
            ("inside the", &[]),
            ("...", &[]),
        ];
        for (text, expected) in cases {
            assert_eq!(found(text), expected, "{text}");
        }
    }

    #[test]
    fn kinds_are_known_by_their_names() {
        for kind in Packing::ALL {
            assert_eq!(kind.name().parse::<Packing>().unwrap(), *kind);
        }
        let message = "some".parse::<Packing>().unwrap_err().to_string();
        assert!(
            message.contains("expected none, simple or all"),
            "{message}"
        );
    }

    fn any_query() -> impl Strategy<Value = String> {
        let word = prop::sample::select(vec![
            "a",
            "the",
            "dog",
            "Würfel",
            "red",
            "on",
            "left of",
            "and",
            "cat.",
            "赤い玉",
            "[[x",
        ]);
        let words = prop::collection::vec(word, 1..6).prop_map(|words| words.join(" "));
        let words = (words, prop::sample::select(vec!["", "?", ".", "!"]));
        prop_oneof![words.prop_map(|(words, end)| words + end), "\\PC{1,12}"]
    }

    proptest! {
        #[test]
        fn every_query_is_in_one_pack_with_its_text(
            sources in prop::collection::vec(any_query(), 0..12),
            most in 0usize..80,
            packing in prop::sample::select(Packing::ALL.to_vec()),
            sentences in any::<bool>(),
        ) {
            let style = if sentences { Captions::Sentences } else { Captions::List };
            let parsed = sources.iter().filter_map(|source| Query::parse("q", source).ok());
            let asked: Vec<Arc<Query>> = parsed.map(Arc::new).collect();
            let packs = packed(&asked, packing, style, |pack| pack.caption.chars().count() <= most);
            let mut seen: Vec<usize> =
                packs.iter().flat_map(|pack| &pack.members).map(|m| m.query).collect();
            seen.sort_unstable();
            prop_assert_eq!(seen, (0..asked.len()).collect::<Vec<_>>());
            for pack in &packs {
                prop_assert!(pack.is_single() || pack.caption.chars().count() <= most);
                let spans: BTreeSet<Span> = pack.members.iter().map(|m| m.span).collect();
                let spans: Vec<Span> = spans.into_iter().collect();
                prop_assert!(spans.windows(2).all(|pair| pair[0].end < pair[1].start));
                for member in &pack.members {
                    let text = asked[member.query].text();
                    let found = member.span.slice(&pack.caption);
                    prop_assert!(!found.is_empty() && text.starts_with(found));
                    prop_assert!(text[found.len()..].chars().all(|c| c == '.'));
                    prop_assert!(pack.members.len() == 1 || packing.takes(&asked[member.query]));
                    for phrase in &member.phrases {
                        prop_assert!(phrase.start < phrase.end);
                        prop_assert!(member.span.start <= phrase.start);
                        prop_assert!(phrase.end <= member.span.end);
                    }
                }
            }
        }
    }
}
