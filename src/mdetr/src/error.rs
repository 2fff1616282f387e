//! What can go wrong: each error names the thing, the place, what was expected and found, and the remedy.

use std::fmt;
use std::io;
use std::path::PathBuf;

use crate::frame::PixelFormat;

/// Anything the library can fail with.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The bundle cannot be used.
    #[error(transparent)]
    Bundle(#[from] BundleError),
    /// A query cannot be used.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A frame cannot be used.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// The engine failed.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A cache directory cannot be used.
    #[error(transparent)]
    Cache(#[from] CacheError),
    /// [`Grounder::give_up`](crate::Grounder::give_up) was called.
    #[error("the texts are not encoded: whoever wanted them gave up")]
    GivenUp,
    /// An option is out of range.
    #[error("option {option}: expected {expected}, found {found}")]
    Option {
        /// Name of the option.
        option: &'static str,
        /// What is allowed.
        expected: &'static str,
        /// What was given.
        found: String,
    },
}

/// Why a bundle was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
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

/// Why a query was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// Empty, over-long, or with control characters.
    #[error("query id {id:?}: expected 1 to {max} characters without control characters")]
    Id {
        /// The id, shortened.
        id: String,
        /// Most characters allowed.
        max: usize,
    },
    /// Two queries of a set have the same id.
    #[error("query id {id:?}: given twice; give each query an id of its own")]
    DuplicateId {
        /// The id.
        id: String,
    },
    /// Nothing but white space and brackets.
    #[error("query {id:?}: the text is empty; say what to look for, such as \"a red cube\"")]
    Empty {
        /// The query's id.
        id: String,
    },
    /// More characters than any sentence has.
    #[error(
        "query {id:?} ({excerpt:?}): {found} characters, expected at most {max}; shorten it or make several queries of it"
    )]
    TooLong {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Most characters allowed.
        max: usize,
        /// Characters found.
        found: usize,
    },
    /// More tokens than the model takes.
    #[error(
        "query {id:?} ({excerpt:?}): {found} tokens, the model takes at most {max}; shorten it or make several queries of it"
    )]
    TooManyTokens {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Most tokens allowed, `<s>` and `</s>` included.
        max: usize,
        /// Tokens found, `<s>` and `</s>` included.
        found: usize,
    },
    /// A control character: a line feed, a tab, a NUL.
    #[error(
        "query {id:?} ({excerpt:?}): control character U+{code:04X} at character {position}; write the query on one line without it"
    )]
    ControlCharacter {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Index in code points, from 0.
        position: usize,
        /// Its code point.
        code: u32,
    },
    /// `[` without `]`, `]` without `[`, or brackets in brackets.
    #[error(
        "query {id:?} ({excerpt:?}): {found} at character {position}; write a target as [words], and a bracket that is part of the text twice: [[ or ]]"
    )]
    Brackets {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Index in code points, from 0.
        position: usize,
        /// What is wrong there.
        found: &'static str,
    },
    /// `[]`, or only white space in brackets.
    #[error(
        "query {id:?} ({excerpt:?}): empty target at character {position}; put the words to report between the brackets"
    )]
    EmptyTarget {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// Index in code points, from 0.
        position: usize,
    },
    /// A threshold is not a probability.
    #[error("query {id:?}: {name}: expected 0 to 1, found {found}")]
    Threshold {
        /// The query's id.
        id: String,
        /// Which threshold.
        name: &'static str,
        /// What was given.
        found: f32,
    },
    /// The tokenizer cannot encode the text.
    #[error("query {id:?} ({excerpt:?}): the tokenizer refuses it: {message}")]
    Tokenizer {
        /// The query's id.
        id: String,
        /// How the text starts.
        excerpt: String,
        /// What the tokenizer library said.
        message: String,
    },
}

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

/// Why the engine failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The engine cannot be used here.
    #[error("{engine} is not available: {message}")]
    Unavailable {
        /// The engine.
        engine: &'static str,
        /// Why, and what to do.
        message: String,
    },
    /// The engine cannot read the graph.
    #[error(
        "{engine} cannot load {graph}: {message}; try another engine or export the bundle again"
    )]
    Load {
        /// The engine.
        engine: &'static str,
        /// The graph's file.
        graph: String,
        /// What the engine said.
        message: String,
    },
    /// The engine cannot make a plan.
    #[error(
        "{engine} cannot prepare {graph} for {shapes}: {message}; try another frame size or engine"
    )]
    Plan {
        /// The engine.
        engine: &'static str,
        /// The graph's file.
        graph: String,
        /// Input names and shapes.
        shapes: String,
        /// What the engine said.
        message: String,
    },
    /// A plan does not run.
    #[error("{engine} failed in {graph} with {shapes}: {message}")]
    Run {
        /// The engine.
        engine: &'static str,
        /// The graph's file.
        graph: String,
        /// Input names and shapes.
        shapes: String,
        /// What the engine said.
        message: String,
    },
    /// A graph gives something else than its manifest says.
    #[error(
        "{graph}: output {output}: expected shape {expected:?}, found {found:?}; model.toml and the graph do not belong together: export the bundle again"
    )]
    OutputShape {
        /// The graph's file.
        graph: String,
        /// Name of the output.
        output: &'static str,
        /// By the manifest.
        expected: Vec<usize>,
        /// By the graph.
        found: Vec<usize>,
    },
}

/// Why a directory of text encodings or plans cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be made.
    #[error("cache directory {}: cannot be created: {source}; choose another directory or leave the option out", dir.display())]
    Create {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It cannot be written to.
    #[error("cache directory {}: cannot be written: {source}; make it writable, choose another directory or leave the option out", dir.display())]
    Write {
        /// The directory.
        dir: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}
