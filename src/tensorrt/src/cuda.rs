//! A GPU's memory and streams, through CUDA's driver library, which is opened at run time.

use std::ffi::c_void;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use cudarc::driver::result::{self, DriverError, ctx, device, primary_ctx};
use cudarc::driver::sys;

use crate::Error;
use crate::quiet::synchronising;

/// Most bytes of freed buffers that are kept for later ones. The rest goes back to the driver: TensorRT
/// allocates too.
const POOL_BYTES: usize = 64 << 20;

/// A GPU, with the context that TensorRT uses too.
pub struct Device {
    ordinal: i32,
    raw: sys::CUdevice,
    context: sys::CUcontext,
    name: String,
    capability: (i32, i32),
    pool: Mutex<Pool>,
    /// The GPU failed, and may still write wherever it was told to.
    lost: AtomicBool,
}

/// Freed buffers, the longest unused first: allocation stops the GPU, and sizes recur.
#[derive(Default)]
struct Pool {
    idle: Vec<(usize, sys::CUdeviceptr)>,
    bytes: usize,
}

impl Pool {
    fn take(&mut self, bytes: usize) -> Option<sys::CUdeviceptr> {
        let found = self.idle.iter().rposition(|(size, _)| *size == bytes)?;
        self.bytes -= bytes;
        Some(self.idle.remove(found).1)
    }

    /// Keeps a buffer and gives those that are too many.
    fn put(&mut self, bytes: usize, address: sys::CUdeviceptr) -> Vec<sys::CUdeviceptr> {
        self.idle.push((bytes, address));
        self.bytes += bytes;
        let mut surplus = Vec::new();
        while self.bytes > POOL_BYTES {
            let (bytes, address) = self.idle.remove(0);
            self.bytes -= bytes;
            surplus.push(address);
        }
        surplus
    }

    fn clear(&mut self) -> Vec<sys::CUdeviceptr> {
        self.bytes = 0;
        self.idle.drain(..).map(|(_, address)| address).collect()
    }
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

pub(crate) fn failed(what: &str, error: DriverError) -> Error {
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
    /// The GPU with that number, counted from 0; the same to all who have it open.
    ///
    /// # Errors
    /// [`Error::Cuda`] if there is no driver or no such GPU.
    pub fn open(ordinal: u32) -> Result<Arc<Device>, Error> {
        static OPEN: Mutex<Vec<(u32, Weak<Device>)>> = Mutex::new(Vec::new());
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|(_, device)| device.strong_count() > 0);
        let known = open.iter().find(|(known, _)| *known == ordinal);
        // A lost one is of no use to those who start anew.
        let known = known.and_then(|(_, device)| device.upgrade());
        if let Some(device) = known.filter(|device| !device.lost.load(Ordering::Acquire)) {
            return Ok(device);
        }
        let device = Device::open_anew(ordinal)?;
        open.retain(|(known, _)| *known != ordinal);
        open.push((ordinal, Arc::downgrade(&device)));
        Ok(device)
    }

    fn open_anew(ordinal: u32) -> Result<Arc<Device>, Error> {
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
            pool: Mutex::default(),
            lost: AtomicBool::new(false),
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

    fn pool(&self) -> MutexGuard<'_, Pool> {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Device memory of that size, its contents left from earlier use.
    ///
    /// # Errors
    /// [`Error::Memory`] if there is not as much.
    pub fn allocate(self: &Arc<Self>, bytes: usize) -> Result<Buffer, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        self.enter()?;
        let bytes = bytes.max(1);
        let recycled = self.pool().take(bytes);
        let address = match recycled {
            Some(address) => address,
            None => self.allocate_anew(bytes).or_else(|error| match error {
                Error::Memory(_) => {
                    self.empty_pool();
                    self.allocate_anew(bytes)
                }
                error => Err(error),
            })?,
        };
        Ok(Buffer {
            address,
            bytes,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            recycled: true,
            device: self.clone(),
        })
    }

    fn allocate_anew(&self, bytes: usize) -> Result<sys::CUdeviceptr, Error> {
        let _quiet = synchronising();
        // SAFETY: freed when the buffer is, or with the pool.
        unsafe { result::malloc_sync(bytes) }
            .map_err(|e| failed(&format!("cannot have {bytes} bytes of the GPU"), e))
    }

    /// Gives freed buffers back to the driver, for others to have.
    pub(crate) fn empty_pool(&self) {
        let idle = self.pool().clear();
        self.free(idle);
    }

    fn free(&self, addresses: Vec<sys::CUdeviceptr>) {
        if addresses.is_empty() || self.enter().is_err() {
            return;
        }
        let _quiet = synchronising();
        for address in addresses {
            // SAFETY: allocated by `allocate_anew`, and no buffer has it. A failure loses memory only.
            let _ = unsafe { result::free_sync(address) };
        }
    }

    /// Nothing of its memory is used again.
    pub(crate) fn lose(&self) {
        self.lost.store(true, Ordering::Release);
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        self.empty_pool();
        // SAFETY: retained once in `open`.
        let _ = unsafe { primary_ctx::release(self.raw) };
    }
}

/// Memory of a GPU; it goes back to the device for the next buffer of its size.
pub struct Buffer {
    address: sys::CUdeviceptr,
    bytes: usize,
    /// No other buffer has or had it.
    id: u64,
    /// Whether it goes to the pool.
    recycled: bool,
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

    /// Gives it back to the driver at once.
    pub(crate) fn free(mut self) {
        self.recycled = false;
    }

    pub(crate) fn id(&self) -> u64 {
        self.id
    }

    pub(crate) fn address(&self) -> sys::CUdeviceptr {
        self.address
    }

    pub(crate) fn pointer(&self) -> *mut c_void {
        self.address as *mut c_void
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        if self.device.lost.load(Ordering::Acquire) {
            return;
        }
        let surplus = match self.recycled {
            true => self.device.pool().put(self.bytes, self.address),
            false => vec![self.address],
        };
        self.device.free(surplus);
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
        let _quiet = synchronising();
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
            let _quiet = synchronising();
            // SAFETY: given by `malloc_host`, freed once.
            let _ = unsafe { result::free_host(self.start.cast()) };
        }
    }
}
