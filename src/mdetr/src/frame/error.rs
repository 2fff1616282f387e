//! What is wrong with a frame.

use std::fmt;

use super::format::PixelFormat;

/// Bytes for people.
struct Bytes(u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 as f64 / f64::from(1 << 20) {
            mebibytes if mebibytes < 1000.0 => write!(f, "{mebibytes:.0} MiB"),
            mebibytes => write!(f, "{:.1} GiB", mebibytes / 1024.0),
        }
    }
}

/// Why a frame was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FrameError {
    /// A side is nothing or absurd.
    #[error("frame of {width}x{height}: expected sides of 1 to {max} pixels")]
    Size {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Most pixels a side.
        max: u32,
    },
    /// The network would take more memory for it than there is.
    #[error(
        "frame of {width}x{height}: the network is fed {}x{} pixels of it, {tokens} vision tokens, and takes about {} of memory: expected at most {}; choose a smaller short-side, or smaller frames",
        input.0, input.1, Bytes(*needed), Bytes(*limit)
    )]
    Memory {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Width and height in pixels of the network's input.
        input: (u32, u32),
        /// Vision tokens: attention grows with their square.
        tokens: u64,
        /// Bytes that inference takes, about.
        needed: u64,
        /// Most bytes allowed: what was asked for, or what the machine has free.
        limit: u64,
    },
    /// The format has more planes.
    #[error("{format:?} frame: expected {expected} planes, found {found}")]
    PlaneCount {
        /// The format.
        format: PixelFormat,
        /// Planes of the format.
        expected: usize,
        /// Planes given.
        found: usize,
    },
    /// Rows would overlap.
    #[error(
        "{format:?} frame {width} pixels wide, plane {plane}: expected a stride of at least {expected} bytes, found {found}"
    )]
    Stride {
        /// The format.
        format: PixelFormat,
        /// Width in pixels.
        width: u32,
        /// Index of the plane.
        plane: usize,
        /// Bytes of a row.
        expected: usize,
        /// The stride.
        found: usize,
    },
    /// A buffer ends before its last row does.
    #[error(
        "{format:?} frame of {width}x{height}, plane {plane}: expected at least {expected} bytes (stride {stride}), found {found}"
    )]
    ShortPlane {
        /// The format.
        format: PixelFormat,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// Index of the plane.
        plane: usize,
        /// The stride.
        stride: usize,
        /// Bytes needed.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
}
