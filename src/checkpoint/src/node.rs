//! What a pickle holds. Values lie side by side and name each other by number, so that a file cannot nest them deeper than the
//! stack is.

use crate::class::Class;
use crate::error::Fault;
use crate::tensor::{DType, Storage, Tensor};

/// Most nodes of a pickle; a checkpoint of the largest structure with its optimiser has some ten thousand.
const MAX_NODES: usize = 1 << 20;
/// Most values in all containers of a pickle together.
const MAX_ENTRIES: usize = 1 << 22;

/// A value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Value {
    None,
    Bool(bool),
    Int(i128),
    Float(f64),
    Class(Class),
    Node(u32),
}

/// A value that is more than a number.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Node {
    Text(String),
    Bytes(Vec<u8>),
    Tuple(Vec<Value>),
    List(Vec<Value>),
    Dict(Vec<(Value, Value)>),
    Set(Vec<Value>),
    /// `argparse.Namespace`: a dictionary.
    Namespace(Value),
    /// Its parts.
    Path(Value),
    Storage {
        /// `None` for bytes.
        dtype: Option<DType>,
        storage: Storage,
    },
    Tensor(Tensor),
    /// What is only named, such as a device.
    Opaque,
}

/// All nodes of a pickle.
#[derive(Debug, Default)]
pub(crate) struct Nodes {
    nodes: Vec<Node>,
    entries: usize,
}

impl Nodes {
    /// Adds one.
    pub(crate) fn add(&mut self, node: Node) -> Result<Value, Fault> {
        let held = match &node {
            Node::Tuple(values) | Node::List(values) | Node::Set(values) => values.len(),
            Node::Dict(entries) => entries.len(),
            _ => 0,
        };
        self.count(held)?;
        if self.nodes.len() >= MAX_NODES {
            return Err(Fault::TooMuch {
                what: "values of a pickle",
                most: MAX_NODES as u64,
            });
        }
        let index = self.nodes.len() as u32;
        self.nodes.push(node);
        Ok(Value::Node(index))
    }

    /// Counts values that a container is about to take.
    pub(crate) fn count(&mut self, more: usize) -> Result<(), Fault> {
        self.entries += more;
        if self.entries > MAX_ENTRIES {
            return Err(Fault::TooMuch {
                what: "entries of containers of a pickle",
                most: MAX_ENTRIES as u64,
            });
        }
        Ok(())
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Those from a number on.
    pub(crate) fn from(&self, first: usize) -> impl Iterator<Item = &Node> {
        self.nodes.iter().skip(first)
    }

    /// The node that a value names.
    pub(crate) fn get(&self, value: Value) -> Option<&Node> {
        match value {
            Value::Node(index) => self.nodes.get(index as usize),
            _ => None,
        }
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, value: Value) -> Option<&mut Node> {
        match value {
            Value::Node(index) => self.nodes.get_mut(index as usize),
            _ => None,
        }
    }

    /// A text.
    pub(crate) fn text(&self, value: Value) -> Option<&str> {
        match self.get(value)? {
            Node::Text(text) => Some(text),
            _ => None,
        }
    }

    /// The values of a tuple.
    pub(crate) fn tuple(&self, value: Value) -> Option<&[Value]> {
        match self.get(value)? {
            Node::Tuple(values) => Some(values),
            _ => None,
        }
    }

    /// What a value is, in words.
    pub(crate) fn kind(&self, value: Value) -> &'static str {
        match value {
            Value::None => "None",
            Value::Bool(_) => "a bool",
            Value::Int(_) => "an integer",
            Value::Float(_) => "a float",
            Value::Class(_) => "a class",
            Value::Node(_) => match self.get(value) {
                Some(Node::Text(_)) => "a text",
                Some(Node::Bytes(_)) => "bytes",
                Some(Node::Tuple(_)) => "a tuple",
                Some(Node::List(_)) => "a list",
                Some(Node::Dict(_)) => "a dictionary",
                Some(Node::Set(_)) => "a set",
                Some(Node::Namespace(_)) => "argparse.Namespace",
                Some(Node::Path(_)) => "a path",
                Some(Node::Storage { .. }) => "a storage",
                Some(Node::Tensor(_)) => "a tensor",
                Some(Node::Opaque) | None => "an object",
            },
        }
    }
}
