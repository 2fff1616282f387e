//! Messages of the same moment.

use mdetr_ros2_messages::builtin_interfaces::{Duration, Time};
use mdetr_ros2_messages::sync::{ApproximateTime, Matched};
use proptest::prelude::*;

const MILLI: i64 = 1_000_000;

fn at(millis: i64) -> Time {
    Time::from_nanos(millis * MILLI)
}

fn sync(capacity: usize, tolerance: i64) -> ApproximateTime<i64, i64> {
    ApproximateTime::new(capacity, Duration::from_nanos(tolerance * MILLI))
}

fn pairs(matched: Vec<Matched<i64, i64>>) -> Vec<(i64, Option<i64>)> {
    let pairs = matched.into_iter();
    pairs
        .map(|matched| (matched.first, matched.second))
        .collect()
}

#[test]
fn a_picture_waits_for_the_depth_after_it_and_takes_the_nearest() {
    let mut sync = sync(10, 20);
    assert!(sync.push_second(at(90), 90).is_empty());
    assert!(sync.push_first(at(100), 100).is_empty());
    assert_eq!(sync.waiting(), 1);
    assert_eq!(pairs(sync.push_second(at(105), 105)), [(100, Some(105))]);
    assert_eq!(sync.waiting(), 0);
    // A picture that comes late finds the depth that was there.
    assert_eq!(pairs(sync.push_first(at(97), 97)), [(97, Some(90))]);
    // One too far from any gets none.
    assert!(sync.push_first(at(140), 140).is_empty());
    assert_eq!(pairs(sync.push_second(at(200), 200)), [(140, None)]);
}

#[test]
fn a_silent_topic_holds_up_no_more_than_the_capacity() {
    let mut sync = sync(2, 20);
    assert!(sync.push_first(at(0), 0).is_empty());
    assert!(sync.push_first(at(33), 33).is_empty());
    assert_eq!(pairs(sync.push_first(at(66), 66)), [(0, None)]);
    assert_eq!(pairs(sync.flush()), [(33, None), (66, None)]);
    assert_eq!(sync.waiting(), 0);
}

#[test]
fn a_recording_that_starts_again_is_matched_with_itself() {
    let mut sync = sync(10, 20);
    assert!(sync.push_first(at(100_000), 100_000).is_empty());
    assert!(sync.push_second(at(99_990), 99_990).is_empty());
    assert_eq!(pairs(sync.push_second(at(5), 5)), [(100_000, Some(99_990))]);
    assert!(sync.push_first(at(10), 10).is_empty());
    assert_eq!(pairs(sync.push_second(at(15), 15)), [(10, Some(5))]);
    // Of both the first hears of it first.
    assert!(sync.push_first(at(50_000), 50_000).is_empty());
    assert_eq!(pairs(sync.push_first(at(10), 10)), [(50_000, None)]);
    assert_eq!(pairs(sync.push_second(at(10), 10)), [(10, Some(10))]);
}

proptest! {
    #[test]
    fn each_comes_out_once_in_order_with_the_nearest(
        steps in prop::collection::vec((any::<bool>(), 1i64..60), 1..200),
        capacity in 1usize..12,
        tolerance in 0i64..50,
    ) {
        let mut sync = sync(capacity, tolerance);
        let (mut first, mut second) = (0, 0);
        let (mut pushed, mut seconds, mut out) = (Vec::new(), Vec::new(), Vec::new());
        for (is_first, step) in steps {
            let new = if is_first {
                first += step;
                pushed.push(first);
                sync.push_first(at(first), first)
            } else {
                second += step;
                seconds.push(second);
                sync.push_second(at(second), second)
            };
            prop_assert!(sync.waiting() <= capacity);
            let kept = &seconds[seconds.len().saturating_sub(capacity)..];
            for (stamp, found) in pairs(new) {
                let nearest = kept.iter().map(|other| (other - stamp).abs()).min();
                let near = nearest.filter(|distance| *distance <= tolerance);
                prop_assert_eq!(found.map(|found| (found - stamp).abs()), near);
                out.push(stamp);
            }
        }
        out.extend(pairs(sync.flush()).into_iter().map(|(stamp, _)| stamp));
        prop_assert_eq!(out, pushed);
    }

    #[test]
    fn any_stamps_are_taken(
        pushes in prop::collection::vec((any::<bool>(), any::<i32>(), any::<u32>()), 0..60),
        capacity in 0usize..5,
        tolerance in any::<i64>(),
    ) {
        let mut sync = ApproximateTime::new(capacity, Duration::from_nanos(tolerance));
        let (mut pushed, mut out) = (0, 0);
        for (is_first, sec, nanosec) in pushes {
            let stamp = Time { sec, nanosec };
            pushed += usize::from(is_first);
            out += if is_first { sync.push_first(stamp, ()).len() } else { sync.push_second(stamp, ()).len() };
            prop_assert!(sync.waiting() <= capacity.max(1));
        }
        prop_assert_eq!(out + sync.flush().len(), pushed);
    }

    #[test]
    fn times_survive_nanoseconds(nanos in any::<i64>()) {
        let time = Time::from_nanos(nanos);
        prop_assert!(time.nanosec < 1_000_000_000);
        if nanos / 1_000_000_000 < i64::from(i32::MAX) && nanos / 1_000_000_000 > i64::from(i32::MIN) {
            prop_assert_eq!(time.nanos(), nanos);
            prop_assert_eq!(Duration::from_nanos(nanos).nanos(), nanos);
        }
    }
}
