//! Inputs and outputs that a bundle's graphs must have.

use super::files::{FUSION_GRAPH, MASK_GRAPH, TEXT_GRAPH, VISION_GRAPH};
use super::manifest::Manifest;
use super::onnx::{Dimension, ElementType, TensorInfo};

/// An input or output that a graph must have. Dimensions: a number, or a name for any size.
pub(super) struct Expected {
    name: &'static str,
    element: ElementType,
    shape: Vec<Dimension>,
}

impl Expected {
    fn new<const N: usize>(
        name: &'static str,
        element: ElementType,
        shape: [&dyn ToDimension; N],
    ) -> Expected {
        let shape = shape
            .iter()
            .map(|dimension| dimension.to_dimension())
            .collect();
        Expected {
            name,
            element,
            shape,
        }
    }

    /// Its name and shape, as engines take them.
    pub(super) fn shape(&self) -> (&'static str, Vec<mdetr_engine::Dimension>) {
        let size = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => mdetr_engine::Dimension::Fixed(*size as usize),
            Dimension::Open(name) => mdetr_engine::Dimension::Open(name.clone()),
        };
        (self.name, self.shape.iter().map(size).collect())
    }

    fn allows(&self, info: &TensorInfo) -> bool {
        let shape_allowed = info.shape.as_ref().is_none_or(|shape| {
            shape.len() == self.shape.len()
                && shape
                    .iter()
                    .zip(&self.shape)
                    .all(|dimensions| match dimensions {
                        (Dimension::Fixed(found), Dimension::Fixed(expected)) => found == expected,
                        (Dimension::Fixed(found), Dimension::Open(_)) => *found > 0,
                        (Dimension::Open(_), _) => true,
                    })
        });
        info.element == self.element && shape_allowed
    }
}

pub(super) trait ToDimension {
    fn to_dimension(&self) -> Dimension;
}

impl ToDimension for &str {
    fn to_dimension(&self) -> Dimension {
        Dimension::Open((*self).to_owned())
    }
}

impl ToDimension for usize {
    fn to_dimension(&self) -> Dimension {
        Dimension::Fixed(*self as i64)
    }
}

/// Inputs and outputs of each graph.
pub(super) fn expected_interfaces(
    manifest: &Manifest,
    pyramid: &[(&'static str, usize)],
) -> Vec<(&'static str, Vec<Expected>, Vec<Expected>)> {
    let (float, integer) = (ElementType::F32, ElementType::I64);
    let network = &manifest.network;
    let d = network.d_model;
    // Each map has a size of its own; masks have that of the finest.
    let sides = |stride: usize| [format!("h{stride}"), format!("w{stride}")];
    let levels = |batch: &dyn ToDimension| -> Vec<Expected> {
        let map = |(name, stride): &(&'static str, usize)| {
            let [h, w] = sides(*stride);
            Expected::new(name, float, [batch, &"C", &h.as_str(), &w.as_str()])
        };
        pyramid.iter().map(map).collect()
    };
    let mut seen = vec![Expected::new("tokens", float, [&"B", &"N", &d])];
    seen.extend(levels(&"B"));
    let all = network.queries + network.lost;
    let mut fused = vec![
        Expected::new("logits", float, [&"B", &all, &network.slots]),
        Expected::new("boxes", float, [&"B", &all, &4]),
    ];
    let remembers = network.past > 0;
    if manifest.segments() || remembers {
        fused.push(Expected::new("hidden", float, [&"B", &network.queries, &d]));
    }
    if manifest.segments() {
        fused.push(Expected::new("memory", float, [&"B", &"N", &d]));
    }
    if remembers {
        let shape = [&"B" as &dyn ToDimension, &network.queries, &4];
        fused.push(Expected::new("present_boxes", float, shape));
        let shape = [&"B" as &dyn ToDimension, &network.queries, &"I"];
        fused.push(Expected::new("identity", float, shape));
    }
    if network.lost > 0 {
        fused.push(Expected::new("lost_age", float, [&"B", &network.lost]));
    }
    if let Some(answers) = &manifest.answers {
        let head = |name: &&'static str| Expected::new(name, float, [&"B", &"K"]);
        fused.extend(answers.kind.heads().iter().map(head));
    }
    let mut asked = vec![
        Expected::new("tokens", float, [&"F", &"N", &d]),
        Expected::new("position", float, [&1, &"N", &d]),
        Expected::new("text_memory", float, [&"B", &"L", &d]),
        Expected::new("text_mask", integer, [&"B", &"L"]),
    ];
    if remembers {
        let (past, queries) = (&network.past, &network.queries);
        asked.extend([
            Expected::new("past", float, [&"B", past, queries, &d]),
            Expected::new("past_boxes", float, [&"B", past, queries, &4]),
            Expected::new("past_age", float, [&"B", past]),
        ]);
    }
    let mut interfaces = vec![
        (
            TEXT_GRAPH,
            vec![
                Expected::new("input_ids", integer, [&1, &"L"]),
                Expected::new("attention_mask", integer, [&1, &"L"]),
            ],
            vec![Expected::new("text_memory", float, [&1, &"L", &d])],
        ),
        (
            VISION_GRAPH,
            vec![Expected::new("image", float, [&"B", &3, &"H", &"W"])],
            seen,
        ),
        (FUSION_GRAPH, asked, fused),
    ];
    if manifest.segments() {
        let mut inputs = vec![
            Expected::new("hidden", float, [&1, &"K", &d]),
            Expected::new("memory", float, [&1, &"N", &d]),
            Expected::new("tokens", float, [&1, &"N", &d]),
        ];
        inputs.extend(levels(&1));
        let finest = pyramid.iter().map(|(_, stride)| *stride).min();
        let [h, w] = sides(finest.unwrap_or_default());
        let masks = Expected::new("masks", float, [&1, &"K", &h.as_str(), &w.as_str()]);
        interfaces.push((MASK_GRAPH, inputs, vec![masks]));
    }
    interfaces
}

/// The tensor at fault, what was expected of it and what was found.
type Mismatch = (String, String, String);

pub(super) fn check_tensors(
    direction: &str,
    expected: &[Expected],
    found: &[TensorInfo],
) -> Result<(), Mismatch> {
    let nothing = || "nothing".to_owned();
    for tensor in expected {
        let wanted = TensorInfo {
            name: tensor.name.to_owned(),
            element: tensor.element,
            shape: Some(tensor.shape.clone()),
        };
        let label = format!("{direction} {}", tensor.name);
        match found.iter().find(|info| info.name == tensor.name) {
            None => return Err((label, wanted.to_string(), nothing())),
            Some(info) if !tensor.allows(info) => {
                return Err((label, wanted.to_string(), info.to_string()));
            }
            Some(_) => {}
        }
    }
    // An output too many does no harm; an input too many could not be fed.
    let unknown = found
        .iter()
        .find(|info| !expected.iter().any(|tensor| tensor.name == info.name));
    match unknown {
        Some(info) if direction == "input" => Err((
            format!("{direction} {}", info.name),
            nothing(),
            info.to_string(),
        )),
        _ => Ok(()),
    }
}
