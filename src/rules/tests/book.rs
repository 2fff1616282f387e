//! The examples of the book (docs/src/rules.md) and of configs are rules.

use std::collections::BTreeSet;

use mdetr_rules::{Condition, Event, RuleSet};

fn blocks<'a>(text: &'a str, kind: &str) -> Vec<&'a str> {
    let opening = format!("```{kind}\n");
    let parts = text.split(opening.as_str()).skip(1);
    let blocks = parts.map(|part| part.split("```").next().unwrap());
    blocks.collect()
}

#[test]
fn the_examples_of_the_book_are_rules() {
    let book = include_str!("../../../docs/src/rules.md");
    let examples = blocks(book, "toml");
    let shapes = examples[0].split("[[rule]]").next().unwrap();
    let mut kinds = BTreeSet::new();
    for example in &examples {
        let with_shapes = format!("{shapes}{example}");
        let text = if example.contains("[[zone]]") {
            example
        } else {
            with_shapes.as_str()
        };
        let rules = RuleSet::parse_toml(text).unwrap_or_else(|error| panic!("{example}\n{error}"));
        assert_eq!(rules.check(&[]), [], "{example}");
        assert!(!rules.rules.is_empty());
        for condition in rules.rules.iter().flat_map(|rule| rule.when.walk()) {
            let json = serde_json::to_value(condition).unwrap();
            kinds.insert(json["is"].as_str().unwrap().to_owned());
        }
    }
    let table = book
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("query`"));
    for row in table {
        let kind = row.split('`').nth(1).unwrap();
        assert!(kinds.contains(kind), "{kind} has an example");
    }
    for kind in ["all", "not"] {
        assert!(kinds.contains(kind), "{kind} has an example");
    }
    assert!(kinds.len() >= 12, "{kinds:?}");
}

#[test]
fn the_event_of_the_book_is_an_event() {
    let book = include_str!("../../../docs/src/rules.md");
    let event: Event = serde_json::from_str(blocks(book, "json")[0]).unwrap();
    assert_eq!(event.rule, "no-helmet");
    let schema: serde_json::Value = serde_json::from_str(mdetr_rules::event::SCHEMA).unwrap();
    let json = serde_json::to_value(&event).unwrap();
    assert!(jsonschema::is_valid(&schema, &json));
}

#[test]
fn the_example_configuration_is_rules() {
    let rules = RuleSet::parse_toml(include_str!("../../../configs/rules.toml")).unwrap();
    assert_eq!(
        rules.check(&["red-left-of-blue", "balls", "purple-cone"]),
        []
    );
    assert!(
        rules
            .rules
            .iter()
            .any(|rule| matches!(rule.when, Condition::All { .. }))
    );
}
