//! Rules against what truly happened, seen by the bundled model: rendered scenes of moving objects, the model's boxes
//! ten times a second, and their identities.
//!
//! `cargo test -p mdetr-tests --test events -- --ignored --nocapture` plays all 200 scenes and prints the figures.

#[path = "../../src/rules/tests/oracle/mod.rs"]
mod oracle;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::{Duration, Instant};

use mdetr::{BBox, Frame, Grounder, GrounderOptions, Query};
use mdetr_rules::{Event, EventKind, Moment, Observation, Watch};
use mdetr_scenes::{MovingScene, SceneOptions, render, rng};
use mdetr_track::{TrackOptions, Tracking};
use oracle::setting::{Setting, begins, is_of_all};
use oracle::{Point, Tally};

const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
const SECONDS: u64 = 10;
const FPS: u64 = 10;
/// Least intersection over union of an event's box and the object that it is of.
const SAME: f32 = 0.4;

/// What was seen of a scene.
struct Played {
    setting: Setting,
    /// True boxes of each object, frame by frame.
    boxes: Vec<Vec<BBox>>,
    events: Vec<Event>,
}

fn play(grounder: &Grounder, seed: u64) -> Played {
    let options = SceneOptions {
        min_objects: 2,
        max_objects: 4,
        width: WIDTH,
        height: HEIGHT,
        ..SceneOptions::default()
    };
    let scene = MovingScene::new(seed, &options);
    let setting = Setting::sample(&mut rng(seed, 77));
    let mut watch = Watch::new("scene", setting.rules()).expect("rules that pass their check");
    let mut tracking = Tracking::new(TrackOptions::default());
    let mut boxes = vec![Vec::new(); scene.at(0.0).objects.len()];
    let mut events = Vec::new();
    for frame in 0..SECONDS * FPS {
        let time = Duration::from_millis(1000 * frame / FPS);
        let picture = render(&scene.at(time.as_secs_f64()), WIDTH, HEIGHT, frame);
        for (boxes, object) in boxes.iter_mut().zip(picture.ground_truth().objects) {
            let [x, y, width, height] = object.bbox.map(|side| side as f32);
            boxes.push(BBox {
                x,
                y,
                width,
                height,
            });
        }
        let pixels = Frame::rgb(WIDTH, HEIGHT, &picture.rgb).expect("a frame");
        let found = grounder.ground(&pixels).expect("the bundled model runs");
        tracking.update(time, &found);
        let grounding = tracking.at(time).unwrap_or(found);
        events.extend(watch.observe(&Observation {
            moment: Moment {
                time,
                utc: jiff::Timestamp::UNIX_EPOCH + time,
            },
            frame,
            pts_ns: None,
            age: Duration::ZERO,
            grounding: &grounding,
        }));
    }
    Played {
        setting,
        boxes,
        events,
    }
}

/// The object that an event is of.
fn object(event: &Event, boxes: &[Vec<BBox>]) -> Option<u64> {
    let [x, y, width, height] = *event.best.boxes.first()?;
    let found = BBox {
        x,
        y,
        width,
        height,
    };
    let overlap = |object: usize| boxes[object][event.best.frame as usize].iou(found);
    let best = (0..boxes.len()).max_by(|a, b| overlap(*a).total_cmp(&overlap(*b)))?;
    (overlap(best) >= SAME).then_some(best as u64)
}

fn compare(played: &Played, seed: u64, tallies: &mut BTreeMap<&'static str, Tally>) {
    let way = |boxes: &Vec<BBox>| -> Vec<Option<Point>> {
        let anchor = |bbox: &BBox| {
            let height = f64::from(HEIGHT);
            let x = f64::from(bbox.x + bbox.width / 2.0) / height;
            (bbox.width > 0.0).then(|| [x, f64::from(bbox.y + bbox.height) / height])
        };
        boxes.iter().map(anchor).collect()
    };
    let ways: Vec<_> = played.boxes.iter().map(way).collect();
    let mut found: BTreeMap<(String, Option<u64>), Vec<f64>> = BTreeMap::new();
    let mut of_nothing: BTreeMap<String, usize> = BTreeMap::new();
    for event in played
        .events
        .iter()
        .filter(|event| event.kind == EventKind::New)
    {
        let of = object(event, &played.boxes);
        if of.is_none() && !is_of_all(&event.rule) {
            *of_nothing.entry(event.rule.clone()).or_default() += 1;
            continue;
        }
        let of = of.filter(|_| !is_of_all(&event.rule));
        found
            .entry((event.rule.clone(), of))
            .or_default()
            .push(begins(event));
    }
    for (rule, object, truth) in played.setting.truths(&ways, 1.0 / FPS as f64) {
        let times = found.remove(&(rule.to_owned(), object)).unwrap_or_default();
        let mut tally = truth.compare(times.clone());
        tally.wrong += of_nothing.remove(rule).unwrap_or(0);
        if tally.wrong + tally.missed > 0 {
            println!("scene {seed}, {rule} {object:?}: {tally:?}, found {times:.2?}, {truth:.2?}");
        }
        tallies.entry(rule).or_default().add(tally);
    }
}

/// Figures of all rules together.
fn measure(scenes: u64) -> Tally {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/tabletop");
    let grounder =
        Grounder::load(model, GrounderOptions::default()).expect("the bundled model loads");
    let query = Query::parse("q", "all objects").expect("a query");
    grounder.set_queries(vec![query]).expect("it is encoded");
    let mut tallies = BTreeMap::new();
    let start = Instant::now();
    for seed in 0..scenes {
        compare(&play(&grounder, seed), seed, &mut tallies);
        if (seed + 1) % 20 == 0 {
            println!("{} of {scenes} scenes: {tallies:?}", seed + 1);
        }
    }
    println!(
        "{scenes} scenes, {}, {:.0} s",
        grounder.engine().name,
        start.elapsed().as_secs_f64()
    );
    println!("rule      events  precision  recall");
    let mut all = Tally::default();
    let print = |rule: &str, tally: Tally| {
        let events = tally.right + tally.missed;
        println!(
            "{rule:9} {events:6}  {:9.4}  {:6.4}",
            tally.precision(),
            tally.recall()
        );
    };
    for (rule, tally) in tallies {
        print(rule, tally);
        all.add(tally);
    }
    print("all", all);
    all
}

fn holds(scenes: u64, least: f64) {
    let tally = measure(scenes);
    assert!(
        tally.precision() >= least,
        "precision {} of {tally:?}",
        tally.precision()
    );
    assert!(
        tally.recall() >= least,
        "recall {} of {tally:?}",
        tally.recall()
    );
}

#[test]
fn rules_find_what_the_model_sees_of_what_happens() {
    holds(6, 0.8);
}

#[test]
#[ignore = "needs 20,000 inferences"]
fn rules_find_what_the_model_sees_in_200_scenes() {
    holds(200, 0.93);
}
