//! Inputs and outputs of an ONNX graph, read without loading its weights.
//!
//! Follows onnx.proto of the ONNX project and the protocol buffers wire format: of all fields only
//! those on the way to `ModelProto.graph.{input, output, initializer.name}` are read, the others
//! are skipped by their length, so that checking a graph of gigabytes takes milliseconds.

use std::fmt;
use std::io::{self, BufRead, Seek};

/// Bound on names and counts; real graphs stay far below.
const MAX_NAME: u64 = 4096;
const MAX_ENTRIES: usize = 1 << 20;
const MAX_RANK: usize = 16;

/// Element type of a tensor (`TensorProto.DataType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ElementType(pub i32);

impl ElementType {
    pub(crate) const F32: ElementType = ElementType(1);
    pub(crate) const I64: ElementType = ElementType(7);
}

impl fmt::Display for ElementType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            1 => f.write_str("f32"),
            6 => f.write_str("i32"),
            7 => f.write_str("i64"),
            9 => f.write_str("bool"),
            10 => f.write_str("f16"),
            11 => f.write_str("f64"),
            other => write!(f, "ONNX element type {other}"),
        }
    }
}

/// A dimension: fixed, or left open under a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dimension {
    Fixed(i64),
    Open(String),
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dimension::Fixed(size) => write!(f, "{size}"),
            Dimension::Open(name) if name.is_empty() => f.write_str("?"),
            Dimension::Open(name) => f.write_str(name),
        }
    }
}

/// Name, type and shape of an input or output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TensorInfo {
    pub name: String,
    pub element: ElementType,
    /// `None` if the graph does not say.
    pub shape: Option<Vec<Dimension>>,
}

impl fmt::Display for TensorInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.element)?;
        match &self.shape {
            Some(shape) => {
                let dimensions: Vec<String> = shape.iter().map(ToString::to_string).collect();
                write!(f, "[{}]", dimensions.join(", "))
            }
            None => f.write_str("of unknown shape"),
        }
    }
}

/// Inputs that must be fed, and outputs, in the graph's order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Interface {
    pub inputs: Vec<TensorInfo>,
    pub outputs: Vec<TensorInfo>,
}

/// Reads the interface of the model in `reader`, which holds `length` bytes.
pub(crate) fn read_interface<R: BufRead + Seek>(
    reader: R,
    length: u64,
) -> Result<Interface, OnnxError> {
    const MODEL_GRAPH: u64 = 7;
    let mut wire = Wire {
        reader,
        position: 0,
    };
    let mut interface = None;
    while let Some(field) = wire.field(length)? {
        match field {
            Field::Message {
                number: MODEL_GRAPH,
                end,
            } => interface = Some(graph(&mut wire, end)?),
            other => wire.skip(other)?,
        }
    }
    interface.ok_or(OnnxError::Malformed("there is no graph in it"))
}

fn graph<R: BufRead + Seek>(wire: &mut Wire<R>, end: u64) -> Result<Interface, OnnxError> {
    const INITIALIZER: u64 = 5;
    const INPUT: u64 = 11;
    const OUTPUT: u64 = 12;
    const TENSOR_NAME: u64 = 8;
    let mut interface = Interface::default();
    let mut initialised = std::collections::HashSet::new();
    while let Some(field) = wire.field(end)? {
        match field {
            Field::Message {
                number: INITIALIZER,
                end,
            } => {
                while let Some(field) = wire.field(end)? {
                    match field {
                        Field::Message {
                            number: TENSOR_NAME,
                            end,
                        } => {
                            initialised.insert(wire.text(end)?);
                        }
                        other => wire.skip(other)?,
                    }
                }
            }
            Field::Message { number: INPUT, end } => interface.inputs.push(value(wire, end)?),
            Field::Message {
                number: OUTPUT,
                end,
            } => interface.outputs.push(value(wire, end)?),
            other => wire.skip(other)?,
        }
        if initialised.len() + interface.inputs.len() + interface.outputs.len() > MAX_ENTRIES {
            return Err(OnnxError::Malformed("it has over a million tensors"));
        }
    }
    interface
        .inputs
        .retain(|input| !initialised.contains(&input.name));
    Ok(interface)
}

