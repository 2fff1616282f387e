//! What is made and checked for a frame size before anything runs.

use std::sync::Arc;

use super::memory::{self, Footprint};
use super::network::{MOST_OBJECTS, SizePlan};
use super::{Grounder, GrounderOptions};
use crate::error::Error;
use crate::frame::FrameError;
use mdetr_engine::locked;

/// What is known of a frame size.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// Width and height of the frame.
    pub frame: (u32, u32),
    pub plan: Arc<SizePlan>,
    /// Bytes that a frame takes and that all may take at once, if it is much.
    pub memory: Option<(u64, u64)>,
}

impl Grounder {
    /// The plan of the latest size is held here, so that other grounders' sizes do not displace it.
    pub(super) fn prepared(&self, frame: (u32, u32)) -> Result<Prepared, Error> {
        let held = locked(&self.size).clone();
        if let Some(held) = held.filter(|held| held.frame == frame) {
            return Ok(held);
        }
        let input = self.policy.target(frame.0, frame.1);
        let memory = self.memory(frame, input)?;
        let plan = self.model.network.size_plan(input)?;
        let prepared = Prepared {
            frame,
            plan,
            memory,
        };
        *locked(&self.size) = Some(prepared.clone());
        Ok(prepared)
    }

    pub(super) fn footprint(&self, frame: (u32, u32), input: (u32, u32)) -> Footprint {
        let objects = if self.draws_masks() { MOST_OBJECTS } else { 0 };
        Footprint::new(&self.manifest().network, frame, input, objects)
    }

    /// Bytes that the network takes if it is fed `input` of a frame, and that it may take; none if that
    /// is little.
    ///
    /// # Errors
    /// It would take more than it may.
    fn memory(
        &self,
        frame: (u32, u32),
        input: (u32, u32),
    ) -> Result<Option<(u64, u64)>, FrameError> {
        let footprint = self.footprint(frame, input);
        let needed = footprint.peak(self.texts_at_once());
        let limit = match self.memory_limit {
            Some(limit) => limit,
            None if needed <= GrounderOptions::SMALL_MEMORY => return Ok(None),
            // What other frames take comes back.
            None => memory::available()
                .map_or(GrounderOptions::UNKNOWN_MEMORY, |free| {
                    free + memory::BUDGET.taken()
                })
                .max(GrounderOptions::SMALL_MEMORY),
        };
        if needed <= limit {
            return Ok(Some((needed, limit)));
        }
        Err(FrameError::Memory {
            width: frame.0,
            height: frame.1,
            input,
            tokens: footprint.tokens,
            needed,
            limit,
        })
    }
}
