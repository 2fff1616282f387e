//! Finding TensorRT's libraries, and building plans with them.

use std::env;
use std::ffi::{CStr, CString, OsString, c_char, c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use libloading::os::unix::{Library as Opened, RTLD_GLOBAL, RTLD_NOW};

use crate::Error;
use crate::ffi;
use crate::quiet::synchronising;
use crate::tensor::IoTensor;

/// Names the file of the library that has builder and runtime.
const VARIABLE: &str = "TENSORRT_DYLIB_PATH";
/// Names the file of the ONNX parser's library.
const PARSER_VARIABLE: &str = "TENSORRT_ONNXPARSER_DYLIB_PATH";

/// The version of TensorRT's headers or library.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Version {
    major: i32,
    minor: i32,
    patch: i32,
    rtx: bool,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (
            name,
            Version {
                major,
                minor,
                patch,
                ..
            },
        ) = (self.name(), self);
        write!(f, "{name} {major}.{minor}.{patch}")
    }
}

impl Version {
    fn name(self) -> &'static str {
        if self.rtx { "TensorRT-RTX" } else { "TensorRT" }
    }

    /// The oldest whose library has what the shim uses.
    fn oldest() -> Version {
        // SAFETY: takes nothing, and gives a number.
        let minor = unsafe { ffi::mdetr_trt_oldest_minor() };
        Version {
            minor,
            patch: 0,
            ..Version::headers()
        }
    }

    /// Of the headers that the shim was compiled with.
    fn headers() -> Version {
        let (mut major, mut minor, mut patch, mut rtx) = (0, 0, 0, 0);
        // SAFETY: the pointers are valid for writes.
        unsafe { ffi::mdetr_trt_headers(&mut major, &mut minor, &mut patch, &mut rtx) };
        Version {
            major,
            minor,
            patch,
            rtx: rtx != 0,
        }
    }

    /// From what `getInferLibVersion` gives: 8601 for 8.6.1, 100300 for 10.3.0, and for TensorRT-RTX,
    /// which counts from 1 again, 10701 for 1.7.1.
    fn of_library(number: i32) -> Version {
        let (major, minor) = match number {
            n if n < 10_000 => (n / 1000, n / 100 % 10),
            n => (n / 10_000, n / 100 % 100),
        };
        Version {
            major,
            minor,
            patch: number % 100,
            rtx: (10_000..80_000).contains(&number),
        }
    }

    /// Why a library of this version cannot be used by a shim of those `headers` that needs the `oldest`; `None` if it can.
    fn refusal(self, oldest: Version, headers: Version) -> Option<String> {
        if (self.major, self.rtx) != (headers.major, headers.rtx) {
            return Some(format!(
                "but this build was compiled for {headers}; install that major version, or build with the headers of \
                 the installed one (TENSORRT_INCLUDE_DIR)"
            ));
        }
        (self.minor < oldest.minor).then(|| {
            format!(
                "older than {} {}.{}, which this build needs; update it, or build with its headers \
                 (TENSORRT_INCLUDE_DIR)",
                oldest.name(),
                oldest.major,
                oldest.minor
            )
        })
    }

    fn candidates(self, stem: &str) -> Vec<String> {
        let name = match (stem, self.rtx) {
            ("infer", true) => "libtensorrt_rtx.so",
            ("infer", false) => "libnvinfer.so",
            (_, true) => "libtensorrt_onnxparser_rtx.so",
            (_, false) => "libnvonnxparser.so",
        };
        vec![
            format!("{name}.{}", self.major),
            format!("{name}.{}.{}", self.major, self.minor),
            name.to_owned(),
        ]
    }
}

/// TensorRT's opened libraries. They stay open for as long as something uses them.
pub struct Library {
    pub(crate) entry: ffi::Entry,
    version: Version,
    // Closed after everything that was made with them.
    _infer: Opened,
    /// Or why it cannot be used.
    parser: Result<Opened, Error>,
}

impl fmt::Debug for Library {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Library({})", self.version)
    }
}

/// Sizes that an input of a graph may have.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Range {
    /// The input.
    pub name: String,
    /// Least size of each dimension.
    pub min: Vec<usize>,
    /// Size to be fastest at.
    pub opt: Vec<usize>,
    /// Greatest size of each dimension.
    pub max: Vec<usize>,
}

