//! What each condition and each time of a rule means.

mod common;

use common::*;
use mdetr_grounding::QueryResult;
use mdetr_rules::event::SCHEMA;
use mdetr_rules::{EndReason, Event, EventKind};

use EventKind::{End, New, Update};

const PRESENT: &str = "[[rule]]\nid = \"seen\"\nwhen = { is = \"present\", query = \"person\" }\n";
#[test]
fn an_event_begins_when_it_is_confirmed_and_ends_when_it_is_denied_for_long_enough() {
    let mut watch = watch(&format!("{PRESENT}for = \"500ms\"\nclear = \"400ms\"\n"));
    let events = run(&mut watch, 0, 3000, between(1000, 2000));
    assert_eq!(steps(&events), [(1500, New), (2400, End)]);
    let (new, end) = (&events[0].1, &events[1].1);
    assert_eq!(
        (new.start, new.time, new.end),
        (at(1000).utc, at(1500).utc, None)
    );
    assert_eq!(
        (end.start, end.time, end.end),
        (at(1000).utc, at(2400).utc, Some(at(1900).utc))
    );
    assert_eq!(end.reason, Some(EndReason::Cleared));
    assert_eq!(new.id, "1767608101.000-gate-seen-1");
    assert_eq!(
        (new.camera.as_str(), new.rule.as_str(), new.query.as_str()),
        ("gate", "seen", "person")
    );
    assert_eq!(
        (new.text.as_str(), new.revision, new.score),
        ("a person", 1, 0.9)
    );
    assert_eq!((&new.tracks[..], new.count), (&[7][..], Some(1)));
    assert_eq!(
        (new.phrases[0].text.as_str(), new.phrases[0].span.end),
        ("a person", 8)
    );
    assert_eq!(
        (new.best.frame, new.best.pts_ns, new.best.size),
        (15, Some(1_500_000_000), [640, 480])
    );
    assert_eq!(new.best.boxes, [[300.0, 160.0, 40.0, 80.0]]);
}

#[test]
fn flicker_is_no_event_and_no_end() {
    let mut watch = watch(PRESENT);
    // Each third result has it.
    let events = run(&mut watch, 0, 3000, |ms| {
        between(ms - ms % 300, ms - ms % 300 + 100)(ms)
    });
    assert_eq!(steps(&events), [], "two in a row deny it");
    // Each third result has it not.
    let events = run(&mut watch, 3000, 6000, |ms| {
        between(ms - ms % 300 + 100, ms - ms % 300 + 300)(ms)
    });
    assert_eq!(steps(&events), [(3200, New)], "single results deny nothing");
    assert_eq!(
        steps(&run(&mut watch, 6000, 8000, |_| vec![person(vec![])])),
        [(7000, End)]
    );
}

#[test]
fn a_result_counts_once_however_often_it_is_repeated() {
    let mut watch = watch(PRESENT);
    let seen = grounding(vec![person(vec![object(7, 0.5, 0.5)])]);
    for ms in (0..1500).step_by(100) {
        assert_eq!(observe_aged(&mut watch, 1000 + ms, ms, &seen), []);
    }
    assert_eq!(watch.states().next().unwrap().holds, Some(true));
    assert_eq!(observe_aged(&mut watch, 3500, 2500, &seen), []);
    assert_eq!(
        watch.states().next().unwrap().holds,
        None,
        "nothing is known by an old result"
    );
    assert_eq!(
        observe_aged(&mut watch, 3600, 0, &seen).len(),
        1,
        "a second result confirms the first"
    );
}

#[test]
fn late_frames_are_ignored_and_gaps_begin_anew() {
    let mut watch = watch(&format!("{PRESENT}for = \"2s\"\n"));
    let see = |ms| between(0, 20_000)(ms);
    assert_eq!(steps(&run(&mut watch, 1000, 2900, see)), []);
    assert_eq!(observe(&mut watch, 500, vec![person(vec![])]), [], "late");
    assert_eq!(
        steps(&run(&mut watch, 8000, 9900, see)),
        [],
        "what was before the gap does not count"
    );
    assert_eq!(steps(&run(&mut watch, 9900, 10_100, see)), [(10_000, New)]);
    // The event stays open over a gap, and results behind it decide.
    let gone = |_| vec![person(vec![])];
    assert_eq!(steps(&run(&mut watch, 20_000, 20_900, gone)), []);
    assert_eq!(
        steps(&run(&mut watch, 20_900, 21_100, gone)),
        [(21_000, End)]
    );
}

