//! Wall-clock time of frames.

use std::time::{Duration, SystemTime};

use gst::prelude::*;

/// Seconds from the NTP epoch (1900) to the Unix epoch (1970), RFC 5905.
const NTP_TO_UNIX: Duration = Duration::from_secs(2_208_988_800);

/// The time a reference timestamp on the buffer gives: `timestamp/x-unix` or `timestamp/x-ntp`.
pub fn referenced(buffer: &gst::BufferRef) -> Option<SystemTime> {
    reference(buffer).map(|(time, _)| time)
}

/// As [`referenced`], with the caps of the reference, whose further fields say who gave the time.
pub fn reference(buffer: &gst::BufferRef) -> Option<(SystemTime, gst::Caps)> {
    buffer
        .iter_meta::<gst::ReferenceTimestampMeta>()
        .find_map(|meta| {
            let since_epoch = Duration::from_nanos(meta.timestamp().nseconds());
            let time = match meta.reference().structure(0)?.name().as_str() {
                "timestamp/x-unix" => SystemTime::UNIX_EPOCH + since_epoch,
                "timestamp/x-ntp" => {
                    SystemTime::UNIX_EPOCH + since_epoch.checked_sub(NTP_TO_UNIX)?
                }
                _ => return None,
            };
            Some((time, meta.reference_owned()))
        })
}

/// The time at which a live frame was captured: now, less the time passed on the element's clock since
/// the frame's running time.
pub fn captured(
    element: &impl IsA<gst::Element>,
    running_time: gst::ClockTime,
) -> Option<SystemTime> {
    let element = element.as_ref();
    let passed = element.current_running_time()?;
    let now = SystemTime::now();
    match passed.checked_sub(running_time) {
        Some(age) => now.checked_sub(Duration::from_nanos(age.nseconds())),
        None => now.checked_add(Duration::from_nanos((running_time - passed).nseconds())),
    }
}

/// When a frame was taken: what a reference timestamp says, else what the element's clock says, else now.
pub fn utc(
    buffer: &gst::BufferRef,
    element: &impl IsA<gst::Element>,
    running_time: gst::ClockTime,
) -> SystemTime {
    referenced(buffer)
        .or_else(|| captured(element, running_time))
        .unwrap_or_else(SystemTime::now)
}

/// Whether what comes through a sink pad is captured while it plays.
pub fn is_live(sinkpad: &gst::Pad) -> bool {
    let mut query = gst::query::Latency::new();
    sinkpad.peer_query(&mut query) && query.result().0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamped(caps: &str, seconds: u64) -> gst::Buffer {
        gst::init().expect("GStreamer is installed");
        let mut buffer = gst::Buffer::new();
        gst::ReferenceTimestampMeta::add(
            buffer.get_mut().expect("the only reference"),
            &caps.parse().expect("caps"),
            gst::ClockTime::from_seconds(seconds),
            None,
        );
        buffer
    }

    #[test]
    fn unix_and_ntp_references_are_read() {
        let expected = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let unix = stamped("timestamp/x-unix", 1_700_000_000);
        assert_eq!(referenced(&unix), Some(expected));
        let ntp = stamped("timestamp/x-ntp", 1_700_000_000 + 2_208_988_800);
        assert_eq!(referenced(&ntp), Some(expected));
    }

    #[test]
    fn other_references_are_not() {
        assert_eq!(referenced(&stamped("timestamp/x-ntp", 5)), None);
        assert_eq!(referenced(&stamped("timestamp/x-ptp", 5)), None);
        assert_eq!(referenced(&gst::Buffer::new()), None);
    }
}
