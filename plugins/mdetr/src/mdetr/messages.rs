//! Messages that the element posts, and its debug category.

use std::sync::{LazyLock, Mutex, PoisonError};
use std::time::{Duration, Instant};

use gst::prelude::*;
use mdetr::{Grounder, SpeedChoice};
use mdetr_gst::element;

use super::stats::Counters;

pub(super) static CAT: LazyLock<gst::DebugCategory> =
    LazyLock::new(|| element::debug_category("mdetr", "Text-conditioned grounding"));

/// Code of the progress messages.
const PROGRESS: &str = "mdetr-start";
/// Name of the element message about the standing queries.
const QUERIES: &str = "mdetr-queries";
/// Name of the element message about the chosen size of frames.
const SHORT_SIDE: &str = "mdetr-short-side";
/// Shortest time between two QoS messages about skipped inferences.
const QOS_PERIOD: Duration = Duration::from_secs(1);

/// Posts a message; without a bus it is dropped, as nobody listens.
fn post(element: &gst::Element, message: gst::Message) {
    let _ = element.post_message(message);
}

pub(super) fn post_progress(element: &gst::Element, kind: gst::ProgressType, text: &str) {
    let message = gst::message::Progress::builder(kind, PROGRESS, text);
    post(element, message.src(element).build());
}

/// The element message `mdetr-queries`: revision and ids of the standing queries.
pub(super) fn post_queries(element: &gst::Element, grounder: &Grounder) {
    let standing = grounder.queries();
    let ids = gst::Array::new(standing.queries().iter().map(|query| query.id()));
    let structure = gst::Structure::builder(QUERIES)
        .field("revision", standing.revision())
        .field("ids", ids)
        .build();
    post_structure(element, structure);
}

/// The element message `mdetr-short-side`: what was chosen for `target-fps`; and a warning if that is too much.
pub(super) fn post_short_side(element: &gst::Element, choice: &SpeedChoice, target: f64) {
    let SpeedChoice {
        short_side,
        frames_per_second: measured,
        is_reached,
        ..
    } = *choice;
    let structure = gst::Structure::builder(SHORT_SIDE)
        .field("short-side", short_side)
        .field("frames-per-second", measured)
        .field("target-fps", target)
        .build();
    post_structure(element, structure);
    if !is_reached {
        gst::element_warning!(
            element,
            gst::LibraryError::Settings,
            ("target-fps={target}: expected {target} frames/s, found {measured:.2} with short-side={short_side}, the \
                 least that is tried; take fewer queries, a smaller model or another engine")
        );
    }
}

/// An element message with this content.
pub(super) fn post_structure(element: &gst::Element, structure: gst::Structure) {
    let message = gst::message::Element::builder(structure);
    post(element, message.src(element).build());
}

/// The latency is another than before.
pub(super) fn post_latency(element: &gst::Element) {
    post(
        element,
        gst::message::Latency::builder().src(element).build(),
    );
}

/// An error of an inference, as the element's error; gives what its pad functions return.
pub(super) fn post_failure(element: &gst::Element, failure: &str) -> gst::FlowError {
    gst::element_error!(
        element,
        gst::LibraryError::Failed,
        ("inference failed: {failure}")
    );
    gst::FlowError::Error
}

/// A warning that new queries cannot be used.
pub(super) fn warn_queries(element: &gst::Element, error: &str) {
    gst::element_warning!(
        element,
        gst::LibraryError::Settings,
        ("{error}. The queries of before stay")
    );
}

/// A warning that the hardware does not scale frames, and why.
pub(super) fn warn_whole_frames(element: &gst::Element, why: &str) {
    gst::element_warning!(
        element,
        gst::ResourceError::Failed,
        ("memory:NVMM: frames are read whole and scaled by the CPU, which takes longer: {why}")
    );
}

/// Limits the rate of QoS messages.
#[derive(Debug, Default)]
pub(super) struct QosLimit {
    last: Mutex<Option<Instant>>,
}

impl QosLimit {
    /// Whether a message may be posted now; the next may be a while later.
    pub fn allows(&self) -> bool {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.is_some_and(|last| last.elapsed() < QOS_PERIOD) {
            return false;
        }
        *last = Some(Instant::now());
        true
    }
}

/// Says that the inference of a frame was skipped.
pub(super) fn post_qos(
    element: &gst::Element,
    segment: Option<&gst::FormattedSegment<gst::ClockTime>>,
    buffer: &gst::BufferRef,
    counters: &Counters,
) {
    let time = |convert: fn(&gst::FormattedSegment<gst::ClockTime>, gst::ClockTime) -> _| {
        let (segment, pts) = segment.zip(buffer.pts())?;
        convert(segment, pts)
    };
    let message = gst::message::Qos::builder(true)
        .running_time(time(|segment, pts| segment.to_running_time(pts)))
        .stream_time(time(|segment, pts| segment.to_stream_time(pts)))
        .timestamp(buffer.pts())
        .duration(buffer.duration())
        .stats(
            gst::format::Buffers::from_u64(counters.inferred_frames()),
            gst::format::Buffers::from_u64(counters.skipped),
        );
    post(element, message.src(element).build());
}
