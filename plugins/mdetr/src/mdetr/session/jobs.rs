//! What the workers of a session do.

use std::collections::VecDeque;
use std::sync::Arc;

use mdetr::Past;

use super::frames::FrameTime;
use crate::frame::Layout;

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
    pub info: Arc<Layout>,
    pub time: FrameTime,
    pub epoch: u64,
    pub past: Arc<Past>,
    /// Place in the queue of mode every-frame.
    pub place: Option<u64>,
}

/// Jobs in the order in which they are begun.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    waiting: VecDeque<Job>,
    running: usize,
    /// Nothing is begun beside a preparation.
    pub alone: bool,
    preparing: bool,
}

impl Jobs {
    pub fn push(&mut self, job: Job) {
        self.waiting.push_back(job);
    }

    /// Takes the first job, unless none waits or another has to end first; [`end`](Self::end) or
    /// [`end_preparation`](Self::end_preparation) must follow.
    pub fn begin(&mut self) -> Option<Job> {
        if self.preparing {
            return None;
        }
        let job = self.waiting.pop_front()?;
        self.running += 1;
        self.preparing = self.alone && matches!(job, Job::Prepare(..));
        Some(job)
    }

    pub fn end(&mut self) {
        self.running -= 1;
    }

    /// A preparation ended. How many jobs wait, which may have been refused meanwhile.
    pub fn end_preparation(&mut self) -> usize {
        self.end();
        match std::mem::take(&mut self.preparing) {
            true => self.waiting.len(),
            false => 0,
        }
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

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use gst_video::{VideoFormat, VideoInfo};

    use super::*;

    fn frame(index: u64) -> Job {
        let info = VideoInfo::builder(VideoFormat::Rgb, 64, 48).build();
        Job::Infer(InputFrame {
            buffer: gst::Buffer::new(),
            info: Arc::new(info.expect("a valid size").into()),
            time: FrameTime {
                index,
                running: None,
                stream: None,
                arrived: Instant::now(),
            },
            past: Arc::default(),
            epoch: 0,
            place: None,
        })
    }

    /// The number of a frame.
    fn index(job: Option<Job>) -> Option<u64> {
        match job {
            Some(Job::Infer(frame)) => Some(frame.time.index),
            _ => None,
        }
    }

    #[test]
    fn nothing_begins_beside_a_preparation_that_is_to_be_alone() {
        gst::init().expect("GStreamer is installed");
        let mut jobs = Jobs {
            alone: true,
            ..Jobs::default()
        };
        jobs.push(frame(0));
        jobs.push(Job::Prepare(64, 48));
        jobs.push(frame(1));
        jobs.push(frame(2));
        assert_eq!(index(jobs.begin()), Some(0));
        assert!(matches!(jobs.begin(), Some(Job::Prepare(64, 48))));
        assert!(jobs.begin().is_none());
        jobs.end();
        assert!(jobs.begin().is_none());
        assert_eq!(jobs.end_preparation(), 2);
        assert_eq!(index(jobs.begin()), Some(1));
        assert_eq!(index(jobs.begin()), Some(2));
    }

    #[test]
    fn the_oldest_frame_is_removed_first_and_preparations_stay() {
        gst::init().expect("GStreamer is installed");
        let mut jobs = Jobs::default();
        jobs.push(Job::Prepare(64, 48));
        for number in 0..3 {
            jobs.push(frame(number));
        }
        assert_eq!(index(jobs.remove_oldest_frame()), Some(0));
        assert!(matches!(jobs.begin(), Some(Job::Prepare(64, 48))));
        assert_eq!(index(jobs.begin()), Some(1));
        assert_eq!((jobs.waiting(), jobs.unfinished()), (1, 3));
        jobs.push(Job::Prepare(32, 24));
        jobs.remove_frames();
        assert!(!jobs.has_frame());
        jobs.end();
        assert_eq!((jobs.waiting(), jobs.unfinished()), (1, 2));
        assert!(matches!(jobs.begin(), Some(Job::Prepare(32, 24))));
        assert!(jobs.begin().is_none());
    }
}
