//! A GPU's memory and streams, through CUDA's driver library, which is opened at run time.

use std::collections::HashMap;
use std::ffi::c_void;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cudarc::driver::result::{self, DriverError, ctx, device, primary_ctx, stream};
use cudarc::driver::sys;

use crate::Error;

/// A GPU, with the context that TensorRT uses too.
pub struct Device {
    ordinal: i32,
    raw: sys::CUdevice,
    context: sys::CUcontext,
    name: String,
    capability: (i32, i32),
    /// Freed buffers by size in bytes: allocation stops the GPU, and sizes recur.
    idle: Mutex<HashMap<usize, Vec<sys::CUdeviceptr>>>,
}

// SAFETY: a context may be made current in any thread; the driver locks.
unsafe impl Send for Device {}
// SAFETY: as above.
unsafe impl Sync for Device {}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Device({}, {})", self.ordinal, self.name)
    }
}

fn failed(what: &str, error: DriverError) -> Error {
    let name = error.error_string().map(|text| text.to_string_lossy());
    let words = format!(
        "{what}: {}",
        name.unwrap_or_else(|_| format!("{error:?}").into())
    );
    match error.0 {
        sys::cudaError_enum::CUDA_ERROR_OUT_OF_MEMORY => Error::Memory(words),
        _ => Error::Cuda(words),
    }
}

impl Device {
    /// The GPU with that number, counted from 0.
    ///
    /// # Errors
    /// [`Error::Cuda`] if there is no driver or no such GPU.
    pub fn open(ordinal: u32) -> Result<Arc<Device>, Error> {
        // SAFETY: opening the driver's library runs its initialisers.
        if !unsafe { sys::is_culib_present() } {
            return Err(Error::Cuda(
                "CUDA's driver library libcuda.so was not found: there is no NVIDIA GPU here, or its \
                 driver is not installed"
                    .to_owned(),
            ));
        }
        result::init().map_err(|e| failed("CUDA does not start", e))?;
        let count = device::get_count().map_err(|e| failed("cannot count GPUs", e))?;
        let ordinal = i32::try_from(ordinal).unwrap_or(i32::MAX);
        if ordinal >= count {
            return Err(Error::Cuda(match count {
                0 => "there is no NVIDIA GPU".to_owned(),
                _ => format!("device-id: expected 0 to {}, found {ordinal}", count - 1),
            }));
        }
        let raw = device::get(ordinal).map_err(|e| failed("cannot open the GPU", e))?;
        let name = device::get_name(raw).map_err(|e| failed("cannot name the GPU", e))?;
        use sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
        };
        // SAFETY: `raw` is a device that was just given.
        let attribute = |which| unsafe { device::get_attribute(raw, which) };
        let capability = attribute(MAJOR)
            .and_then(|major| Ok((major, attribute(MINOR)?)))
            .map_err(|e| failed("cannot ask the GPU what it is", e))?;
        // SAFETY: as above; released when the device is dropped.
        let context = unsafe { primary_ctx::retain(raw) };
        let context = context.map_err(|e| failed("cannot make a context on the GPU", e))?;
        Ok(Arc::new(Device {
            ordinal,
            raw,
            context,
            name,
            capability,
            idle: Mutex::default(),
        }))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Major and minor compute capability.
    pub fn capability(&self) -> (i32, i32) {
        self.capability
    }

    /// Free and total memory in bytes.
    ///
    /// # Errors
    /// If the driver does not say.
    pub fn memory(&self) -> Result<(usize, usize), Error> {
        self.enter()?;
        result::mem_get_info().map_err(|e| failed("cannot ask for the GPU's memory", e))
    }

    /// Makes this GPU the calling thread's.
    ///
    /// # Errors
    /// If the driver refuses.
    pub fn enter(&self) -> Result<(), Error> {
        // SAFETY: the context is retained for as long as `self` lives.
        unsafe { ctx::set_current(self.context) }.map_err(|e| failed("cannot use the GPU", e))
    }

