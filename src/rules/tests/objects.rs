//! What conditions about objects mean: enters, leaves, crosses, dwells, still, moves.

mod common;

use common::*;
use mdetr_rules::document::Direction;
use mdetr_rules::{EndReason, EventKind};

use EventKind::{End, New};

#[test]
fn objects_enter_and_leave_zones() {
    let walk = |ms: u64| {
        vec![person(vec![
            object(3, ms as f32 / 10_000.0, 0.6),
            object(4, 0.8, 0.3),
        ])]
    };
    let mut enters = watch(&with(r#"is = "enters", query = "person", zone = "yard""#));
    let events = run(&mut enters, 3000, 7000, walk);
    assert_eq!(
        steps(&events),
        [(5100, New), (5100, End)],
        "the one that was there has not come"
    );
    let end = &events[1].1;
    assert_eq!(
        (end.start, end.end, end.reason),
        (at(5000).utc, Some(at(5000).utc), Some(EndReason::Moment))
    );
    assert_eq!(
        (&end.tracks[..], &end.zones[..]),
        (&[3][..], &["yard".to_owned()][..])
    );
    assert!(end.id.contains("-gate-r-3-"), "{}", end.id);
    let mut leaves = watch(&with(r#"is = "leaves", query = "person", zone = "yard""#));
    let back = |ms: u64| walk(10_000 - ms);
    assert_eq!(
        steps(&run(&mut leaves, 3000, 7000, back)),
        [(5200, New), (5200, End)]
    );
    // One that is not seen while it comes in has come in, if the tracker knows it again.
    let mut hidden = watch(&with(r#"is = "enters", query = "person", zone = "yard""#));
    let seen = |ms| !(3500..8000).contains(&ms);
    let events = run(&mut hidden, 3000, 9000, |ms| {
        if seen(ms) {
            walk(ms)
        } else {
            vec![person(vec![])]
        }
    });
    assert_eq!(steps(&events), [(8100, New), (8100, End)]);
    // An object that is lost has not left.
    let mut lost = watch(&with(r#"is = "leaves", query = "person", zone = "yard""#));
    assert_eq!(steps(&run(&mut lost, 0, 3000, between(0, 1000))), []);
}

#[test]
fn objects_cross_lines_in_directions() {
    let down = |ms: u64| vec![person(vec![object(3, 0.5, ms as f32 / 10_000.0)])];
    let up = |ms: u64| down(10_000 - ms);
    for (direction, downwards, upwards) in [("both", 2, 2), ("forward", 2, 0), ("backward", 0, 2)] {
        let rules = with(&format!(
            r#"is = "crosses", query = "person", line = "gate", direction = "{direction}""#
        ));
        let events = run(&mut watch(&rules), 4000, 6000, down);
        assert_eq!(events.len(), downwards, "{direction}");
        for (_, event) in events {
            assert_eq!(
                (event.direction, event.line.as_deref()),
                (Some(Direction::Forward), Some("gate"))
            );
        }
        assert_eq!(
            run(&mut watch(&rules), 4000, 6000, up).len(),
            upwards,
            "{direction}"
        );
    }
}

#[test]
fn objects_dwell() {
    let mut watch = watch(&with(
        r#"is = "dwells", query = "person", zone = "yard", longer_than = "2s""#,
    ));
    let stay = |ms: u64| {
        let x = if (1000..5000).contains(&ms) && ms != 2000 {
            0.7
        } else {
            0.3
        };
        vec![person(vec![object(3, x, 0.5), object(4, 0.2, 0.5)])]
    };
    let events = run(&mut watch, 0, 6000, stay);
    assert_eq!(steps(&events), [(3200, New), (5300, End)]);
    assert_eq!(
        (events[0].1.start, events[1].1.end),
        (at(3100).utc, Some(at(4900).utc))
    );
    // Who is not seen any more does not dwell.
    let events = run(&mut watch, 10_000, 15_000, |ms| {
        vec![person(
            (ms < 13_000)
                .then(|| object(5, 0.7, 0.5))
                .into_iter()
                .collect(),
        )]
    });
    assert_eq!(steps(&events), [(12_200, New), (13_300, End)]);
    assert_eq!(events[1].1.reason, Some(EndReason::ObjectLost));
}

#[test]
fn a_dwell_goes_on_over_a_gap() {
    let mut watch = watch(&with(
        r#"is = "dwells", query = "person", zone = "yard", longer_than = "2s""#,
    ));
    let stay = |_| vec![person(vec![object(3, 0.7, 0.5)])];
    assert_eq!(steps(&run(&mut watch, 0, 3000, stay)), [(2200, New)]);
    assert_eq!(steps(&run(&mut watch, 20_000, 23_000, stay)), []);
    let gone = run(&mut watch, 40_000, 43_000, |_| vec![person(vec![])]);
    assert_eq!(
        (steps(&gone), gone[0].1.reason),
        (vec![(40_300, End)], Some(EndReason::ObjectLost))
    );
}

#[test]
fn objects_are_still_and_move() {
    let still = with(r#"is = "still", query = "person", longer_than = "1s""#);
    let moves = with(r#"is = "moves", query = "person", faster_than = 0.2"#);
    // 0.3 picture heights a second until it stops.
    let walk = |ms: u64| {
        vec![person(vec![object(
            3,
            0.3,
            0.2 + 0.0003 * ms.min(2000) as f32,
        )])]
    };
    assert_eq!(
        steps(&run(&mut watch(&still), 0, 5000, walk)),
        [(3200, New)]
    );
    let events = run(&mut watch(&moves), 0, 5000, walk);
    assert_eq!(steps(&events), [(300, New), (2700, End)]);
}
