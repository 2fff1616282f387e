//! The shim's C interface, as in `shim/shim.h`.

use std::ffi::{c_char, c_int, c_void};

pub const OK: i32 = 0;
pub const INTERRUPTED: i32 = 2;
pub const MEMORY: i32 = 3;
pub const MAX_RANK: usize = 8;

#[repr(C)]
#[derive(Clone, Copy)]
pub struct Entry {
    pub version: i32,
    pub create_builder: Option<unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void>,
    pub create_runtime: Option<unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void>,
    pub create_parser: Option<unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> *mut c_void>,
}

#[repr(C)]
pub struct Message {
    pub data: *mut c_char,
    pub capacity: usize,
}

#[repr(C)]
pub struct Bytes {
    pub data: *mut u8,
    pub size: usize,
}

#[repr(C)]
pub struct Range {
    pub name: *const c_char,
    pub rank: i32,
    pub min: *const i64,
    pub opt: *const i64,
    pub max: *const i64,
}

#[repr(C)]
pub struct BuildOptions {
    pub workspace: u64,
    pub half: i32,
    pub tf32: i32,
    pub timing_cache: *const u8,
    pub timing_cache_size: usize,
}

pub type Progress = unsafe extern "C" fn(*mut c_void, *const c_char, i32, i32) -> i32;

pub type Log = unsafe extern "C" fn(i32, *const c_char, *const c_char);

pub type Describe = unsafe extern "C" fn(*mut c_void, *const Tensor);

#[repr(C)]
pub struct Tensor {
    pub name: *const c_char,
    pub is_input: i32,
    pub element: i32,
    pub rank: i32,
    pub shape: [i64; MAX_RANK],
    pub min: [i64; MAX_RANK],
    pub opt: [i64; MAX_RANK],
    pub max: [i64; MAX_RANK],
}

#[repr(C)]
pub struct Engine {
    _opaque: [u8; 0],
}

#[repr(C)]
pub struct Context {
    _opaque: [u8; 0],
}

unsafe extern "C" {
    pub fn mdetr_trt_headers(major: *mut i32, minor: *mut i32, patch: *mut i32, rtx: *mut i32);
    pub fn mdetr_trt_oldest_minor() -> i32;
    pub fn mdetr_trt_weakly_typed() -> i32;
    pub fn mdetr_trt_set_log(log: Option<Log>);
    pub fn mdetr_trt_build(
        entry: *const Entry,
        onnx: *const u8,
        onnx_size: usize,
        path: *const c_char,
        ranges: *const Range,
        range_count: usize,
        options: *const BuildOptions,
        progress: Option<Progress>,
        describe: Option<Describe>,
        user: *mut c_void,
        plan: *mut Bytes,
        timing_cache: *mut Bytes,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_free(bytes: Bytes);
    pub fn mdetr_trt_load(
        entry: *const Entry,
        plan: *const u8,
        plan_size: usize,
        engine: *mut *mut Engine,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_unload(engine: *mut Engine);
    pub fn mdetr_trt_tensor_count(engine: *const Engine) -> i32;
    pub fn mdetr_trt_tensor(
        engine: *const Engine,
        index: i32,
        tensor: *mut Tensor,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_open_context(
        engine: *mut Engine,
        stream: *mut c_void,
        context: *mut *mut Context,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_close_context(context: *mut Context);
    pub fn mdetr_trt_set_shape(
        context: *mut Context,
        name: *const c_char,
        rank: i32,
        shape: *const i64,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_shape(
        context: *mut Context,
        name: *const c_char,
        rank: *mut i32,
        shape: *mut i64,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_bind(
        context: *mut Context,
        name: *const c_char,
        address: *mut c_void,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_memory_size(context: *mut Context, bytes: *mut usize, message: Message)
    -> i32;
    pub fn mdetr_trt_set_memory(
        context: *mut Context,
        memory: *mut c_void,
        bytes: usize,
        message: Message,
    ) -> i32;
    pub fn mdetr_trt_capturable(context: *const Context, stream: *mut c_void) -> i32;
    pub fn mdetr_trt_enqueue(context: *mut Context, stream: *mut c_void, message: Message) -> i32;
}

/// Calls a function that writes a message, and gives the status with the message if it is not OK.
pub fn call(function: impl FnOnce(Message) -> i32) -> Result<(), (i32, String)> {
    let mut text = vec![0u8; 8192];
    let status = function(Message {
        data: text.as_mut_ptr().cast(),
        capacity: text.len(),
    });
    if status == OK {
        return Ok(());
    }
    let end = text.iter().position(|&b| b == 0).unwrap_or(text.len());
    Err((status, String::from_utf8_lossy(&text[..end]).into_owned()))
}