/// How to build.
#[derive(Debug, Clone, Default)]
pub struct BuildOptions {
    /// Most bytes of device memory for intermediate results; `None`: as TensorRT chooses.
    pub workspace: Option<u64>,
    /// Let TensorRT before version 10 take fp16 where it is faster, but for norms and softmax of fp32; a
    /// graph that has fp16 needs it. Later versions take the types of the graph.
    pub half: bool,
    /// Let fp32 products use TF32.
    pub tf32: bool,
    /// What an earlier build on this GPU gave, to build faster. What TensorRT cannot use is replaced.
    pub timing_cache: Vec<u8>,
}

/// How far a build is.
#[derive(Debug, Clone, Copy)]
pub struct Progress<'a> {
    /// What TensorRT is at, in its words.
    pub phase: &'a str,
    /// Finished steps of the phase.
    pub step: u32,
    /// Steps of the phase; 0 if it does not say.
    pub steps: u32,
}

/// What a build gave.
#[derive(Debug)]
pub struct Built {
    /// The plan.
    pub plan: Vec<u8>,
    /// For the next build; empty if this version keeps none.
    pub timing_cache: Vec<u8>,
    /// The plan's inputs and outputs.
    pub tensors: Vec<IoTensor>,
}

impl Library {
    /// Opens TensorRT: the files named in `TENSORRT_DYLIB_PATH` and
    /// `TENSORRT_ONNXPARSER_DYLIB_PATH`, else those of the version that this was compiled for, on the
    /// system's search path.
    ///
    /// # Errors
    /// [`Error::Library`] if there are none, of another major version than the headers, or older than what is used of
    /// them. A parser that is missing is an error of [`build`](Self::build) alone.
    pub fn open() -> Result<Arc<Library>, Error> {
        Library::open_from(env::var_os(VARIABLE), env::var_os(PARSER_VARIABLE)).map(Arc::new)
    }

