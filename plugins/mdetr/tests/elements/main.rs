//! Tests of the plugin's elements, in pipelines and in harnesses.

mod allocation;
mod analytics;
mod blending;
mod common;
mod errors;
mod frames;
mod inspect;
#[path = "../../../common/tests/installed/mod.rs"]
mod installed;
mod json;
mod launch;
mod metadata;
mod modes;
mod overlay;
mod past;
mod queries;
mod rules;
mod start;
mod streaming;
mod streams;
mod tabletop;
mod track;
