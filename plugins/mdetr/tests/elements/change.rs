//! `change-threshold`: a still scene is not inferred again.

use gst::prelude::*;
use gstmdetr::meta;

use crate::common::{RGB, harness, mdetr, rgb_frame, stat};

/// Frame `number` of a still camera with a little noise.
fn still(number: u64, scene: u64) -> gst::Buffer {
    let mut buffer = rgb_frame(64, 48, scene);
    let writable = buffer.get_mut().expect("the only reference");
    {
        let mut map = writable.map_writable().expect("system memory");
        for (at, byte) in map.iter_mut().enumerate() {
            let noise = ((at as u64).wrapping_mul(number + 7) >> 3) % 3;
            *byte = 40 + (*byte >> 1) + noise as u8;
        }
    }
    writable.set_pts(gst::ClockTime::from_mseconds(40 * number));
    buffer
}

#[test]
fn a_still_scene_is_inferred_once_and_a_new_one_or_a_new_query_again() {
    let element = mdetr("a cube");
    element.set_property("change-threshold", 0.02f32);
    element.set_property("workers", 1u32);
    let mut harness = harness(&element, RGB);
    let mut pass = |number, scene| {
        harness.push(still(number, scene)).expect("taken");
        let buffer = harness.pull().expect("a frame");
        let found = meta::read(&buffer).remove(0);
        (found.age.mseconds(), found.grounding)
    };
    let (age, first) = pass(0, 1);
    assert_eq!(age, 0);
    for number in 1..6 {
        let (age, found) = pass(number, 1);
        assert_eq!(age, 40 * number, "the old result says its age");
        assert_eq!(found.queries, first.queries);
    }
    let (age, _) = pass(6, 2);
    assert_eq!(age, 0, "another scene");
    assert_eq!(pass(7, 2).0, 40);

    let revision = first.revision;
    element.set_property("query", "a cone");
    let mut number = 8;
    let new = loop {
        let (age, found) = pass(number, 2);
        if found.revision > revision {
            assert_eq!(age, 0, "a new query is answered for this frame");
            break found;
        }
        number += 1;
        assert!(number < 20_000, "the new query never stood");
    };
    assert_eq!(new.queries[0].query.text(), "a cone");

    element.set_property("score-threshold", 1f32);
    let (age, found) = pass(number + 1, 2);
    assert_eq!((age, found.queries[0].detections.len()), (0, 0));

    assert_eq!(stat::<u64>(&element, "inferred"), 4);
    assert_eq!(stat::<u64>(&element, "vision-runs"), 4);
    assert_eq!(stat::<u64>(&element, "frames"), number + 2);
    assert_eq!(stat::<u64>(&element, "unchanged"), number + 2 - 4);
}

#[test]
fn a_slow_drift_adds_up() {
    let element = mdetr("a cube");
    element.set_property("change-threshold", 0.1f32);
    element.set_property("workers", 1u32);
    let mut harness = harness(&element, RGB);
    let mut inferred = Vec::new();
    for number in 0..30u64 {
        let mut buffer = rgb_frame(64, 48, 1);
        let writable = buffer.get_mut().expect("the only reference");
        writable
            .map_writable()
            .expect("system memory")
            .fill(100 + 2 * number as u8);
        writable.set_pts(gst::ClockTime::from_mseconds(40 * number));
        harness.push(buffer).expect("taken");
        let buffer = harness.pull().expect("a frame");
        if meta::read(&buffer)[0].age.is_zero() {
            inferred.push(number);
        }
    }
    // 13 steps of 2/255 are more than a tenth.
    assert_eq!(inferred, [0, 13, 26]);
}