    /// As [`open`](Self::open), with the values of the two variables.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_from(
        named: Option<OsString>,
        named_parser: Option<OsString>,
    ) -> Result<Library, Error> {
        let headers = Version::headers();
        let (infer, path) = open_one(VARIABLE, named, &headers.candidates("infer"))?;
        // SAFETY: the symbols have these types in all versions of TensorRT since 8.6.
        let (create_builder, create_runtime, lib_version) = unsafe {
            (
                infer.get::<unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void>(
                    b"createInferBuilder_INTERNAL\0",
                ),
                infer.get::<unsafe extern "C" fn(*mut c_void, i32) -> *mut c_void>(
                    b"createInferRuntime_INTERNAL\0",
                ),
                infer.get::<unsafe extern "C" fn() -> i32>(b"getInferLibVersion\0"),
            )
        };
        let (Ok(create_runtime), Ok(lib_version)) = (create_runtime, lib_version) else {
            return Err(Error::Library(format!(
                "{path} is not TensorRT: it exports no createInferRuntime_INTERNAL and \
                 getInferLibVersion; name TensorRT's library in {VARIABLE}"
            )));
        };
        // SAFETY: takes nothing, and gives a number.
        let number = unsafe { lib_version() };
        let version = Version::of_library(number);
        if let Some(reason) = version.refusal(Version::oldest(), headers) {
            return Err(Error::Library(format!("{path} is {version}, {reason}")));
        }
        let parser = open_parser(named_parser, &headers.candidates("parser"));
        Ok(Library {
            entry: ffi::Entry {
                version: number,
                create_builder: create_builder.ok().map(|symbol| *symbol),
                create_runtime: Some(*create_runtime),
                create_parser: parser.as_ref().ok().map(|(_, create)| *create),
            },
            version,
            _infer: infer,
            parser: parser.map(|(opened, _)| opened),
        })
    }

    /// Name and version, as "TensorRT 10.3.0".
    pub fn version(&self) -> String {
        self.version.to_string()
    }

    /// Whether it chooses types itself, as TensorRT before version 10 does, and takes fp16 only where
    /// [`BuildOptions::half`] lets it.
    pub fn chooses_types(&self) -> bool {
        // SAFETY: takes nothing, and gives a number.
        unsafe { ffi::mdetr_trt_weakly_typed() != 0 }
    }

    /// Builds a plan for the ONNX graph `onnx`, of which messages speak as `path`. Takes seconds to
    /// many minutes. `progress` returns whether to go on; TensorRT before version 10 does not ask.
    ///
    /// # Errors
    /// If the parser or builder is missing, the graph has what TensorRT does not support, sizes do not
    /// fit, memory is used up, or `progress` said stop.
    pub fn build(
        &self,
        onnx: &[u8],
        path: &str,
        ranges: &[Range],
        options: &BuildOptions,
        progress: &mut (dyn FnMut(Progress) -> bool + Send),
    ) -> Result<Built, Error> {
        if let Err(error) = &self.parser {
            return Err(Error::Library(format!(
                "TensorRT's ONNX parser cannot be used: {error}"
            )));
        }
        if self.entry.create_builder.is_none() {
            let lean = "this is a lean TensorRT, which runs plans but builds none";
            return Err(Error::Library(lean.to_owned()));
        }
        let text = |text: &str| CString::new(text.replace('\0', "?")).unwrap_or_default();
        let sizes = |sizes: &[usize]| -> Vec<i64> {
            sizes
                .iter()
                .map(|&size| i64::try_from(size).unwrap_or(i64::MAX))
                .collect()
        };
        let kept: Vec<(CString, [Vec<i64>; 3])> = ranges
            .iter()
            .map(|r| (text(&r.name), [sizes(&r.min), sizes(&r.opt), sizes(&r.max)]))
            .collect();
        let mut raw = Vec::with_capacity(kept.len());
        for (name, [min, opt, max]) in &kept {
            if min.len() != opt.len() || opt.len() != max.len() {
                return Err(Error::Build {
                    graph: path.to_owned(),
                    message: format!("the sizes of {name:?} differ in their number"),
                });
            }
            raw.push(ffi::Range {
                name: name.as_ptr(),
                rank: i32::try_from(min.len()).unwrap_or(i32::MAX),
                min: min.as_ptr(),
                opt: opt.as_ptr(),
                max: max.as_ptr(),
            });
        }
        let raw_options = ffi::BuildOptions {
            workspace: options.workspace.unwrap_or(0),
            half: i32::from(options.half),
            tf32: i32::from(options.tf32),
            timing_cache: options.timing_cache.as_ptr(),
            timing_cache_size: options.timing_cache.len(),
        };
        let graph = text(path);
        let empty = || ffi::Bytes {
            data: std::ptr::null_mut(),
            size: 0,
        };
        let (mut plan, mut timing_cache) = (empty(), empty());
        let mut listener = Listener {
            progress,
            tensors: Vec::new(),
        };
        let _quiet = synchronising();
        let status = ffi::call(|message| {
            // SAFETY: all pointers live until the call returns; `listener` is used by one thread at a
            // time, as the shim holds a lock around it, and may be sent.
            unsafe {
                ffi::mdetr_trt_build(
                    &self.entry,
                    onnx.as_ptr(),
                    onnx.len(),
                    graph.as_ptr(),
                    raw.as_ptr(),
                    raw.len(),
                    &raw_options,
                    Some(report),
                    Some(describe),
                    (&raw mut listener).cast(),
                    &mut plan,
                    &mut timing_cache,
                    message,
                )
            }
        });
        let built = Built {
            plan: take(plan),
            timing_cache: take(timing_cache),
            tensors: listener.tensors,
        };
        let graph = path.to_owned();
        match status {
            Ok(()) => Ok(built),
            Err((ffi::INTERRUPTED, _)) => Err(Error::Interrupted { graph }),
            Err((ffi::MEMORY, message)) => Err(Error::Memory(format!(
                "cannot build a plan for {graph}: {message}"
            ))),
            Err((_, message)) => Err(Error::Build { graph, message }),
        }
    }
}

/// Copies and frees what the shim gave.
fn take(bytes: ffi::Bytes) -> Vec<u8> {
    if bytes.data.is_null() {
        return Vec::new();
    }
    // SAFETY: the shim gave `size` bytes there, and frees them once.
    unsafe {
        let copy = std::slice::from_raw_parts(bytes.data, bytes.size).to_vec();
        ffi::mdetr_trt_free(bytes);
        copy
    }
}

/// What a running build tells.
struct Listener<'a> {
    progress: &'a mut (dyn FnMut(Progress) -> bool + Send),
    tensors: Vec<IoTensor>,
}

unsafe extern "C" fn describe(user: *mut c_void, tensor: *const ffi::Tensor) {
    // SAFETY: `user` is the listener of the running build; the tensor and its name are valid.
    unsafe {
        let listener = &mut *user.cast::<Listener>();
        listener.tensors.push(IoTensor::new(&*tensor));
    }
}

