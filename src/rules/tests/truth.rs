//! Rules against what truly happened, on 200 scenes of moving objects.
//!
//! Boxes are those of the exact motion, as a good detector gives them ten times a second: in whole pixels, with some
//! missing, some results repeated on later frames. The truth is computed from the exact motion at a finer step
//! (`oracle`). `cargo test -p mdetr-rules --test truth -- --nocapture` prints the figures.

mod oracle;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mdetr_grounding::{BBox, Detection, Grounding, Query, QueryResult};
use mdetr_rules::{EventKind, Moment, Observation, Watch};
use mdetr_scenes::{MovingScene, Object, Scene, SceneOptions, rng};
use oracle::setting::{ASPECT, Setting, begins, is_of_all};
use oracle::{Point, Tally};
use rand::Rng;

const SCENES: u64 = 200;
const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
const SECONDS: f64 = 12.0;
const FPS: f64 = 10.0;
/// Step of the exact motion in seconds.
const STEP: f64 = 0.02;
/// Parts of detections and results that are missing and repeated.
const MISSING: f64 = 0.03;
const REPEATED: f64 = 0.2;

/// Box of an object in picture heights, as of an upright cylinder around it.
fn exact_box(scene: &Scene, object: &Object) -> [f64; 4] {
    let v = |p: [f32; 3]| p.map(f64::from);
    let sub = |a: [f64; 3], b: [f64; 3]| [0, 1, 2].map(|i| a[i] - b[i]);
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    let cross = |a: [f64; 3], b: [f64; 3]| {
        [
            a[1] * b[2] - a[2] * b[1],
            a[2] * b[0] - a[0] * b[2],
            a[0] * b[1] - a[1] * b[0],
        ]
    };
    let unit = |a: [f64; 3]| a.map(|x| x / dot(a, a).sqrt());
    let eye = v(scene.camera.eye);
    let forward = unit(sub(v(scene.camera.target), eye));
    let right = unit(cross(forward, [0.0, 0.0, 1.0]));
    let up = cross(right, forward);
    let radius = 0.8 * f64::from(object.radius);
    let mut bounds = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
    for index in 0..48 {
        let (sin, cos) = (f64::from(index % 24) / 24.0 * std::f64::consts::TAU).sin_cos();
        let z = if index < 24 { 0.0 } else { 2.0 * radius };
        let base = object.position.map(f64::from);
        let d = sub([base[0] + radius * cos, base[1] + radius * sin, z], eye);
        let scale = f64::from(scene.camera.focal) / dot(d, forward);
        let x = (dot(d, right) * scale + 0.5) * ASPECT;
        let y = 0.5 - dot(d, up) * scale * ASPECT;
        bounds = [
            bounds[0].min(x),
            bounds[1].min(y),
            bounds[2].max(x),
            bounds[3].max(y),
        ];
    }
    bounds
}

fn anchor(bounds: [f64; 4]) -> Point {
    [(bounds[0] + bounds[2]) / 2.0, bounds[3]]
}

/// When events began that rules found, by rule and object.
fn found(
    setting: &Setting,
    boxes: &[Vec<[f64; 4]>],
    random: &mut impl Rng,
) -> BTreeMap<(String, Option<u64>), Vec<f64>> {
    let mut watch = Watch::new("scene", setting.rules()).unwrap();
    let query = Arc::new(Query::parse("q", "all objects").unwrap());
    let mut found: BTreeMap<_, Vec<f64>> = BTreeMap::new();
    let mut last: Option<(Grounding, Duration)> = None;
    for frame in 0..(SECONDS * FPS) as usize {
        let time = Duration::from_secs_f64(frame as f64 / FPS);
        let index = (frame as f64 / FPS / STEP).round() as usize;
        if last.is_none() || !random.random_bool(REPEATED) {
            let mut detections = Vec::new();
            for (track, boxes) in boxes.iter().enumerate() {
                let [x0, y0, x1, y1] =
                    boxes[index].map(|side| (side * f64::from(HEIGHT)).round() as f32);
                let detection = Detection {
                    bbox: BBox::from_xyxy(x0, y0, x1, y1).clamp(WIDTH as f32, HEIGHT as f32),
                    score: 0.9,
                    phrases: Vec::new(),
                    track: Some(track as u64),
                    hidden_ms: None,
                    identity: None,
                    mask: None,
                };
                if !random.random_bool(MISSING) {
                    detections.push(detection);
                }
            }
            let result = QueryResult {
                query: query.clone(),
                detections,
                answer: None,
            };
            let grounding = Grounding {
                revision: 1,
                width: WIDTH,
                height: HEIGHT,
                queries: vec![result],
            };
            last = Some((grounding, time));
        }
        let (grounding, taken) = last.as_ref().unwrap();
        let events = watch.observe(&Observation {
            moment: Moment {
                time,
                utc: jiff::Timestamp::UNIX_EPOCH + time,
            },
            frame: frame as u64,
            pts_ns: None,
            age: time - *taken,
            grounding,
        });
        for event in events
            .into_iter()
            .filter(|event| event.kind == EventKind::New)
        {
            let begins = begins(&event);
            let first = event.tracks.first().copied();
            let object = first.filter(|_| !is_of_all(&event.rule));
            found.entry((event.rule, object)).or_default().push(begins);
        }
    }
    found
}

#[test]
fn rules_find_what_truly_happened() {
    let mut tallies: BTreeMap<&str, Tally> = BTreeMap::new();
    let options = SceneOptions {
        min_objects: 2,
        max_objects: 4,
        ..SceneOptions::default()
    };
    for seed in 0..SCENES {
        let scene = MovingScene::new(seed, &options);
        let mut random = rng(seed, 77);
        let setting = Setting::sample(&mut random);
        let times = (0..=(SECONDS / STEP) as usize).map(|step| step as f64 * STEP);
        let scenes: Vec<Scene> = times.map(|time| scene.at(time)).collect();
        let boxes: Vec<Vec<[f64; 4]>> = (0..scenes[0].objects.len())
            .map(|object| {
                scenes
                    .iter()
                    .map(|scene| exact_box(scene, &scene.objects[object]))
                    .collect()
            })
            .collect();
        let ways: Vec<Vec<Option<Point>>> = boxes
            .iter()
            .map(|of| of.iter().map(|b| Some(anchor(*b))).collect())
            .collect();
        let mut found = found(&setting, &boxes, &mut random);
        for (rule, object, truth) in setting.truths(&ways, STEP) {
            let times = found.remove(&(rule.to_owned(), object)).unwrap_or_default();
            let tally = truth.compare(times.clone());
            if tally.wrong + tally.missed > 0 {
                println!(
                    "scene {seed}, {rule} {object:?}: {tally:?}, found {times:.2?}, {truth:.2?}"
                );
            }
            tallies.entry(rule).or_default().add(tally);
        }
        assert!(found.is_empty(), "events of no object: {found:?}");
    }
    println!("rule      events  precision  recall");
    for (rule, tally) in &tallies {
        let events = tally.right + tally.missed;
        println!(
            "{rule:9} {events:6}  {:9.4}  {:6.4}",
            tally.precision(),
            tally.recall()
        );
    }
    for (rule, tally) in tallies {
        assert!(
            tally.right + tally.missed >= 50,
            "{rule}: {tally:?}: too few to tell"
        );
        assert!(
            tally.precision() >= 0.98,
            "{rule}: precision {} of {tally:?}",
            tally.precision()
        );
        assert!(
            tally.recall() >= 0.98,
            "{rule}: recall {} of {tally:?}",
            tally.recall()
        );
    }
}
