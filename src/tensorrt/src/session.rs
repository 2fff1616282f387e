//! Running a plan at fixed shapes, again and again.

use std::ffi::CString;
use std::sync::Arc;

use crate::Error;
use crate::cuda::{Buffer, Device, Pinned, Recording, Stream};
use crate::ffi;
use crate::plan::{Element, Engine};

/// What is fed to an input.
#[derive(Debug, Clone, Copy)]
pub enum Input<'a> {
    /// Floats of the host.
    F32(&'a [f32]),
    /// Integers of the host.
    I64(&'a [i64]),
    /// What a session left on the device.
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

/// A plan with its buffers, stream and shapes. It is used by one thread at a time; as many are made as
/// run at once.
///
/// The first run queues the plan's kernels one by one; from the second on they are a CUDA graph, if
/// the plan allows it.
#[derive(Debug)]
pub struct Session {
    // In this order: a graph refers to the context's kernels and the buffers.
    recording: Recorded,
    context: Context,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    stream: Stream,
    device: Arc<Device>,
}

#[derive(Debug)]
enum Recorded {
    /// The plan has not run yet, and may allocate when it does.
    NotYet,
    /// The plan cannot be recorded.
    Never,
    Graph(Recording),
}

#[derive(Debug)]
struct Context {
    raw: *mut ffi::Context,
    // After `raw`.
    engine: Arc<Engine>,
}

// SAFETY: TensorRT lets any thread use a context, one at a time.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        // SAFETY: made by `mdetr_trt_open_context`, closed once.
        unsafe { ffi::mdetr_trt_close_context(self.raw) };
    }
}

/// An input or output with its memory on both sides.
#[derive(Debug)]
struct Port {
    name: String,
    element: Element,
    shape: Vec<usize>,
    device: Buffer,
    host: Pinned,
}

impl Port {
    fn new(
        device: &Arc<Device>,
        name: &str,
        element: Element,
        shape: Vec<usize>,
    ) -> Result<Port, Error> {
        let count = shape
            .iter()
            .try_fold(1usize, |count, &size| count.checked_mul(size))
            .and_then(|count| count.checked_mul(element.bytes()))
            .ok_or_else(|| Error::Run(format!("{name} {shape:?} is too large")))?;
        Ok(Port {
            name: name.to_owned(),
            element,
            device: device.allocate(count)?,
            host: Pinned::new(device, count)?,
            shape,
        })
    }

    fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// Writes the host's memory; the values must be as many.
    fn write(&mut self, input: Input) -> Result<(), Error> {
        let found = match input {
            Input::F32(values) => values.len(),
            Input::I64(values) => values.len(),
            Input::Device(_) => return Ok(()),
        };
        if found != self.elements() {
            return Err(Error::Run(format!(
                "input {}: expected {} values for {:?}, found {found}",
                self.name,
                self.elements(),
                self.shape
            )));
        }
        let bytes = self.host.bytes_mut();
        match (input, self.element) {
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
                    "input {}: the plan takes {element:?}, which is not fed",
                    self.name
                )));
            }
        }
        Ok(())
    }

    fn read(&self) -> Vec<f32> {
        self.host
            .bytes()
            .chunks_exact(4)
            .take(self.elements())
            .map(|b| f32::from_ne_bytes([b[0], b[1], b[2], b[3]]))
            .collect()
    }
}

fn fill<T: Copy, const N: usize>(bytes: &mut [u8], values: &[T], encode: impl Fn(T) -> [u8; N]) {
    for (to, &value) in bytes.chunks_exact_mut(N).zip(values) {
        to.copy_from_slice(&encode(value));
    }
}

impl Session {
    /// Makes a plan ready for inputs of these names and shapes.
    ///
    /// # Errors
    /// If the plan does not take them or has others, or memory is used up.
    pub fn new(
        engine: &Arc<Engine>,
        device: &Arc<Device>,
        shapes: &[(&str, Vec<usize>)],
    ) -> Result<Session, Error> {
        device.enter()?;
        let mut raw = std::ptr::null_mut();
        // SAFETY: the engine lives for as long as the context, which keeps it.
        ffi::call(|message| unsafe { ffi::mdetr_trt_open_context(engine.raw, &mut raw, message) })
            .map_err(fault)?;
        let context = Context {
            raw,
            engine: engine.clone(),
        };
        let mut inputs = Vec::with_capacity(shapes.len());
        for (name, shape) in shapes {
            let tensor = engine.find(name).filter(|tensor| tensor.is_input);
            let tensor =
                tensor.ok_or_else(|| Error::Run(format!("the plan has no input {name}")))?;
            context.set_shape(name, shape)?;
            inputs.push(Port::new(device, name, tensor.element, shape.clone())?);
        }
        let mut outputs = Vec::new();
        for tensor in engine.tensors() {
            if tensor.is_input {
                if !inputs.iter().any(|port| port.name == tensor.name) {
                    let message = format!("the plan has an input {} that is not fed", tensor.name);
                    return Err(Error::Run(message));
                }
                continue;
            }
            if tensor.element != Element::Float {
                return Err(Error::Run(format!(
                    "output {}: expected floats of 32 bits, found {:?}",
                    tensor.name, tensor.element
                )));
            }
            let shape = context.shape(&tensor.name)?;
            outputs.push(Port::new(device, &tensor.name, tensor.element, shape)?);
        }
        for port in inputs.iter().chain(&outputs) {
            context.bind(port)?;
        }
        Ok(Session {
            recording: Recorded::NotYet,
            context,
            inputs,
            outputs,
            stream: Stream::new(device)?,
            device: device.clone(),
        })
    }