unsafe extern "C" fn report(user: *mut c_void, phase: *const c_char, step: i32, steps: i32) -> i32 {
    // SAFETY: `user` is the listener of the running build, `phase` a C string.
    let (listener, phase) = unsafe {
        (
            &mut *user.cast::<Listener>(),
            CStr::from_ptr(phase).to_string_lossy(),
        )
    };
    let progress = Progress {
        phase: &phase,
        step: step.max(0).unsigned_abs(),
        steps: steps.max(0).unsigned_abs(),
    };
    // No panic crosses into C; it stops the build instead.
    i32::from(catch_unwind(AssertUnwindSafe(|| (listener.progress)(progress))).unwrap_or(false))
}

/// Why a library cannot be opened: the loader's words, which name the file, lie at the end of the chain.
fn reason(path: &str, failure: &libloading::Error) -> String {
    let last =
        std::iter::successors(Some(failure as &dyn std::error::Error), |e| e.source()).last();
    let words = last.map_or_else(String::new, ToString::to_string);
    match words.contains(path) {
        true => words,
        false => format!("{path}: {words}"),
    }
}

type CreateParser = unsafe extern "C" fn(*mut c_void, *mut c_void, c_int) -> *mut c_void;

fn open_parser(
    named: Option<OsString>,
    candidates: &[String],
) -> Result<(Opened, CreateParser), Error> {
    let (parser, path) = open_one(PARSER_VARIABLE, named, candidates)?;
    // SAFETY: the symbol has this type in all versions of the parser since TensorRT 8.6.
    let create = unsafe { parser.get::<CreateParser>(b"createNvOnnxParser_INTERNAL\0") };
    match create.map(|symbol| *symbol) {
        Ok(create) => Ok((parser, create)),
        Err(_) => Err(Error::Library(format!(
            "{path} is not TensorRT's ONNX parser: it exports no createNvOnnxParser_INTERNAL; name the \
             parser's library in {PARSER_VARIABLE}"
        ))),
    }
}

fn open_one(
    variable: &str,
    named: Option<OsString>,
    candidates: &[String],
) -> Result<(Opened, String), Error> {
    let named = named.filter(|path| !path.is_empty());
    let paths: Vec<OsString> = match &named {
        Some(path) => vec![path.clone()],
        None => candidates.iter().map(OsString::from).collect(),
    };
    let mut failures = Vec::new();
    for path in paths {
        // SAFETY: TensorRT's initialisers may run; the parser finds TensorRT's symbols by RTLD_GLOBAL.
        match unsafe { Opened::open(Some(&path), RTLD_NOW | RTLD_GLOBAL) } {
            Ok(library) => return Ok((library, path.to_string_lossy().into_owned())),
            Err(failure) => failures.push(reason(&path.to_string_lossy(), &failure)),
        }
    }
    failures.dedup();
    let failures = failures.join("; ");
    Err(Error::Library(match named {
        Some(_) => format!("{failures} ({variable} names this file)"),
        None => format!("{failures}; install it, or name its library in {variable}"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_libraries() {
        let text = |number| Version::of_library(number).to_string();
        assert_eq!(text(8503), "TensorRT 8.5.3");
        assert_eq!(text(8601), "TensorRT 8.6.1");
        assert_eq!(text(100_300), "TensorRT 10.3.0");
        assert_eq!(text(110_400), "TensorRT 11.4.0");
        assert_eq!(text(10_701), "TensorRT-RTX 1.7.1");
    }

    #[test]
    fn older_minor_versions_serve_down_to_the_oldest() {
        let refused = |library, oldest, headers| {
            let version = Version::of_library;
            version(library).refusal(version(oldest), version(headers))
        };
        for library in [100_100, 100_300, 101_303, 101_601, 109_900] {
            assert_eq!(refused(library, 100_100, 101_601), None, "{library}");
        }
        let older = refused(100_001, 100_100, 101_601).expect("10.0 lacks functions");
        assert!(older.starts_with("older than TensorRT 10.1, "), "{older}");
        for library in [8601, 110_000, 10_701] {
            let other = refused(library, 100_100, 101_601).expect("another major version");
            assert!(other.contains("compiled for TensorRT 10.16.1"), "{other}");
        }
        assert!(refused(10_601, 10_701, 10_701).is_some());
    }

    #[test]
    fn what_is_no_tensorrt_is_named() {
        let missing = Library::open_from(Some("/nowhere/libnvinfer.so".into()), None);
        let message = missing.unwrap_err().to_string();
        assert!(message.contains("/nowhere/libnvinfer.so"), "{message}");
        assert!(message.contains(VARIABLE), "{message}");
        let other = Library::open_from(Some("libc.so.6".into()), None);
        let message = other.unwrap_err().to_string();
        assert!(message.contains("libc.so.6 is not TensorRT"), "{message}");
    }
}
