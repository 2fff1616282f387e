//! The option with a key.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use mdetr_past::Key;

/// What frames are encrypted with.
#[derive(Debug, Args)]
pub(super) struct KeyArgs {
    /// File with the key that frames are encrypted with: 32 bytes or 64 hexadecimal digits, which nobody but its owner may read.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl KeyArgs {
    pub(super) fn read(&self) -> Result<Option<Key>> {
        Ok(self.key.as_deref().map(Key::read).transpose()?)
    }
}
