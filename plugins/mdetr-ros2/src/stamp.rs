//! Stamps and coordinate frames of ROS on buffers: reference timestamps that say the frame, too.

use std::time::UNIX_EPOCH;

use mdetr_gst::time;
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::std_msgs::Header;

/// Field of the reference's caps with the coordinate frame.
const FRAME_ID: &str = "frame-id";

/// The caps of references to pictures of a coordinate frame.
pub(crate) fn reference(frame_id: &str) -> gst::Caps {
    gst::Caps::builder("timestamp/x-unix")
        .field(FRAME_ID, frame_id)
        .build()
}

/// Attaches a stamp; none before 1970.
pub(crate) fn attach(buffer: &mut gst::BufferRef, reference: &gst::Caps, stamp: Time) {
    if let Ok(nanos) = u64::try_from(stamp.nanos()) {
        let time = gst::ClockTime::from_nseconds(nanos);
        gst::ReferenceTimestampMeta::add(buffer, reference, time, None);
    }
}

/// The stamp that a reference timestamp gives; its coordinate frame is empty if the reference has none.
pub(crate) fn read(buffer: &gst::BufferRef) -> Option<Header> {
    let (at, caps) = time::reference(buffer)?;
    let nanos = at.duration_since(UNIX_EPOCH).ok()?.as_nanos();
    let frame_id = caps.structure(0).and_then(|s| s.get(FRAME_ID).ok());
    Some(Header {
        stamp: Time::from_nanos(i64::try_from(nanos).ok()?),
        frame_id: frame_id.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_come_back() {
        gst::init().expect("GStreamer is installed");
        for (nanos, frame_id) in [
            (1_790_000_000_123_456_789, "camera"),
            (5, ""),
            (0, "ä, b=c"),
        ] {
            let mut buffer = gst::Buffer::new();
            let writable = buffer.get_mut().expect("the only reference");
            let stamp = Time::from_nanos(nanos);
            attach(writable, &reference(frame_id), stamp);
            let expected = Header {
                stamp,
                frame_id: frame_id.to_owned(),
            };
            assert_eq!(read(&buffer), Some(expected));
            // Whoever asks for times since 1970 finds it.
            let unix = gst::Caps::new_empty_simple("timestamp/x-unix");
            assert!(reference(frame_id).is_subset(&unix));
        }
    }

    #[test]
    fn stamps_before_1970_are_left_out() {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::new();
        let writable = buffer.get_mut().expect("the only reference");
        attach(writable, &reference(""), Time::from_nanos(-1));
        assert_eq!(read(&buffer), None);
    }
}