    fn idle(&self) -> MutexGuard<'_, HashMap<usize, Vec<sys::CUdeviceptr>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Device memory of that size, its contents left from earlier use.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not as much.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer, Error> {
        self.enter()?;
        let bytes = bytes.max(1);
        let recycled = self.idle().get_mut(&bytes).and_then(Vec::pop);
        let address = match recycled {
            Some(address) => address,
            // SAFETY: freed when the device is dropped.
            None => match unsafe { result::malloc_sync(bytes) } {
                Ok(address) => address,
                Err(_) => {
                    self.free_idle();
                    // SAFETY: as above.
                    unsafe { result::malloc_sync(bytes) }
                        .map_err(|e| failed(&format!("cannot have {bytes} bytes of the GPU"), e))?
                }
            },
        };
        Ok(Buffer {
            address,
            bytes,
            device: self.clone(),
        })
    }

    fn free_idle(&self) {
        for address in self.idle().drain().flat_map(|(_, addresses)| addresses) {
            // SAFETY: allocated by `allocate`, and no buffer has it. A failure loses memory only.
            let _ = unsafe { result::free_sync(address) };
        }
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        if self.enter().is_ok() {
            self.free_idle();
        }
        // SAFETY: retained once in `open`.
        let _ = unsafe { primary_ctx::release(self.raw) };
    }
}

/// Memory of a GPU; it goes back to the device for the next buffer of its size.
pub struct Buffer {
    address: sys::CUdeviceptr,
    bytes: usize,
    device: Arc<Device>,
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes)", self.bytes)
    }
}

impl Buffer {
    /// Its size.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.address as *mut c_void
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.device
            .idle()
            .entry(self.bytes)
            .or_default()
            .push(self.address);
    }
}

/// Page-locked memory of the host, which copies do not have to be staged through.
pub(crate) struct Pinned {
    start: *mut u8,
    bytes: usize,
    device: Arc<Device>,
}

// SAFETY: memory that only its owner reaches.
unsafe impl Send for Pinned {}

impl fmt::Debug for Pinned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pinned({} bytes)", self.bytes)
    }
}

impl Pinned {
    pub(crate) fn new(device: &Arc<Device>, bytes: usize) -> Result<Pinned, Error> {
        device.enter()?;
        let bytes = bytes.max(1);
        // SAFETY: freed when dropped; made zero before anything reads it.
        let start = unsafe { result::malloc_host(bytes, 0) }
            .map_err(|e| failed(&format!("cannot lock {bytes} bytes of memory"), e))?
            .cast::<u8>();
        // SAFETY: `bytes` bytes were given.
        unsafe { start.write_bytes(0, bytes) };
        Ok(Pinned {
            start,
            bytes,
            device: device.clone(),
        })
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        // SAFETY: as many bytes were given, and set to zero.
        unsafe { std::slice::from_raw_parts(self.start, self.bytes) }
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as above, and nobody else reaches them.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.bytes) }
    }
}

impl Drop for Pinned {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // SAFETY: given by `malloc_host`, freed once.
            let _ = unsafe { result::free_host(self.start.cast()) };
        }
    }
}

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
        unsafe { stream::synchronize(self.raw) }.map_err(|e| failed("the GPU failed", e))
    }

    /// Queues a copy. `from` must stay as it is until the stream was synchronized.
    pub(crate) fn upload(&self, from: &Pinned, to: &Buffer) -> Result<(), Error> {
        let bytes = from.bytes.min(to.bytes);
        // SAFETY: both live, have as many bytes, and belong to the session that owns the stream.
        unsafe { result::memcpy_htod_async(to.address, &from.bytes()[..bytes], self.raw) }
            .map_err(|e| failed("cannot copy to the GPU", e))
    }

    /// Queues a copy. `to` is not to be read until the stream was synchronized.
    pub(crate) fn download(&self, from: &Buffer, to: &mut Pinned) -> Result<(), Error> {
        let bytes = from.bytes.min(to.bytes);
        // SAFETY: as for `upload`.
        unsafe { result::memcpy_dtoh_async(&mut to.bytes_mut()[..bytes], from.address, self.raw) }
            .map_err(|e| failed("cannot copy from the GPU", e))
    }

    /// Queues a copy on the GPU.
    pub(crate) fn copy(&self, from: &Buffer, to: &Buffer) -> Result<(), Error> {
        let bytes = from.bytes.min(to.bytes);
        // SAFETY: both live and have as many bytes.
        unsafe { result::memcpy_dtod_async(to.address, from.address, bytes, self.raw) }
            .map_err(|e| failed("cannot copy on the GPU", e))
    }

    /// Records what `work` queues on this stream, to be replayed.
    pub(crate) fn record(
        &self,
        work: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Recording, Error> {
        let mode = sys::CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL;
        // SAFETY: the stream lives, and nothing else is queued on it meanwhile.
        unsafe { stream::begin_capture(self.raw, mode) }
            .map_err(|e| failed("cannot record a graph", e))?;
        let worked = work();
        // SAFETY: as above; an unfinished capture must be ended also after a failure.
        let graph = unsafe { stream::end_capture(self.raw) };
        worked?;
        let graph = graph.map_err(|e| failed("cannot record a graph", e))?;
        // SAFETY: the graph was just made; the executable keeps what it needs of it.
        unsafe {
            let made = result::graph::instantiate(graph, sys::CUgraphInstantiate_flags(0));
            let _ = result::graph::destroy(graph);
            let raw = made.map_err(|e| failed("cannot make a graph", e))?;
            Ok(Recording {
                raw,
                device: self.device.clone(),
            })
        }
    }

    pub(crate) fn replay(&self, recording: &Recording) -> Result<(), Error> {
        // SAFETY: both live; the buffers that were recorded belong to the owner of both.
        unsafe { result::graph::launch(recording.raw, self.raw) }
            .map_err(|e| failed("cannot run a graph", e))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // SAFETY: made in `new`, destroyed once.
            let _ = unsafe { stream::destroy(self.raw) };
        }
    }
}

