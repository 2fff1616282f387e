//! Queues of work on a GPU, and work that is recorded.

use std::ffi::c_void;
use std::sync::{Arc, RwLockWriteGuard};

use cudarc::driver::result::{self, stream};
use cudarc::driver::sys;

use crate::Error;
use crate::cuda::{Buffer, Device, Pinned, failed};
use crate::quiet::synchronising;

/// A queue of work on a GPU.
#[derive(Debug)]
pub struct Stream {
    raw: sys::CUstream,
    device: Arc<Device>,
}

// SAFETY: the driver lets any thread use a stream; its owner lets one at a time.
unsafe impl Send for Stream {}

impl Stream {
    /// A new one.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn new(device: &Arc<Device>) -> Result<Stream, Error> {
        device.enter()?;
        let _quiet = synchronising();
        let raw = stream::create(stream::StreamKind::NonBlocking)
            .map_err(|e| failed("cannot make a stream", e))?;
        Ok(Stream {
            raw,
            device: device.clone(),
        })
    }

    pub(crate) fn raw(&self) -> *mut c_void {
        self.raw.cast()
    }

    /// Waits until all of its work is done.
    ///
    /// # Errors
    /// If some of it failed.
    pub fn synchronize(&self) -> Result<(), Error> {
        // SAFETY: the stream lives.
        unsafe { stream::synchronize(self.raw) }.map_err(|e| {
            self.device.lose();
            failed("the GPU failed", e)
        })
    }

    /// Queues a copy of `bytes` bytes. `from` must stay as it is until the stream was synchronized.
    pub(crate) fn upload(&self, from: &Pinned, to: &Buffer, bytes: usize) -> Result<(), Error> {
        let bytes = bytes.min(to.bytes());
        // SAFETY: both live and have as many bytes; who queues it waits before either goes.
        unsafe { result::memcpy_htod_async(to.address(), &from.bytes()[..bytes], self.raw) }
            .map_err(|e| failed("cannot copy to the GPU", e))
    }

    /// Queues a copy of `bytes` bytes. `to` is not to be read until the stream was synchronized.
    pub(crate) fn download(
        &self,
        from: &Buffer,
        to: &mut Pinned,
        bytes: usize,
    ) -> Result<(), Error> {
        let bytes = bytes.min(from.bytes());
        // SAFETY: as for `upload`.
        unsafe { result::memcpy_dtoh_async(&mut to.bytes_mut()[..bytes], from.address(), self.raw) }
            .map_err(|e| failed("cannot copy from the GPU", e))
    }

    /// Queues a copy of `bytes` bytes on the GPU.
    pub(crate) fn copy(&self, from: &Buffer, to: &Buffer, bytes: usize) -> Result<(), Error> {
        let bytes = bytes.min(from.bytes()).min(to.bytes());
        // SAFETY: as for `upload`.
        unsafe { result::memcpy_dtod_async(to.address(), from.address(), bytes, self.raw) }
            .map_err(|e| failed("cannot copy on the GPU", e))
    }

    /// Records what `work` queues on this stream, to be replayed.
    pub(crate) fn record(
        &self,
        alone: RwLockWriteGuard<'static, ()>,
        work: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Recording, Error> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives, and nothing else is queued on it meanwhile.
        unsafe { stream::begin_capture(self.raw, mode) }
            .map_err(|e| failed("cannot record a graph", e))?;
        let worked = work();
        // SAFETY: as above; an unfinished capture must be ended also after a failure.
        let ended = unsafe { stream::end_capture(self.raw) };
        drop(alone);
        let graph = ended.map(Graph);
        worked?;
        self.instantiate(&graph.map_err(|e| failed("cannot record a graph", e))?)
    }

    fn instantiate(&self, graph: &Graph) -> Result<Recording, Error> {
        let _quiet = synchronising();
        // SAFETY: the graph lives; the executable keeps what it needs of it.
        let made = unsafe { result::graph::instantiate(graph.0, sys::CUgraphInstantiate_flags(0)) };
        Ok(Recording {
            raw: made.map_err(|e| failed("cannot make a graph", e))?,
            device: self.device.clone(),
        })
    }

    pub(crate) fn replay(&self, recording: &Recording) -> Result<(), Error> {
        // SAFETY: both live; the buffers that were recorded belong to the owner of both.
        unsafe { result::graph::launch(recording.raw, self.raw) }
            .map_err(|e| failed("cannot run a graph", e))
    }
}

/// Waits for a stream when it goes, so that nothing that is queued outlives its memory: to be made after
/// what is copied, and so dropped before it.
#[derive(Debug)]
pub(crate) struct Pending<'a>(Option<&'a Stream>);

impl<'a> Pending<'a> {
    pub(crate) fn on(stream: &'a Stream) -> Pending<'a> {
        Pending(Some(stream))
    }

    /// Waits now.
    pub(crate) fn wait(mut self) -> Result<(), Error> {
        self.0.take().map_or(Ok(()), Stream::synchronize)
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if let Some(stream) = self.0.take() {
            // What failed before is the error to tell.
            let _ = stream.synchronize();
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            let _quiet = synchronising();
            // SAFETY: made in `new`, destroyed once.
            let _ = unsafe { stream::destroy(self.raw) };
        }
    }
}

/// What a capture gave.
struct Graph(sys::CUgraph);

impl Drop for Graph {
    fn drop(&mut self) {
        // SAFETY: given by a capture, destroyed once.
        let _ = unsafe { result::graph::destroy(self.0) };
    }
}

/// Work that was recorded once and costs one call to queue again.
#[derive(Debug)]
pub(crate) struct Recording {
    raw: sys::CUgraphExec,
    device: Arc<Device>,
}

// SAFETY: used by one thread at a time, as its lane is.
unsafe impl Send for Recording {}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            let _quiet = synchronising();
            // SAFETY: made in `instantiate`, destroyed once.
            let _ = unsafe { result::graph::exec_destroy(self.raw) };
        }
    }
}
