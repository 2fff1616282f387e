//! A plan that TensorRT has read.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::ffi;
use crate::library::Library;
use crate::quiet::synchronising;
use crate::tensor::IoTensor;

/// A plan in TensorRT's memory; [`Lanes`](crate::Lanes) run it.
#[derive(Debug)]
pub struct Engine {
    pub(crate) raw: *mut ffi::Engine,
    tensors: Vec<IoTensor>,
    /// Nobody will run it again.
    retired: AtomicBool,
    // After `raw`, whose code is in the library.
    _library: Arc<Library>,
}

// SAFETY: TensorRT allows contexts of an engine to be made by any thread; what the shim keeps with it
// is not changed after loading.
unsafe impl Send for Engine {}
// SAFETY: as above; the methods that take a shared reference only read.
unsafe impl Sync for Engine {}

impl Drop for Engine {
    fn drop(&mut self) {
        let _quiet = synchronising();
        // SAFETY: made by `mdetr_trt_load`, and freed once.
        unsafe { ffi::mdetr_trt_unload(self.raw) };
    }
}

impl Library {
    /// Reads a plan that was built by this version for this GPU.
    ///
    /// # Errors
    /// [`Error::Load`] if it was not, or is damaged; [`Error::Memory`].
    pub fn load(self: &Arc<Self>, plan: &[u8]) -> Result<Engine, Error> {
        Engine::load(self.clone(), plan)
    }
}

impl Engine {
    pub(crate) fn load(library: Arc<Library>, plan: &[u8]) -> Result<Engine, Error> {
        let mut raw = std::ptr::null_mut();
        let quiet = synchronising();
        ffi::call(|message| {
            // SAFETY: the pointers are valid for the call.
            unsafe {
                ffi::mdetr_trt_load(&library.entry, plan.as_ptr(), plan.len(), &mut raw, message)
            }
        })
        .map_err(|(status, message)| match status {
            ffi::MEMORY => Error::Memory(format!("cannot load the plan: {message}")),
            _ => Error::Load(message),
        })?;
        drop(quiet);
        let mut engine = Engine {
            raw,
            tensors: Vec::new(),
            retired: AtomicBool::new(false),
            _library: library,
        };
        // SAFETY: `raw` is a loaded engine.
        let count = unsafe { ffi::mdetr_trt_tensor_count(raw) };
        engine.tensors = (0..count)
            .map(|index| engine.tensor(index))
            .collect::<Result<_, _>>()?;
        Ok(engine)
    }

    fn tensor(&self, index: i32) -> Result<IoTensor, Error> {
        let mut tensor = ffi::Tensor {
            name: std::ptr::null(),
            is_input: 0,
            element: 0,
            rank: 0,
            shape: [0; ffi::MAX_RANK],
            min: [0; ffi::MAX_RANK],
            opt: [0; ffi::MAX_RANK],
            max: [0; ffi::MAX_RANK],
        };
        // SAFETY: the pointers are valid for the call.
        ffi::call(|message| unsafe {
            ffi::mdetr_trt_tensor(self.raw, index, &mut tensor, message)
        })
        .map_err(|(_, message)| Error::Load(message))?;
        // SAFETY: the shim wrote a C string's address into it.
        Ok(unsafe { IoTensor::new(&tensor) })
    }

    /// Says that nobody will run it again, so that lanes give up what they have of it.
    pub fn retire(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }

    /// Its inputs and outputs.
    pub fn tensors(&self) -> &[IoTensor] {
        &self.tensors
    }

    /// The input or output of that name.
    pub fn find(&self, name: &str) -> Option<&IoTensor> {
        self.tensors.iter().find(|tensor| tensor.name == name)
    }
}
