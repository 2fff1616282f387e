//! The machine that reads pickles. It makes data, and calls nothing.

use std::collections::HashMap;
use std::io::Read;

use crate::class::{self, Class};
use crate::error::Fault;
use crate::node::{Node, Nodes, Value};
use crate::opcode as op;
use crate::tensor::{DType, Storage, Tensor};

/// Most bytes of a pickle; that of a checkpoint with its optimiser has some hundred thousand.
pub(crate) const MAX_PICKLE: u64 = 16 << 20;
/// Most values on the stack, and in the memo.
const MAX_STACK: usize = 1 << 20;
/// Longest integer, in bytes.
const MAX_INTEGER: usize = 16;
/// Most dimensions of a tensor.
const MAX_DIMENSIONS: usize = 16;

/// Reads one pickle, to its end and not further.
pub(crate) fn read(input: impl Read, nodes: &mut Nodes) -> Result<Value, Fault> {
    let mut machine = Machine {
        input: Input {
            reader: input,
            at: 0,
        },
        nodes,
        stack: Vec::new(),
        marks: Vec::new(),
        memo: HashMap::new(),
    };
    machine.run()
}

/// Bytes that are counted.
struct Input<R> {
    reader: R,
    at: u64,
}

impl<R: Read> Input<R> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        Fault::Pickle {
            at: self.at,
            message: message.into(),
        }
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Fault> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), Fault> {
        if self.at + bytes.len() as u64 > MAX_PICKLE {
            return Err(Fault::TooMuch {
                what: "bytes of a pickle",
                most: MAX_PICKLE,
            });
        }
        self.reader.read_exact(bytes).map_err(|error| {
            if error.kind() == std::io::ErrorKind::UnexpectedEof {
                self.fault("ends in the middle")
            } else {
                Fault::Io(error)
            }
        })?;
        self.at += bytes.len() as u64;
        Ok(())
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        Ok(self.array::<1>()?[0])
    }

    fn bytes(&mut self, length: u64) -> Result<Vec<u8>, Fault> {
        if length > MAX_PICKLE {
            let message = format!("a text of {length} bytes, expected {MAX_PICKLE} at most");
            return Err(self.fault(message));
        }
        let mut bytes = vec![0; length as usize];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn text(&mut self, length: u64) -> Result<String, Fault> {
        let bytes = self.bytes(length)?;
        String::from_utf8(bytes).map_err(|_| self.fault("a text that is not UTF-8"))
    }

    fn line(&mut self) -> Result<String, Fault> {
        let mut line = Vec::new();
        loop {
            match self.byte()? {
                b'\n' => break,
                byte => line.push(byte),
            }
        }
        String::from_utf8(line).map_err(|_| self.fault("a line that is not UTF-8"))
    }

    fn u32(&mut self) -> Result<u32, Fault> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    fn u64(&mut self) -> Result<u64, Fault> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    /// An integer in two's complement, little-endian.
    fn integer(&mut self, length: usize) -> Result<i128, Fault> {
        if length > MAX_INTEGER {
            let message = format!("an integer of {length} bytes, expected {MAX_INTEGER} at most");
            return Err(self.fault(message));
        }
        let bytes = self.bytes(length as u64)?;
        let negative = bytes.last().is_some_and(|last| last & 0x80 != 0);
        let mut value = [if negative { 0xff } else { 0 }; MAX_INTEGER];
        value[..length].copy_from_slice(&bytes);
        Ok(i128::from_le_bytes(value))
    }
}

struct Machine<'a, R> {
    input: Input<R>,
    nodes: &'a mut Nodes,
    stack: Vec<Value>,
    /// Heights of the stack.
    marks: Vec<usize>,
    memo: HashMap<u32, Value>,
}

