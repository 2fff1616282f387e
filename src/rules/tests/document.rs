//! Rules as they are written.

mod common;

use mdetr_rules::document::{Anchor, Bounds, Condition, Place};
use mdetr_rules::{RuleSet, check};

const ZONE: &str =
    "[[zone]]\nid = \"yard\"\npoints = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]]\n";
const LINE: &str = "[[line]]\nid = \"gate\"\nfrom = [0.2, 0.5]\nto = [0.8, 0.5]\n";

fn rule(when: &str) -> String {
    format!("{ZONE}{LINE}[[rule]]\nid = \"r\"\nwhen = {when}\n")
}

fn faults(text: &str) -> Vec<String> {
    match RuleSet::parse_toml(text) {
        Ok(rules) => rules
            .check(&["person", "cones"])
            .iter()
            .map(ToString::to_string)
            .collect(),
        Err(error) => vec![error.to_string()],
    }
}

#[test]
fn what_is_written_is_read_again() {
    let all = r#"{ is = "all", of = [
        { is = "present", query = "person", zone = "yard", anchor = "share", share = 0.5 },
        { is = "not", of = { is = "absent", query = "cones" } },
        { is = "any", of = [
            { is = "count", query = "cones", over = 3, under = 7.5 },
            { is = "count", query = "cones", equals = 2 },
            { is = "answer", query = "cones", equals = "Yes" },
            { is = "answer", query = "cones", equals = 3 },
            { is = "enters", query = "person", zone = "yard" },
            { is = "leaves", query = "person", zone = "yard", anchor = "all" },
            { is = "dwells", query = "person", longer_than = "10s" },
            { is = "crosses", query = "person", line = "gate", direction = "forward", anchor = "center" },
            { is = "still", query = "person", longer_than = "1m 30s" },
            { is = "moves", query = "person", faster_than = 0.5 },
        ] },
    ] }"#;
    let text = format!(
        "{}for = \"2s\"\nframes = 3\nevery = \"60s\"\nseverity = \"detection\"\nenabled = false\n\
         schedule = [{{ days = [\"sat\"], from = \"18:00\", to = \"06:00\", time_zone = \"Europe/Berlin\" }}]\n",
        rule(all)
    );
    assert_eq!(faults(&text), [""; 0]);
    let rules = RuleSet::parse_toml(&text).unwrap();
    let written = toml::to_string(&rules).unwrap();
    assert_eq!(RuleSet::parse_toml(&written).unwrap(), rules, "{written}");
    let json = serde_json::to_string(&rules).unwrap();
    assert_eq!(
        serde_json::from_str::<RuleSet>(&json).unwrap(),
        rules,
        "{json}"
    );
}

