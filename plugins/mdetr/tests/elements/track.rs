//! `mdetrtrack`: identities over time.

use std::sync::Arc;

use gst_video::VideoRegionOfInterestMeta;
use gstmdetr::meta::{self, FrameGrounding};
use gstmdetr::regions;
use mdetr::{BBox, Detection, Grounding, Query, QueryResult};
use serde_json::Value;

use crate::common::{RGB, init, pad, pipeline, rgb_frame, run};

const SIZE: (u32, u32) = (64, 48);

fn harness(properties: &str) -> gst_check::Harness {
    init();
    let mut harness = gst_check::Harness::new_parse(&format!("mdetrtrack {properties}"));
    harness.set_src_caps_str(RGB);
    harness
}

/// What a model found: balls with their left edges at `lefts`.
fn found(revision: u64, text: &str, lefts: &[f32]) -> Arc<Grounding> {
    let detections = lefts.iter().map(|&x| Detection {
        bbox: BBox {
            x,
            y: 10.0,
            width: 12.0,
            height: 12.0,
        },
        score: 0.9,
        phrases: vec![],
        track: None,
        hidden_ms: None,
        identity: None,
        mask: None,
    });
    Arc::new(Grounding {
        revision,
        width: SIZE.0,
        height: SIZE.1,
        queries: vec![QueryResult {
            query: Arc::new(Query::parse("balls", text).expect("a query")),
            detections: detections.collect(),
            answer: None,
        }],
    })
}

/// Frame `number`, 40 ms after the one before, with a result that is `age` frames old.
fn frame(number: u64, grounding: &Arc<Grounding>, age: u64) -> gst::Buffer {
    let mut buffer = rgb_frame(SIZE.0, SIZE.1, number);
    let found = FrameGrounding {
        grounding: grounding.clone(),
        age: gst::ClockTime::from_mseconds(40 * age),
        element: "mdetr0".into(),
    };
    let writable = buffer.get_mut().expect("the only reference");
    regions::attach(writable, found, SIZE.0, SIZE.1, None);
    buffer
}

/// Left edges and ids of what a frame carries, from the left.
fn tracks(buffer: &gst::BufferRef) -> Vec<(f32, Option<u64>)> {
    let results = meta::read(buffer);
    assert_eq!(results.len(), 1, "one result in place of the other");
    let detections = &results[0].grounding.queries[0].detections;
    let mut found: Vec<(f32, Option<u64>)> =
        detections.iter().map(|d| (d.bbox.x, d.track)).collect();
    found.sort_by(|a, b| a.0.total_cmp(&b.0));
    let regions = buffer.iter_meta::<VideoRegionOfInterestMeta>();
    let of_regions: Vec<Option<u64>> = regions
        .map(|region| region.param("detection").expect("ours").get("track").ok())
        .collect();
    assert_eq!(of_regions.len(), found.len(), "regions as detections");
    for (_, id) in &found {
        assert!(of_regions.contains(id));
    }
    found
}

fn ids(buffer: &gst::BufferRef) -> Vec<Option<u64>> {
    tracks(buffer).into_iter().map(|(_, id)| id).collect()
}

