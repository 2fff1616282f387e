//! What is wrong with a seen frame.

use std::io;

/// Why a seen frame was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeenError {
    /// The bytes are of something else.
    #[error(
        "not a seen frame: the bytes do not begin with MDETRSEE; give what Seen::to_bytes wrote"
    )]
    NotSeen,
    /// Of another version of the format.
    #[error(
        "seen frame: expected version 1 of the format, found {0}; read it with the version of mdetr that wrote it"
    )]
    Version(u16),
    /// The checksum is not that of the bytes.
    #[error(
        "seen frame: expected CRC-32 {expected:08x}, found {found:08x}; it is damaged, and no other frame is concerned"
    )]
    Damaged {
        /// What was written.
        expected: u32,
        /// Of the bytes found.
        found: u32,
    },
    /// A number cannot be.
    #[error(
        "seen frame: {what}: expected {expected}, found {found}; it is damaged or was not written by mdetr"
    )]
    Value {
        /// Of what.
        what: &'static str,
        /// What is allowed.
        expected: String,
        /// What is there.
        found: String,
    },
    /// A token has a value that the precision cannot hold.
    #[error(
        "seen frame: token {token} has the value {value}, which {precision} cannot hold; {remedy}"
    )]
    Range {
        /// Its number, from 0.
        token: usize,
        /// The value.
        value: f32,
        /// How tokens were to be kept.
        precision: &'static str,
        /// What to do.
        remedy: &'static str,
    },
    /// The tokens cannot be compressed, or what they were compressed to cannot be read.
    #[error("seen frame: zstd: {0}")]
    Compression(#[source] io::Error),
    /// The tokens are of another vision graph.
    #[error(
        "seen frame: it was seen by the vision graph {vision} of the bundle {bundle}, but this is the bundle \
         {expected_bundle} with the vision graph {expected_vision}; ask with the bundle that saw it"
    )]
    OtherBundle {
        /// The bundle that saw it: SHA-256 of the names and hashes of its files.
        bundle: String,
        /// SHA-256 of its vision graph.
        vision: String,
        /// The bundle that was to be asked.
        expected_bundle: String,
        /// SHA-256 of its vision graph.
        expected_vision: String,
    },
}

impl SeenError {
    pub(crate) fn value(
        what: &'static str,
        expected: impl ToString,
        found: impl ToString,
    ) -> SeenError {
        SeenError::Value {
            what,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }
}
