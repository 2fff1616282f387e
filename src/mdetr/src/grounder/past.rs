//! What is remembered of a stream, for sentences about time.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mdetr_engine::locked;

use super::encoded::Caption;
use crate::bundle::Network as Sizes;

/// Age at which an instant is forgotten: no older one was remembered in training.
const OLDEST: Duration = Duration::from_secs(6);
/// How far frames overtake each other on several threads at most.
const OVERTAKEN: Duration = Duration::from_secs(2);
/// Sentences of which something is remembered at most; those that were not asked for longest give way.
const MOST_CAPTIONS: usize = 1024;

/// What is remembered of a stream of frames, for models that know what sentences say about time: of each sentence, what
/// its object queries were at some instants before.
///
/// One for each stream; frames that several threads ground share it. A frame hears of earlier ones only, in whatever order
/// they are grounded, and of one less if it overtakes that which is to be remembered next. Frames with times of another
/// stream, or of another place of the same one, need [`forget`](Self::forget) first. It remembers for one model at a time;
/// with a model that remembers nothing it stays empty.
#[derive(Debug, Default)]
pub struct Past(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    /// The number of the model whose object queries they are.
    model: u64,
    /// By the caption's tokens.
    captions: BTreeMap<Vec<i64>, VecDeque<Arc<Instant>>>,
}

/// What the object queries of a caption were at an instant.
#[derive(Debug)]
pub(super) struct Instant {
    at: Duration,
    /// `[queries, d]`.
    pub hidden: Vec<f32>,
    /// `[queries, 4]`.
    pub boxes: Vec<f32>,
}

/// An instant and how long ago it was.
pub(super) type Aged = (Arc<Instant>, Duration);

impl Past {
    /// Of nothing yet.
    pub fn new() -> Past {
        Past::default()
    }

    /// Forgets everything: what follows has nothing to do with what came before.
    pub fn forget(&self) {
        locked(&self.0).captions.clear();
    }

    /// What a model knows of a caption before this time, newest first, as much as the network takes.
    pub(super) fn before(
        &self,
        model: u64,
        caption: &Caption,
        at: Duration,
        sizes: &Sizes,
    ) -> Vec<Aged> {
        let remembered = locked(&self.0);
        if remembered.model != model {
            return Vec::new();
        }
        let Some(instants) = remembered.captions.get(key(caption)) else {
            return Vec::new();
        };
        let earlier = instants.iter().rev().filter_map(|instant| {
            let age = at.checked_sub(instant.at)?;
            (!age.is_zero() && age <= OLDEST).then(|| (instant.clone(), age))
        });
        earlier.take(sizes.past).collect()
    }

    /// Remembers what a model's object queries for the caption are at this time, unless it remembers an instant about
    /// this time. Of another model nothing is remembered any more.
    pub(super) fn keep(
        &self,
        model: u64,
        caption: &Caption,
        at: Duration,
        hidden: &[f32],
        boxes: Vec<f32>,
        sizes: &Sizes,
    ) {
        let mut remembered = locked(&self.0);
        if remembered.model != model {
            remembered.captions.clear();
            remembered.model = model;
        }
        let captions = &mut remembered.captions;
        if captions.len() >= MOST_CAPTIONS && !captions.contains_key(key(caption)) {
            let newest = |instants: &VecDeque<Arc<Instant>>| instants.back().map(|i| i.at);
            let stalest = captions.iter().min_by_key(|(_, instants)| newest(instants));
            if let Some(stalest) = stalest.map(|(key, _)| key.clone()) {
                captions.remove(&stalest);
            }
        }
        let instants = captions.entry(key(caption).to_vec()).or_default();
        let interval = sizes.between_instants();
        if instants.iter().any(|i| i.at.abs_diff(at) < interval) {
            return;
        }
        // A stream that went back has not seen those yet.
        instants.retain(|instant| instant.at <= at + OVERTAKEN);
        let place = instants.partition_point(|instant| instant.at < at);
        let instant = Instant {
            at,
            hidden: hidden.to_vec(),
            boxes,
        };
        instants.insert(place, Arc::new(instant));
        // Frames that overtook others may still ask for one more.
        while instants.len() > sizes.past + 1 {
            instants.pop_front();
        }
    }
}

fn key(caption: &Caption) -> &[i64] {
    &caption.memory.tokens.ids
}

