//! What is made and checked for a frame size before anything runs.

use std::sync::{Arc, Mutex};

use mdetr_engine::locked;

use super::memory;
use super::model::Model;
use super::network::SizePlan;
use super::options::GrounderOptions;
use crate::error::Error;
use crate::frame::{FrameError, InputPolicy};

/// What is known of a frame size.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    /// Width and height of the frame.
    pub frame: (u32, u32),
    pub plan: Arc<SizePlan>,
    /// Bytes that a frame takes and that all may take at once, if it is much.
    pub memory: Option<(u64, u64)>,
}

/// How frames of a grounder are scaled, and what was made for the latest size. It is held here so that other
/// grounders' sizes do not displace it.
#[derive(Debug)]
pub(super) struct Sizes {
    /// The policy to begin with.
    pub own: InputPolicy,
    memory_limit: Option<u64>,
    current: Mutex<Current>,
}

#[derive(Debug)]
struct Current {
    policy: InputPolicy,
    /// Made by this policy.
    latest: Option<Prepared>,
}

impl Sizes {
    pub(super) fn new(policy: InputPolicy, memory_limit: Option<u64>) -> Sizes {
        let latest = None;
        Sizes {
            own: policy,
            memory_limit,
            current: Mutex::new(Current { policy, latest }),
        }
    }

    /// The same limit on memory, with another policy.
    pub(super) fn with_policy(&self, policy: InputPolicy) -> Sizes {
        Sizes::new(policy, self.memory_limit)
    }

    /// How frames are scaled from now on.
    pub(super) fn set_policy(&self, policy: InputPolicy) {
        let latest = None;
        *locked(&self.current) = Current { policy, latest };
    }

    /// Width and height of the latest frame.
    pub(super) fn latest(&self) -> Option<(u32, u32)> {
        let current = locked(&self.current);
        current.latest.as_ref().map(|size| size.frame)
    }

    /// What is known of frames of this size; `masks`: masks are drawn.
    pub(super) fn prepared(
        &self,
        model: &Model,
        frame: (u32, u32),
        masks: bool,
    ) -> Result<Prepared, Error> {
        let policy = {
            let current = locked(&self.current);
            let held = current.latest.as_ref();
            if let Some(held) = held.filter(|held| held.frame == frame) {
                return Ok(held.clone());
            }
            current.policy
        };
        let input = policy.target(frame.0, frame.1);
        let memory = self.memory(model, frame, input, masks)?;
        let prepared = Prepared {
            frame,
            plan: model.network.size_plan(input)?,
            memory,
        };
        let mut current = locked(&self.current);
        if current.policy == policy {
            current.latest = Some(prepared.clone());
        }
        drop(current);
        Ok(prepared)
    }

    /// Bytes that the network takes if it is fed `input` of a frame, and that it may take; none if that
    /// is little. For the latest size it is what was found when that was new.
    ///
    /// # Errors
    /// It would take more than it may.
    pub(super) fn memory_of(
        &self,
        model: &Model,
        frame: (u32, u32),
        input: (u32, u32),
        masks: bool,
    ) -> Result<Option<(u64, u64)>, FrameError> {
        let current = locked(&self.current);
        let held = current.latest.as_ref();
        match held.filter(|held| held.frame == frame && held.plan.grid.size == input) {
            Some(held) => Ok(held.memory),
            None => {
                drop(current);
                self.memory(model, frame, input, masks)
            }
        }
    }

    fn memory(
        &self,
        model: &Model,
        frame: (u32, u32),
        input: (u32, u32),
        masks: bool,
    ) -> Result<Option<(u64, u64)>, FrameError> {
        let footprint = model.footprint(frame, input, masks);
        let needed = footprint.peak(model.texts_at_once());
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
