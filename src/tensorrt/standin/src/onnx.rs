//! Writes small ONNX models.

/// Element type of a tensor, by ONNX's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u64)]
pub enum Type {
    /// 32 bits, floating.
    Float = 1,
    /// 64 bits.
    Int64 = 7,
    /// 16 bits, floating.
    Half = 10,
}

/// An attribute's value.
#[derive(Debug, Clone)]
pub enum Attribute {
    /// One number.
    Int(i64),
    /// A float.
    Float(f32),
    /// Several numbers.
    Ints(Vec<i64>),
}

/// A model that grows node by node.
#[derive(Debug, Clone, Default)]
pub struct Model {
    graph: Vec<u8>,
    nodes: usize,
}

impl Model {
    /// An empty one.
    pub fn new() -> Model {
        let mut model = Model::default();
        bytes(&mut model.graph, 2, b"test");
        model
    }

    /// An input; sizes that are no number are open, by their name.
    pub fn input(self, name: &str, element: Type, shape: &[&str]) -> Model {
        self.port(11, name, element, shape)
    }

    /// An output.
    pub fn output(self, name: &str, element: Type, shape: &[&str]) -> Model {
        self.port(12, name, element, shape)
    }

    fn port(mut self, field: u64, name: &str, element: Type, shape: &[&str]) -> Model {
        let mut dims = Vec::new();
        for size in shape {
            let mut dim = Vec::new();
            match size.parse::<u64>() {
                Ok(size) => number(&mut dim, 1, size),
                Err(_) => bytes(&mut dim, 2, size.as_bytes()),
            }
            bytes(&mut dims, 1, &dim);
        }
        let (mut tensor, mut kind, mut info) = (Vec::new(), Vec::new(), Vec::new());
        number(&mut tensor, 1, element as u64);
        bytes(&mut tensor, 2, &dims);
        bytes(&mut kind, 1, &tensor);
        bytes(&mut info, 1, name.as_bytes());
        bytes(&mut info, 2, &kind);
        bytes(&mut self.graph, field, &info);
        self
    }

    /// Floats that the graph has.
    pub fn floats(self, name: &str, shape: &[usize], values: &[f32]) -> Model {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.weights(name, Type::Float, shape, raw)
    }

    /// Integers that the graph has, in a row.
    pub fn ints(self, name: &str, values: &[i64]) -> Model {
        let raw = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.weights(name, Type::Int64, &[values.len()], raw)
    }

    /// Numbers of fp16 that the graph has, by their bits.
    pub fn halves(self, name: &str, shape: &[usize], bits: &[u16]) -> Model {
        let raw = bits.iter().flat_map(|v| v.to_le_bytes()).collect();
        self.weights(name, Type::Half, shape, raw)
    }

    fn weights(mut self, name: &str, element: Type, shape: &[usize], raw: Vec<u8>) -> Model {
        let mut tensor = Vec::new();
        for &size in shape {
            number(&mut tensor, 1, size as u64);
        }
        number(&mut tensor, 2, element as u64);
        bytes(&mut tensor, 8, name.as_bytes());
        bytes(&mut tensor, 9, &raw);
        bytes(&mut self.graph, 5, &tensor);
        self
    }

    /// A node with one output.
    pub fn node(
        mut self,
        op: &str,
        inputs: &[&str],
        output: &str,
        attributes: &[(&str, Attribute)],
    ) -> Model {
        let mut node = Vec::new();
        for input in inputs {
            bytes(&mut node, 1, input.as_bytes());
        }
        bytes(&mut node, 2, output.as_bytes());
        bytes(&mut node, 3, format!("{op}_{}", self.nodes).as_bytes());
        bytes(&mut node, 4, op.as_bytes());
        for (name, value) in attributes {
            let mut attribute = Vec::new();
            bytes(&mut attribute, 1, name.as_bytes());
            let kind = match value {
                Attribute::Float(value) => {
                    varint(&mut attribute, 2 << 3 | 5);
                    attribute.extend(value.to_le_bytes());
                    1
                }
                Attribute::Int(value) => {
                    number(&mut attribute, 3, *value as u64);
                    2
                }
                Attribute::Ints(values) => {
                    for &value in values {
                        number(&mut attribute, 8, value as u64);
                    }
                    7
                }
            };
            number(&mut attribute, 20, kind);
            bytes(&mut node, 5, &attribute);
        }
        bytes(&mut self.graph, 1, &node);
        self.nodes += 1;
        self
    }

    /// The file.
    pub fn finish(self) -> Vec<u8> {
        const IR: u64 = 8;
        const OPSET: u64 = 17;
        let (mut file, mut opset) = (Vec::new(), Vec::new());
        number(&mut file, 1, IR);
        bytes(&mut file, 7, &self.graph);
        bytes(&mut opset, 1, b"");
        number(&mut opset, 2, OPSET);
        bytes(&mut file, 8, &opset);
        file
    }
}

fn varint(to: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        to.push((value & 0x7F) as u8 | 0x80);
        value >>= 7;
    }
    to.push(value as u8);
}

fn number(to: &mut Vec<u8>, field: u64, value: u64) {
    varint(to, field << 3);
    varint(to, value);
}

fn bytes(to: &mut Vec<u8>, field: u64, value: &[u8]) {
    varint(to, field << 3 | 2);
    varint(to, value.len() as u64);
    to.extend_from_slice(value);
}