#[test]
fn absence_is_what_results_say_and_not_the_lack_of_results() {
    let rules =
        "[[rule]]\nid = \"r\"\nwhen = { is = \"absent\", query = \"person\" }\nfor = \"1s\"\n";
    let mut watch = watch(rules);
    assert_eq!(
        steps(&run(&mut watch, 0, 3000, |_| vec![])),
        [],
        "not asked"
    );
    let events = run(&mut watch, 3000, 6000, between(5000, 7000));
    assert_eq!(steps(&events), [(4000, New)]);
    let event = &events[0].1;
    assert_eq!(
        (event.score, event.best.boxes.len(), event.count),
        (0.0, 0, None)
    );
    assert_eq!((event.best.frame, event.text.as_str()), (40, "a person"));
    let end = run(&mut watch, 6000, 7000, between(5000, 7000));
    assert_eq!(
        (steps(&end), end[0].1.end),
        (vec![(6000, End)], Some(at(4900).utc))
    );
}

#[test]
fn objects_are_counted_in_their_place() {
    let mut watch = watch(&with(
        r#"is = "count", query = "person", zone = "yard", over = 1"#,
    ));
    let at_x = |xs: &[f32]| vec![person(xs.iter().map(|x| object(None, *x, 0.5)).collect())];
    assert_eq!(
        steps(&run(&mut watch, 0, 1000, |_| at_x(&[0.2, 0.3, 0.7]))),
        []
    );
    let events = run(&mut watch, 1000, 2000, |_| at_x(&[0.2, 0.6, 0.7]));
    assert_eq!(steps(&events), [(1100, New)]);
    assert_eq!(
        (events[0].1.count, &events[0].1.zones[..]),
        (Some(2), &["yard".to_owned()][..])
    );
    assert_eq!(events[0].1.best.boxes.len(), 2);
    let events = run(&mut watch, 2000, 3000, |_| at_x(&[0.6, 0.7, 0.8]));
    assert_eq!(
        (steps(&events), events[0].1.count),
        (vec![(2100, Update)], Some(3))
    );
    assert_eq!(
        events[0].1.best.boxes.len(),
        3,
        "the best view is that with most objects"
    );
}

#[test]
fn answers_are_numbers_and_words() {
    let rules = "[[rule]]\nid = \"many\"\nwhen = { is = \"count\", query = \"q\", over = 3 }\n\
                 [[rule]]\nid = \"yes\"\nwhen = { is = \"answer\", query = \"q\", equals = \" Yes\" }\n";
    let mut watch = watch(rules);
    assert_eq!(
        steps(&run(&mut watch, 0, 1000, |_| vec![answer("q", "three")])),
        []
    );
    let events = run(&mut watch, 1000, 1500, |_| vec![answer("q", "five cones")]);
    assert_eq!(steps(&events), [(1100, New)]);
    assert_eq!(
        (events[0].1.count, events[0].1.answer.as_deref()),
        (Some(5), Some("five cones"))
    );
    let events = run(&mut watch, 1500, 2000, |_| vec![answer("q", "yes ")]);
    assert_eq!(
        (steps(&events), events[0].1.rule.as_str()),
        (vec![(1600, New)], "yes")
    );
    assert_eq!(events[0].1.score, 0.8);
    let holds: Vec<_> = watch.states().map(|state| state.holds).collect();
    assert_eq!(
        holds,
        [None, Some(true)],
        "an answer without number counts nothing"
    );
}

