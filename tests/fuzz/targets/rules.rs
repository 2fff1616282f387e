//! Rules as users write them, and frames that they look at.
#![no_main]

use std::sync::Arc;
use std::time::Duration;

use mdetr_grounding::{Answer, BBox, Detection, Grounding, Query, QueryResult};
use mdetr_rules::{EndReason, EventKind, Moment, Observation, RuleSet, Watch};

/// Numbers from the input's bytes; zeros behind its end.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((first, rest)) => {
                self.0 = rest;
                *first
            }
            None => 0,
        }
    }

    fn float(&mut self) -> f32 {
        match self.byte() {
            255 => f32::from_bits(u32::from_le_bytes([0; 4].map(|_: u8| self.byte()))),
            byte => f32::from(byte),
        }
    }
}

fn detection(bytes: &mut Bytes) -> Detection {
    let bbox = BBox {
        x: bytes.float(),
        y: bytes.float(),
        width: bytes.float(),
        height: bytes.float(),
    };
    Detection {
        bbox,
        score: bytes.float() / 255.0,
        phrases: vec![],
        track: Some(u64::from(bytes.byte())).filter(|track| *track < 8),
        hidden_ms: None,
        identity: None,
        mask: None,
    }
}

/// The text is rules up to a NUL; behind it are frames.
fn play(data: &[u8]) {
    let end = data
        .iter()
        .position(|byte| *byte == 0)
        .unwrap_or(data.len());
    let Ok(text) = std::str::from_utf8(&data[..end]) else {
        return;
    };
    let Ok(rules) = RuleSet::parse_toml(text) else {
        return;
    };
    let ids: Vec<String> = rules
        .rules
        .iter()
        .flat_map(|rule| rule.when.walk())
        .filter_map(|c| c.query().map(str::to_owned))
        .take(4)
        .collect();
    let Ok(mut watch) = Watch::new("camera", rules.clone()) else {
        return;
    };
    let written = toml::to_string(&rules).expect("what was read can be written");
    assert_eq!(
        RuleSet::parse_toml(&written).as_ref(),
        Ok(&rules),
        "{written}"
    );
    let asked: Vec<Arc<Query>> = ids
        .iter()
        .filter_map(|id| Query::parse(id, "a thing").ok().map(Arc::new))
        .collect();
    let mut bytes = Bytes(&data[end..]);
    let (mut ms, mut open) = (0u64, 0i64);
    let mut count = |events: Vec<mdetr_rules::Event>| {
        for event in events {
            open += match event.kind {
                EventKind::New => 1,
                EventKind::Update => 0,
                EventKind::End => -1,
            };
            assert!(open >= 0, "{event:?}");
        }
        open
    };
    for frame in 0..64 {
        if bytes.0.is_empty() {
            break;
        }
        ms += u64::from(bytes.byte()) * 10;
        let results = asked.iter().map(|query| QueryResult {
            query: query.clone(),
            detections: (0..bytes.byte() % 4)
                .map(|_| detection(&mut bytes))
                .collect(),
            answer: (bytes.byte() > 200).then(|| Answer {
                text: bytes.byte().to_string(),
                score: bytes.float(),
            }),
        });
        let queries = results.collect();
        let grounding = Grounding {
            revision: u64::from(bytes.0.len() as u32 % 2),
            width: 256,
            height: 192,
            queries,
        };
        let time = Duration::from_millis(ms);
        count(watch.observe(&Observation {
            moment: Moment {
                time,
                utc: jiff::Timestamp::UNIX_EPOCH + time,
            },
            frame,
            pts_ns: None,
            age: Duration::from_millis(u64::from(bytes.byte())),
            grounding: &grounding,
        }));
    }
    let time = Duration::from_millis(ms);
    let at = Moment {
        time,
        utc: jiff::Timestamp::UNIX_EPOCH + time,
    };
    assert_eq!(
        count(watch.end_all(EndReason::Stopped, at)),
        0,
        "every event ends"
    );
}

libfuzzer_sys::fuzz_target!(|data: &[u8]| play(data));