/// Work that was recorded once and costs one call to queue again.
#[derive(Debug)]
pub(crate) struct Recording {
    raw: sys::CUgraphExec,
    device: Arc<Device>,
}

// SAFETY: used by one thread at a time, as its session is.
unsafe impl Send for Recording {}

impl Drop for Recording {
    fn drop(&mut self) {
        if self.device.enter().is_ok() {
            // SAFETY: made in `record`, destroyed once.
            let _ = unsafe { result::graph::exec_destroy(self.raw) };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::*;

    /// In a process of its own, which finds the stand-in as libcuda.so.
    #[test]
    fn memory_with_a_stand_in_for_the_driver() {
        let dir = tempfile::tempdir().unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/stand_in_driver.c");
        let built = Command::new("cc")
            .args(["-shared", "-fPIC", "-o"])
            .arg(dir.path().join("libcuda.so"))
            .arg(source)
            .status();
        assert!(built.unwrap().success());
        let found = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "cuda::tests::memory", "--ignored", "--nocapture"])
            .env("LD_LIBRARY_PATH", dir.path())
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&found.stdout);
        let errors = String::from_utf8_lossy(&found.stderr);
        assert!(
            found.status.success() && text.contains("1 passed"),
            "{text}{errors}"
        );
    }

    #[test]
    #[ignore = "run by memory_with_a_stand_in_for_the_driver in a process of its own"]
    fn memory() {
        let device = Device::open(0).unwrap();
        assert_eq!((device.name(), device.capability()), ("Stand-in", (8, 7)));
        let message = Device::open(1).unwrap_err().to_string();
        assert!(
            message.contains("device-id: expected 0 to 0, found 1"),
            "{message}"
        );

        // What is uploaded comes back, also by way of another buffer.
        let stream = Stream::new(&device).unwrap();
        let (mut from, mut to) = (
            Pinned::new(&device, 1000).unwrap(),
            Pinned::new(&device, 1000).unwrap(),
        );
        for (index, byte) in from.bytes_mut().iter_mut().enumerate() {
            *byte = index as u8;
        }
        let (a, b) = (
            device.allocate(1000).unwrap(),
            device.allocate(1000).unwrap(),
        );
        stream.upload(&from, &a).unwrap();
        stream.copy(&a, &b).unwrap();
        stream.download(&b, &mut to).unwrap();
        stream.synchronize().unwrap();
        assert_eq!(from.bytes(), to.bytes());

        // Freed buffers are used again, and given up when memory is short.
        let (total, address) = (1 << 20, a.address);
        drop((a, b));
        assert_eq!(device.memory().unwrap(), (total - 2000, total));
        let again = device.allocate(1000).unwrap();
        assert!(again.bytes() == 1000 && device.memory().unwrap().0 == total - 2000);
        drop(again);
        let all = device.allocate(total).unwrap();
        let message = device.allocate(1).unwrap_err();
        assert!(matches!(message, Error::Memory(_)), "{message}");
        let message = message.to_string();
        assert!(
            message.contains("cannot have 1 bytes of the GPU: out of memory"),
            "{message}"
        );
        drop(all);
        assert_ne!(address, 0);
        device.allocate(total).unwrap();
    }
}
