//! What the workers of a session do.

use std::collections::VecDeque;
use std::sync::Arc;

use gst_video::VideoInfo;

use super::frames::FrameTime;

#[derive(Debug)]
pub(super) enum Job {
    /// Makes plans for frames of this width and height.
    Prepare(u32, u32),
    Infer(InputFrame),
}

/// A frame that is inferred.
#[derive(Debug)]
pub(super) struct InputFrame {
    pub buffer: gst::Buffer,
    pub info: Arc<VideoInfo>,
    pub time: FrameTime,
    pub epoch: u64,
    /// Place in the queue of mode every-frame.
    pub place: Option<u64>,
}

/// Jobs in the order in which they are begun.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    running: usize,
}

impl Jobs {
    pub fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Takes the first job, unless none waits; [`end`](Self::end) must follow.
    pub fn begin(&mut self) -> Option<Job> {
        let job = self.waiting.pop_front()?;
        self.running += 1;
        Some(job)
    }

    pub fn end(&mut self) {
        self.running -= 1;
    }

    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// Jobs that wait or are being done.
    pub fn unfinished(&self) -> usize {
        self.waiting.len() + self.running
    }

    pub fn has_frame(&self) -> bool {
        self.waiting.iter().any(is_frame)
    }

    /// Takes out the frame that has waited longest.
    pub fn remove_oldest_frame(&mut self) -> Option<Job> {
        let oldest = self.waiting.iter().position(is_frame)?;
        self.waiting.remove(oldest)
    }

    /// Takes out all frames that wait.
    pub fn remove_frames(&mut self) {
        self.waiting.retain(|job| !is_frame(job));
    }

    pub fn clear(&mut self) {
        self.waiting.clear();
    }
}

fn is_frame(job: &Job) -> bool {
    matches!(job, Job::Infer(_))
}
