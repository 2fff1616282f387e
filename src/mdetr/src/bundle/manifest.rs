//! `model.toml`.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Deserialize;

use super::answers::Answers;
use super::error::BundleError;
use super::files::REQUIRED_FILES;
use crate::frame::{InputPolicy, MAX_SIDE};

/// `model.toml`: what a bundle says about itself.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// Version of this format: 1.
    pub schema: u32,
    /// Name of the model.
    pub name: String,
    /// Version of the model.
    pub version: String,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// What the model does: `grounding` at least; `segmentation` and `questions` if it has their
    /// heads.
    pub tasks: Vec<String>,
    /// Precision of the graphs: `fp32`, `fp16`, or `int8` for weights of 8 bit in transformer layers.
    pub precision: String,
    /// How the captions it was trained on name several things; `sentences` if it is not said.
    #[serde(default)]
    pub captions: Captions,
    /// In which case they are given to the tokenizer; as they are typed if it is not said. A model that
    /// has seen few capitals in training finds other things with them.
    #[serde(default)]
    pub case: Case,
    /// How frames are fed.
    pub input: Input,
    /// Sizes of the network.
    pub network: Network,
    /// Thresholds for those who give none.
    pub thresholds: Thresholds,
    /// How questions are answered, if `questions` is a task.
    pub answers: Option<Answers>,
    /// Length and hash of every file but `model.toml`.
    pub files: BTreeMap<String, FileEntry>,
}

/// How a caption names several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Captions {
    /// "a dog. a cat.", as in MDETR's training.
    #[default]
    Sentences,
    /// "a dog, a cat".
    List,
}

/// In which case captions are given to the tokenizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Case {
    /// As they are typed.
    #[default]
    Preserved,
    /// In lower case, by Unicode's rules that hold for all languages.
    Lower,
}

/// How frames are fed to the network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Input {
    /// Which sizes the network is fed.
    pub resize: Resize,
    /// Short side in pixels after the resize.
    pub short_side: Option<u32>,
    /// Most pixels of the long side after the resize.
    pub max_long_side: Option<u32>,
    /// Mean of R, G, B from 0 to 1.
    pub mean: [f32; 3],
    /// Standard deviation of R, G, B from 0 to 1.
    pub std: [f32; 3],
}

/// Which sizes the network is fed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Resize {
    /// The frame's own.
    None,
    /// The short side scaled to `short_side`, the long one kept below `max_long_side`.
    ShortSide,
}

/// Sizes of the network.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Network {
    /// Channels of tokens and text memory.
    pub d_model: usize,
    /// Object queries: boxes for each sentence.
    pub queries: usize,
    /// Token slots of the class head and, last, "no object".
    pub slots: usize,
    /// Pixels of the input to a token, along each axis.
    pub stride: usize,
    /// Longest token sequence the text graph takes, `<s>` and `</s>` included.
    pub max_tokens: usize,
    /// Instants of the past that the fusion graph takes with each text, for sentences about time; 0, as where it is
    /// missing: none.
    #[serde(default)]
    pub past: usize,
    /// Object queries for what is not seen any more, which follow the others in `logits` and `boxes`; 0, as where it is
    /// missing: there are none. They need a past.
    #[serde(default)]
    pub lost: usize,
    /// Seconds between those; 0.4 if it is not said.
    #[serde(default = "past_interval")]
    pub past_interval: f32,
}

impl Network {
    /// How long lies between remembered instants, at least.
    pub(crate) fn between_instants(&self) -> Duration {
        Duration::from_millis((self.past_interval * 1000.0).round() as u64)
    }
}

/// Thresholds, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Thresholds {
    /// A detection needs a score above it.
    pub score: f32,
    /// A token belongs to a detection's words if its probability is above it.
    pub phrase: f32,
    /// A detection whose box overlaps that of one with a greater score by more than this, as
    /// intersection over union, is dropped if it answers to no other words; 1, as where it is missing:
    /// none is.
    #[serde(default = "whole")]
    pub overlap: f32,
    /// Where masks are drawn, a detection's box is the smallest around its mask if the network's own overlaps
    /// that by at least this, as intersection over union; missing: boxes are the network's own.
    pub tight: Option<f32>,
}

fn past_interval() -> f32 {
    0.4
}

fn whole() -> f32 {
    1.0
}

/// What `model.toml` says about another file.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct FileEntry {
    /// Length in bytes.
    pub bytes: u64,
    /// SHA-256, 64 hexadecimal digits.
    pub sha256: String,
}

/// Bounds on sizes, far above what networks of this kind have.
const MAX_SIZE: usize = 1 << 16;
const MOST_PAST: usize = 64;
/// Most object queries for what is not seen any more.
const MOST_LOST: usize = 64;

impl Manifest {
    /// Parses and checks the text of the `model.toml` at `path`.
    pub(crate) fn parse(path: &Path, text: &str) -> Result<Manifest, BundleError> {
        let fault = |message| BundleError::Manifest {
            path: path.to_owned(),
            message,
        };
        let table: toml::Table = toml::from_str(text).map_err(|e| fault(e.to_string()))?;
        if let Some(schema) = table.get("schema").and_then(toml::Value::as_integer)
            && schema != 1
        {
            let expected = "1, the format of this version".to_owned();
            let (key, found) = ("schema".to_owned(), schema.to_string());
            return Err(BundleError::Value {
                path: path.to_owned(),
                key,
                expected,
                found,
            });
        }
        let manifest: Manifest = toml::from_str(text).map_err(|e| fault(e.to_string()))?;
        manifest.check(path)?;
        Ok(manifest)
    }

