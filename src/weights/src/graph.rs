//! Graphs from templates.

use std::io::{self, Read, Write};
use std::path::Path;

use flate2::read::GzDecoder;
use prost::encoding::{WireType, encode_key, encode_varint, encoded_len_varint, key_len};
use prost::{DecodeError, Message};
use tract_onnx::pb::tensor_shape_proto::dimension;
use tract_onnx::pb::{NodeProto, TensorProto, ValueInfoProto, type_proto};

use crate::entries::Entries;
use crate::error::ImportError;
use crate::recipe::Recipe;
use crate::wire::{Field, fields, put};

/// Most bytes of a template without weights; the largest that there are have a tenth of it.
const MAX_TEMPLATE: u64 = 16 << 20;
/// Fields of ONNX's messages.
const MODEL_GRAPH: u32 = 7;
const GRAPH_NODE: u32 = 1;
const GRAPH_INITIALIZER: u32 = 5;
const GRAPH_OUTPUT: u32 = 12;
const TENSOR_RAW_DATA: u32 = 9;
/// The entry whose rows are object queries.
const QUERIES: &str = "query_embed.weight";
/// Most queries and answers.
const MOST_OPEN: i64 = 1 << 16;

/// A graph whose weights are known by what they are made of.
#[derive(Debug, Default)]
pub struct Template {
    /// Fields of the model but for the graph.
    model: Vec<u8>,
    /// Fields of the graph but for weights.
    graph: Vec<u8>,
    weights: Vec<Weight>,
}

#[derive(Debug)]
struct Weight {
    /// Without values, but for a constant.
    tensor: TensorProto,
    /// `None` for a constant.
    recipe: Option<Recipe>,
    /// Bytes of its values.
    bytes: u64,
}

impl Template {
    /// Reads a packed template, and gives what is open in it the sizes that entries have.
    pub fn open(path: &Path, packed: &[u8], entries: &Entries) -> Result<Template, ImportError> {
        let wrong = |message: String| ImportError::Template {
            path: path.to_owned(),
            message,
        };
        let mut bytes = Vec::new();
        let mut unpacked = GzDecoder::new(packed).take(MAX_TEMPLATE + 1);
        unpacked
            .read_to_end(&mut bytes)
            .map_err(ImportError::io(path))?;
        if bytes.len() as u64 > MAX_TEMPLATE {
            return Err(wrong(format!("at most {MAX_TEMPLATE} bytes are read")));
        }
        let mut template = Template::default();
        let mut graph = None;
        let broken = |error: DecodeError| wrong(error.to_string());
        for field in fields(&bytes) {
            match field.map_err(broken)? {
                Field {
                    number: MODEL_GRAPH,
                    content: Some(content),
                    ..
                } => graph = Some(content),
                other => template.model.extend_from_slice(other.whole),
            }
        }
        let graph = graph.ok_or_else(|| wrong("there is no graph in it".to_owned()))?;
        for field in fields(graph) {
            let field = field.map_err(broken)?;
            template.add(&field, entries, &wrong)?;
        }
        Ok(template)
    }

    /// Adds a field of the graph.
    fn add(
        &mut self,
        field: &Field,
        entries: &Entries,
        wrong: &dyn Fn(String) -> ImportError,
    ) -> Result<(), ImportError> {
        let broken = |error: DecodeError| wrong(error.to_string());
        match (field.number, field.content) {
            (GRAPH_INITIALIZER, Some(content)) => {
                let tensor = TensorProto::decode(content).map_err(broken)?;
                let name = tensor.name.clone();
                let weight = Weight::of(tensor, entries)?;
                let unknown = || wrong(format!("{name}: it is not known what it is made of"));
                self.weights.push(weight.ok_or_else(unknown)?);
            }
            (GRAPH_NODE, Some(content)) => {
                let mut node = NodeProto::decode(content).map_err(broken)?;
                // What is not changed stays byte for byte: ONNX tells a 0 from nothing, and these types do not.
                match fill_constants(&mut node, entries).map_err(wrong)? {
                    true => put(&mut self.graph, GRAPH_NODE, &node.encode_to_vec()),
                    false => self.graph.extend_from_slice(field.whole),
                }
            }
            (GRAPH_OUTPUT, Some(content)) => {
                let mut output = ValueInfoProto::decode(content).map_err(broken)?;
                match fill_output(&mut output, entries)? {
                    true => put(&mut self.graph, GRAPH_OUTPUT, &output.encode_to_vec()),
                    false => self.graph.extend_from_slice(field.whole),
                }
            }
            _ => self.graph.extend_from_slice(field.whole),
        }
        Ok(())
    }

    /// Bytes of weights.
    pub fn bytes(&self) -> u64 {
        self.weights.iter().map(|weight| weight.bytes).sum()
    }

    /// Writes the graph with its weights; `step` is told the bytes of each, and says whether to go on.
    pub fn write(
        &self,
        entries: &Entries,
        out: &mut impl Write,
        path: &Path,
        step: &mut dyn FnMut(u64) -> Result<(), ImportError>,
    ) -> Result<(), ImportError> {
        let io = ImportError::io;
        let weights: u64 = self.weights.iter().map(Weight::field_len).sum();
        let mut head = self.model.clone();
        encode_key(MODEL_GRAPH, WireType::LengthDelimited, &mut head);
        encode_varint(self.graph.len() as u64 + weights, &mut head);
        head.extend_from_slice(&self.graph);
        out.write_all(&head).map_err(io(path))?;
        for weight in &self.weights {
            out.write_all(&weight.head()).map_err(io(path))?;
            if let Some(recipe) = &weight.recipe {
                let values = recipe.values(entries)?;
                let bytes = values.bytes();
                debug_assert_eq!(bytes.len() as u64, weight.bytes);
                write_slowly(out, bytes).map_err(io(path))?;
            }
            step(weight.bytes)?;
        }
        Ok(())
    }
}

