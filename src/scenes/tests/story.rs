//! Stories: no contact, truth that follows the motion, spans on words.

use mdetr_scenes::clips::{ClipsOptions, Frames, clip};
use mdetr_scenes::story::{Act, Story, Watch};
use mdetr_scenes::{Answer, Description, SceneOptions};
use proptest::prelude::*;

fn options() -> SceneOptions {
    SceneOptions {
        width: 160,
        height: 120,
        ..SceneOptions::default()
    }
}

fn watch(seed: u64, fps: f64) -> Watch {
    let seconds: Vec<f64> = (0..(Story::SECONDS * fps) as usize)
        .map(|n| n as f64 / fps)
        .collect();
    Watch::new(Story::new(seed, &options()), &seconds, 160, 120, seed)
}

fn clips(count: usize) -> ClipsOptions {
    ClipsOptions {
        count,
        seed: 4,
        scene: options(),
        captions: 8,
        frames: Frames::Some(8),
        hiding: 0.0,
        overwrite: false,
    }
}

/// World units that an object came between two moments.
fn moved(watch: &Watch, object: usize, from: f64, to: f64) -> f32 {
    let [a, b] = [from, to].map(|t| watch.story.position(object, t));
    (a[0] - b[0]).hypot(a[1] - b[1])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn nothing_ever_touches(
        seed in any::<u64>(),
        times in prop::collection::vec(0.0..Story::SECONDS, 200),
    ) {
        let story = Story::new(seed, &options());
        for t in times {
            let (scene, _) = story.at(t);
            for (i, a) in scene.objects.iter().enumerate() {
                for b in &scene.objects[..i] {
                    let [dx, dy] = [0, 1].map(|k| a.position[k] - b.position[k]);
                    prop_assert!(dx.hypot(dy) > a.footprint() + b.footprint(), "at {t} s");
                }
            }
        }
    }

    #[test]
    fn what_is_said_of_motion_follows_from_the_places(seed in any::<u64>()) {
        let watch = watch(seed, 8.0);
        for n in 1..watch.instants.len() {
            let t = watch.instants[n].seconds;
            for i in (0..watch.story.objects().len()).filter(|&i| watch.sees(i, n)) {
                let moves = watch.holds(Act::Moves, i, n);
                let stands = watch.holds(Act::Stands, i, n);
                prop_assert_eq!(moves, stands.map(|stands| !stands));
                let came = moved(&watch, i, t - 0.3, t);
                match moves {
                    Some(true) => prop_assert!(came > 0.03, "{i} came {came} before {t} s"),
                    Some(false) => prop_assert!(came < 0.02, "{i} came {came} before {t} s"),
                    None => {}
                }
                let both = [Act::Left, Act::Right].map(|act| watch.holds(act, i, n));
                prop_assert_ne!(both, [Some(true); 2]);
                if both.contains(&Some(true)) {
                    prop_assert_eq!(moves, Some(true));
                }
                if watch.holds(Act::Stopped, i, n) == Some(true) {
                    prop_assert_eq!(moves, Some(false));
                    prop_assert!(moved(&watch, i, (t - 4.0).max(0.0), t) > 0.02);
                }
                if watch.holds(Act::Started, i, n) == Some(true) {
                    prop_assert_eq!(moves, Some(true));
                }
                for x in (0..watch.story.objects().len()).filter(|&x| x != i) {
                    if watch.holds(Act::Passed(x), i, n) != Some(true) {
                        continue;
                    }
                    let distance = |s: f64| {
                        let [a, b] = [i, x].map(|object| watch.story.position(object, s));
                        (a[0] - b[0]).hypot(a[1] - b[1])
                    };
                    let moments = (0..=70).map(|k| t - 0.04 * f64::from(k));
                    let nearest = moments.map(distance).fold(f32::INFINITY, f32::min);
                    prop_assert!(nearest <= 1.7, "{i} passes {x} at {nearest} before {t} s");
                    prop_assert!(moved(&watch, i, (t - 8.0).max(0.0), t) > 0.1);
                }
                if watch.holds(Act::Appeared, i, n) == Some(true) {
                    let comes = watch.story.comes(i).expect("it comes");
                    prop_assert!((0.0..=2.5).contains(&(t - comes)));
                }
            }
        }
    }

    #[test]
    fn phrases_are_words_and_objects_are_seen(index in 0usize..10_000) {
        let (watch, captions) = clip(&clips(1), index);
        for caption in captions {
            let text: Vec<char> = caption.text.chars().collect();
            prop_assert_eq!(caption.known.len(), watch.instants.len());
            for phrase in &caption.phrases {
                let (from, to) = (phrase.span.0 as usize, phrase.span.1 as usize);
                let words: String = text[from..to].iter().collect();
                prop_assert_eq!(words.trim(), &words);
                prop_assert!(from == 0 || text[from - 1] == ' ', "{}", caption.text);
                prop_assert!(to == text.len() || " ?".contains(text[to]), "{}", caption.text);
                for (n, objects) in phrase.objects.iter().enumerate() {
                    prop_assert!(objects.is_sorted());
                    prop_assert!(objects.iter().all(|&i| watch.sees(i, n)), "{}", caption.text);
                }
            }
            let absent = caption.kind.starts_with("absent");
            let first = caption.phrases[0].objects.iter();
            prop_assert!(!absent || first.zip(&caption.known).all(|(o, k)| !k || o.is_empty()));
            prop_assert_eq!(caption.kind.starts_with("ask"), caption.text.ends_with('?'));
        }
    }
}

