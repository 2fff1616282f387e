//! Inputs and outputs of a plan with their memory.

use std::sync::Arc;

use crate::Error;
use crate::cuda::{Buffer, Device, Pinned};
use crate::stream::Stream;
use crate::tensor::Element;

/// What is fed to an input.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Floats of the host.
    F32(&'a [f32]),
    /// Integers of the host.
    I64(&'a [i64]),
    /// What is on the device already; nothing changes it as long as it lives.
    Device(&'a Buffer),
}

/// What an output gave.
#[derive(Debug)]
pub enum Output {
    /// Floats, on the host.
    Host(Vec<f32>),
    /// Floats, on the device.
    Device(Buffer),
}

/// An input or output with its memory on the device, which is reused for smaller shapes.
#[derive(Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) element: Element,
    pub(crate) shape: Vec<usize>,
    bytes: usize,
    device: Buffer,
    /// Locked memory, once something is copied.
    host: Option<Pinned>,
    /// The buffer whose contents it has.
    holds: Option<u64>,
}

fn bytes(name: &str, element: Element, shape: &[usize]) -> Result<usize, Error> {
    shape
        .iter()
        .try_fold(element.bytes(), |count, &size| count.checked_mul(size))
        .ok_or_else(|| Error::Run(format!("{name} {shape:?} is too large")))
}

impl Port {
    pub(crate) fn new(
        device: &Arc<Device>,
        name: &str,
        element: Element,
        shape: Vec<usize>,
    ) -> Result<Port, Error> {
        let bytes = bytes(name, element, &shape)?;
        Ok(Port {
            name: name.to_owned(),
            element,
            shape,
            bytes,
            device: device.allocate(bytes)?,
            host: None,
            holds: None,
        })
    }

    /// Makes it one of another shape. Nothing may be queued on it.
    pub(crate) fn reshape(&mut self, device: &Arc<Device>, shape: Vec<usize>) -> Result<(), Error> {
        self.bytes = bytes(&self.name, self.element, &shape)?;
        self.shape = shape;
        self.holds = None;
        if self.device.bytes() < self.bytes {
            self.device = device.allocate(self.bytes)?;
        }
        if self
            .host
            .as_ref()
            .is_some_and(|host| host.bytes().len() < self.bytes)
        {
            self.host = None;
        }
        Ok(())
    }

    pub(crate) fn buffer(&self) -> &Buffer {
        &self.device
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Queues what brings `input` into the port's memory.
    pub(crate) fn feed(
        &mut self,
        input: Input,
        device: &Arc<Device>,
        stream: &Stream,
    ) -> Result<(), Error> {
        if let Input::Device(buffer) = input {
            if buffer.bytes() != self.bytes.max(1) {
                return Err(Error::Run(format!(
                    "input {}: expected {} bytes, found {}",
                    self.name,
                    self.bytes,
                    buffer.bytes()
                )));
            }
            if self.holds != Some(buffer.id()) {
                stream.copy(buffer, &self.device, self.bytes)?;
                self.holds = Some(buffer.id());
            }
            return Ok(());
        }
        let (elements, bytes) = (self.elements(), self.bytes);
        let found = match input {
            Input::F32(values) => values.len(),
            Input::I64(values) => values.len(),
            Input::Device(_) => elements,
        };
        if found != elements {
            return Err(Error::Run(format!(
                "input {}: expected {elements} values for {:?}, found {found}",
                self.name, self.shape
            )));
        }
        self.holds = None;
        let (name, element) = (&self.name, self.element);
        let host = locked(&mut self.host, device, bytes)?;
        encode(name, input, element, host.bytes_mut())?;
        stream.upload(host, &self.device, bytes)
    }

    /// Queues a copy of an output to the host, for [`read`](Self::read) once it was waited for.
    pub(crate) fn fetch(&mut self, device: &Arc<Device>, stream: &Stream) -> Result<(), Error> {
        let bytes = self.bytes;
        let host = locked(&mut self.host, device, bytes)?;
        stream.download(&self.device, host, bytes)
    }

    /// Queues a copy of an output to a buffer of its own.
    pub(crate) fn keep(&self, device: &Arc<Device>, stream: &Stream) -> Result<Buffer, Error> {
        let buffer = device.allocate(self.bytes)?;
        stream.copy(&self.device, &buffer, self.bytes)?;
        Ok(buffer)
    }

    pub(crate) fn read(&self) -> Vec<f32> {
        let bytes = self.host.as_ref().map_or(&[][..], |host| host.bytes());
        bytes
            .chunks_exact(4)
            .take(self.elements())
            .map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }
}

fn locked<'a>(
    host: &'a mut Option<Pinned>,
    device: &Arc<Device>,
    bytes: usize,
) -> Result<&'a mut Pinned, Error> {
    match host {
        Some(host) => Ok(host),
        None => Ok(host.insert(Pinned::new(device, bytes)?)),
    }
}

/// Puts values of the host into device memory of their own, for an input of that type. The stream is at rest
/// afterwards.
pub(crate) fn hold(
    input: Input,
    element: Element,
    device: &Arc<Device>,
    stream: &Stream,
) -> Result<Buffer, Error> {
    let count = match input {
        Input::F32(values) => values.len(),
        Input::I64(values) => values.len(),
        Input::Device(_) => 0,
    };
    let mut port = Port::new(device, "a constant", element, vec![count])?;
    let pending = crate::stream::Pending::on(stream);
    let fed = port.feed(input, device, stream);
    fed.and(pending.wait())?;
    Ok(port.device)
}

/// Writes values as an input takes them.
fn encode(name: &str, input: Input, element: Element, bytes: &mut [u8]) -> Result<(), Error> {
    match (input, element) {
        (Input::F32(values), Element::Float) => fill(bytes, values, |v| v.to_ne_bytes()),
        (Input::I64(values), Element::Int64) => fill(bytes, values, |v| v.to_ne_bytes()),
        // TensorRT before version 10 makes 64-bit inputs 32-bit ones.
        (Input::I64(values), Element::Int32) => fill(bytes, values, |v| {
            i32::try_from(v)
                .unwrap_or(if v < 0 { i32::MIN } else { i32::MAX })
                .to_ne_bytes()
        }),
        (_, element) => {
            return Err(Error::Run(format!(
                "input {name}: the plan takes {element:?}, which is not fed"
            )));
        }
    }
    Ok(())
}

fn fill<T: Copy, const N: usize>(bytes: &mut [u8], values: &[T], encode: impl Fn(T) -> [u8; N]) {
    for (to, &value) in bytes.chunks_exact_mut(N).zip(values) {
        to.copy_from_slice(&encode(value));
    }
}