fn value<R: BufRead + Seek>(wire: &mut Wire<R>, end: u64) -> Result<TensorInfo, OnnxError> {
    const NAME: u64 = 1;
    const TYPE: u64 = 2;
    const TENSOR_TYPE: u64 = 1;
    const ELEMENT: u64 = 1;
    const SHAPE: u64 = 2;
    let mut info = TensorInfo {
        name: String::new(),
        element: ElementType(0),
        shape: None,
    };
    while let Some(field) = wire.field(end)? {
        match field {
            Field::Message { number: NAME, end } => info.name = wire.text(end)?,
            Field::Message { number: TYPE, end } => {
                while let Some(field) = wire.field(end)? {
                    let Field::Message {
                        number: TENSOR_TYPE,
                        end,
                    } = field
                    else {
                        wire.skip(field)?;
                        continue;
                    };
                    while let Some(field) = wire.field(end)? {
                        match field {
                            Field::Number {
                                number: ELEMENT,
                                value,
                            } => {
                                info.element = ElementType(value as i32);
                            }
                            Field::Message { number: SHAPE, end } => {
                                info.shape = Some(shape(wire, end)?);
                            }
                            other => wire.skip(other)?,
                        }
                    }
                }
            }
            other => wire.skip(other)?,
        }
    }
    Ok(info)
}

fn shape<R: BufRead + Seek>(wire: &mut Wire<R>, end: u64) -> Result<Vec<Dimension>, OnnxError> {
    const DIMENSION: u64 = 1;
    const VALUE: u64 = 1;
    const PARAMETER: u64 = 2;
    let mut dimensions = Vec::new();
    while let Some(field) = wire.field(end)? {
        let Field::Message {
            number: DIMENSION,
            end,
        } = field
        else {
            wire.skip(field)?;
            continue;
        };
        let mut dimension = Dimension::Open(String::new());
        while let Some(field) = wire.field(end)? {
            match field {
                Field::Number {
                    number: VALUE,
                    value,
                } => dimension = Dimension::Fixed(value as i64),
                Field::Message {
                    number: PARAMETER,
                    end,
                } => {
                    dimension = Dimension::Open(wire.text(end)?);
                }
                other => wire.skip(other)?,
            }
        }
        dimensions.push(dimension);
        if dimensions.len() > MAX_RANK {
            return Err(OnnxError::Malformed("a tensor has over 16 dimensions"));
        }
    }
    Ok(dimensions)
}

/// Why the interface could not be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OnnxError {
    #[error("{0}")]
    Malformed(&'static str),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A field of a message: its tag, and where its content ends if it has a length.
#[derive(Debug, Clone, Copy)]
enum Field {
    Number { number: u64, value: u64 },
    Message { number: u64, end: u64 },
    Fixed { bytes: u64 },
}

struct Wire<R> {
    reader: R,
    position: u64,
}

impl<R: BufRead + Seek> Wire<R> {
    /// The next field of a message that ends at `end`; `None` at its end.
    fn field(&mut self, end: u64) -> Result<Option<Field>, OnnxError> {
        if self.position == end {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = key >> 3;
        let field = match key & 7 {
            0 => Field::Number {
                number,
                value: self.varint()?,
            },
            1 => Field::Fixed { bytes: 8 },
            2 => {
                let length = self.varint()?;
                let end = self.position.checked_add(length);
                Field::Message {
                    number,
                    end: end.ok_or(OnnxError::Malformed(OVERRUN))?,
                }
            }
            5 => Field::Fixed { bytes: 4 },
            _ => {
                return Err(OnnxError::Malformed(
                    "it has a field of an unknown wire type",
                ));
            }
        };
        let field_end = match field {
            Field::Message { end, .. } => end,
            Field::Fixed { bytes } => self.position + bytes,
            Field::Number { .. } => self.position,
        };
        if field_end > end {
            return Err(OnnxError::Malformed(OVERRUN));
        }
        Ok(Some(field))
    }

    fn skip(&mut self, field: Field) -> Result<(), OnnxError> {
        let bytes = match field {
            Field::Number { .. } => 0,
            Field::Fixed { bytes } => bytes,
            Field::Message { end, .. } => end - self.position,
        };
        let offset = i64::try_from(bytes).map_err(|_| OnnxError::Malformed(OVERRUN))?;
        self.reader.seek_relative(offset)?;
        self.position += bytes;
        Ok(())
    }

    fn text(&mut self, end: u64) -> Result<String, OnnxError> {
        let length = end - self.position;
        if length > MAX_NAME {
            return Err(OnnxError::Malformed("a name has over 4096 bytes"));
        }
        let mut bytes = vec![0; length as usize];
        self.reader.read_exact(&mut bytes)?;
        self.position = end;
        String::from_utf8(bytes).map_err(|_| OnnxError::Malformed("a name is not UTF-8"))
    }

    fn varint(&mut self) -> Result<u64, OnnxError> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let mut byte = [0];
            self.reader.read_exact(&mut byte)?;
            self.position += 1;
            value |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(value);
            }
        }
        Err(OnnxError::Malformed("it has a number of over ten bytes"))
    }
}