    /// Feeds `inputs`, in the order of the shapes, and gives the outputs named in `outputs`, each with
    /// its shape; those with `true` stay on the device. Everything is done when it returns.
    ///
    /// # Errors
    /// If inputs do not fit, an output is unknown, memory is used up, or the GPU fails.
    pub fn run(
        &mut self,
        inputs: &[Input],
        outputs: &[(&str, bool)],
    ) -> Result<Vec<(Vec<usize>, Output)>, Error> {
        self.device.enter()?;
        if inputs.len() != self.inputs.len() {
            return Err(Error::Run(format!(
                "expected {} inputs, found {}",
                self.inputs.len(),
                inputs.len()
            )));
        }
        for (port, &input) in self.inputs.iter_mut().zip(inputs) {
            match input {
                Input::Device(buffer) if buffer.bytes() != port.device.bytes() => {
                    return Err(Error::Run(format!(
                        "input {}: expected {} bytes, found {}",
                        port.name,
                        port.device.bytes(),
                        buffer.bytes()
                    )));
                }
                Input::Device(buffer) => self.stream.copy(buffer, &port.device)?,
                _ => {
                    port.write(input)?;
                    self.stream.upload(&port.host, &port.device)?;
                }
            }
        }
        self.execute()?;
        let mut kept = Vec::with_capacity(outputs.len());
        for &(name, keep) in outputs {
            let port = self.outputs.iter_mut().find(|port| port.name == name);
            let port = port.ok_or_else(|| Error::Run(format!("the plan has no output {name}")))?;
            kept.push(if keep {
                let buffer = self.device.allocate(port.device.bytes())?;
                self.stream.copy(&port.device, &buffer)?;
                Some(buffer)
            } else {
                self.stream.download(&port.device, &mut port.host)?;
                None
            });
        }
        self.stream.synchronize()?;
        let port = |name: &str| self.outputs.iter().find(|port| port.name == name);
        Ok(outputs
            .iter()
            .zip(kept)
            .filter_map(|(&(name, _), buffer)| {
                let port = port(name)?;
                let output = match buffer {
                    Some(buffer) => Output::Device(buffer),
                    None => Output::Host(port.read()),
                };
                Some((port.shape.clone(), output))
            })
            .collect())
    }

    /// Queues the plan.
    fn execute(&mut self) -> Result<(), Error> {
        if let Recorded::Graph(recording) = &self.recording {
            return self.stream.replay(recording);
        }
        self.context.enqueue(&self.stream)?;
        if let Recorded::NotYet = self.recording {
            // Recording wants a stream at rest. What was queued is done then, and stays done.
            self.stream.synchronize()?;
            let recorded = self.stream.record(|| self.context.enqueue(&self.stream));
            self.recording = match recorded {
                Ok(recording) => Recorded::Graph(recording),
                Err(_) => Recorded::Never,
            };
        }
        Ok(())
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Buffers must not go to others while they are written.
        if self.device.enter().is_ok() {
            let _ = self.stream.synchronize();
        }
    }
}

fn fault((status, message): (i32, String)) -> Error {
    match status {
        ffi::MEMORY => Error::Memory(format!("TensorRT cannot run the plan: {message}")),
        _ => Error::Run(message),
    }
}

fn c_name(name: &str) -> CString {
    CString::new(name).unwrap_or_default()
}

impl Context {
    fn set_shape(&self, name: &str, shape: &[usize]) -> Result<(), Error> {
        let sizes: Vec<i64> = shape
            .iter()
            .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
            .collect();
        let rank = i32::try_from(sizes.len()).unwrap_or(i32::MAX);
        let name = c_name(name);
        // SAFETY: the context lives, the pointers are valid for the call.
        ffi::call(|message| unsafe {
            ffi::mdetr_trt_set_shape(self.raw, name.as_ptr(), rank, sizes.as_ptr(), message)
        })
        .map_err(|(status, message)| {
            let range = self.engine.find(name.to_str().unwrap_or_default());
            let range = range.map_or_else(String::new, |tensor| {
                format!(" (the plan takes {:?} to {:?})", tensor.min, tensor.max)
            });
            fault((status, format!("{name:?} {shape:?}: {message}{range}")))
        })
    }

    fn shape(&self, name: &str) -> Result<Vec<usize>, Error> {
        let (mut rank, mut sizes) = (0, [0; ffi::MAX_RANK]);
        let c_name = c_name(name);
        // SAFETY: the context lives, the pointers are valid for the call.
        ffi::call(|message| unsafe {
            ffi::mdetr_trt_shape(
                self.raw,
                c_name.as_ptr(),
                &mut rank,
                sizes.as_mut_ptr(),
                message,
            )
        })
        .map_err(fault)?;
        let rank = usize::try_from(rank).unwrap_or(0).min(ffi::MAX_RANK);
        sizes[..rank]
            .iter()
            .map(|&size| usize::try_from(size))
            .collect::<Result<_, _>>()
            .map_err(|_| {
                Error::Run(format!(
                    "output {name} has an open shape {:?}",
                    &sizes[..rank]
                ))
            })
    }

    fn bind(&self, port: &Port) -> Result<(), Error> {
        let name = c_name(&port.name);
        // SAFETY: the buffer lives as long as the session, and with it the context.
        ffi::call(|message| unsafe {
            ffi::mdetr_trt_bind(self.raw, name.as_ptr(), port.device.pointer(), message)
        })
        .map_err(fault)
    }

    fn enqueue(&self, stream: &Stream) -> Result<(), Error> {
        // SAFETY: context and stream live; all tensors have addresses.
        ffi::call(|message| unsafe { ffi::mdetr_trt_enqueue(self.raw, stream.raw(), message) })
            .map_err(fault)
    }
}