/// What is said to have gone behind something was seen a moment ago, is behind it, and is not seen.
#[test]
fn what_went_behind_something_is_hidden_by_it() {
    let seconds: Vec<f64> = (0..40).map(|n| f64::from(n) / 5.0).collect();
    let (mut hidden, mut stories) = (0, 0);
    for seed in 0..12 {
        let story = Story::hiding(seed, &options());
        assert!(story.hides());
        let watch = Watch::new(story, &seconds, 160, 120, seed);
        let count = watch.story.objects().len();
        let before = hidden;
        for (n, &t) in seconds.iter().enumerate() {
            for (i, x) in (0..count).flat_map(|i| (0..count).map(move |x| (i, x))) {
                if i == x || watch.holds(Act::WentBehind(x), i, n) != Some(true) {
                    continue;
                }
                hidden += 1;
                assert!(!watch.sees(i, n) && watch.sees(x, n), "seed {seed}, {n}");
                let seen = (0..n).rev().find(|&m| watch.sees(i, m)).expect("it went");
                let since = t - watch.instants[seen].seconds;
                assert!((0.0..=2.8).contains(&since), "seed {seed}, {n}: {since} s");
                let eye = watch.story.camera(t).eye;
                let away = |object: usize| {
                    let [x, y] = watch.story.position(object, t);
                    (x - eye[0]).hypot(y - eye[1])
                };
                assert!(away(i) > away(x), "seed {seed}, {n}: it is in front");
                assert_eq!(watch.does(Act::Moves, i, n), Some(false));
            }
        }
        stories += usize::from(hidden > before);
    }
    assert!(
        stories >= 8 && hidden > 50,
        "{hidden} instants of {stories} stories"
    );
}

/// It is told where it happens, and where it does not.
#[test]
fn what_is_hidden_is_told() {
    let options = ClipsOptions {
        hiding: 1.0,
        frames: Frames::Some(14),
        ..clips(1)
    };
    let (mut told, mut absent) = (0, 0);
    for index in 0..30 {
        let (watch, captions) = clip(&options, index);
        for caption in captions {
            let hidden = caption.phrases[0].objects.iter().enumerate();
            match caption.kind.as_str() {
                "went-behind" => {
                    told += 1;
                    for (n, objects) in hidden {
                        assert!(objects.iter().all(|&i| !watch.sees(i, n)), "{caption:?}");
                    }
                    let anchor = &caption.phrases[1].objects;
                    assert!(anchor.iter().any(|o| o.len() == 1), "{caption:?}");
                }
                "absent-went-behind" => absent += 1,
                _ => {}
            }
        }
    }
    assert!(told >= 8 && absent >= 8, "{told} told, {absent} absent");
}

