//! What was kept is found again, with the bundled model on rendered scenes.

use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mdetr::seen::TokenPrecision;
use mdetr::{EngineKind, Frame, Grounder, GrounderOptions, Query};
use mdetr_past::{
    Event, Mode, Outcome, Past, PastError, Search, Selection, Writer, WriterOptions, search,
};
use mdetr_scenes::{Colour, Scene, SceneOptions, Shape, render};

const SECOND: i64 = 1_000_000_000;

fn grounder() -> &'static Grounder {
    static GROUNDER: OnceLock<Grounder> = OnceLock::new();
    GROUNDER.get_or_init(|| {
        let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/../../models/tabletop");
        let options = GrounderOptions {
            engine: EngineKind::Tract.into(),
            ..GrounderOptions::default()
        };
        Grounder::load(dir, options).unwrap()
    })
}

/// A scene as seen with a blue cube, which it has, and without.
fn scenes() -> &'static [Vec<u8>; 2] {
    static SCENES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    SCENES.get_or_init(|| {
        let options = SceneOptions {
            min_objects: 3,
            max_objects: 4,
            width: 256,
            height: 192,
            ..SceneOptions::default()
        };
        let is_blue_cube =
            |o: &mdetr_scenes::Object| o.colour == Colour::Blue && o.shape == Shape::Cube;
        let scene = (0..)
            .map(|seed| Scene::sample(seed, &options))
            .find(|scene| scene.objects.iter().filter(|o| is_blue_cube(o)).count() == 1)
            .unwrap();
        let mut without = scene.clone();
        without.objects.retain(|object| !is_blue_cube(object));
        [without, scene].map(|scene| {
            let picture = render(&scene, 256, 192, 1);
            let frame = Frame::rgb(256, 192, &picture.rgb).unwrap();
            let seen = grounder().see(&frame).unwrap();
            seen.to_bytes(TokenPrecision::Int8).unwrap()
        })
    })
}

/// Frames of a camera, a second apart, that show the cube when `shows` says so.
fn write(dir: &Path, camera: &str, frames: i64, shows: impl Fn(i64) -> bool) {
    let mut writer = Writer::open(dir, WriterOptions::default()).unwrap();
    for number in 0..frames {
        let tokens = &scenes()[usize::from(shows(number))];
        writer.frame(camera, number * SECOND, tokens, None).unwrap();
    }
}

/// Makes the frame unreadable that the first round's halves meet.
fn damage(dir: &Path, number: usize) {
    let past = open(dir);
    let tokens = past.tokens(&past.frames()[number]).unwrap();
    let segment = dir.join("000000000000.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let mut places = bytes
        .windows(tokens.len())
        .enumerate()
        .filter(|(_, part)| *part == tokens);
    // Those before it may show the same.
    let before = past.frames()[..number]
        .iter()
        .filter(|f| past.tokens(f).unwrap() == tokens)
        .count();
    let (at, _) = places.nth(before).unwrap();
    bytes[at + 200] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
}

fn open(dir: &Path) -> Past {
    Past::open(dir, None, &Selection::default()).unwrap()
}

fn wanted(text: &str) -> Search {
    Search::new(Query::parse("q", text).unwrap(), grounder())
}

fn find(past: &Past, wanted: &Search) -> Outcome {
    search(
        past,
        grounder(),
        wanted,
        &AtomicBool::new(false),
        &mut |_| {},
    )
    .unwrap()
}

#[test]
fn what_was_there_for_a_while_is_found_without_asking_every_frame() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "yard", 1500, |_| false);
    write(dir.path(), "gate", 1500, |n| (700..790).contains(&n));
    let past = open(dir.path());
    let wanted = Search {
        apart: Duration::from_secs(20),
        ..wanted("a blue cube")
    };
    assert_eq!(wanted.mode, Mode::Best);
    let (mut told, mut asked_last) = (Vec::new(), 0);
    let cancel = AtomicBool::new(false);
    let outcome = search(
        &past,
        grounder(),
        &wanted,
        &cancel,
        &mut |event| match event {
            Event::Hit(hit) => told.push((hit.clone(), asked_last)),
            Event::Progress { asked, of } => {
                assert_eq!((asked, of), (asked_last + 1, 3000));
                asked_last = asked;
            }
            Event::Answer(_) => panic!("nothing was a question"),
        },
    );
    let outcome = outcome.unwrap();
    assert_eq!(outcome.asked, asked_last);
    assert!((200..2000).contains(&outcome.asked), "{}", outcome.asked);
    assert!((3..=5).contains(&outcome.hits.len()), "{:?}", outcome.hits);
    for hit in &outcome.hits {
        assert_eq!((hit.camera.as_str(), hit.size), ("gate", (256, 192)));
        assert!((700..790).contains(&(hit.time / SECOND)));
        assert!(hit.score > wanted.threshold && hit.score == hit.detections[0].score);
        assert!(told.iter().any(|(told, _)| told == hit), "each is told of");
        assert_eq!(past.frames()[hit.frame].time(), hit.time);
    }
    assert!(told[0].1 < 60, "the first round finds it: {}", told[0].1);
    assert!(outcome.hits.is_sorted_by(|a, b| a.score >= b.score));
}

