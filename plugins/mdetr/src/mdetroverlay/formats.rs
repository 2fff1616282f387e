//! What GStreamer can blend into.

use std::sync::LazyLock;

use gst_video::{VIDEO_FORMATS_ALL, VideoCapsBuilder, VideoFormat, VideoFormatInfo};

/// Formats whose rows GStreamer packs rightly for even widths only: of an odd width, the last pixel of UYVP
/// goes beyond the row (1.20 to 1.28), that of the others changes although nothing is drawn on it (1.26).
const EVEN_WIDTH: [&str; 3] = ["UYVP", "MT2110R", "MT2110T"];

/// Formats that `gst_video_overlay_composition_blend` of the installed GStreamer takes.
///
/// It unpacks a row to 8 or 16 bits per component, blends, and packs the row again. Those of 8 bits come
/// first, as a source that can make all of them takes the first; else the order is GStreamer's.
static BLENDABLE: LazyLock<Vec<VideoFormat>> = LazyLock::new(|| {
    let formats = VIDEO_FORMATS_ALL.iter().copied();
    let mut formats: Vec<_> = formats.filter(|&format| blends(format)).collect();
    formats.sort_by_key(|&format| depth(format));
    formats
});

/// Frames that can be blended into.
pub(super) fn blendable() -> gst::Caps {
    let (pairs, formats): (Vec<_>, Vec<_>) = BLENDABLE
        .iter()
        .partition(|format| EVEN_WIDTH.contains(&format.to_str().as_str()));
    let mut caps = VideoCapsBuilder::new().format_list(formats).build();
    let mut even = VideoCapsBuilder::new().format_list(pairs).build();
    let widths = gst::IntRange::with_step(2, i32::MAX - 1, 2);
    even.make_mut().set("width", widths);
    caps.merge(even);
    caps
}

fn blends(format: VideoFormat) -> bool {
    // Packing a row puts GStreamer's own palette into the frame, whose other rows then change colour.
    matches!(depth(format), 8 | 16) && !VideoFormatInfo::from_format(format).has_palette()
}

/// Bits of a component of an unpacked row.
pub(super) fn depth(format: VideoFormat) -> u32 {
    let info = VideoFormatInfo::from_format(format);
    VideoFormatInfo::from_format(info.unpack_format()).bits()
}
