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
use mdetr_rules::document::Direction;
use mdetr_rules::{EventKind, Moment, Observation, RuleSet, Watch};
use mdetr_scenes::{MovingScene, Object, Scene, SceneOptions, rng};
use oracle::{Point, Signal, Tally, Truth};
use rand::Rng;

const SCENES: u64 = 200;
const WIDTH: u32 = 320;
const HEIGHT: u32 = 240;
const ASPECT: f64 = WIDTH as f64 / HEIGHT as f64;
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

struct Setting {
    zone: Vec<Point>,
    from: Point,
    to: Point,
}

impl Setting {
    /// A zone and a line through the middle of the picture.
    fn sample(random: &mut impl Rng) -> Setting {
        let mut near = |x: f64, y: f64, by: f64| {
            [
                ASPECT * (x + random.random_range(-by..by)),
                y + random.random_range(-by..by),
            ]
        };
        let mut zone = vec![
            near(0.3, 0.45, 0.1),
            near(0.7, 0.45, 0.1),
            near(0.7, 0.8, 0.1),
            near(0.3, 0.8, 0.1),
        ];
        let (from, to) = (near(0.15, 0.55, 0.12), near(0.85, 0.6, 0.12));
        if zone[0][0] < 0.3 * ASPECT {
            // A bay from the right.
            zone.insert(2, [0.55 * ASPECT, 0.6]);
        }
        Setting { zone, from, to }
    }

    fn rules(&self) -> RuleSet {
        let relative = |p: &Point| format!("[{}, {}]", p[0] / ASPECT, p[1]);
        let points: Vec<String> = self.zone.iter().map(relative).collect();
        let text = format!(
            r#"
[[zone]]
id = "zone"
points = [{}]
[[line]]
id = "line"
from = {}
to = {}
[[rule]]
id = "enters"
when = {{ is = "enters", query = "q", zone = "zone" }}
[[rule]]
id = "leaves"
when = {{ is = "leaves", query = "q", zone = "zone" }}
[[rule]]
id = "dwells"
when = {{ is = "dwells", query = "q", zone = "zone", longer_than = "2s" }}
[[rule]]
id = "forward"
when = {{ is = "crosses", query = "q", line = "line", direction = "forward" }}
[[rule]]
id = "backward"
when = {{ is = "crosses", query = "q", line = "line", direction = "backward" }}
[[rule]]
id = "absent"
when = {{ is = "absent", query = "q", zone = "zone" }}
for = "1s"
[[rule]]
id = "count"
when = {{ is = "count", query = "q", zone = "zone", over = 1 }}
for = "1s"
"#,
            points.join(", "),
            relative(&self.from),
            relative(&self.to),
        );
        let rules = RuleSet::parse_toml(&text).unwrap();
        assert_eq!(rules.check(&[]), []);
        rules
    }

    /// What each rule must find; those about objects for each of them.
    fn truths(&self, ways: &[Vec<Point>]) -> Vec<(&'static str, Option<u64>, Truth)> {
        let inside: Vec<Signal> = ways
            .iter()
            .map(|way| way.iter().map(|p| oracle::inside(*p, &self.zone)).collect())
            .collect();
        let mut truths = Vec::new();
        for (index, (way, inside)) in ways.iter().zip(&inside).enumerate() {
            let track = Some(index as u64);
            let points: Vec<Option<Point>> = way.iter().copied().map(Some).collect();
            let crossings = |right| oracle::crossings(&points, self.from, self.to, right, STEP);
            truths.push(("enters", track, oracle::changes(inside, true, STEP)));
            truths.push(("leaves", track, oracle::changes(inside, false, STEP)));
            truths.push(("dwells", track, oracle::lasting(inside, 2.0, 1.0, STEP)));
            truths.push(("forward", track, crossings(true)));
            truths.push(("backward", track, crossings(false)));
        }
        let frames = 0..ways[0].len();
        let absent = |frame: usize| {
            let none = inside.iter().all(|of| of[frame] == Some(false));
            let one = inside.iter().any(|of| of[frame] == Some(true));
            if one {
                Some(false)
            } else {
                none.then_some(true)
            }
        };
        let several = |frame: usize| {
            let surely = inside.iter().filter(|of| of[frame] == Some(true)).count();
            let perhaps = inside.iter().filter(|of| of[frame] != Some(false)).count();
            if surely > 1 {
                Some(true)
            } else {
                (perhaps < 2).then_some(false)
            }
        };
        let absent: Signal = frames.clone().map(absent).collect();
        let several: Signal = frames.map(several).collect();
        truths.push(("absent", None, oracle::lasting(&absent, 1.0, 1.0, STEP)));
        truths.push(("count", None, oracle::lasting(&several, 1.0, 1.0, STEP)));
        truths
    }
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
            let start = event
                .start
                .duration_since(jiff::Timestamp::UNIX_EPOCH)
                .as_secs_f64();
            let begins = match event.rule.as_str() {
                // These truths say when it was so for long enough.
                "absent" | "count" => start + 1.0,
                _ => start,
            };
            let wanted = match event.rule.as_str() {
                "forward" => Some(Direction::Forward),
                "backward" => Some(Direction::Backward),
                _ => None,
            };
            assert_eq!(event.direction, wanted, "{event:?}");
            let object = match event.rule.as_str() {
                "absent" | "count" => None,
                _ => event.tracks.first().copied(),
            };
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
        let ways: Vec<Vec<Point>> = boxes
            .iter()
            .map(|of| of.iter().map(|b| anchor(*b)).collect())
            .collect();
        let mut found = found(&setting, &boxes, &mut random);
        for (rule, object, truth) in setting.truths(&ways) {
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