#[test]
fn an_exhaustive_search_asks_every_frame_once() {
    let dir = tempfile::tempdir().unwrap();
    // Between two frames of the first round.
    write(dir.path(), "yard", 200, |n| n == 77);
    let past = open(dir.path());
    let wanted = Search {
        exhaustive: true,
        ..wanted("a blue cube")
    };
    let outcome = find(&past, &wanted);
    assert_eq!((outcome.frames, outcome.asked), (200, 200));
    let times: Vec<_> = outcome.hits.iter().map(|hit| hit.time / SECOND).collect();
    assert_eq!(times, [77]);
}

#[test]
fn a_question_becomes_a_curve() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "yard", 400, |n| (90..215).contains(&n));
    damage(dir.path(), 96);
    let past = open(dir.path());
    let wanted = wanted("is there a blue cube?");
    assert_eq!(wanted.mode, Mode::Curve);
    let outcome = find(&past, &wanted);
    assert!(outcome.asked < 50, "{}", outcome.asked);
    assert_eq!(outcome.unreadable, 1);
    let points = outcome.curve.iter().map(|point| {
        let text = point.answer.as_ref().map(|answer| answer.text.as_str());
        (point.time / SECOND, point.until / SECOND, text.unwrap())
    });
    let points: Vec<_> = points.collect();
    assert_eq!(points, [(0, 89, "no"), (90, 214, "yes"), (215, 399, "no")]);
}

#[test]
fn moments_are_where_the_target_comes_and_goes() {
    let dir = tempfile::tempdir().unwrap();
    // A single frame, which the first round meets, is no moment.
    write(dir.path(), "yard", 500, |n| {
        n == 64 || (200..333).contains(&n)
    });
    let past = open(dir.path());
    let by_halves = Search {
        mode: Mode::Moments,
        ..wanted("[a blue cube]")
    };
    let exhaustive = Search {
        exhaustive: true,
        ..by_halves.clone()
    };
    let outcomes = [&by_halves, &exhaustive].map(|wanted| find(&past, wanted));
    assert!(outcomes[0].asked < 60, "{}", outcomes[0].asked);
    assert_eq!(outcomes[1].asked, 500);
    for outcome in &outcomes {
        let moments = outcome
            .moments
            .iter()
            .map(|m| (m.appears, m.after / SECOND, m.time / SECOND));
        let moments: Vec<_> = moments.collect();
        assert_eq!(moments, [(true, 199, 200), (false, 332, 333)]);
        for moment in &outcome.moments {
            assert!(!moment.shown.as_ref().unwrap().detections.is_empty());
        }
    }
}

#[test]
fn a_search_ends_when_it_is_cancelled_and_gives_what_it_has() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "yard", 300, |_| true);
    let past = open(dir.path());
    let wanted = Search {
        exhaustive: true,
        ..wanted("a blue cube")
    };
    let cancel = AtomicBool::new(false);
    let outcome = search(&past, grounder(), &wanted, &cancel, &mut |event| {
        if let Event::Progress { asked: 10, .. } = event {
            cancel.store(true, Ordering::Relaxed);
        }
    });
    let outcome = outcome.unwrap();
    assert!(outcome.cancelled && outcome.asked < 60, "{}", outcome.asked);
    assert!(!outcome.hits.is_empty());
}

#[test]
fn frames_that_cannot_be_asked_are_counted_and_named() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "yard", 5, |_| true);
    let mut writer = Writer::open(dir.path(), WriterOptions::default()).unwrap();
    writer
        .frame("yard", 9 * SECOND, b"no tokens", None)
        .unwrap();
    drop(writer);
    let outcome = find(&open(dir.path()), &wanted("a blue cube"));
    assert_eq!((outcome.asked, outcome.unreadable), (5, 1));
    let first = outcome.first_unreadable.unwrap();
    assert!(first.contains("not a seen frame"), "{first}");

    let official = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../mdetr/tests/data/official/clevr"
    );
    let other = Grounder::load(official, GrounderOptions::default()).unwrap();
    let wanted = Search::new(Query::parse("q", "a cube").unwrap(), &other);
    let past = open(dir.path());
    let found = search(&past, &other, &wanted, &AtomicBool::new(false), &mut |_| {});
    let error = found.unwrap_err();
    assert!(
        matches!(error, PastError::Unreadable { frames: 6, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("ask with the bundle that saw it"),
        "{error}"
    );
}

#[test]
fn a_directory_without_frames_has_no_answers() {
    let dir = tempfile::tempdir().unwrap();
    for mode in [Mode::Best, Mode::Curve, Mode::Moments] {
        let wanted = Search {
            mode,
            ..wanted("a blue cube")
        };
        let outcome = find(&open(dir.path()), &wanted);
        assert_eq!((outcome.frames, outcome.asked), (0, 0));
        assert!(outcome.hits.is_empty() && outcome.curve.is_empty() && outcome.moments.is_empty());
    }
}
