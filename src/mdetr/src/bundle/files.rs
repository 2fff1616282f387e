//! Names of a bundle's files.

use mdetr_engine::GraphRole;

/// File name of the manifest.
pub(crate) const MANIFEST: &str = "model.toml";
/// File name of the tokenizer.
pub(crate) const TOKENIZER: &str = "tokenizer.json";
/// File name of the text encoder's graph.
pub(crate) const TEXT_GRAPH: &str = "text.onnx";
/// File name of the backbone's graph.
pub(crate) const VISION_GRAPH: &str = "vision.onnx";
/// File name of the graph of encoder, decoder and heads.
pub(crate) const FUSION_GRAPH: &str = "fusion.onnx";
/// File name of the graph that draws masks.
pub(crate) const MASK_GRAPH: &str = "mask.onnx";
/// File name of GQA's answers: words by head and class.
pub(crate) const ANSWERS: &str = "answers.json";

/// Feature maps that the vision graph may give and the mask graph may take, coarse to fine, and
/// how many pixels of the input lie between two of their cells.
pub(crate) const PYRAMID: [(&str, usize); 4] = [
    ("pyramid_16", 16),
    ("pyramid_8", 8),
    ("pyramid_4", 4),
    ("pyramid_2", 2),
];

/// Those that every bundle has, besides the manifest.
pub(super) const REQUIRED_FILES: [&str; 4] = [TOKENIZER, TEXT_GRAPH, VISION_GRAPH, FUSION_GRAPH];

/// Which graph is in a file.
pub(super) fn role(name: &str) -> GraphRole {
    match name {
        TEXT_GRAPH => GraphRole::Text,
        VISION_GRAPH => GraphRole::Vision,
        FUSION_GRAPH => GraphRole::Fusion,
        MASK_GRAPH => GraphRole::Mask,
        other => unreachable!("{other} is no graph of a bundle"),
    }
}
