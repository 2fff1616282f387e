//! What one thread needs to run plans: a stream, contexts, and the memory that they share.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Error;
use crate::context::Context;
use crate::cuda::{Buffer, Device};
use crate::plan::Engine;
use crate::port::{self, Input, Output, Port};
use crate::quiet::{capturing, synchronising};
use crate::stream::{Pending, Recording, Stream};
use crate::tensor::Element;

/// Names and shapes of a plan's inputs, in the order in which they are fed.
pub type Shapes<'a> = [(&'a str, Vec<usize>)];

/// Runs at a shape before they are captured: a shape that is seen once is not worth it.
const CAPTURE_AFTER: u32 = 2;
/// Runs until a capture that failed is tried again; each failure doubles them.
const FIRST_PAUSE: u32 = 32;
const LONGEST_PAUSE: u32 = 4096;

/// What became of CUDA graphs.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) captures: AtomicU64,
    pub(crate) capture_failures: AtomicU64,
    pub(crate) replay_failures: AtomicU64,
}

fn rise(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// A stream with a context for each engine that it has run, all in the same memory for intermediate
/// results: one runs after the other. Used by one thread at a time.
#[derive(Debug)]
pub(crate) struct Lane {
    // In this order: graphs and contexts refer to the memory, and all to the stream.
    slots: Vec<Slot>,
    scratch: Option<Buffer>,
    stream: Stream,
    device: Arc<Device>,
    counters: Arc<Counters>,
}

/// An engine on a lane, at the shapes that it ran last.
#[derive(Debug)]
struct Slot {
    // In this order: a graph refers to the context's kernels and the buffers.
    recording: Option<Recording>,
    context: Context,
    inputs: Vec<Port>,
    outputs: Vec<Port>,
    /// The memory for intermediate results that the context knows of, by the buffer's number.
    scratch: Option<u64>,
    /// Bytes of it that these shapes need.
    needs: usize,
    /// Runs at these shapes that were not replayed, and at how many of them a capture is tried.
    runs: u32,
    capture_at: u32,
    pause: u32,
}

impl Lane {
    pub(crate) fn new(device: &Arc<Device>, counters: &Arc<Counters>) -> Result<Lane, Error> {
        Ok(Lane {
            slots: Vec::new(),
            scratch: None,
            stream: Stream::new(device)?,
            device: device.clone(),
            counters: counters.clone(),
        })
    }

    /// Whether it has run this engine at these shapes last.
    pub(crate) fn fits(&self, engine: &Arc<Engine>, shapes: &Shapes) -> bool {
        let mut slots = self.slots.iter();
        slots.any(|slot| slot.is_of(engine) && slot.has(shapes))
    }

    /// Gives up what it has of engines that nobody runs any more, and memory that only they needed.
    pub(crate) fn drop_retired(&mut self) {
        let before = self.slots.len();
        self.slots.retain(|slot| !slot.context.engine.is_retired());
        let needs = self.slots.iter().map(|slot| slot.needs).max().unwrap_or(0);
        let spare = self
            .scratch
            .as_ref()
            .is_some_and(|scratch| scratch.bytes() > needs);
        if self.slots.len() < before && spare {
            self.drop_scratch();
        }
    }

    fn drop_scratch(&mut self) {
        for slot in &mut self.slots {
            slot.recording = None;
            slot.scratch = None;
        }
        if let Some(scratch) = self.scratch.take() {
            scratch.free();
        }
    }

    /// Gets ready for these shapes: makes the context, the buffers and the memory.
    pub(crate) fn prepare(&mut self, engine: &Arc<Engine>, shapes: &Shapes) -> Result<(), Error> {
        self.device.enter()?;
        self.ready(engine, shapes).map(|_| ())
    }

    /// Feeds `inputs`, in the order of the shapes, and gives the outputs named in `outputs`, each with its
    /// shape; those with `true` stay on the device. Everything is done when it returns. After an error it
    /// is not to be used again.
    pub(crate) fn run(
        &mut self,
        engine: &Arc<Engine>,
        shapes: &Shapes,
        inputs: &[Input],
        outputs: &[(&str, bool)],
    ) -> Result<Vec<(Vec<usize>, Output)>, Error> {
        self.device.enter()?;
        if inputs.len() != shapes.len() {
            return Err(Error::Run(format!(
                "expected {} inputs, found {}",
                shapes.len(),
                inputs.len()
            )));
        }
        let place = self.ready(engine, shapes)?;
        let Lane {
            slots,
            stream,
            device,
            counters,
            ..
        } = self;
        let slot = &mut slots[place];
        let mut kept = Vec::with_capacity(outputs.len());
        let pending = Pending::on(stream);
        for (port, &input) in slot.inputs.iter_mut().zip(inputs) {
            port.feed(input, device, stream)?;
        }
        slot.execute(stream, counters)?;
        for &(name, keep) in outputs {
            let found = slot.outputs.iter().position(|port| port.name == name);
            let place =
                found.ok_or_else(|| Error::Run(format!("the plan has no output {name}")))?;
            let port = &mut slot.outputs[place];
            let buffer = match keep {
                true => Some(port.keep(device, stream)?),
                false => {
                    port.fetch(device, stream)?;
                    None
                }
            };
            kept.push((place, buffer));
        }
        pending.wait()?;
        let output = |(place, buffer): (usize, Option<Buffer>)| {
            let port = &slot.outputs[place];
            let output = match buffer {
                Some(buffer) => Output::Device(buffer),
                None => Output::Host(port.read()),
            };
            (port.shape.clone(), output)
        };
        Ok(kept.into_iter().map(output).collect())
    }

    /// Device memory with these values.
    pub(crate) fn hold(&mut self, input: Input, element: Element) -> Result<Buffer, Error> {
        self.device.enter()?;
        port::hold(input, element, &self.device, &self.stream)
    }

    /// The place of the slot for this engine, at these shapes, with memory.
    fn ready(&mut self, engine: &Arc<Engine>, shapes: &Shapes) -> Result<usize, Error> {
        let found = self.slots.iter().position(|slot| slot.is_of(engine));
        let place = match found {
            Some(place) if self.slots[place].has(shapes) => place,
            Some(place) => {
                self.slots[place].reshape(shapes, &self.device)?;
                place
            }
            None => {
                let mut slot = Slot::new(Context::new(engine, &self.stream)?);
                slot.reshape(shapes, &self.device)?;
                self.slots.push(slot);
                self.slots.len() - 1
            }
        };
        let needs = self.slots[place].needs.max(1);
        if self
            .scratch
            .as_ref()
            .is_none_or(|scratch| scratch.bytes() < needs)
        {
            // The smaller one first: both may be too much.
            self.drop_scratch();
            self.scratch = Some(self.device.allocate(needs)?);
        }
        if let Some(scratch) = &self.scratch {
            self.slots[place].use_scratch(scratch)?;
        }
        Ok(place)
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        // Buffers must not go to others while they are written.
        if self.device.enter().is_ok() {
            let _ = self.stream.synchronize();
        }
    }
}

impl Slot {
    fn new(context: Context) -> Slot {
        Slot {
            recording: None,
            context,
            inputs: Vec::new(),
            outputs: Vec::new(),
            scratch: None,
            needs: 0,
            runs: 0,
            capture_at: CAPTURE_AFTER,
            pause: FIRST_PAUSE,
        }
    }

    fn is_of(&self, engine: &Arc<Engine>) -> bool {
        Arc::ptr_eq(&self.context.engine, engine)
    }

    fn has(&self, shapes: &Shapes) -> bool {
        let ports = self
            .inputs
            .iter()
            .map(|port| (port.name.as_str(), &port.shape));
        self.inputs.len() == shapes.len()
            && ports.eq(shapes.iter().map(|(name, shape)| (*name, shape)))
    }

    /// Binds the plan to other shapes. Nothing may be queued.
    fn reshape(&mut self, shapes: &Shapes, device: &Arc<Device>) -> Result<(), Error> {
        self.recording = None;
        self.scratch = None;
        (self.runs, self.capture_at) = (0, CAPTURE_AFTER);
        let engine = self.context.engine.clone();
        for (name, shape) in shapes {
            let tensor = engine.find(name).filter(|tensor| tensor.is_input);
            let tensor =
                tensor.ok_or_else(|| Error::Run(format!("the plan has no input {name}")))?;
            self.context.set_shape(name, shape)?;
            place(
                &mut self.inputs,
                device,
                name,
                tensor.element,
                shape.clone(),
            )?;
        }
        for tensor in engine.tensors() {
            if tensor.is_input {
                if !shapes.iter().any(|(name, _)| *name == tensor.name) {
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
            let shape = self.context.shape(&tensor.name)?;
            place(
                &mut self.outputs,
                device,
                &tensor.name,
                tensor.element,
                shape,
            )?;
        }
        for port in self.inputs.iter().chain(&self.outputs) {
            self.context.bind(&port.name, port.buffer())?;
        }
        self.needs = self.context.memory_size()?;
        Ok(())
    }

    fn use_scratch(&mut self, scratch: &Buffer) -> Result<(), Error> {
        if self.scratch != Some(scratch.id()) {
            self.context.set_memory(scratch)?;
            self.scratch = Some(scratch.id());
        }
        Ok(())
    }

    /// Queues the plan.
    fn execute(&mut self, stream: &Stream, counters: &Counters) -> Result<(), Error> {
        if let Some(recording) = &self.recording {
            if stream.replay(recording).is_ok() {
                return Ok(());
            }
            rise(&counters.replay_failures);
            self.recording = None;
            self.postpone();
        }
        // The first run at a shape may allocate.
        let first = (self.runs == 0).then(synchronising);
        self.context.enqueue(stream)?;
        drop(first);
        self.runs = self.runs.saturating_add(1);
        if self.runs >= self.capture_at && self.context.capturable(stream) {
            self.capture(stream, counters)?;
        }
        Ok(())
    }

    /// Captures the plan for later runs. What is queued is done then, and stays done.
    fn capture(&mut self, stream: &Stream, counters: &Counters) -> Result<(), Error> {
        // While somebody synchronises the next run tries again.
        let Some(alone) = capturing() else {
            return Ok(());
        };
        stream.synchronize()?;
        match stream.record(alone, || self.context.enqueue(stream)) {
            Ok(recording) => {
                rise(&counters.captures);
                self.recording = Some(recording);
                self.pause = FIRST_PAUSE;
            }
            Err(_) => {
                rise(&counters.capture_failures);
                self.postpone();
            }
        }
        Ok(())
    }

    fn postpone(&mut self) {
        self.capture_at = self.runs.saturating_add(self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Gives the port of that name that shape, or makes one.
fn place(
    ports: &mut Vec<Port>,
    device: &Arc<Device>,
    name: &str,
    element: Element,
    shape: Vec<usize>,
) -> Result<(), Error> {
    match ports.iter_mut().find(|port| port.name == name) {
        Some(port) => port.reshape(device, shape),
        None => {
            ports.push(Port::new(device, name, element, shape)?);
            Ok(())
        }
    }
}
