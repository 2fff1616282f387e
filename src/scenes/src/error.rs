use std::path::PathBuf;

/// What can go wrong when scenes are written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScenesError {
    /// A picture size that cannot be rendered.
    #[error(
        "size {width}x{height} is not supported: expected {min} to {max} pixels a side and a shape \
         between 1:2 and 3:1; try 320x240"
    )]
    Size {
        /// Requested width in pixels.
        width: u32,
        /// Requested height in pixels.
        height: u32,
        /// Least side in pixels.
        min: u32,
        /// Greatest side in pixels.
        max: u32,
    },
    /// A number of objects that cannot be placed.
    #[error("{min} to {max} objects are not supported: expected 1 <= min <= max <= {limit}")]
    ObjectCount {
        /// Requested least number.
        min: usize,
        /// Requested greatest number.
        max: usize,
        /// Greatest number supported.
        limit: usize,
    },
    /// A focal length that is not supported.
    #[error("focal length {focal} image widths is not supported: expected {shortest} to {longest}")]
    Focal {
        /// Requested focal length in image widths.
        focal: f32,
        /// Shortest supported.
        shortest: f32,
        /// Longest supported.
        longest: f32,
    },
    /// A caption kind nobody knows.
    #[error("no caption kind is called '{name}': expected {expected}")]
    Kind {
        /// The name given.
        name: String,
        /// The names there are.
        expected: String,
    },
    /// A directory that holds another data set.
    #[error(
        "{path} holds a data set with {found}, but {expected} was asked for: choose an empty \
         directory, or overwrite it (--overwrite)"
    )]
    OtherDataset {
        /// The recipe file found.
        path: PathBuf,
        /// What it says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// A directory with files that no data set of ours has written.
    #[error(
        "{path} exists, and neither `mdetr scenes dataset` nor `mdetr scenes clips` wrote it: choose an empty directory"
    )]
    Foreign {
        /// The file or directory that would be replaced.
        path: PathBuf,
    },
    /// A file or directory that cannot be written or read.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// "create", "write", "read", ...
        action: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A picture that cannot be encoded.
    #[error("cannot encode {path} as PNG: {source}")]
    Png {
        /// Where it was to be written.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
}

impl ScenesError {
    /// Names the action and the path of an I/O error.
    pub(crate) fn io(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> ScenesError {
        let path = path.into();
        move |source| ScenesError::Io {
            action,
            path,
            source,
        }
    }
}