#[test]
fn without_tracks_nothing_is_known_of_objects() {
    let mut watch = watch(&with(r#"is = "enters", query = "person", zone = "yard""#));
    let walk = |ms: u64| vec![person(vec![object(None, ms as f32 / 10_000.0, 0.6)])];
    assert_eq!(steps(&run(&mut watch, 3000, 7000, walk)), []);
    let state = watch.states().next().unwrap();
    assert_eq!((state.holds, state.lacks_tracks), (None, true));
}

#[test]
fn conditions_are_joined_by_kleenes_logic() {
    let holds = |of: &str, queries: Vec<QueryResult>| {
        let mut watch = watch(&format!("[[rule]]\nid = \"r\"\nwhen = {of}\n"));
        observe(&mut watch, 0, queries);
        watch.states().next().unwrap().holds
    };
    let leaf = |id: &str| format!("{{ is = \"present\", query = \"{id}\" }}");
    let join = |is: &str, ids: [&str; 2]| {
        format!(
            "{{ is = \"{is}\", of = [{}, {}] }}",
            leaf(ids[0]),
            leaf(ids[1])
        )
    };
    let queries = || {
        vec![
            result("t", "a cup", vec![object(None, 0.5, 0.5)]),
            result("f", "a cat", vec![]),
        ]
    };
    let (t, f, u) = (Some(true), Some(false), None);
    for (ids, all, any) in [
        (["t", "t"], t, t),
        (["t", "f"], f, t),
        (["t", "u"], u, t),
        (["f", "t"], f, t),
        (["f", "f"], f, f),
        (["f", "u"], f, u),
        (["u", "t"], u, t),
        (["u", "f"], f, u),
        (["u", "u"], u, u),
    ] {
        assert_eq!(holds(&join("all", ids), queries()), all, "all of {ids:?}");
        assert_eq!(holds(&join("any", ids), queries()), any, "any of {ids:?}");
    }
    for (id, not) in [("t", f), ("f", t), ("u", u)] {
        assert_eq!(
            holds(&format!("{{ is = \"not\", of = {} }}", leaf(id)), queries()),
            not
        );
    }
}

#[test]
fn a_joined_event_rests_on_the_objects_of_all_its_parts() {
    let when = r#"is = "all", of = [{ is = "enters", query = "person", zone = "yard" }, { is = "present", query = "dog" }, { is = "not", of = { is = "present", query = "cat" } }]"#;
    let mut watch = watch(&with(when));
    let see = |ms: u64| {
        vec![
            person(vec![object(3, ms as f32 / 10_000.0, 0.6)]),
            result("dog", "a dog", vec![object(9, 0.1, 0.5)]),
            result("cat", "a cat", vec![]),
        ]
    };
    let events = run(&mut watch, 4000, 8000, see);
    assert_eq!(
        steps(&events),
        [(5200, New), (6400, End)],
        "an entry holds for a second"
    );
    assert_eq!(
        (&events[0].1.tracks[..], events[0].1.query.as_str()),
        (&[3, 9][..], "person")
    );
    assert_eq!(events[0].1.best.boxes.len(), 2);
}

#[test]
fn events_of_a_rule_keep_their_distance() {
    let mut watch = watch(&format!("{PRESENT}every = \"5s\"\nclear = \"200ms\"\n"));
    let see = |ms| between(ms - ms % 2000, ms - ms % 2000 + 1000)(ms);
    let events = run(&mut watch, 0, 9000, see);
    // The third would begin at 4100, and waits until 5100: by then nothing is there. The next comes at 6100.
    assert_eq!(
        steps(&events),
        [(100, New), (1200, End), (6100, New), (7200, End)]
    );
    // Also over a new connection of the camera; what still holds begins when it may.
    watch.end_all(EndReason::CameraLost, at(9000));
    assert_eq!(
        steps(&run(&mut watch, 10_000, 12_000, between(9000, 12_000))),
        [(11_100, New)]
    );
}

#[test]
fn a_rule_watches_by_its_schedule() {
    let schedule = "schedule = [{ from = \"10:15:02\", to = \"10:15:04\" }]\n";
    let mut watch = watch(&format!("{PRESENT}{schedule}"));
    let events = run(&mut watch, 0, 6000, between(0, 6000));
    assert_eq!(steps(&events), [(2100, New), (4000, End)]);
    assert_eq!(events[1].1.reason, Some(EndReason::ScheduleOver));
    assert_eq!(watch.states().next().unwrap().holds, Some(false));
}

#[test]
fn what_changes_is_told_once_a_second() {
    let mut watch = watch(PRESENT);
    let see = |ms: u64| {
        // Better and better, with a new identity each 200 ms.
        vec![person(vec![scored(
            ms / 200,
            0.5,
            0.5,
            0.5 + ms as f32 / 10_000.0,
        )])]
    };
    let events = run(&mut watch, 0, 2600, see);
    assert_eq!(steps(&events), [(100, New), (1100, Update), (2100, Update)]);
    let update = &events[2].1;
    assert_eq!((update.tracks.len(), update.best.frame), (11, 21));
    assert!((update.score - 0.71).abs() < 1e-6);
    // The last change is not lost: it comes with the end.
    let end = watch.end_all(EndReason::Stopped, at(2600));
    assert_eq!((end[0].tracks.len(), end[0].best.frame), (13, 25));
    let same = |_| vec![person(vec![object(7, 0.5, 0.5)])];
    assert_eq!(
        steps(&run(&mut watch, 5000, 9000, same)),
        [(5100, New)],
        "nothing new, nothing told"
    );
}

#[test]
fn the_best_view_is_that_with_the_highest_score() {
    let mut watch = watch(PRESENT);
    let see = |ms: u64| match ms {
        300 => vec![person(vec![scored(1, 0.5, 0.5, 0.9)])],
        500 => vec![person(vec![
            scored(1, 0.5, 0.5, 0.6),
            scored(2, 0.7, 0.5, 0.7),
        ])],
        _ => vec![person(vec![scored(1, 0.5, 0.5, 0.5)])],
    };
    run(&mut watch, 0, 1000, see);
    let end = &watch.end_all(EndReason::Stopped, at(1000))[0];
    assert_eq!(
        (end.best.frame, end.best.boxes.len(), end.score),
        (3, 1, 0.9)
    );
    assert_eq!((end.count, &end.tracks[..]), (Some(2), &[1, 2][..]));
}

#[test]
fn another_sentence_ends_the_event() {
    let mut watch = watch(PRESENT);
    let see = |sentence: &'static str| {
        move |_| vec![result("person", sentence, vec![object(7, 0.5, 0.5)])]
    };
    assert_eq!(
        steps(&run(&mut watch, 0, 1000, see("a person"))),
        [(100, New)]
    );
    let events = run(&mut watch, 1000, 2000, see("a tall person"));
    assert_eq!(steps(&events), [(1000, End), (1100, New)]);
    assert_eq!(
        (events[0].1.reason, events[0].1.text.as_str()),
        (Some(EndReason::QueryChanged), "a person")
    );
    assert_eq!(events[1].1.text, "a tall person");
    // Not asked any more, by a new revision.
    let mut without = grounding(vec![]);
    assert_eq!(observe_aged(&mut watch, 2000, 0, &without), []);
    without.revision = 2;
    let events = observe_aged(&mut watch, 2100, 0, &without);
    assert_eq!(events[0].reason, Some(EndReason::QueryChanged));
}

#[test]
fn rules_that_stay_the_same_go_on_when_others_change() {
    let other = "[[rule]]\nid = \"other\"\nwhen = { is = \"present\", query = \"person\", zone = \"yard\" }\n";
    let mut watch = watch(&format!("{ZONE}{PRESENT}{other}"));
    let see = |_| vec![person(vec![object(7, 0.7, 0.5)])];
    assert_eq!(run(&mut watch, 0, 1000, see).len(), 2);
    let moved = ZONE.replace("[0.5, 0.0]", "[0.6, 0.0]");
    let events = watch
        .replace(rules(&format!("{moved}{other}{PRESENT}")), at(1000))
        .unwrap();
    assert_eq!(events.len(), 1);
    assert_eq!(
        (events[0].rule.as_str(), events[0].reason),
        ("other", Some(EndReason::RuleChanged))
    );
    let states: Vec<_> = watch
        .states()
        .map(|state| (state.id, state.event.is_some()))
        .collect();
    assert_eq!(
        states,
        [("other".to_owned(), false), ("seen".to_owned(), true)]
    );
    assert_eq!(
        run(&mut watch, 1000, 2000, see).len(),
        1,
        "the other begins anew"
    );
    let faults = watch.replace(
        rules_unchecked("[[rule]]\nid = \"?\"\nwhen = { is = \"present\", query = \"q\" }"),
        at(2000),
    );
    assert!(
        faults.is_err() && watch.rules().rules.len() == 2,
        "what is refused changes nothing"
    );
    assert_eq!(watch.replace(rules(""), at(2000)).unwrap().len(), 2);
}

fn rules_unchecked(text: &str) -> mdetr_rules::RuleSet {
    mdetr_rules::RuleSet::parse_toml(text).unwrap()
}

#[test]
fn a_stream_that_begins_anew_may_begin_at_any_time() {
    let mut watch = watch(PRESENT);
    let see = between(0, 100_000);
    assert_eq!(
        steps(&run(&mut watch, 50_000, 51_000, &see)),
        [(50_100, New)]
    );
    let ends = watch.end_all(EndReason::StreamRestarted, at(51_000));
    assert_eq!(
        (ends.len(), ends[0].reason),
        (1, Some(EndReason::StreamRestarted))
    );
    assert_eq!(steps(&run(&mut watch, 0, 1000, &see)), [(100, New)]);
}

#[test]
fn rules_that_are_switched_off_do_not_watch() {
    let mut watch = watch(&format!("{PRESENT}enabled = false\n"));
    assert_eq!(steps(&run(&mut watch, 0, 2000, between(0, 2000))), []);
    assert_eq!(watch.states().next().unwrap().holds, None);
}

#[test]
fn states_say_what_holds() {
    let mut watch = watch(PRESENT);
    run(&mut watch, 0, 500, between(200, 1000));
    let state = watch.states().next().unwrap();
    assert_eq!(
        (state.holds, state.objects, state.events),
        (Some(true), 1, 1)
    );
    assert_eq!(
        (state.since, state.event.as_deref()),
        (Some(at(200).utc), Some("1767608100.200-gate-seen-1"))
    );
    let json = serde_json::to_value(&state).unwrap();
    assert_eq!(json["holds"], true);
}

#[test]
fn objects_that_are_not_numbers_are_none() {
    let mut watch = watch(PRESENT);
    let see = |_| {
        let mut broken = object(7, 0.5, 0.5);
        broken.bbox.x = f32::NAN;
        vec![person(vec![broken])]
    };
    assert_eq!(steps(&run(&mut watch, 0, 1000, see)), []);
    assert_eq!(watch.states().next().unwrap().holds, Some(false));
}

#[test]
fn events_are_as_the_schema_says() {
    let schema: serde_json::Value = serde_json::from_str(SCHEMA).unwrap();
    let schema = jsonschema::options()
        .should_validate_formats(true)
        .build(&schema)
        .unwrap();
    let rules = [
        PRESENT.to_owned(),
        with(r#"is = "crosses", query = "person", line = "gate""#),
        "[[rule]]\nid = \"none\"\nwhen = { is = \"absent\", query = \"dog\" }\n".to_owned(),
        "[[rule]]\nid = \"q\"\nwhen = { is = \"count\", query = \"q\", over = 3 }\n".to_owned(),
    ]
    .concat();
    let mut watch = watch(&rules);
    let mut events: Vec<Event> = run(&mut watch, 4000, 7000, |ms| {
        let better = scored(7, 0.5, ms as f32 / 10_000.0, ms as f32 / 10_000.0);
        vec![
            person(vec![better]),
            result("dog", "a dog", vec![]),
            answer("q", "4"),
        ]
    })
    .into_iter()
    .map(|(_, event)| event)
    .collect();
    events.extend(watch.end_all(EndReason::Stopped, at(7000)));
    assert!(events.len() > 8 && events.iter().any(|event| event.kind == Update));
    for event in &events {
        let json = serde_json::to_value(event).unwrap();
        let errors: Vec<_> = schema
            .iter_errors(&json)
            .map(|error| error.to_string())
            .collect();
        assert!(errors.is_empty(), "{json}: {errors:?}");
        assert_eq!(serde_json::from_value::<Event>(json).unwrap(), *event);
    }
    let mut open = serde_json::to_value(&events[0]).unwrap();
    assert_eq!(open["kind"], "new");
    open["kind"] = "end".into();
    assert!(!schema.is_valid(&open), "an end has a time and a reason");
}

#[test]
fn many_objects_over_a_long_time_are_forgotten() {
    let rules =
        with(r#"is = "dwells", query = "person", longer_than = "1s""#).replace("300ms", "100h");
    let mut watch = watch(&rules);
    for ms in 0..3000u64 {
        let objects = (0..4).map(|i| object(4 * ms + i, 0.5, 0.5)).collect();
        observe(&mut watch, ms * 10, vec![person(objects)]);
    }
    let size = format!("{watch:?}").len();
    assert!(size < 2_000_000, "{size} bytes to print what it remembers");
}