/// Of two that move the one is faster, the other slower, and no third one is either.
#[test]
fn two_speeds_are_compared() {
    let mut compared = 0;
    for seed in 0..30 {
        let watch = watch(seed, 5.0);
        let any = Description::default();
        for n in 1..watch.instants.len() {
            let of = |act| watch.denoted(&any, Some(act), None, n);
            let [moving, faster, slower] = [Act::Moves, Act::Faster, Act::Slower].map(of);
            let expected = match moving.as_deref() {
                Some([]) => Some(vec![]),
                Some([_, _]) => faster.clone().filter(|f| f.len() == 1),
                _ => None,
            };
            assert_eq!(faster, expected);
            let (Some([fast]), Some([slow])) = (faster.as_deref(), slower.as_deref()) else {
                assert_eq!(faster, slower, "seed {seed}, instant {n}");
                continue;
            };
            compared += 1;
            let t = watch.instants[n].seconds;
            let [a, b] = [fast, slow].map(|&i| moved(&watch, i, t - 0.3, t));
            assert!(a > 1.2 * b, "{a} and {b} world units");
        }
    }
    assert!(compared > 20, "compared {compared} times");
}

/// Nothing of motion is known where nothing was seen before.
#[test]
fn the_first_instant_tells_nothing_of_time() {
    for seed in 0..20 {
        let watch = watch(seed, 4.0);
        for i in 0..watch.story.objects().len() {
            for act in [Act::Moves, Act::Left, Act::Stopped, Act::Appeared] {
                assert_eq!(watch.holds(act, i, 0), Some(false), "{act:?}");
            }
            assert_eq!(watch.holds(Act::Stands, i, 0), None);
        }
    }
}

/// What an earlier instant shows does not depend on those that follow.
#[test]
fn nobody_looks_ahead() {
    for seed in 0..10 {
        let whole = watch(seed, 5.0);
        let seconds: Vec<f64> = whole.instants[..20].iter().map(|i| i.seconds).collect();
        let part = Watch::new(whole.story.clone(), &seconds, 160, 120, seed);
        assert_eq!(part.instants[..], whole.instants[..20]);
        for n in 0..20 {
            for i in 0..whole.story.objects().len() {
                for act in [Act::Moves, Act::Stopped, Act::Started, Act::Appeared] {
                    assert_eq!(part.holds(act, i, n), whole.holds(act, i, n));
                }
            }
        }
    }
}

/// Things move in some stories and in others nothing does; a camera that swings moves nothing.
#[test]
fn stories_differ() {
    let (mut still, mut swinging) = (0, 0);
    for seed in 0..60 {
        let story = Story::new(seed, &options());
        let moves = |i: usize| story.position(i, 0.0) != story.position(i, Story::SECONDS);
        let swings = story.camera(0.0) != story.camera(1.0);
        still += usize::from(!(0..story.objects().len()).any(moves));
        swinging += usize::from(swings);
    }
    assert!(
        (4..30).contains(&still),
        "{still} of 60 stories stand still"
    );
    assert!(
        (15..45).contains(&swinging),
        "{swinging} of 60 cameras swing"
    );
}

/// Every kind of sentence is told, each with an answer of its own at some instants.
#[test]
fn all_kinds_are_told() {
    let mut kinds = std::collections::BTreeSet::new();
    let mut answers = std::collections::BTreeSet::new();
    for index in 0..300 {
        for caption in clip(&clips(1), index).1 {
            let answered = caption.phrases[0].objects.iter().any(|o| !o.is_empty());
            assert!(answered || caption.kind.contains('-'), "{caption:?}");
            for answer in caption.answers.iter().flatten().flatten() {
                answers.insert(answer.to_string());
                assert!(!matches!(answer, Answer::Attribute(_)));
            }
            kinds.insert(caption.kind);
        }
    }
    let acts = [
        "moves",
        "stands",
        "left",
        "right",
        "nearer",
        "farther",
        "towards",
        "away-from",
        "fastest",
        "faster",
        "slower",
        "passed",
        "stopped",
        "started",
        "appeared",
        "now",
    ];
    for act in acts {
        assert!(kinds.contains(act), "no sentence of kind {act}: {kinds:?}");
        assert!(
            kinds.contains(&format!("absent-{act}")),
            "no absent-{act}: {kinds:?}"
        );
    }
    for answer in ["yes", "no", "0", "1", "2"] {
        assert!(
            answers.contains(answer),
            "never answered {answer}: {answers:?}"
        );
    }
}