const OVERRUN: &str = "a field is longer than what holds it";

#[cfg(test)]
pub(crate) mod tests {
    use std::io::Cursor;

    use proptest::prelude::*;

    use super::*;

    fn varint(mut value: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        while value >= 0x80 {
            bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        bytes.push(value as u8);
        bytes
    }

    fn message(number: u64, content: &[u8]) -> Vec<u8> {
        [
            varint(number << 3 | 2),
            varint(content.len() as u64),
            content.to_vec(),
        ]
        .concat()
    }

    fn number(number: u64, value: u64) -> Vec<u8> {
        [varint(number << 3), varint(value)].concat()
    }

    fn value_info(info: &TensorInfo) -> Vec<u8> {
        let dimension = |dimension: &Dimension| match dimension {
            Dimension::Fixed(size) => message(1, &number(1, *size as u64)),
            Dimension::Open(name) => message(1, &message(2, name.as_bytes())),
        };
        let mut tensor = number(1, info.element.0 as u64);
        if let Some(shape) = &info.shape {
            tensor.extend(message(
                2,
                &shape.iter().flat_map(dimension).collect::<Vec<u8>>(),
            ));
        }
        [
            message(1, info.name.as_bytes()),
            message(2, &message(1, &tensor)),
        ]
        .concat()
    }

    /// A model with this interface, a weight `w` that is listed as an input too, and a node.
    pub(crate) fn encode(interface: &Interface) -> Vec<u8> {
        let weight = TensorInfo {
            name: "w".into(),
            element: ElementType::F32,
            shape: Some(vec![]),
        };
        let mut graph = [
            message(1, &message(4, b"Conv")),
            message(2, b"main"),
            message(5, &[message(9, &[7; 300]), message(8, b"w")].concat()),
            message(11, &value_info(&weight)),
        ]
        .concat();
        graph.extend(
            interface
                .inputs
                .iter()
                .flat_map(|info| message(11, &value_info(info))),
        );
        graph.extend(
            interface
                .outputs
                .iter()
                .flat_map(|info| message(12, &value_info(info))),
        );
        [
            number(1, 8),
            message(2, b"torch"),
            message(7, &graph),
            message(8, &number(2, 17)),
        ]
        .concat()
    }

    fn interface() -> Interface {
        let open = |name: &str| Dimension::Open(name.into());
        let info = |name: &str, element, shape| TensorInfo {
            name: name.into(),
            element,
            shape,
        };
        Interface {
            inputs: vec![
                info(
                    "image",
                    ElementType::F32,
                    Some(vec![open("B"), Dimension::Fixed(3)]),
                ),
                info("mask", ElementType::I64, None),
            ],
            outputs: vec![info(
                "tokens",
                ElementType::F32,
                Some(vec![open("B"), open("")]),
            )],
        }
    }

    fn read(bytes: &[u8]) -> Result<Interface, OnnxError> {
        read_interface(Cursor::new(bytes), bytes.len() as u64)
    }

    #[test]
    fn weights_are_not_inputs() {
        let found = read(&encode(&interface())).unwrap();
        assert_eq!(found, interface());
        assert_eq!(found.inputs[0].to_string(), "f32 [B, 3]");
        assert_eq!(found.inputs[1].to_string(), "i64 of unknown shape");
        assert_eq!(found.outputs[0].to_string(), "f32 [B, ?]");
    }

    #[test]
    fn what_is_no_model_is_refused() {
        assert!(read(b"").is_err());
        assert!(read(b"this is not a model at all").is_err());
        assert!(read(&[0xff; 64]).is_err());
    }

    #[test]
    fn truncation_loses_nothing_silently_but_the_opset() {
        let model = encode(&interface());
        let opset = message(8, &number(2, 17)).len();
        for length in 0..model.len() {
            match read(&model[..length]) {
                Ok(found) => {
                    assert_eq!(found, interface());
                    assert_eq!(length, model.len() - opset);
                }
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        }
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn flipped_bytes_never_panic(at in 0usize..1000, with in any::<u8>()) {
            let mut model = encode(&interface());
            let at = at % model.len();
            model[at] = with;
            let _ = read(&model);
        }
    }
}