/// Instants of several captions as the fusion graph takes them: hidden states `[texts, past, queries, d]`, boxes `[texts,
/// past, queries, 4]` and ages in seconds `[texts, past]`, 0 where there is none. Texts without instants remember nothing.
pub(super) fn inputs(texts: usize, instants: &[Vec<Aged>], sizes: &Sizes) -> [Vec<f32>; 3] {
    let Sizes {
        past,
        queries,
        d_model,
        ..
    } = *sizes;
    let mut hidden = Vec::with_capacity(texts * past * queries * d_model);
    let mut boxes = Vec::with_capacity(texts * past * queries * 4);
    let mut ages = Vec::with_capacity(texts * past);
    for (text, end) in (0..texts).zip(1..) {
        for (instant, age) in instants.get(text).into_iter().flatten().take(past) {
            hidden.extend_from_slice(&instant.hidden);
            boxes.extend_from_slice(&instant.boxes);
            ages.push(age.as_secs_f32());
        }
        hidden.resize(end * past * queries * d_model, 0.0);
        boxes.resize(end * past * queries * 4, 0.0);
        ages.resize(end * past, 0.0);
    }
    [hidden, boxes, ages]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::grounder::encoded::Asking;
    use crate::text::{TextMemory, Tokens};

    fn sizes(past: usize) -> Sizes {
        Sizes {
            d_model: 4,
            queries: 2,
            slots: 3,
            stride: 16,
            max_tokens: 8,
            past,
            lost: 0,
            past_interval: 0.4,
        }
    }

    fn caption(ids: &[i64]) -> Caption {
        Caption {
            text: String::new(),
            memory: Arc::new(TextMemory {
                tokens: Tokens {
                    ids: ids.to_vec(),
                    spans: Vec::new(),
                },
                data: Vec::new(),
            }),
            queries: Asking::Same(Vec::new()),
        }
    }

    const MODEL: u64 = 7;

    fn keep(past: &Past, caption: &Caption, ms: u64) {
        let (hidden, boxes) = (vec![ms as f32; 8], vec![ms as f32; 8]);
        past.keep(
            MODEL,
            caption,
            Duration::from_millis(ms),
            &hidden,
            boxes,
            &sizes(3),
        );
    }

    /// Ages in milliseconds, and the times that the instants were kept with.
    fn known(past: &Past, caption: &Caption, ms: u64) -> Vec<(u128, f32)> {
        let found = past.before(MODEL, caption, Duration::from_millis(ms), &sizes(3));
        let told = |(instant, age): &Aged| (age.as_millis(), instant.hidden[0]);
        found.iter().map(told).collect()
    }

    #[test]
    fn instants_are_kept_apart_and_told_newest_first() {
        let (past, ball, cube) = (Past::new(), caption(&[1]), caption(&[2]));
        assert_eq!(known(&past, &ball, 0), []);
        for ms in [0, 100, 399, 400, 500, 900, 1300, 1700, 1800] {
            keep(&past, &ball, ms);
        }
        assert_eq!(
            known(&past, &ball, 1800),
            [(100, 1700.0), (500, 1300.0), (900, 900.0)]
        );
        assert_eq!(
            known(&past, &ball, 1700),
            [(400, 1300.0), (800, 900.0), (1300, 400.0)]
        );
        assert_eq!(
            known(&past, &ball, 7200),
            [(5500, 1700.0), (5900, 1300.0)],
            "older are forgotten"
        );
        assert_eq!(known(&past, &cube, 1800), [], "another sentence");
        past.forget();
        assert_eq!(known(&past, &ball, 1800), []);
    }

    #[test]
    fn frames_may_overtake_each_other() {
        let (past, ball) = (Past::new(), caption(&[1]));
        for ms in [900, 0, 450, 1350] {
            keep(&past, &ball, ms);
        }
        assert_eq!(
            known(&past, &ball, 1000),
            [(100, 900.0), (550, 450.0), (1000, 0.0)]
        );
        assert_eq!(
            known(&past, &ball, 460),
            [(10, 450.0), (460, 0.0)],
            "nothing of what follows"
        );
    }

    #[test]
    fn a_stream_that_goes_back_begins_anew() {
        let (past, ball) = (Past::new(), caption(&[1]));
        for ms in [60_000, 61_000, 62_000, 63_000] {
            keep(&past, &ball, ms);
        }
        for ms in [1000, 2000] {
            keep(&past, &ball, ms);
        }
        assert_eq!(known(&past, &ball, 2500), [(500, 2000.0), (1500, 1000.0)]);
        assert_eq!(known(&past, &ball, 63_500), [], "those of before the jump");
    }

    #[test]
    fn what_one_model_remembers_is_nothing_to_another() {
        let (past, ball) = (Past::new(), caption(&[1]));
        keep(&past, &ball, 1000);
        let at = Duration::from_millis(1500);
        assert_eq!(past.before(MODEL + 1, &ball, at, &sizes(3)).len(), 0);
        past.keep(MODEL + 1, &ball, at, &[0.0; 8], vec![0.0; 8], &sizes(3));
        let at = Duration::from_millis(2000);
        assert_eq!(past.before(MODEL + 1, &ball, at, &sizes(3)).len(), 1);
        assert_eq!(known(&past, &ball, 2000), []);
    }

    #[test]
    fn sentences_that_are_not_asked_any_more_give_way() {
        let past = Past::new();
        for number in 0..MOST_CAPTIONS as u64 + 10 {
            keep(&past, &caption(&[number as i64]), 1000 + number);
        }
        assert_eq!(locked(&past.0).captions.len(), MOST_CAPTIONS);
        assert_eq!(known(&past, &caption(&[0]), 2500), []);
        assert_eq!(
            known(&past, &caption(&[MOST_CAPTIONS as i64]), 2500).len(),
            1
        );
    }

    #[test]
    fn the_graph_gets_zeros_where_nothing_is_remembered() {
        let (past, ball) = (Past::new(), caption(&[1]));
        keep(&past, &ball, 1000);
        let at = Duration::from_millis(1500);
        let instants = [Vec::new(), past.before(MODEL, &ball, at, &sizes(3))];
        let [hidden, boxes, ages] = inputs(3, &instants, &sizes(3));
        assert_eq!((hidden.len(), boxes.len()), (3 * 3 * 8, 3 * 3 * 8));
        assert_eq!(ages, [0.0, 0.0, 0.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(hidden[24..32], [1000.0; 8]);
        assert!(hidden[..24].iter().chain(&hidden[32..]).all(|v| *v == 0.0));
    }
}
