//! The store against one that is kept in memory and asked in the plainest way.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use proptest::prelude::*;
use tokio::runtime::Runtime;

use super::*;
use crate::store::{EventFilter, StoredEvent};

const TEXTS: [&str; 6] = [
    "a person without a helmet",
    "A PERSON left of the forklift",
    "größer als ein Würfel",
    "ГДЕ красный куб",
    "how many pallets are there 100% _ ' \" * -",
    "赤い 立方体",
];
const WORDS: [&str; 14] = [
    "person",
    "HELMET",
    "a",
    "forklift pallets",
    "person a",
    "WÜRFEL",
    "красный где",
    "куб",
    "立方体",
    "perso",
    "100%",
    "'",
    "a OR b",
    "*",
];

#[derive(Debug, Clone)]
enum Action {
    Step {
        event: usize,
        kind: EventKind,
        later: i64,
        text: usize,
        again: bool,
    },
    Keep(usize, bool),
    Remove(usize),
}

fn action() -> impl Strategy<Value = Action> {
    let kind = prop_oneof![
        Just(EventKind::New),
        Just(EventKind::Update),
        Just(EventKind::End)
    ];
    prop_oneof![
        8 => (0..12usize, kind, 0..5i64, 0..TEXTS.len(), any::<bool>()).prop_map(
            |(event, kind, later, text, again)| Action::Step { event, kind, later, text, again }
        ),
        1 => (0..12usize, any::<bool>()).prop_map(|(event, kept)| Action::Keep(event, kept)),
        1 => (0..12usize).prop_map(Action::Remove),
    ]
}

fn filter() -> impl Strategy<Value = EventFilter> {
    let time = || proptest::option::of((0..8i64, 0..3i64).prop_map(|(h, s)| hour(h) + seconds(s)));
    let camera = proptest::option::of(prop_oneof![
        Just("gate"),
        Just("yard"),
        Just("x' OR 1=1 --")
    ]);
    let rule = proptest::option::of(prop_oneof![Just("fire"), Just("no-helmet")]);
    let severity = proptest::option::of(prop_oneof![
        Just(Severity::Alert),
        Just(Severity::Detection)
    ]);
    let words = proptest::option::of(0..WORDS.len());
    let open = proptest::option::of(any::<bool>());
    let limit = proptest::option::of(1..5u32);
    (time(), time(), camera, rule, severity, words, open, limit).prop_map(
        |(from, to, camera, rule, severity, words, open, limit)| EventFilter {
            from,
            to,
            camera: camera.map(str::to_owned),
            rule: rule.map(str::to_owned),
            words: words.map(|i| WORDS[i].to_owned()),
            severity,
            open,
            after: None,
            limit,
        },
    )
}

/// One of twelve events; some begin at the same time.
fn of(index: usize) -> Event {
    let mut event = begun(&format!("e{index}"), hour(index as i64 / 3));
    event.camera = ["gate", "yard"][index % 2].to_owned();
    event.rule = ["fire", "no-helmet"][index / 2 % 2].to_owned();
    event.severity = [Severity::Alert, Severity::Detection][index / 3 % 2];
    event
}

fn at(index: usize, kind: EventKind, later: i64, text: usize) -> Event {
    let mut event = match kind {
        EventKind::New => of(index),
        EventKind::Update => updated(&of(index), later),
        EventKind::End => ended(&of(index), later),
    };
    event.text = TEXTS[text].to_owned();
    event.phrases[0].text = TEXTS[(text + 1) % 3].to_owned();
    event
}

#[derive(Default)]
struct Model {
    events: BTreeMap<String, StoredEvent>,
    /// Steps that were kept of each event.
    steps: Vec<(String, EventKind, Timestamp)>,
    letters: Vec<Event>,
    /// Removed while they went on.
    hidden: BTreeMap<String, Event>,
}

impl Model {
    fn record(&mut self, event: &Event) {
        let step = (event.id.clone(), event.kind, event.time);
        if self.steps.contains(&step) {
            return;
        }
        self.steps.push(step);
        self.letters.push(event.clone());
        if let Some(hidden) = self.hidden.get_mut(&event.id) {
            *hidden = event.clone();
            return;
        }
        let kept = self.events.get(&event.id).is_some_and(|known| known.kept);
        let stored = StoredEvent {
            event: event.clone(),
            has_picture: false,
            has_clip: false,
            kept,
        };
        self.events.insert(event.id.clone(), stored);
    }

