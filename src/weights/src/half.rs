//! Graphs that take and give floats as fp16, and compute as before.

use std::collections::{BTreeMap, BTreeSet};

use prost::{DecodeError, Message};
use tract_onnx::pb::{AttributeProto, NodeProto, ValueInfoProto, type_proto};

use crate::wire::{Field, fields, put};

/// Fields of ONNX's messages.
const MODEL_GRAPH: u32 = 7;
const GRAPH_NODE: u32 = 1;
const GRAPH_INITIALIZER: u32 = 5;
const GRAPH_INPUT: u32 = 11;
const GRAPH_OUTPUT: u32 = 12;
const GRAPH_VALUE_INFO: u32 = 13;
const NODE_INPUT: u32 = 1;
const NODE_OUTPUT: u32 = 2;
const NODE_ATTRIBUTE: u32 = 5;
const ATTRIBUTE_GRAPH: u32 = 6;
const ATTRIBUTE_GRAPHS: u32 = 11;
/// Element types of ONNX, and the type of an attribute that is an integer.
const FLOAT: i32 = 1;
const FLOAT16: i32 = 10;
const INT: i32 = 2;

/// Why a graph cannot be changed.
#[derive(Debug, thiserror::Error)]
#[error("the graph cannot be made to take fp16: {0}; serve it as it is")]
pub struct HalfError(String);

impl From<DecodeError> for HalfError {
    fn from(error: DecodeError) -> HalfError {
        HalfError(error.to_string())
    }
}

/// The ONNX model `onnx` with its inputs and outputs of fp32 in fp16: they are converted behind the inputs and before the
/// outputs, so that half the bytes are sent. Nothing else changes.
///
/// # Errors
/// It is no ONNX model, or has branches or loops.
pub fn with_half_interface(onnx: &[u8]) -> Result<Vec<u8>, HalfError> {
    let mut model = Vec::with_capacity(onnx.len() + 4096);
    let mut has_graph = false;
    for field in fields(onnx) {
        let field = field?;
        match field.content {
            Some(graph) if field.number == MODEL_GRAPH => {
                has_graph = true;
                put(&mut model, MODEL_GRAPH, &half_graph(graph)?);
            }
            _ => model.extend_from_slice(field.whole),
        }
    }
    match has_graph {
        true => Ok(model),
        false => Err(HalfError("there is no graph in it".to_owned())),
    }
}

fn half_graph(graph: &[u8]) -> Result<Vec<u8>, HalfError> {
    let parts: Vec<Field> = fields(graph).collect::<Result<_, _>>()?;
    let of = |number| {
        let parts = parts.iter().filter(move |field| field.number == number);
        parts.filter_map(|field| field.content)
    };
    let mut weights = BTreeSet::new();
    for tensor in of(GRAPH_INITIALIZER) {
        weights.insert(name_of(tensor, TENSOR_NAME)?);
    }
    let floats = |number| -> Result<Vec<String>, HalfError> {
        let mut names = Vec::new();
        for value in of(number) {
            let value = ValueInfoProto::decode(value)?;
            if element(&value) == Some(FLOAT) && !weights.contains(&value.name) {
                names.push(value.name);
            }
        }
        Ok(names)
    };
    let (inputs, outputs) = (floats(GRAPH_INPUT)?, floats(GRAPH_OUTPUT)?);
    let renamed = |name: &String| (name.clone(), format!("{name}/fp32"));
    let names: BTreeMap<String, String> = inputs.iter().chain(&outputs).map(renamed).collect();
    if names.len() != inputs.len() + outputs.len() {
        return Err(HalfError("an input is an output too".to_owned()));
    }
    let mut half = Vec::with_capacity(graph.len() + 4096);
    // What a node takes is given before it.
    for name in &inputs {
        put(&mut half, GRAPH_NODE, &cast(name, &names[name], FLOAT));
    }
    for field in &parts {
        match (field.number, field.content) {
            (GRAPH_NODE, Some(node)) => put(&mut half, GRAPH_NODE, &rename(node, &names)?),
            (GRAPH_INPUT | GRAPH_OUTPUT, Some(value)) => {
                let mut value = ValueInfoProto::decode(value)?;
                if names.contains_key(&value.name) {
                    set_element(&mut value, FLOAT16);
                    put(&mut half, field.number, &value.encode_to_vec());
                } else {
                    half.extend_from_slice(field.whole);
                }
            }
            // They say the old type of what is renamed, and nobody needs them.
            (GRAPH_VALUE_INFO, Some(_)) => {}
            _ => half.extend_from_slice(field.whole),
        }
    }
    for name in &outputs {
        put(&mut half, GRAPH_NODE, &cast(&names[name], name, FLOAT16));
    }
    Ok(half)
}

