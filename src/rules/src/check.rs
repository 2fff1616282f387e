//! Whether a set of rules can be used.

use std::collections::BTreeSet;

use crate::document::RuleSet;

/// Something that is wrong with a set of rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Where: `rule "night", when.query`.
    pub place: String,
    /// What was expected and found, and the remedy.
    pub message: String,
}

impl RuleSet {
    /// All that is wrong with it, where `queries` are the ids of the standing queries.
    pub fn check(&self, queries: &[&str]) -> Vec<Fault> {
        let _ = queries;
        let mut seen = BTreeSet::new();
        let twice = self.rules.iter().filter(|rule| !seen.insert(&rule.id));
        twice
            .map(|rule| Fault {
                place: format!("rule {:?}", rule.id),
                message: "there are two with this id: give each an id of its own".to_owned(),
            })
            .collect()
    }
}