    fn remove(&mut self, id: &str) -> bool {
        let Some(stored) = self.events.remove(id) else {
            return false;
        };
        if stored.event.end.is_none() {
            self.hidden.insert(id.to_owned(), stored.event);
        }
        true
    }

    fn list(&self, filter: &EventFilter) -> Vec<StoredEvent> {
        let mut events: Vec<_> = self
            .events
            .values()
            .filter(|event| fits(&event.event, filter))
            .cloned()
            .collect();
        events.sort_by_key(|event| Reverse((event.event.start, event.event.id.clone())));
        events
    }
}

fn fits(event: &Event, filter: &EventFilter) -> bool {
    let text = format!("{} {}", event.text, event.phrases[0].text).to_lowercase();
    let has = |word: &str| text.split(' ').any(|known| known == word);
    // Of what is no letter and no digit nothing is looked for.
    let words = filter.words.as_deref().unwrap_or_default().to_lowercase();
    let mut words = words
        .split([' ', '%', '\'', '*'])
        .filter(|word| !word.is_empty());
    filter
        .from
        .is_none_or(|from| event.end.is_none_or(|end| end >= from))
        && filter.to.is_none_or(|to| event.start < to)
        && filter
            .camera
            .as_ref()
            .is_none_or(|camera| *camera == event.camera)
        && filter.rule.as_ref().is_none_or(|rule| *rule == event.rule)
        && filter
            .severity
            .is_none_or(|severity| severity == event.severity)
        && filter.open.is_none_or(|open| open == event.end.is_none())
        && words.all(|word| has(word) || (word == "100" && text.contains("100%")))
}

/// All that a filter finds, page by page.
async fn pages(store: &Store, filter: &EventFilter) -> Vec<StoredEvent> {
    let mut all: Vec<StoredEvent> = Vec::new();
    let mut filter = filter.clone();
    loop {
        let page = store.events(&filter).await.unwrap();
        assert!(page.len() <= filter.limit.unwrap_or(100) as usize);
        let Some(last) = page.last() else {
            return all;
        };
        filter.after = Some(last.event.id.clone());
        all.extend(page);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn answers_as_one_in_memory_does(
        actions in proptest::collection::vec(action(), 1..40),
        filters in proptest::collection::vec(filter(), 12),
    ) {
        Runtime::new().unwrap().block_on(async {
            let (_directory, store) = fresh().await;
            let mut model = Model::default();
            for action in actions {
                match action {
                    Action::Step { event, kind, later, text, again } => {
                        let event = at(event, kind, later, text);
                        for _ in 0..1 + usize::from(again) {
                            store.record(&step(&event), &["mqtt".to_owned()]).await.unwrap();
                        }
                        // Of a step that was removed with its event nothing is known any more; a rule gives it once.
                        model.record(&event);
                    }
                    Action::Keep(event, kept) => {
                        let id = of(event).id;
                        let known = model.events.get_mut(&id);
                        let found = store.set_kept(&id, kept).await.unwrap();
                        assert_eq!(found, known.is_some());
                        known.into_iter().for_each(|known| known.kept = kept);
                    }
                    Action::Remove(event) => {
                        let id = of(event).id;
                        assert_eq!(store.remove(&id).await.unwrap(), model.remove(&id));
                    }
                }
            }
            for filter in &filters {
                assert_eq!(pages(&store, filter).await, model.list(filter), "{filter:?}");
            }
            for index in 0..12 {
                let id = of(index).id;
                assert_eq!(store.event(&id).await.unwrap(), model.events.get(&id).cloned());
            }
            let letters = store.letters("mqtt", 1000).await.unwrap();
            let letters: Vec<_> = letters.into_iter().map(|letter| letter.event).collect();
            assert_eq!(letters, model.letters);
            let open = model.events.values().map(|stored| &stored.event);
            let mut open: Vec<_> = open.chain(model.hidden.values()).filter(|event| event.end.is_none()).collect();
            open.sort_by_key(|event| (event.start, &event.id));
            let ended = store.end_interrupted(&[]).await.unwrap();
            let ended: Vec<_> = ended.iter().map(|event| &event.id).collect();
            assert_eq!(ended, open.iter().map(|event| &event.id).collect::<Vec<_>>());
        });
    }
}
