//! `mdetr see` and `mdetr past`: frames are kept as the model sees them, and asked later.

mod ask;
mod see;
mod time;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use mdetr_past::Key;

pub use ask::PastArgs;
pub use see::SeeArgs;

/// What frames are encrypted with.
#[derive(Debug, Args)]
struct KeyArgs {
    /// File with the key that frames are encrypted with: 32 bytes or 64 hexadecimal digits, which nobody but its owner may read.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

impl KeyArgs {
    fn read(&self) -> Result<Option<Key>> {
        Ok(self.key.as_deref().map(Key::read).transpose()?)
    }
}
