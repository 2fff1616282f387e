//! What upstream and downstream have said of the stream.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mdetr::Past;

use super::frames::FrameTime;
use crate::frame::Layout;

#[derive(Debug)]
pub(super) struct Stream {
    pub info: Option<Arc<Layout>>,
    pub segment: gst::FormattedSegment<gst::ClockTime>,
    pub flushing: bool,
    /// What is remembered of it; another one after each break.
    pub past: Arc<Past>,
    /// What downstream answered last.
    pub flow: Result<(), gst::FlowError>,
    /// Rises when frames in flight become void.
    pub epoch: u64,
    /// Frames that came in.
    arrived: u64,
}

impl Default for Stream {
    fn default() -> Stream {
        Stream {
            info: None,
            segment: gst::FormattedSegment::new(),
            flushing: false,
            past: Arc::default(),
            flow: Ok(()),
            epoch: 0,
            arrived: 0,
        }
    }
}

impl Stream {
    /// Counts a frame.
    pub fn arrive(&mut self, buffer: &gst::BufferRef, now: Instant) -> FrameTime {
        let index = self.arrived;
        self.arrived += 1;
        let stream = buffer
            .pts()
            .and_then(|pts| self.segment.to_stream_time(pts));
        FrameTime {
            index,
            running: buffer
                .pts()
                .and_then(|pts| self.segment.to_running_time_full(pts)),
            stream: stream.map(Duration::from),
            arrived: now,
        }
    }
}
