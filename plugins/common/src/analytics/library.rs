//! Opening the library.

use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use libloading::Library;
use libloading::os::unix::{Library as Opened, RTLD_LAZY, RTLD_LOCAL, RTLD_NOW};

use super::symbols::Symbols;

/// Name under which systems have the library.
#[cfg(not(target_vendor = "apple"))]
const LIBRARY: &str = "libgstanalytics-1.0.so.0";
#[cfg(target_vendor = "apple")]
const LIBRARY: &str = "libgstanalytics-1.0.0.dylib";

/// GStreamer that had it first.
const SINCE: (u32, u32) = (1, 24);

/// GStreamer that has texts first. What a version before it exports under this name may be called differently.
const TEXT_SINCE: (u32, u32) = (1, 30);

/// The library, open.
#[derive(Clone, Copy)]
pub struct Analytics(&'static Symbols);

/// Why there is no GstAnalytics.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unavailable {
    /// GStreamer is too old.
    #[error("GStreamer {major}.{minor} has no GstAnalytics, which came with 1.24")]
    Version {
        /// Of the GStreamer in use.
        major: u32,
        /// Of the GStreamer in use.
        minor: u32,
    },
    /// The library cannot be opened, or lacks a function.
    #[error(
        "GstAnalytics: {reason}; it comes with GStreamer's bad plug-ins (Debian: libgstreamer-plugins-bad1.0-0)"
    )]
    Library {
        /// What the system says, with the library's name.
        reason: String,
    },
}

impl Analytics {
    /// Opens the library of the GStreamer in use, once; it stays open. GStreamer must be initialized.
    ///
    /// # Errors
    /// GStreamer is older than 1.24, or has come without this library.
    pub fn open() -> Result<Analytics, &'static Unavailable> {
        static OPENED: LazyLock<Result<&'static Symbols, Unavailable>> = LazyLock::new(open);
        match &*OPENED {
            Ok(symbols) => Ok(Analytics(symbols)),
            Err(unavailable) => Err(unavailable),
        }
    }

    /// Its functions.
    pub(super) fn symbols(self) -> &'static Symbols {
        self.0
    }

    /// A library made of these functions.
    #[cfg(test)]
    pub(super) fn of(symbols: &'static Symbols) -> Analytics {
        Analytics(symbols)
    }
}

fn open() -> Result<&'static Symbols, Unavailable> {
    let (major, minor, ..) = gst::version();
    if (major, minor) < SINCE {
        return Err(Unavailable::Version { major, minor });
    }
    let library = open_library().map_err(|error| Unavailable::Library {
        reason: error.to_string(),
    })?;
    let mut symbols = Symbols::find(&library).map_err(|error| Unavailable::Library {
        reason: format!("{LIBRARY}: {error}"),
    })?;
    if (major, minor) < TEXT_SINCE {
        symbols.add_text = None;
    }
    // Types it registers with GLib point into it.
    std::mem::forget(library);
    Ok(Box::leak(Box::new(symbols)))
}

/// The one that is loaded; else the one beside the GStreamer in use, of which a machine may have several; else the
/// system's.
fn open_library() -> Result<Library, libloading::Error> {
    let name = OsStr::new(LIBRARY);
    let flags = RTLD_NOW | RTLD_LOCAL;
    // SAFETY: opening a library of GStreamer runs no code but its own constructors.
    let open = |path: &OsStr, flags| unsafe { Opened::open(Some(path), flags) };
    open(name, RTLD_LAZY | libc::RTLD_NOLOAD)
        .or_else(|_| match beside_gstreamer() {
            Some(path) if path.exists() => open(path.as_os_str(), flags),
            _ => open(name, flags),
        })
        .map(Library::from)
}

/// Where the library is if it came with the GStreamer that this process uses.
fn beside_gstreamer() -> Option<PathBuf> {
    let function = gst::ffi::gst_init as *const libc::c_void;
    // SAFETY: an all-zero `Dl_info` is valid, and `dladdr` fills it or says that it did not.
    let found = unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let known = libc::dladdr(function, &mut info) != 0 && !info.dli_fname.is_null();
        known.then(|| CStr::from_ptr(info.dli_fname).to_owned())
    }?;
    let path = Path::new(OsStr::from_bytes(found.as_bytes()));
    Some(path.canonicalize().ok()?.parent()?.join(LIBRARY))
}
