//! What runs an engine's plan at one shape at a time.

use std::ffi::CString;
use std::sync::Arc;

use crate::Error;
use crate::cuda::Buffer;
use crate::ffi;
use crate::plan::Engine;
use crate::quiet::synchronising;
use crate::stream::Stream;

#[derive(Debug)]
pub(crate) struct Context {
    raw: *mut ffi::Context,
    // After `raw`.
    pub(crate) engine: Arc<Engine>,
}

// SAFETY: TensorRT lets any thread use a context, one at a time.
unsafe impl Send for Context {}

impl Drop for Context {
    fn drop(&mut self) {
        let _quiet = synchronising();
        // SAFETY: made by `mdetr_trt_open_context`, closed once.
        unsafe { ffi::mdetr_trt_close_context(self.raw) };
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
    /// One without memory for intermediate results. `stream` is at rest.
    pub(crate) fn new(engine: &Arc<Engine>, stream: &Stream) -> Result<Context, Error> {
        let mut raw = std::ptr::null_mut();
        let _quiet = synchronising();
        // SAFETY: the engine lives for as long as the context, which keeps it.
        ffi::call(|message| unsafe {
            ffi::mdetr_trt_open_context(engine.raw, stream.raw(), &mut raw, message)
        })
        .map_err(fault)?;
        let context = Context {
            raw,
            engine: engine.clone(),
        };
        stream.synchronize()?;
        Ok(context)
    }

    pub(crate) fn set_shape(&self, name: &str, shape: &[usize]) -> Result<(), Error> {
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

    /// An output's shape, once all inputs have theirs.
    pub(crate) fn shape(&self, name: &str) -> Result<Vec<usize>, Error> {
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

    /// `buffer` lives until another is bound or the context goes.
    pub(crate) fn bind(&self, name: &str, buffer: &Buffer) -> Result<(), Error> {
        let name = c_name(name);
        // SAFETY: promised by the caller.
        ffi::call(|message| unsafe {
            ffi::mdetr_trt_bind(self.raw, name.as_ptr(), buffer.pointer(), message)
        })
        .map_err(fault)
    }

    /// Bytes that intermediate results take, once all inputs have their shapes.
    pub(crate) fn memory_size(&self) -> Result<usize, Error> {
        let mut bytes = 0;
        // SAFETY: the context lives, the pointer is valid for the call.
        ffi::call(|message| unsafe { ffi::mdetr_trt_memory_size(self.raw, &mut bytes, message) })
            .map_err(fault)?;
        Ok(bytes)
    }

    /// `memory` lives until other is set or the context goes, and nothing else that runs at the same time
    /// uses it.
    pub(crate) fn set_memory(&self, memory: &Buffer) -> Result<(), Error> {
        // SAFETY: promised by the caller.
        ffi::call(|message| unsafe {
            ffi::mdetr_trt_set_memory(self.raw, memory.pointer(), memory.bytes(), message)
        })
        .map_err(fault)
    }

    pub(crate) fn capturable(&self, stream: &Stream) -> bool {
        // SAFETY: context and stream live.
        unsafe { ffi::mdetr_trt_capturable(self.raw, stream.raw()) != 0 }
    }

    pub(crate) fn enqueue(&self, stream: &Stream) -> Result<(), Error> {
        // SAFETY: context and stream live; all tensors have addresses.
        ffi::call(|message| unsafe { ffi::mdetr_trt_enqueue(self.raw, stream.raw(), message) })
            .map_err(fault)
    }
}
