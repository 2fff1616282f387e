//! Why nothing was drawn.

/// Widest and highest picture that can be drawn on, in pixels (cairo's limit).
pub const MAX_SIZE: u32 = 32_767;

/// Why nothing was drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The picture is empty or too large.
    #[error("cannot draw on {width}x{height} pixels: both sides must be 1 to {MAX_SIZE}")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// The pixels do not fill the picture.
    #[error(
        "{width}x{height} packed RGB pixels take {expected} bytes, but {found} were given: pass rows without padding"
    )]
    Pixels {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
        /// `3 * width * height`.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// cairo refused, most often because the context was in an error state before.
    #[error("cairo: {0}")]
    Cairo(String),
}

impl From<cairo::Error> for Error {
    fn from(error: cairo::Error) -> Error {
        Error::Cairo(error.to_string())
    }
}

impl From<cairo::BorrowError> for Error {
    fn from(error: cairo::BorrowError) -> Error {
        Error::Cairo(error.to_string())
    }
}

/// Whether a picture of this size can be drawn on.
pub(crate) fn check_size(width: u32, height: u32) -> Result<(), Error> {
    if (1..=MAX_SIZE).contains(&width) && (1..=MAX_SIZE).contains(&height) {
        Ok(())
    } else {
        Err(Error::Size { width, height })
    }
}
