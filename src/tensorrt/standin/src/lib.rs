//! A stand-in for TensorRT and CUDA's driver, for tests on machines without a GPU.
//!
//! One library is both. It is compiled against NVIDIA's headers, runs ONNX graphs of a few operators,
//! and refuses what NVIDIA's documentation forbids: a second context on a profile that is not shared,
//! fp16 that the builder was not told of, sizes outside of the profile, work without memory or shapes, a
//! capture across a call that synchronises. Work is done when its stream is waited for, and
//! freed memory is overwritten, so that what is used too early or too late is seen. Calls fail on demand.

mod onnx;

use std::ffi::{CString, c_char, c_int};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW, Symbol};

pub use onnx::{Attribute, Model, Type};

/// Path of the library.
///
/// # Panics
/// This was compiled without TensorRT's headers.
pub fn library() -> &'static Path {
    let path = env!("STANDIN_LIBRARY");
    assert!(
        !path.is_empty(),
        "name the directories of NvInfer.h and cuda_runtime_api.h in TENSORRT_INCLUDE_DIR and \
         CUDA_INCLUDE_DIR"
    );
    Path::new(path)
}

/// What a call fails with, as a number of CUDA's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(i32)]
pub enum Failure {
    /// Memory is used up.
    OutOfMemory = 2,
    /// The device is lost: every later call fails too.
    Lost = 719,
    /// A capture was spoiled.
    Spoiled = 901,
}

/// The stand-in, for one test at a time.
#[derive(Debug)]
pub struct StandIn {
    library: &'static Library,
    _turn: MutexGuard<'static, ()>,
}

impl StandIn {
    /// Waits for its turn and forgets what earlier tests set.
    pub fn take() -> StandIn {
        static TURN: Mutex<()> = Mutex::new(());
        static LIBRARY: OnceLock<Library> = OnceLock::new();
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        let library = LIBRARY.get_or_init(|| {
            // SAFETY: its initialisers do nothing.
            let opened = unsafe { Library::open(Some(library()), RTLD_NOW | RTLD_GLOBAL) };
            opened.unwrap_or_else(|error| panic!("{error}"))
        });
        let taken = StandIn {
            library,
            _turn: turn,
        };
        taken.reset();
        taken
    }

    /// # Safety
    /// The library exports a function of that type by that name.
    unsafe fn function<T>(&self, name: &str) -> Symbol<T> {
        // SAFETY: promised by the caller.
        unsafe { self.library.get(name.as_bytes()) }.unwrap_or_else(|e| panic!("{name}: {e}"))
    }

    fn reset(&self) {
        // SAFETY: as in cpp/control.cpp.
        unsafe { self.function::<unsafe extern "C" fn()>("standin_reset")() };
        self.hold_builds(false);
    }

    /// Lets a call fail after `after` more that do not: a function of CUDA's driver by its symbol, as
    /// `cuMemAlloc_v2`, or of TensorRT by its name, as `enqueueV3`.
    pub fn fail(&self, call: &str, after: i32, failure: Failure) {
        let call = c_name(call);
        // SAFETY: as in cpp/control.cpp; the string lives until the call returns.
        unsafe {
            let fail =
                self.function::<unsafe extern "C" fn(*const c_char, c_int, c_int)>("standin_fail");
            fail(call.as_ptr(), after, failure as c_int);
        }
    }

    /// How often a function was called, or how much there is of `alive contexts`, `alive device` (pieces
    /// of device memory), `spoiled captures` and so on.
    pub fn count(&self, name: &str) -> i64 {
        let name = c_name(name);
        // SAFETY: as for `fail`.
        unsafe {
            self.function::<unsafe extern "C" fn(*const c_char) -> i64>("standin_count")(
                name.as_ptr(),
            )
        }
    }

    /// Rules that were broken, one a line.
    pub fn violations(&self) -> String {
        let mut text = vec![0u8; 1 << 16];
        // SAFETY: as in cpp/control.cpp: no more than the capacity is written, with a zero at the end.
        unsafe {
            let read = self
                .function::<unsafe extern "C" fn(*mut c_char, usize) -> i64>("standin_violations");
            read(text.as_mut_ptr().cast(), text.len());
        }
        let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
        String::from_utf8_lossy(&text[..end]).into_owned()
    }

    /// Bounds the device's memory.
    pub fn set_memory(&self, bytes: usize) {
        // SAFETY: as in cpp/control.cpp.
        unsafe { self.function::<unsafe extern "C" fn(usize)>("standin_set_limit")(bytes) };
    }

    /// Makes it another GPU, to which plans and timings of the one before are foreign.
    pub fn set_gpu(&self, number: i32) {
        // SAFETY: as in cpp/control.cpp.
        unsafe { self.function::<unsafe extern "C" fn(c_int)>("standin_set_gpu")(number) };
    }

    /// Lets builds wait, or go on.
    pub fn hold_builds(&self, hold: bool) {
        // SAFETY: as in cpp/control.cpp.
        unsafe {
            self.function::<unsafe extern "C" fn(c_int)>("standin_hold_builds")(c_int::from(hold))
        };
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.reset();
    }
}

fn c_name(name: &str) -> CString {
    CString::new(name).expect("names have no zeros")
}
