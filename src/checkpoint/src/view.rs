//! What a file holds, to be looked at.

use std::collections::BTreeMap;

use crate::error::Fault;
use crate::node::{Node, Nodes, Value};
use crate::tensor::Tensor;

/// A value of a file.
#[derive(Debug, Clone)]
pub struct View<'a> {
    nodes: &'a Nodes,
    value: Value,
    /// Where it stands: `model_ema.transformer`.
    place: String,
}

impl<'a> View<'a> {
    pub(crate) fn root(nodes: &'a Nodes, value: Value) -> View<'a> {
        View {
            nodes,
            value,
            place: String::new(),
        }
    }

    /// Where it stands in the file; empty for all of it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// What it is, in words.
    pub fn kind(&self) -> &'static str {
        self.nodes.kind(self.value)
    }

    /// Whether it is `None`.
    pub fn is_none(&self) -> bool {
        self.value == Value::None
    }

    /// The value of a key, of a dictionary or of arguments. The last, if there are several.
    pub fn get(&self, key: &str) -> Option<View<'a>> {
        let (_, value) = self
            .entries()
            .iter()
            .rev()
            .find(|(name, _)| self.nodes.text(*name) == Some(key))?;
        Some(self.at(*value, key))
    }

    /// Keys of a dictionary or of arguments that are texts, in the order of the file.
    pub fn keys(&self) -> impl Iterator<Item = &'a str> {
        let nodes = self.nodes;
        self.entries()
            .iter()
            .filter_map(|(key, _)| nodes.text(*key))
    }

    /// A text.
    pub fn text(&self) -> Option<&'a str> {
        self.nodes.text(self.value)
    }

    /// A number.
    pub fn number(&self) -> Option<f64> {
        match self.value {
            Value::Int(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        }
    }

    /// Yes or no.
    pub fn bool(&self) -> Option<bool> {
        match self.value {
            Value::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// A tensor.
    pub fn tensor(&self) -> Option<&'a Tensor> {
        match self.nodes.get(self.value)? {
            Node::Tensor(tensor) => Some(tensor),
            _ => None,
        }
    }

    /// The tensors of a dictionary by name.
    ///
    /// # Errors
    /// It is no dictionary, or holds something else too.
    pub fn tensors(&self) -> Result<BTreeMap<&'a str, &'a Tensor>, Fault> {
        let Some(Node::Dict(entries)) = self.nodes.get(self.value) else {
            return Err(Fault::Kind {
                place: self.named(),
                expected: "a dictionary of tensors",
                found: self.kind(),
            });
        };
        let mut tensors = BTreeMap::new();
        for (key, value) in entries {
            let name = self.nodes.text(*key).ok_or_else(|| Fault::Kind {
                place: self.named(),
                expected: "names as keys",
                found: self.nodes.kind(*key),
            })?;
            let view = self.at(*value, name);
            let tensor = view.tensor().ok_or_else(|| Fault::Kind {
                place: view.named(),
                expected: "a tensor",
                found: view.kind(),
            })?;
            tensors.insert(name, tensor);
        }
        Ok(tensors)
    }

    fn named(&self) -> String {
        match &*self.place {
            "" => "the file".to_owned(),
            place => place.escape_debug().take(200).collect(),
        }
    }

    fn entries(&self) -> &'a [(Value, Value)] {
        let value = match self.nodes.get(self.value) {
            Some(Node::Namespace(held)) => *held,
            _ => self.value,
        };
        match self.nodes.get(value) {
            Some(Node::Dict(entries)) => entries,
            _ => &[],
        }
    }

    fn at(&self, value: Value, key: &str) -> View<'a> {
        let place = match &*self.place {
            "" => key.to_owned(),
            place => format!("{place}.{key}"),
        };
        View {
            nodes: self.nodes,
            value,
            place,
        }
    }
}
