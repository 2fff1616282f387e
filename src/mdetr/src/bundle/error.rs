//! What is wrong with a bundle.

use std::io;
use std::path::PathBuf;

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// There is neither a directory nor a model of this name.
    #[error(
        "no model is named {name}: {}; fetch it with `mdetr pull {name}`, or give the directory that holds model.toml",
        there_are(known)
    )]
    UnknownModel {
        /// What was given.
        name: String,
        /// Names of the models that there are.
        known: Vec<String>,
    },
    /// There is no such directory, or it is none.
    #[error("bundle {}: not a directory; give the directory that holds model.toml", dir.display())]
    NotADirectory {
        /// What was given.
        dir: PathBuf,
    },
    /// The manifest or a file that it lists is not there.
    #[error("bundle file {}: missing; copy the whole bundle again, or export it again", path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error("bundle file {}: cannot be read: {source}; check its permissions and the disk", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is larger than any such file should be.
    #[error("bundle file {}: {found} bytes, expected at most {limit}; this is not a file of a bundle", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Most bytes allowed.
        limit: u64,
        /// Bytes found.
        found: u64,
    },
    /// `model.toml` is not a manifest.
    #[error("bundle file {}: not a manifest: {message}", path.display())]
    Manifest {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the line.
        message: String,
    },
    /// `answers.json` does not hold words by head.
    #[error(
        "bundle file {}: not lists of answers by head: {message}; export the bundle again",
        path.display()
    )]
    Answers {
        /// The file.
        path: PathBuf,
        /// What the parser said, with the line.
        message: String,
    },
    /// A value of `model.toml` cannot be.
    #[error("bundle file {}: {key}: expected {expected}, found {found}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// The key, with its table.
        key: String,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A file differs in length from what the manifest says.
    #[error("bundle file {}: expected {expected} bytes (model.toml), found {found}; the file is cut short or of another version: copy the bundle again", path.display())]
    Size {
        /// The file.
        path: PathBuf,
        /// Bytes in the manifest.
        expected: u64,
        /// Bytes found.
        found: u64,
    },
    /// A file differs in content from what the manifest says.
    #[error("bundle file {}: expected sha256 {expected} (model.toml), found {found}; the file is damaged or of another version: copy the bundle again", path.display())]
    Hash {
        /// The file.
        path: PathBuf,
        /// SHA-256 in the manifest, hexadecimal.
        expected: String,
        /// SHA-256 of the file, hexadecimal.
        found: String,
    },
    /// A file is not an ONNX graph.
    #[error("bundle file {}: not an ONNX graph: {message}; export the bundle again", path.display())]
    Onnx {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
    /// A graph lacks an input or output, or has one too many, or one of another kind.
    #[error("bundle file {}: {tensor}: expected {expected}, found {found}; export the bundle with the exporter of this version", path.display())]
    Interface {
        /// The file.
        path: PathBuf,
        /// `input NAME` or `output NAME`.
        tensor: String,
        /// Type and shape, or `nothing`.
        expected: String,
        /// Type and shape, or `nothing`.
        found: String,
    },
    /// A file is not a tokenizer.
    #[error("bundle file {}: not a tokenizer: {message}; export the bundle again", path.display())]
    Tokenizer {
        /// The file.
        path: PathBuf,
        /// What the tokenizer library said.
        message: String,
    },
}

fn there_are(known: &[String]) -> String {
    match known {
        [] => "there is none yet".to_owned(),
        [only] => format!("there is {only}"),
        several => format!("there are {}", several.join(", ")),
    }
}