impl<R: Read> Machine<'_, R> {
    fn fault(&self, message: impl Into<String>) -> Fault {
        self.input.fault(message)
    }

    fn run(&mut self) -> Result<Value, Fault> {
        loop {
            let opcode = self.input.byte()?;
            if opcode == op::STOP {
                return self.pop();
            }
            self.step(opcode)?;
            if self.stack.len() + self.marks.len() > MAX_STACK || self.memo.len() > MAX_STACK {
                return Err(Fault::TooMuch {
                    what: "values on the stack of a pickle",
                    most: MAX_STACK as u64,
                });
            }
        }
    }

    fn step(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            op::PROTO => match self.input.byte()? {
                0..=5 => Ok(()),
                other => Err(self.fault(format!("protocol {other}, expected 0 to 5"))),
            },
            op::FRAME => self.input.u64().map(drop),
            op::MARK => {
                self.marks.push(self.stack.len());
                Ok(())
            }
            op::POP => self.pop().map(drop),
            op::POP_MARK => self.pop_mark().map(drop),
            op::DUP => {
                let top = self.top()?;
                self.push(top)
            }
            op::NONE => self.push(Value::None),
            op::NEWTRUE => self.push(Value::Bool(true)),
            op::NEWFALSE => self.push(Value::Bool(false)),
            op::GLOBAL => {
                let (module, name) = (self.input.line()?, self.input.line()?);
                self.push(Value::Class(class::find(&module, &name)?))
            }
            op::STACK_GLOBAL => self.stack_global(),
            op::BINPERSID => self.persistent(),
            op::REDUCE | op::NEWOBJ => self.reduce(),
            op::BUILD => self.build(),
            op::PUT
            | op::BINPUT
            | op::LONG_BINPUT
            | op::MEMOIZE
            | op::GET
            | op::BINGET
            | op::LONG_BINGET => self.remember(opcode),
            op::EMPTY_LIST
            | op::LIST
            | op::APPEND
            | op::APPENDS
            | op::EMPTY_TUPLE
            | op::TUPLE
            | op::TUPLE1
            | op::TUPLE2
            | op::TUPLE3
            | op::EMPTY_DICT
            | op::DICT
            | op::SETITEM
            | op::SETITEMS
            | op::EMPTY_SET
            | op::ADDITEMS
            | op::FROZENSET => self.contain(opcode),
            other => self.scalar(other),
        }
    }

    /// Numbers and texts.
    fn scalar(&mut self, opcode: u8) -> Result<(), Fault> {
        let value = match opcode {
            op::BININT => Value::Int(i32::from_le_bytes(self.input.array()?).into()),
            op::BININT1 => Value::Int(self.input.byte()?.into()),
            op::BININT2 => Value::Int(u16::from_le_bytes(self.input.array()?).into()),
            op::LONG1 => {
                let length = self.input.byte()?;
                Value::Int(self.input.integer(length.into())?)
            }
            op::LONG4 => {
                let length = self.input.u32()?;
                Value::Int(self.input.integer(length as usize)?)
            }
            op::INT | op::LONG => {
                let line = self.input.line()?;
                match line.trim_end_matches('L') {
                    "00" => Value::Bool(false),
                    "01" => Value::Bool(true),
                    digits => Value::Int(self.parsed(digits)?),
                }
            }
            op::FLOAT => {
                let line = self.input.line()?;
                Value::Float(self.parsed(&line)?)
            }
            op::BINFLOAT => Value::Float(f64::from_be_bytes(self.input.array()?)),
            op::UNICODE => {
                let line = self.input.line()?;
                self.nodes.add(Node::Text(line))?
            }
            op::BINUNICODE | op::BINSTRING => {
                let length = self.input.u32()?;
                self.text(length.into())?
            }
            op::SHORT_BINUNICODE | op::SHORT_BINSTRING => {
                let length = self.input.byte()?;
                self.text(length.into())?
            }
            op::BINUNICODE8 => {
                let length = self.input.u64()?;
                self.text(length)?
            }
            op::BINBYTES => {
                let length = self.input.u32()?;
                self.raw(length.into())?
            }
            op::SHORT_BINBYTES => {
                let length = self.input.byte()?;
                self.raw(length.into())?
            }
            op::BINBYTES8 => {
                let length = self.input.u64()?;
                self.raw(length)?
            }
            other => return Err(self.fault(format!("opcode {other:#04x}, which is not read"))),
        };
        self.push(value)
    }

    fn parsed<T: std::str::FromStr>(&self, text: &str) -> Result<T, Fault> {
        text.trim()
            .parse()
            .map_err(|_| self.fault("a line that should be a number, and is none"))
    }

    fn text(&mut self, length: u64) -> Result<Value, Fault> {
        let text = self.input.text(length)?;
        self.nodes.add(Node::Text(text))
    }

    fn raw(&mut self, length: u64) -> Result<Value, Fault> {
        let bytes = self.input.bytes(length)?;
        self.nodes.add(Node::Bytes(bytes))
    }

    fn push(&mut self, value: Value) -> Result<(), Fault> {
        self.stack.push(value);
        Ok(())
    }

    fn add(&mut self, node: Node) -> Result<(), Fault> {
        let value = self.nodes.add(node)?;
        self.push(value)
    }

    /// Nothing below a mark is taken.
    fn pop(&mut self) -> Result<Value, Fault> {
        let floor = self.marks.last().copied().unwrap_or(0);
        if self.stack.len() <= floor {
            return Err(self.fault("takes more from the stack than there is"));
        }
        self.stack
            .pop()
            .ok_or_else(|| self.fault("takes more from the stack than there is"))
    }

    fn top(&mut self) -> Result<Value, Fault> {
        let top = self.pop()?;
        self.stack.push(top);
        Ok(top)
    }

    fn pop_mark(&mut self) -> Result<Vec<Value>, Fault> {
        let mark = self.marks.pop();
        let mark = mark.ok_or_else(|| self.fault("there is no mark on the stack"))?;
        Ok(self.stack.split_off(mark))
    }

    fn remember(&mut self, opcode: u8) -> Result<(), Fault> {
        let index = match opcode {
            op::PUT | op::GET => {
                let line = self.input.line()?;
                self.parsed(&line)?
            }
            op::BINPUT | op::BINGET => self.input.byte()?.into(),
            op::LONG_BINPUT | op::LONG_BINGET => self.input.u32()?,
            _ => self.memo.len() as u32,
        };
        match opcode {
            op::GET | op::BINGET | op::LONG_BINGET => {
                let known = self.memo.get(&index).copied();
                let value = known.ok_or_else(|| self.fault("names a value that is not there"))?;
                self.push(value)
            }
            _ => {
                let top = self.top()?;
                self.memo.insert(index, top);
                Ok(())
            }
        }
    }

    fn contain(&mut self, opcode: u8) -> Result<(), Fault> {
        match opcode {
            op::EMPTY_LIST => self.add(Node::List(Vec::new())),
            op::EMPTY_TUPLE => self.add(Node::Tuple(Vec::new())),
            op::EMPTY_DICT => self.add(Node::Dict(Vec::new())),
            op::EMPTY_SET => self.add(Node::Set(Vec::new())),
            op::LIST => {
                let values = self.pop_mark()?;
                self.add(Node::List(values))
            }
            op::TUPLE => {
                let values = self.pop_mark()?;
                self.add(Node::Tuple(values))
            }
            op::FROZENSET => {
                let values = self.pop_mark()?;
                self.add(Node::Set(values))
            }
            op::TUPLE1 | op::TUPLE2 | op::TUPLE3 => {
                let count = usize::from(opcode - op::TUPLE1) + 1;
                let mut values = Vec::with_capacity(count);
                for _ in 0..count {
                    values.push(self.pop()?);
                }
                values.reverse();
                self.add(Node::Tuple(values))
            }
            op::DICT => {
                let values = self.pop_mark()?;
                let entries = self.pairs(&values)?;
                self.add(Node::Dict(entries))
            }
            op::APPEND => {
                let value = self.pop()?;
                self.extend(vec![value])
            }
            op::APPENDS | op::ADDITEMS => {
                let values = self.pop_mark()?;
                self.extend(values)
            }
            op::SETITEM => {
                let value = self.pop()?;
                let key = self.pop()?;
                self.set(vec![(key, value)])
            }
            _ => {
                let values = self.pop_mark()?;
                let entries = self.pairs(&values)?;
                self.set(entries)
            }
        }
    }

    fn pairs(&self, values: &[Value]) -> Result<Vec<(Value, Value)>, Fault> {
        let (pairs, rest) = values.as_chunks::<2>();
        if !rest.is_empty() {
            return Err(self.fault("a key without a value"));
        }
        Ok(pairs.iter().map(|[key, value]| (*key, *value)).collect())
    }

    fn extend(&mut self, values: Vec<Value>) -> Result<(), Fault> {
        let container = self.top()?;
        self.nodes.count(values.len())?;
        match self.nodes.get_mut(container) {
            Some(Node::List(held) | Node::Set(held)) => {
                held.extend(values);
                Ok(())
            }
            _ => {
                let kind = self.nodes.kind(container);
                Err(self.fault(format!("appends to {kind}, expected a list")))
            }
        }
    }

    fn set(&mut self, entries: Vec<(Value, Value)>) -> Result<(), Fault> {
        let container = self.top()?;
        self.nodes.count(entries.len())?;
        match self.nodes.get_mut(container) {
            Some(Node::Dict(held)) => {
                held.extend(entries);
                Ok(())
            }
            _ => {
                let kind = self.nodes.kind(container);
                Err(self.fault(format!("sets items of {kind}, expected a dictionary")))
            }
        }
    }

    fn stack_global(&mut self) -> Result<(), Fault> {
        let (name, module) = (self.pop()?, self.pop()?);
        let texts = self.nodes.text(module).zip(self.nodes.text(name));
        let (module, name) = texts.ok_or_else(|| self.fault("a class whose name is no text"))?;
        let class = class::find(module, name)?;
        self.push(Value::Class(class))
    }

    /// `("storage", type, key, device, length)`, and in the older format `None` behind it.
    fn persistent(&mut self) -> Result<(), Fault> {
        let id = self.pop()?;
        let parts = self.nodes.tuple(id).unwrap_or_default();
        let found = match parts {
            [kind, class, key, _device, length]
            | [kind, class, key, _device, length, Value::None] => {
                let (kind, key) = (self.nodes.text(*kind), self.nodes.text(*key));
                match (kind, class, key, length) {
                    (Some("storage"), Value::Class(class), Some(key), Value::Int(length)) => {
                        let length = u64::try_from(*length).ok();
                        length.map(|length| (*class, key.to_owned(), length))
                    }
                    _ => None,
                }
            }
            _ => None,
        };
        let (class, key, len) =
            found.ok_or_else(|| self.fault("a reference that is to no storage"))?;
        let dtype = match class {
            Class::Storage(dtype) => Some(dtype),
            Class::UntypedStorage => None,
            _ => return Err(self.fault("a storage of a type that is none")),
        };
        let storage = Storage { key, len };
        self.add(Node::Storage { dtype, storage })
    }

    /// Makes what a class makes of arguments.
    fn reduce(&mut self) -> Result<(), Fault> {
        let (arguments, class) = (self.pop()?, self.pop()?);
        let Value::Class(class) = class else {
            let kind = self.nodes.kind(class);
            return Err(self.fault(format!("calls {kind}")));
        };
        let Some(given) = self.nodes.tuple(arguments).map(<[Value]>::to_vec) else {
            return Err(self.fault("arguments that are no tuple"));
        };
        let node = match class {
            Class::RebuildTensor => Node::Tensor(self.tensor(&given)?),
            Class::RebuildParameter => {
                let [tensor, ..] = given[..] else {
                    return Err(self.fault("a parameter without a tensor"));
                };
                return self.push(tensor);
            }
            Class::Dict => Node::Dict(self.entries(&given)?),
            Class::Set => match given[..] {
                [] => Node::Set(Vec::new()),
                [values] => Node::Set(self.values(values)?),
                _ => return Err(self.fault("a set of several arguments")),
            },
            Class::Size => match given[..] {
                [] => Node::Tuple(Vec::new()),
                [values] => Node::Tuple(self.values(values)?),
                _ => return Err(self.fault("sizes of several arguments")),
            },
            Class::Namespace => Node::Namespace(Value::None),
            Class::Path => Node::Path(arguments),
            Class::Device | Class::Named => Node::Opaque,
            Class::Storage(_) | Class::UntypedStorage | Class::DType(_) => {
                return Err(self.fault("makes a storage of arguments"));
            }
        };
        self.add(node)
    }

    /// The values of a list, a tuple or a set.
    fn values(&self, value: Value) -> Result<Vec<Value>, Fault> {
        match self.nodes.get(value) {
            Some(Node::List(values) | Node::Tuple(values) | Node::Set(values)) => {
                Ok(values.clone())
            }
            _ => Err(self.fault(format!("{}, expected a list", self.nodes.kind(value)))),
        }
    }

    /// The entries of a dictionary that is made of arguments: nothing, a default, a dictionary, or a list of pairs.
    fn entries(&self, given: &[Value]) -> Result<Vec<(Value, Value)>, Fault> {
        let [argument] = given else {
            return match given {
                [] => Ok(Vec::new()),
                _ => Err(self.fault("a dictionary of several arguments")),
            };
        };
        match self.nodes.get(*argument) {
            Some(Node::Dict(entries)) => Ok(entries.clone()),
            Some(Node::List(pairs)) => pairs
                .iter()
                .map(|pair| match self.values(*pair)?[..] {
                    [key, value] => Ok((key, value)),
                    _ => Err(self.fault("a pair that is none")),
                })
                .collect(),
            _ => Ok(Vec::new()),
        }
    }

    /// A tensor of a storage, an offset, sizes, strides, and more that does not matter.
    fn tensor(&self, given: &[Value]) -> Result<Tensor, Fault> {
        let [storage, offset, sizes, strides, ..] = given else {
            return Err(self.fault("a tensor of too few arguments"));
        };
        let Some(Node::Storage { dtype, storage }) = self.nodes.get(*storage) else {
            return Err(self.fault("a tensor without a storage"));
        };
        // A tensor of bytes says what they are behind all else.
        let last = given.last().and_then(|last| match last {
            Value::Class(Class::DType(dtype)) => Some(*dtype),
            _ => None,
        });
        let (dtype, storage) = match (dtype, last) {
            (Some(dtype), _) => (*dtype, storage.clone()),
            (None, Some(dtype)) => (dtype, of_type(storage, dtype)),
            (None, None) => return Err(self.fault("a tensor of bytes that says no type")),
        };
        let shape = self.sizes(*sizes)?;
        let strides = self.sizes(*strides)?;
        let Value::Int(offset) = offset else {
            return Err(self.fault("an offset that is no number"));
        };
        let offset = u64::try_from(*offset).map_err(|_| self.fault("an offset below 0"))?;
        Tensor::new(dtype, shape, strides, offset, storage)
    }

    fn sizes(&self, value: Value) -> Result<Vec<u64>, Fault> {
        let values = self.values(value)?;
        if values.len() > MAX_DIMENSIONS {
            let message = format!(
                "{} dimensions, expected {MAX_DIMENSIONS} at most",
                values.len()
            );
            return Err(self.fault(message));
        }
        let sizes = values.iter().map(|size| match size {
            Value::Int(size) => u64::try_from(*size).ok(),
            _ => None,
        });
        let sizes: Option<Vec<u64>> = sizes.collect();
        sizes.ok_or_else(|| self.fault("a size that is no number from 0 on"))
    }

    /// Gives an object its state.
    fn build(&mut self) -> Result<(), Fault> {
        let (state, object) = (self.pop()?, self.pop()?);
        match self.nodes.get_mut(object) {
            Some(Node::Namespace(held)) => *held = state,
            // Attributes of a dictionary, such as the versions of a state dictionary, do not matter.
            Some(Node::Dict(_) | Node::Opaque | Node::Tensor(_) | Node::Path(_)) => {}
            _ => {
                let kind = self.nodes.kind(object);
                return Err(self.fault(format!("gives {kind} a state")));
            }
        }
        self.push(object)
    }
}

/// A storage of bytes as one of values.
fn of_type(storage: &Storage, dtype: DType) -> Storage {
    Storage {
        key: storage.key.clone(),
        len: storage.len / dtype.size(),
    }
}
