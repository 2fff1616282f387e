//! Frames that are seen once and asked later.

use mdetr_engine::Data;
use mdetr_grounding::QueryResult;

use super::network::Features;
use super::positions::grid;
use super::{Encoded, Grounder};
use crate::decode::RawOutputs;
use crate::error::Error;
use crate::frame::Frame;
use crate::seen::{Identity, SeenError, TokenPrecision, decode, encode};

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

impl Grounder {
    /// Sees a frame once, to be asked later. Standing queries are not concerned.
    ///
    /// # Errors
    /// As [`ground`](Self::ground).
    pub fn see(&self, frame: &Frame) -> Result<Seen, Error> {
        self.run().see(frame, true)
    }

    /// Answers encoded queries for a frame that was seen, as [`ground_encoded`](Self::ground_encoded) does for
    /// one that is there. One that was stored has no masks.
    ///
    /// # Errors
    /// Another vision graph saw it, the network would take too much memory, or the engine fails.
    pub fn ask(
        &self,
        seen: &Seen,
        asked: &Encoded,
    ) -> Result<Vec<(QueryResult, RawOutputs)>, Error> {
        self.model.identity.check(&seen.by)?;
        self.run().ask(seen, asked)
    }

    /// A frame that [`Seen::to_bytes`] wrote.
    ///
    /// # Errors
    /// The bytes are damaged, or those of a frame that another vision graph saw.
    pub fn restore(&self, bytes: &[u8]) -> Result<Seen, Error> {
        let header = crate::seen::SeenHeader::read(bytes)?;
        self.model.identity.check(&header.by)?;
        let sizes = &self.manifest().network;
        let (rows, columns) = grid(header.input, sizes.stride);
        let expected = (rows, columns, sizes.d_model);
        let found = (
            header.rows as usize,
            header.columns as usize,
            header.d as usize,
        );
        if expected != found {
            let text = |(rows, columns, d)| format!("{rows} x {columns} of {d}");
            return Err(SeenError::value("tokens", text(expected), text(found)).into());
        }
        let (header, values) = decode(bytes)?;
        Ok(Seen {
            frame: header.frame_size(),
            by: header.by,
            features: self.model.network.features(header.input, values),
        })
    }
}