    fn check(&self, path: &Path) -> Result<(), BundleError> {
        let need = |holds: bool, key: &str, expected: &str, found: String| {
            if holds {
                return Ok(());
            }
            let (key, expected) = (key.to_owned(), expected.to_owned());
            Err(BundleError::Value {
                path: path.to_owned(),
                key,
                expected,
                found,
            })
        };
        let count = |key: &str, value: usize, least: usize| {
            let holds = (least..=MAX_SIZE).contains(&value);
            need(
                holds,
                key,
                &format!("{least} to {MAX_SIZE}"),
                value.to_string(),
            )
        };
        need(
            !self.name.is_empty(),
            "name",
            "a name",
            "an empty string".into(),
        )?;
        let grounds = self.tasks.iter().any(|task| task == "grounding");
        need(
            grounds,
            "tasks",
            "\"grounding\" among them",
            format!("{:?}", self.tasks),
        )?;
        const TASKS: [&str; 3] = ["grounding", "segmentation", "questions"];
        let known = self.tasks.iter().all(|t| TASKS.contains(&t.as_str()));
        need(
            known,
            "tasks",
            &format!("some of {TASKS:?}"),
            format!("{:?}", self.tasks),
        )?;
        let asked = self.tasks.iter().any(|task| task == "questions");
        need(
            asked == self.answers.is_some(),
            "answers",
            "a table if, and only if, \"questions\" is a task",
            if asked { "none" } else { "a table" }.to_owned(),
        )?;
        let known = ["fp32", "fp16", "int8"].contains(&self.precision.as_str());
        need(
            known,
            "precision",
            "\"fp32\", \"fp16\" or \"int8\"",
            format!("{:?}", self.precision),
        )?;

        let input = &self.input;
        if input.resize == Resize::ShortSide {
            let (short, long) = (
                input.short_side.unwrap_or(0),
                input.max_long_side.unwrap_or(0),
            );
            let expected = format!("1 to {MAX_SIDE}");
            let holds = (1..=MAX_SIDE).contains(&short);
            need(
                holds,
                "input.short_side",
                &expected,
                format!("{:?}", input.short_side),
            )?;
            let expected = format!("short_side to {MAX_SIDE}");
            let holds = (short..=MAX_SIDE).contains(&long);
            need(
                holds,
                "input.max_long_side",
                &expected,
                format!("{:?}", input.max_long_side),
            )?;
        }
        let finite = input.mean.iter().all(|mean| mean.is_finite());
        need(
            finite,
            "input.mean",
            "finite numbers",
            format!("{:?}", input.mean),
        )?;
        let positive = input.std.iter().all(|std| std.is_finite() && *std > 0.0);
        need(
            positive,
            "input.std",
            "positive numbers",
            format!("{:?}", input.std),
        )?;

        let network = &self.network;
        count("network.d_model", network.d_model, 4)?;
        let whole = network.d_model.is_multiple_of(4);
        let pairs = "a multiple of 4 (sines and cosines of two axes)";
        need(whole, "network.d_model", pairs, network.d_model.to_string())?;
        count("network.queries", network.queries, 1)?;
        count("network.slots", network.slots, 2)?;
        count("network.stride", network.stride, 1)?;
        count("network.max_tokens", network.max_tokens, 3)?;
        need(
            network.past <= MOST_PAST,
            "network.past",
            &format!("0 to {MOST_PAST}"),
            network.past.to_string(),
        )?;
        let most = if network.past > 0 { MOST_LOST } else { 0 };
        need(
            network.lost <= most,
            "network.lost",
            &format!("0 to {most} of a network with past = {}", network.past),
            network.lost.to_string(),
        )?;
        need(
            (0.01..=60.0).contains(&network.past_interval),
            "network.past_interval",
            "0.01 to 60",
            network.past_interval.to_string(),
        )?;
        for (key, value) in [
            ("thresholds.score", self.thresholds.score),
            ("thresholds.phrase", self.thresholds.phrase),
            ("thresholds.overlap", self.thresholds.overlap),
            ("thresholds.tight", self.thresholds.tight.unwrap_or(1.0)),
        ] {
            need(
                (0.0..=1.0).contains(&value),
                key,
                "0 to 1",
                value.to_string(),
            )?;
        }
        for (name, entry) in &self.files {
            let plain = !name.is_empty()
                && name.len() <= 255
                && name
                    .chars()
                    .all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
                && !name.starts_with('.')
                && name != super::MANIFEST;
            need(
                plain,
                "files",
                "plain file names of the bundle's directory",
                format!("{name:?}"),
            )?;
            let digits = entry.sha256.len() == 64
                && entry
                    .sha256
                    .bytes()
                    .all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
            let key = format!("files.\"{name}\".sha256");
            need(
                digits,
                &key,
                "64 lower-case hexadecimal digits",
                format!("{:?}", entry.sha256),
            )?;
        }
        let mask = self.segments().then_some(super::MASK_GRAPH);
        for name in REQUIRED_FILES.into_iter().chain(mask) {
            let listed: Vec<&String> = self.files.keys().collect();
            let expected = format!("{name:?} among them");
            need(
                self.files.contains_key(name),
                "files",
                &expected,
                format!("{listed:?}"),
            )?;
        }
        Ok(())
    }

    /// Whether the model draws masks.
    pub fn segments(&self) -> bool {
        self.tasks.iter().any(|task| task == "segmentation")
    }

    pub(crate) fn input_policy(&self) -> InputPolicy {
        match (
            self.input.resize,
            self.input.short_side,
            self.input.max_long_side,
        ) {
            (Resize::ShortSide, Some(short), Some(max_long)) => {
                InputPolicy::ShortSide { short, max_long }
            }
            _ => InputPolicy::Native,
        }
    }

    /// Longest token sequence that the text graph and the class head take.
    pub(crate) fn max_tokens(&self) -> usize {
        self.network.max_tokens.min(self.network.slots - 1)
    }
}
