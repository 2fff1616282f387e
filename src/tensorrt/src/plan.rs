//! A plan that TensorRT has read.

use std::ffi::CStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::Error;
use crate::ffi;
use crate::library::Library;
use crate::quiet::synchronising;

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32 bits, floating.
    Float,
    /// 16 bits, floating.
    Half,
    /// 32 bits.
    Int32,
    /// 64 bits.
    Int64,
    /// One byte, 0 or 1.
    Bool,
    /// Anything else.
    Other,
}

impl Element {
    fn new(code: i32) -> Element {
        match code {
            0 => Element::Float,
            1 => Element::Half,
            2 => Element::Int32,
            3 => Element::Int64,
            4 => Element::Bool,
            _ => Element::Other,
        }
    }

    /// Bytes of one element; 0 for [`Element::Other`].
    pub fn bytes(self) -> usize {
        match self {
            Element::Float | Element::Int32 => 4,
            Element::Half => 2,
            Element::Int64 => 8,
            Element::Bool => 1,
            Element::Other => 0,
        }
    }
}

/// An input or output of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoTensor {
    /// Its name.
    pub name: String,
    /// Whether it is fed.
    pub is_input: bool,
    /// Its element type.
    pub element: Element,
    /// Size of each dimension; `None` where it is open.
    pub shape: Vec<Option<usize>>,
    /// Of an input the least sizes that the plan takes, else empty.
    pub min: Vec<usize>,
    /// Of an input the sizes it is fastest at, else empty.
    pub opt: Vec<usize>,
    /// Of an input the greatest sizes that the plan takes, else empty.
    pub max: Vec<usize>,
}

impl IoTensor {
    /// # Safety
    /// `tensor.name` is a C string.
    pub(crate) unsafe fn new(tensor: &ffi::Tensor) -> IoTensor {
        let rank = usize::try_from(tensor.rank).unwrap_or(0).min(ffi::MAX_RANK);
        let is_input = tensor.is_input != 0;
        let of_input = |sizes: &[i64]| -> Vec<usize> {
            let sizes = sizes[..if is_input { rank } else { 0 }].iter();
            sizes
                .map(|&size| usize::try_from(size).unwrap_or(0))
                .collect()
        };
        IoTensor {
            // SAFETY: promised by the caller.
            name: unsafe { CStr::from_ptr(tensor.name) }
                .to_string_lossy()
                .into_owned(),
            is_input,
            element: Element::new(tensor.element),
            shape: tensor.shape[..rank]
                .iter()
                .map(|&size| usize::try_from(size).ok())
                .collect(),
            min: of_input(&tensor.min),
            opt: of_input(&tensor.opt),
            max: of_input(&tensor.max),
        }
    }
}

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
