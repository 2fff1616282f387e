//! How a bundle says that its network answers questions.

use serde::Deserialize;

pub(crate) const TYPE: &str = "answer_type";
pub(crate) const BINARY: &str = "answer_binary";
pub(crate) const COUNT: &str = "answer_reg";
pub(crate) const ATTRIBUTE: &str = "answer_attr";

/// How questions are answered.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Answers {
    /// Which heads there are.
    pub kind: AnswerKind,
    /// The values of CLEVR's attribute head in their order; `None`: CLEVR's own.
    pub attributes: Option<Vec<String>>,
}

/// Which answer heads a network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum AnswerKind {
    /// GQA's: objects, attributes, relations, global facts and categories. Their words are in the
    /// bundle's `answers.json`.
    Gqa,
    /// CLEVR's: yes or no, a count, an attribute.
    Clevr,
}

impl AnswerKind {
    /// Names of the fusion graph's outputs that answer questions.
    pub(crate) fn heads(self) -> &'static [&'static str] {
        match self {
            AnswerKind::Gqa => &[
                TYPE,
                "answer_obj",
                "answer_attr",
                "answer_rel",
                "answer_global",
                "answer_cat",
            ],
            AnswerKind::Clevr => &[TYPE, BINARY, COUNT, ATTRIBUTE],
        }
    }
}