#[test]
fn objects_keep_their_ids_and_move_between_results() {
    let mut harness = harness("");
    let mut pass = |buffer: gst::Buffer| harness.push_and_pull(buffer).expect("a frame");
    let before = rgb_frame(SIZE.0, SIZE.1, 0);
    let pixels = before.map_readable().unwrap().to_vec();
    // Two balls, one moving by 2 pixels a frame, seen in every second one.
    let first = frame(0, &found(1, "all balls", &[0.0, 40.0]), 0);
    let first = pass(first);
    assert_eq!(ids(&first), [None, None], "seen once");
    assert_eq!(first.map_readable().unwrap().as_slice(), pixels);
    for number in 1..9u64 {
        let (seen, age) = (number - number % 2, number % 2);
        let grounding = found(1, "all balls", &[2.0 * seen as f32, 40.0]);
        let passed = if age == 0 {
            pass(frame(number, &grounding, 0))
        } else {
            continue;
        };
        assert_eq!(
            tracks(&passed),
            [(2.0 * seen as f32, Some(1)), (40.0, Some(2))]
        );
        let carried = pass(frame(number + 1, &grounding, 1));
        let after = tracks(&carried);
        assert_eq!([after[0].1, after[1].1], [Some(1), Some(2)]);
        if number > 4 {
            let expected = 2.0 * (seen + 1) as f32;
            assert!(
                (after[0].0 - expected).abs() < 1.0,
                "{after:?}, not {expected}"
            );
        }
        assert!((after[1].0 - 40.0).abs() < 0.5, "{after:?}");
        assert_eq!(
            meta::read(&carried)[0].age,
            gst::ClockTime::from_mseconds(40)
        );
    }
}

#[test]
fn a_miss_does_not_flicker_and_ids_come_back() {
    let mut harness = harness("min-hits=1 coast=100000000 max-age=1000000000");
    let mut pass = |number, lefts: &[f32]| {
        let buffer = frame(number, &found(1, "all balls", lefts), 0);
        ids(&harness.push_and_pull(buffer).expect("a frame"))
    };
    assert_eq!(pass(0, &[20.0]), [Some(1)]);
    assert_eq!(pass(1, &[]), [Some(1)], "40 ms without it");
    assert_eq!(pass(2, &[]), [Some(1)], "80 ms");
    assert_eq!(pass(3, &[]), [], "120 ms");
    assert_eq!(pass(4, &[20.0]), [Some(1)], "the same again");
    assert_eq!(
        pass(40, &[20.0]),
        [Some(2)],
        "after more than a second another"
    );
}

#[test]
fn new_queries_begin_anew_and_old_ones_go_on() {
    let mut harness = harness("min-hits=1");
    let mut pass = |number, revision, text: &str| {
        let buffer = frame(number, &found(revision, text, &[20.0]), 0);
        ids(&harness.push_and_pull(buffer).expect("a frame"))
    };
    assert_eq!(pass(0, 1, "all balls"), [Some(1)]);
    assert_eq!(pass(1, 2, "all balls"), [Some(1)], "the same sentence");
    assert_eq!(pass(2, 3, "all spheres"), [Some(2)], "another");
}

#[test]
fn a_flush_begins_anew_and_ids_are_not_used_twice() {
    let mut harness = harness("min-hits=1");
    let grounding = found(1, "all balls", &[20.0]);
    let first = harness.push_and_pull(frame(50, &grounding, 0)).unwrap();
    assert_eq!(ids(&first), [Some(1)]);
    harness.push_event(gst::event::FlushStart::new());
    harness.push_event(gst::event::FlushStop::new(true));
    let segment = gst::FormattedSegment::<gst::ClockTime>::new();
    harness.push_event(gst::event::Segment::new(&segment));
    let again = harness.push_and_pull(frame(0, &found(1, "all balls", &[20.0]), 0));
    assert_eq!(ids(&again.unwrap()), [Some(2)]);
}

#[test]
fn frames_without_time_or_backwards_are_followed() {
    let mut harness = harness("min-hits=1");
    for number in 0..6 {
        let mut buffer = frame(number, &found(1, "all balls", &[20.0 + number as f32]), 0);
        let writable = buffer.get_mut().unwrap();
        writable.set_pts(match number {
            0 | 3 => gst::ClockTime::from_mseconds(40 * number).into(),
            4 => gst::ClockTime::from_mseconds(10).into(),
            _ => None::<gst::ClockTime>,
        });
        let passed = harness.push_and_pull(buffer).unwrap();
        assert_eq!(ids(&passed), [Some(1)], "frame {number}");
    }
}

