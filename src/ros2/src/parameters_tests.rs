use super::*;

fn set(name: &str, value: ParameterValue) -> (String, ParameterValue) {
    (name.to_owned(), value)
}

fn text(value: &str) -> ParameterValue {
    ParameterValue::String(value.to_owned())
}

fn texts(values: &[&str]) -> ParameterValue {
    ParameterValue::StringArray(values.iter().map(|value| (*value).to_owned()).collect())
}

#[test]
fn defaults_are_values_that_may_be_set() {
    let values = Values::default();
    let all: Vec<_> = values
        .names()
        .map(|name| set(name, values.get(name).expect("declared").clone()))
        .collect();
    assert_eq!(values.with(&all, Phase::Configured), Ok(values.clone()));
    let mut sorted: Vec<&str> = DECLARED.iter().map(|declared| declared.name).collect();
    sorted.sort_unstable();
    assert!(DECLARED.iter().map(|declared| declared.name).eq(sorted));
}

#[test]
fn several_are_set_as_a_whole_or_not_at_all() {
    let values = Values::default();
    let good = set("score_threshold", ParameterValue::Double(0.5));
    let both = values
        .with(
            &[
                good.clone(),
                set("queries", texts(&["a red cube", "a cone"])),
            ],
            Phase::Configured,
        )
        .expect("sound values");
    assert_eq!(both.threshold("score_threshold"), Some(0.5));
    assert_eq!(both.strings("queries").len(), 2);
    let changed: Vec<_> = values.changed(&both).into_iter().map(|(n, _)| n).collect();
    assert_eq!(changed, ["queries", "score_threshold"]);
    assert!(
        values
            .with(&[good, set("queries", texts(&["[a"]))], Phase::Configured)
            .is_err()
    );
}

#[test]
fn whole_numbers_are_numbers() {
    let values = Values::default();
    let values = values
        .with(&[set("max_rate", ParameterValue::Integer(5))], Phase::Start)
        .expect("a number");
    assert_eq!(values.get("max_rate"), Some(&ParameterValue::Double(5.0)));
}

#[test]
fn wrong_values_are_refused_by_name() {
    let values = Values::default();
    for (name, value, expected) in [
        ("engin", text("tract"), "engin: there is no such parameter"),
        (
            "engine",
            text("cuda"),
            "engine: expected auto, tensorrt, onnxruntime, tract or kserve, found \"cuda\"",
        ),
        (
            "engine",
            ParameterValue::Integer(1),
            "engine: expected a string, found a whole number",
        ),
        (
            "score_threshold",
            ParameterValue::Double(1.5),
            "score_threshold: expected -1 to 1, found 1.5",
        ),
        (
            "score_threshold",
            ParameterValue::Double(f64::NAN),
            "found NaN",
        ),
        (
            "queue_size",
            ParameterValue::Integer(0),
            "queue_size: expected 1 to 100, found 0",
        ),
        ("queries", texts(&["[a cube"]), "queries: "),
        ("cameras", texts(&["front", "front"]), "\"front\""),
        ("cameras", texts(&["a/b"]), "\"a/b\""),
        ("model", ParameterValue::NotSet, "found nothing"),
    ] {
        let error = values
            .with(&[set(name, value)], Phase::Start)
            .expect_err(expected);
        assert!(error.contains(expected), "{error}");
    }
}

#[test]
fn some_change_only_while_the_node_is_unconfigured() {
    let values = Values::default();
    let change = [set("reliability", text("reliable"))];
    assert!(values.with(&change, Phase::Unconfigured).is_ok());
    let error = values
        .with(&change, Phase::Configured)
        .expect_err("configured");
    assert!(error.contains("unconfigured"), "{error}");
    let never = [set("autostart", ParameterValue::Boolean(false))];
    assert!(values.with(&never, Phase::Start).is_ok());
    assert!(values.with(&never, Phase::Unconfigured).is_err());
}
