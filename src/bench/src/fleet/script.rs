//! What devices tell: events that rules found in rendered scenes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, anyhow, ensure};
use jiff::{SignedDuration, Timestamp};
use mdetr::{BBox, Detection, Grounding, Phrase, Query, QueryResult, Span};
use mdetr_rules::{Event, EventKind, Moment, Observation, RuleSet, Watch};
use mdetr_scenes::{MovingScene, SceneOptions, render};

const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;
const FPS: u32 = 5;
/// Scenes, each another camera's.
const SCENES: u64 = 4;

/// Steps of one event, each with the time since its first in seconds.
pub type Life = Vec<(f64, Event)>;

/// Whole lives of events.
pub fn lives() -> Result<Arc<[Life]>> {
    let mut lives = Vec::new();
    for seed in 0..SCENES {
        lives.extend(scene(seed)?);
    }
    ensure!(!lives.is_empty(), "nothing happens in these scenes");
    Ok(lives.into())
}

fn rules() -> Result<RuleSet> {
    let mut text = String::new();
    for x in 1..10 {
        text += &format!(
            "[[line]]\nid = 'line-{x}'\nfrom = [0.{x}, 0.0]\nto = [0.{x}, 1.0]\n\
             [[zone]]\nid = 'zone-{x}'\npoints = [[0.{x}, 0.0], [1.0, 0.0], [1.0, 1.0], [0.{x}, 1.0]]\n\
             [[rule]]\nid = 'crossed-{x}'\nframes = 1\nwhen = {{ is = 'crosses', query = 'q', line = 'line-{x}' }}\n\
             [[rule]]\nid = 'empty-{x}'\nframes = 1\nwhen = {{ is = 'absent', query = 'q', zone = 'zone-{x}' }}\n"
        );
    }
    Ok(toml::from_str(&text)?)
}

fn scene(seed: u64) -> Result<Vec<Life>> {
    let scene = MovingScene::new(seed, &SceneOptions::default());
    let mut watch = Watch::new("yard", rules()?).map_err(|faults| anyhow!("{faults:?}"))?;
    let query = Arc::new(Query::parse("q", "all objects")?);
    let begin = Timestamp::UNIX_EPOCH;
    let mut steps: BTreeMap<String, Vec<Event>> = BTreeMap::new();
    for frame in 0..(2.0 * MovingScene::PERIOD) as u32 * FPS {
        let time = Duration::from_secs(frame.into()) / FPS;
        let at = scene.at(time.as_secs_f64());
        let objects = render(&at, WIDTH, HEIGHT, 0).ground_truth().objects;
        let detections = objects
            .iter()
            .enumerate()
            .filter(|(_, object)| object.area > 0);
        let detections = detections.map(|(number, object)| {
            let [x, y, width, height] = object.bbox.map(|value| value as f32);
            Detection {
                bbox: BBox {
                    x,
                    y,
                    width,
                    height,
                },
                score: 0.95,
                phrases: vec![Phrase {
                    text: "all objects".to_owned(),
                    span: Span { start: 0, end: 11 },
                    score: 0.95,
                }],
                track: Some(number as u64 + 1),
                hidden_ms: None,
                identity: None,
                mask: None,
            }
        });
        let grounding = Grounding {
            revision: 1,
            width: WIDTH,
            height: HEIGHT,
            queries: vec![QueryResult {
                query: query.clone(),
                detections: detections.collect(),
                answer: None,
            }],
        };
        let found = watch.observe(&Observation {
            moment: Moment {
                time,
                utc: begin + SignedDuration::try_from(time)?,
            },
            frame: frame.into(),
            pts_ns: None,
            age: Duration::ZERO,
            grounding: &grounding,
        });
        for event in found {
            steps.entry(event.id.clone()).or_default().push(event);
        }
    }
    let whole = steps.into_values().filter(|steps| {
        let kinds = [steps.first(), steps.last()].map(|step| step.map(|step| step.kind));
        kinds == [Some(EventKind::New), Some(EventKind::End)]
    });
    let life = |steps: Vec<Event>| -> Life {
        let start = steps[0].time;
        let since = |event: &Event| event.time.duration_since(start).as_secs_f64();
        steps
            .into_iter()
            .map(|event| (since(&event), event))
            .collect()
    };
    Ok(whole.map(life).collect())
}
