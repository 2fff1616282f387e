//! Frames that are seen once and asked later.

use mdetr_engine::Data;

use super::network::Features;
use crate::seen::{Identity, SeenError, TokenPrecision, encode};

/// A frame as the network has seen it: it can be asked any number of times, by any query, on any thread.
#[derive(Debug)]
pub struct Seen {
    /// Width and height of the frame.
    pub(super) frame: (u32, u32),
    pub(super) by: Identity,
    pub(super) features: Features,
}

impl Seen {
    /// Width and height of the frame that was seen.
    pub fn frame_size(&self) -> (u32, u32) {
        self.frame
    }

    /// The tokens as bytes, as [`crate::seen`] describes them. What masks are drawn of is left out.
    ///
    /// # Errors
    /// A value is too large for the precision or not finite.
    pub fn to_bytes(&self, precision: TokenPrecision) -> Result<Vec<u8>, SeenError> {
        let Features { grid, tokens, .. } = &self.features;
        let Data::Host(values) = &tokens.data else {
            unreachable!("what is seen to be kept is brought to the host")
        };
        encode(
            self.frame, grid.size, grid.cells, precision, self.by, values,
        )
    }
}