/// In pieces: writers that hash need not hold all at once.
fn write_slowly(out: &mut impl Write, bytes: &[u8]) -> io::Result<()> {
    bytes
        .chunks(1 << 20)
        .try_for_each(|piece| out.write_all(piece))
}

impl Weight {
    /// `None` if its line is none.
    fn of(mut tensor: TensorProto, entries: &Entries) -> Result<Option<Weight>, ImportError> {
        let line = std::mem::take(&mut tensor.doc_string);
        if line.is_empty() {
            return Ok(Some(Weight {
                tensor,
                recipe: None,
                bytes: 0,
            }));
        }
        let Some(recipe) = Recipe::parse(&line) else {
            return Ok(None);
        };
        let len = recipe.len(entries)?;
        let known: u64 = tensor
            .dims
            .iter()
            .filter(|size| **size > 0)
            .map(|size| *size as u64)
            .product();
        let mut open = tensor.dims.iter_mut().filter(|size| **size <= 0);
        let is_open = open.next().map(|size| *size = (len / known.max(1)) as i64);
        let several = open.next().is_some();
        let product: i64 = tensor.dims.iter().product();
        if several || product as u64 != len {
            let name = &tensor.name;
            let message = format!(
                "{name}, {line}: expected {:?}{}, found {len} values",
                tensor.dims,
                if is_open.is_some() {
                    " in part open"
                } else {
                    ""
                }
            );
            return Err(entries.wrong(message));
        }
        Ok(Some(Weight {
            bytes: len * recipe.size(),
            recipe: Some(recipe),
            tensor,
        }))
    }

    /// Bytes of what stands before the values: all of a constant.
    fn head(&self) -> Vec<u8> {
        let mut head = Vec::new();
        encode_key(GRAPH_INITIALIZER, WireType::LengthDelimited, &mut head);
        encode_varint(self.len(), &mut head);
        self.tensor
            .encode(&mut head)
            .expect("a vector takes all there is");
        if self.recipe.is_some() {
            encode_key(TENSOR_RAW_DATA, WireType::LengthDelimited, &mut head);
            encode_varint(self.bytes, &mut head);
        }
        head
    }

    /// Bytes of the message.
    fn len(&self) -> u64 {
        let values = match self.recipe {
            None => 0,
            Some(_) => {
                (key_len(TENSOR_RAW_DATA) + encoded_len_varint(self.bytes)) as u64 + self.bytes
            }
        };
        self.tensor.encoded_len() as u64 + values
    }

    /// Bytes of the field that holds the message.
    fn field_len(&self) -> u64 {
        let len = self.len();
        (key_len(GRAPH_INITIALIZER) + encoded_len_varint(len)) as u64 + len
    }
}

/// Object queries of the checkpoint.
pub fn queries(entries: &Entries) -> Result<u64, ImportError> {
    let queries = entries.detector_shape(QUERIES)?.first().copied();
    queries
        .filter(|queries| (1..=MOST_OPEN as u64).contains(queries))
        .ok_or_else(|| {
            entries.wrong(format!(
                "query_embed.weight: expected 1 to {MOST_OPEN} rows"
            ))
        })
}

/// Gives constants that stand above the number of queries their values. Whether there are any.
fn fill_constants(node: &mut NodeProto, entries: &Entries) -> Result<bool, String> {
    let mut is_changed = false;
    let attributes = node.attribute.iter_mut();
    let tensors = attributes.filter_map(|attribute| attribute.t.as_mut());
    for tensor in tensors.filter(|tensor| !tensor.doc_string.is_empty()) {
        let line = std::mem::take(&mut tensor.doc_string);
        let above: Option<i64> = line
            .strip_prefix("queries ")
            .and_then(|above| above.parse().ok());
        let above = above.filter(|above| (0..MOST_OPEN).contains(above) && tensor.dims == [1]);
        let above =
            above.ok_or_else(|| format!("a constant: expected \"queries I\", found {line:?}"))?;
        let queries = queries(entries).map_err(|error| error.to_string())?;
        tensor.raw_data = (queries as i64 + above).to_le_bytes().to_vec();
        is_changed = true;
    }
    Ok(is_changed)
}

/// Gives an output of an answer head as many classes as the head has. Whether it is one.
fn fill_output(output: &mut ValueInfoProto, entries: &Entries) -> Result<bool, ImportError> {
    let name = output.name.clone();
    let mut is_changed = false;
    for size in open_sizes(output) {
        let classes = entries.shape(&format!("{name}_head.bias"))?;
        *size = classes.iter().product::<u64>() as i64;
        is_changed = true;
    }
    Ok(is_changed)
}

/// The sizes of an output that are 0.
fn open_sizes(output: &mut ValueInfoProto) -> impl Iterator<Item = &mut i64> {
    let kind = output.r#type.as_mut().and_then(|kind| kind.value.as_mut());
    let shape = kind.and_then(|type_proto::Value::TensorType(tensor)| tensor.shape.as_mut());
    let sizes = shape.into_iter().flat_map(|shape| &mut shape.dim);
    sizes.filter_map(|size| match size.value.as_mut() {
        Some(dimension::Value::DimValue(size)) if *size == 0 => Some(size),
        _ => None,
    })
}