#[test]
fn reverse_playback_runs_forward_in_time() {
    let mut harness = harness("");
    let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
    segment.set_rate(-1.0);
    segment.set_stop(gst::ClockTime::from_seconds(1));
    harness.push_event(gst::event::Segment::new(&segment));
    for (index, number) in (10..20u64).rev().enumerate() {
        let left = 2.0 * index as f32;
        let buffer = frame(number, &found(1, "all balls", &[left]), 0);
        let passed = harness.push_and_pull(buffer).unwrap();
        let id = (index > 0).then_some(1);
        assert_eq!(tracks(&passed), [(left, id)]);
    }
}

#[test]
fn the_size_may_change_on_the_way() {
    let mut harness = harness("min-hits=1");
    let small = harness.push_and_pull(frame(0, &found(1, "all balls", &[20.0]), 0));
    assert_eq!(ids(&small.unwrap()), [Some(1)]);
    harness.set_src_caps_str("video/x-raw,format=RGB,width=128,height=96,framerate=25/1");
    let mut large = rgb_frame(128, 96, 1);
    let mut grounding = Arc::unwrap_or_clone(found(1, "all balls", &[40.0]));
    (grounding.width, grounding.height) = (128, 96);
    let bbox = &mut grounding.queries[0].detections[0].bbox;
    (bbox.y, bbox.width, bbox.height) = (20.0, 24.0, 24.0);
    let result = FrameGrounding {
        grounding: Arc::new(grounding),
        age: gst::ClockTime::ZERO,
        element: "mdetr0".into(),
    };
    let writable = large.get_mut().unwrap();
    regions::attach(writable, result, 128, 96, None);
    let passed = harness.push_and_pull(large).unwrap();
    assert_eq!(tracks(&passed), [(40.0, Some(1))]);
}

#[test]
fn frames_without_results_and_foreign_regions_pass() {
    let mut harness = harness("");
    let mut plain = rgb_frame(SIZE.0, SIZE.1, 0);
    VideoRegionOfInterestMeta::add(plain.get_mut().unwrap(), "face", (1, 2, 3, 4));
    let passed = harness.push_and_pull(plain).unwrap();
    assert_eq!(passed.iter_meta::<VideoRegionOfInterestMeta>().count(), 1);
    let mut buffer = frame(1, &found(1, "all balls", &[20.0]), 0);
    VideoRegionOfInterestMeta::add(buffer.get_mut().unwrap(), "face", (1, 2, 3, 4));
    let passed = harness.push_and_pull(buffer).unwrap();
    assert_eq!(regions::foreign(&passed).len(), 1);
    assert_eq!(passed.iter_meta::<VideoRegionOfInterestMeta>().count(), 2);
}

#[test]
fn a_pipeline_writes_ids() {
    let pipeline = pipeline(
        "tabletopsrc seed=11 objects=3 num-buffers=12 ! video/x-raw,width=320,height=240 \
         ! mdetr inference-interval=3 query=\"all objects\" model=MODEL ! mdetrtrack \
         ! mdetr2json name=json ! fakesink",
    );
    let lines = crate::common::collect(&pad(&pipeline, "json", "src"));
    run(&pipeline).expect("it plays");
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 12);
    let ids = |line: &gst::Buffer| -> Vec<Option<u64>> {
        let json: Value = serde_json::from_slice(&line.map_readable().unwrap()).unwrap();
        let detections = json["queries"][0]["detections"].as_array().unwrap();
        let mut ids: Vec<_> = detections.iter().map(|d| d["track"].as_u64()).collect();
        ids.sort_unstable();
        ids
    };
    let first = ids(&lines[0]);
    assert!(!first.is_empty() && first.iter().all(Option::is_none));
    let confirmed = ids(&lines[3]);
    assert!(confirmed.iter().flatten().count() > 0);
    assert_eq!(ids(&lines[4]), confirmed, "carried");
}
