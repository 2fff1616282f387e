//! `mdetr see` and `mdetr past`: frames are kept as the model sees them, and asked later.

mod ask;
mod key;
mod see;
mod time;

pub use ask::PastArgs;
pub use see::SeeArgs;