const TENSOR_NAME: u32 = 8;

/// The field of a message that is its name.
fn name_of(message: &[u8], number: u32) -> Result<String, HalfError> {
    let mut name = String::new();
    for field in fields(message) {
        let field = field?;
        if let (true, Some(content)) = (field.number == number, field.content) {
            name = String::from_utf8_lossy(content).into_owned();
        }
    }
    Ok(name)
}

/// A node whose inputs and outputs have other names. The rest stays byte for byte.
fn rename(node: &[u8], names: &BTreeMap<String, String>) -> Result<Vec<u8>, HalfError> {
    let mut renamed = Vec::with_capacity(node.len() + 16);
    for field in fields(node) {
        let field = field?;
        match (field.number, field.content) {
            (NODE_INPUT | NODE_OUTPUT, Some(name)) => {
                let new = std::str::from_utf8(name)
                    .ok()
                    .and_then(|name| names.get(name));
                let name = new.map_or(name, |new| new.as_bytes());
                put(&mut renamed, field.number, name);
            }
            (NODE_ATTRIBUTE, Some(attribute)) => {
                for inner in fields(attribute) {
                    if matches!(inner?.number, ATTRIBUTE_GRAPH | ATTRIBUTE_GRAPHS) {
                        return Err(HalfError("it has branches or loops".to_owned()));
                    }
                }
                renamed.extend_from_slice(field.whole);
            }
            _ => renamed.extend_from_slice(field.whole),
        }
    }
    Ok(renamed)
}

fn cast(from: &str, to: &str, element: i32) -> Vec<u8> {
    let attribute = AttributeProto {
        name: "to".to_owned(),
        r#type: INT,
        i: element.into(),
        ..AttributeProto::default()
    };
    let node = NodeProto {
        name: format!("{from}/cast"),
        op_type: "Cast".to_owned(),
        input: vec![from.to_owned()],
        output: vec![to.to_owned()],
        attribute: vec![attribute],
        ..NodeProto::default()
    };
    node.encode_to_vec()
}

fn element(value: &ValueInfoProto) -> Option<i32> {
    match value.r#type.as_ref()?.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => Some(tensor.elem_type),
    }
}

fn set_element(value: &mut ValueInfoProto, element: i32) {
    let kind = value.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    if let Some(type_proto::Value::TensorType(tensor)) = kind {
        tensor.elem_type = element;
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;
    use tract_onnx::pb::ModelProto;

    use super::*;

    #[test]
    fn only_the_interface_of_a_graph_changes() {
        let models = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop");
        for graph in ["text", "vision", "fusion", "mask"] {
            let onnx = std::fs::read(models.join(format!("{graph}.onnx"))).unwrap();
            let before = ModelProto::decode(onnx.as_slice()).unwrap().graph.unwrap();
            let half = with_half_interface(&onnx).unwrap();
            let after = ModelProto::decode(half.as_slice()).unwrap().graph.unwrap();
            let interface = before.input.iter().chain(&before.output);
            let casts = interface
                .filter(|value| element(value) == Some(FLOAT))
                .count();
            assert!(casts > 0, "{graph}");
            assert_eq!(after.node.len(), before.node.len() + casts, "{graph}");
            assert_eq!(after.initializer, before.initializer, "{graph}");
            let values = |values: &[ValueInfoProto]| -> Vec<(String, Option<i32>)> {
                values
                    .iter()
                    .map(|value| (value.name.clone(), element(value)))
                    .collect()
            };
            let halved = |(name, kind): (String, Option<i32>)| {
                (
                    name,
                    kind.map(|kind| if kind == FLOAT { FLOAT16 } else { kind }),
                )
            };
            for (before, after) in [
                (&before.input, &after.input),
                (&before.output, &after.output),
            ] {
                let expected: Vec<_> = values(before).into_iter().map(halved).collect();
                assert_eq!(values(after), expected, "{graph}");
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_changed_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let mut model = Vec::new();
            put(&mut model, MODEL_GRAPH, &bytes);
            for onnx in [&bytes, &model] {
                if let Err(error) = with_half_interface(onnx) {
                    prop_assert!(error.to_string().contains("serve it as it is"));
                }
            }
        }
    }
}