#[test]
fn defaults_are_those_that_are_written_down() {
    let rules =
        RuleSet::parse_toml(&rule(r#"{ query = "person", is = "count", over = 1 }"#)).unwrap();
    let rule = &rules.rules[0];
    assert!(rule.hold.is_zero() && rule.every.is_zero() && rule.enabled);
    assert_eq!((rule.frames, rule.clear.as_secs()), (2, 1));
    let expected = Condition::Count {
        query: "person".to_owned(),
        place: Place {
            zone: None,
            anchor: Anchor::BottomCenter,
            share: None,
        },
        bounds: Bounds {
            over: Some(1.0),
            under: None,
            equals: None,
        },
    };
    assert_eq!(rule.when, expected);
}

#[test]
fn wrong_keys_are_named() {
    for (when, words) in [
        (
            r#"{ query = "person" }"#,
            "`is` is missing: expected is = one of present, absent",
        ),
        (
            r#"{ is = "seen", query = "person" }"#,
            "expected present, absent, count",
        ),
        (r#"{ is = "present" }"#, "is = \"present\" needs `query`"),
        (
            r#"{ is = "present", query = "person", zon = "yard" }"#,
            "unknown field `zon`",
        ),
        (
            r#"{ is = "present", query = "person", line = "gate" }"#,
            "`line` means nothing where is = \"present\"",
        ),
        (
            r#"{ is = "dwells", query = "person" }"#,
            "is = \"dwells\" needs `longer_than`",
        ),
        (
            r#"{ is = "count", query = "person", equals = "3" }"#,
            "`equals`: expected a number, found \"3\"",
        ),
        (r#"{ is = "crosses", query = "person" }"#, "needs `line`"),
        (
            r#"{ is = "not", of = [{ is = "present", query = "person" }] }"#,
            "expected one condition, found a list",
        ),
        (
            r#"{ is = "all", of = { is = "present", query = "person" } }"#,
            "expected a list of conditions, found one",
        ),
        (
            r#"{ is = "all", of = 3 }"#,
            "expected a condition or a list of conditions",
        ),
        (
            r#"{ is = "all", of = [{ is = "not", of = { is = "present", query = "person", zoom = 1 } }] }"#,
            "`zoom`",
        ),
        (
            r#"{ is = "present", query = "person", anchor = "top" }"#,
            "unknown variant `top`",
        ),
    ] {
        let found = faults(&rule(when));
        assert!(
            found.len() == 1 && found[0].contains(words),
            "{when}: {found:?}"
        );
        assert!(
            found[0].contains("line 10"),
            "the place is named: {}",
            found[0]
        );
    }
    let json = r#"{"rule":[{"id":"r","when":{"is":"present","query":"person","zon":1}}]}"#;
    let error = serde_json::from_str::<RuleSet>(json)
        .unwrap_err()
        .to_string();
    assert!(error.contains("`zon`"), "{error}");
}

#[test]
fn wrong_values_are_named() {
    for (when, words) in [
        (
            r#"{ is = "present", query = "people" }"#,
            "rule \"r\", when.query: there is no query \"people\": there are person, cones",
        ),
        (
            r#"{ is = "present", query = "person", zone = "garden" }"#,
            "when.zone: there is no zone \"garden\"",
        ),
        (
            r#"{ is = "enters", query = "person" }"#,
            "when.zone: expected a zone",
        ),
        (
            r#"{ is = "crosses", query = "person", line = "door" }"#,
            "when.line: there is no line \"door\"",
        ),
        (
            r#"{ is = "crosses", query = "person", line = "gate", anchor = "any" }"#,
            "when.anchor: expected bottom-center or center",
        ),
        (
            r#"{ is = "present", query = "person", zone = "yard", anchor = "share" }"#,
            "when.share: expected a part above 0 to 1, found none",
        ),
        (
            r#"{ is = "present", query = "person", zone = "yard", anchor = "share", share = 1.5 }"#,
            "found 1.5",
        ),
        (
            r#"{ is = "present", query = "person", share = 0.5 }"#,
            "anchor = \"share\" only",
        ),
        (
            r#"{ is = "count", query = "person" }"#,
            "when: expected over, under or equals",
        ),
        (
            r#"{ is = "count", query = "person", over = nan }"#,
            "when.over: expected a number, found NaN",
        ),
        (
            r#"{ is = "answer", query = "person", equals = " " }"#,
            "when.equals: expected 1 to 256 characters",
        ),
        (
            r#"{ is = "dwells", query = "person", longer_than = "-1s" }"#,
            "when.longer_than: expected 0s to a week",
        ),
        (
            r#"{ is = "still", query = "person", longer_than = "8d" }"#,
            "line",
        ),
        (
            r#"{ is = "still", query = "person", longer_than = "169h" }"#,
            "when.longer_than",
        ),
        (
            r#"{ is = "moves", query = "person", faster_than = inf }"#,
            "when.faster_than",
        ),
        (
            r#"{ is = "any", of = [] }"#,
            "when.of: expected one condition at least",
        ),
        (
            r#"{ is = "any", of = [{ is = "present", query = "person" }, { is = "absent", query = "x" }] }"#,
            "when.of[1].query",
        ),
    ] {
        let found = faults(&rule(when));
        assert!(
            found.len() == 1 && found[0].contains(words),
            "{when}: {found:?}"
        );
    }
    let good = rule(r#"{ is = "present", query = "person" }"#);
    for (from, to, words) in [
        (
            "id = \"yard\"",
            "id = \"the yard\"",
            "zone \"the yard\": expected an id of 1 to 64 letters",
        ),
        ("id = \"r\"", "id = \"\"", "rule \"\": expected an id"),
        (
            "[0.1, 1.0]",
            "[0.1, 1.5]",
            "zone \"yard\": expected points with x and y from 0 to 1",
        ),
        ("[0.1, 1.0]", "[0.1, nan]", "zone \"yard\": expected points"),
        (
            "points = [[0.1, 0.4], [0.9, 0.4], [0.9, 1.0], [0.1, 1.0]]",
            "points = [[0.1, 0.4], [0.9, 0.4]]",
            "expected 3 to 128 points, found 2",
        ),
        (
            "[0.9, 1.0], [0.1, 1.0]",
            "[0.5, 0.4], [0.2, 0.4]",
            "its area is 0",
        ),
        (
            "to = [0.8, 0.5]",
            "to = [0.2, 0.5]",
            "line \"gate\": expected two points",
        ),
        (
            "when =",
            "for = \"-2s\"\nwhen =",
            "rule \"r\", for: expected 0s",
        ),
        (
            "when =",
            "frames = 0\nwhen =",
            "rule \"r\", frames: expected 1 to 1000, found 0",
        ),
        (
            "when =",
            "schedule = [{ from = \"18:00\", to = \"06:00\", time_zone = \"Mars\" }]\nwhen =",
            "expected a name such as Europe/Berlin, found \"Mars\"",
        ),
    ] {
        assert!(good.contains(from));
        let found = faults(&good.replacen(from, to, 1));
        assert!(
            found.len() == 1 && found[0].contains(words),
            "{to}: {found:?}"
        );
    }
}

#[test]
fn sizes_are_bounded() {
    let leaf = r#"{ is = "present", query = "person" }"#;
    let deep = |depth: usize| {
        (0..depth).fold(leaf.to_owned(), |inner, _| {
            format!("{{ is = \"not\", of = {inner} }}")
        })
    };
    assert_eq!(faults(&rule(&deep(7))), [""; 0]);
    assert!(faults(&rule(&deep(8)))[0].contains("at most 8 deep"));
    assert_eq!(
        faults(&rule(&deep(5000))).len(),
        1,
        "refused, whoever refuses it"
    );
    let wide = |count: usize| {
        format!(
            "{{ is = \"any\", of = [{}] }}",
            vec![leaf; count].join(", ")
        )
    };
    assert_eq!(faults(&rule(&wide(63))), [""; 0]);
    let found = faults(&rule(&wide(200)));
    assert!(
        found.len() == 1 && found[0].contains("at most 64 conditions"),
        "{found:?}"
    );
    let many: String = (0..300)
        .map(|i| format!("[[rule]]\nid = \"r{i}\"\nwhen = {leaf}\n"))
        .collect();
    assert!(faults(&many)[0].contains("rule: expected at most 256, found 300"));
    assert!(faults(&" ".repeat(check::MAX_BYTES + 1))[0].contains("expected at most"));
    let twice = format!("{ZONE}{ZONE}");
    assert!(faults(&twice)[0].contains("there are two with this id"));
}

#[test]
fn a_camera_needs_a_name() {
    let faults = mdetr_rules::Watch::new("front door", RuleSet::default()).unwrap_err();
    assert!(faults[0].place.contains("front door"));
}
