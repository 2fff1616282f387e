//! H.264 as it comes from a camera, for listeners who decode it themselves.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex};

use gst::prelude::*;

use crate::hub::Hub;
use crate::video::{Codec, CodedPicture};

/// The type of a sequence parameter set among the units of H.264.
const SEQUENCE_PARAMETERS: u8 = 7;

/// Gives the coded pictures of a camera to those who listen.
#[derive(Debug)]
pub(super) struct Tap {
    camera: Arc<str>,
    hub: Arc<Hub>,
    last: Mutex<Option<(gst::Caps, Arc<Codec>)>>,
}

impl Tap {
    /// Of a camera.
    pub(super) fn new(camera: &str, hub: Arc<Hub>) -> Tap {
        Tap {
            camera: camera.into(),
            hub,
            last: Mutex::default(),
        }
    }

    /// Takes what goes through a pad.
    pub(super) fn attach(self, pad: &gst::Pad) {
        pad.add_probe(gst::PadProbeType::BUFFER, move |pad, info| {
            if let (Some(caps), Some(buffer)) = (pad.current_caps(), info.buffer()) {
                self.push(&caps, buffer);
            }
            gst::PadProbeReturn::Ok
        });
    }

    fn push(&self, caps: &gst::Caps, buffer: &gst::Buffer) {
        let key = !buffer.flags().contains(gst::BufferFlags::DELTA_UNIT);
        let Some(pts) = buffer.pts() else {
            return;
        };
        let Ok(data) = buffer.clone().into_mapped_buffer_readable() else {
            return;
        };
        let mut last = self.last.lock().expect("no code panics with the lock");
        let is_known = last.as_ref().is_some_and(|(known, _)| known == caps);
        if !is_known {
            // What others need to decode it has changed with it.
            *last = None;
        }
        if key && !is_known {
            *last = codec(caps, &data).map(|codec| (caps.clone(), Arc::new(codec)));
        }
        let Some((_, codec)) = &*last else {
            return;
        };
        let picture = CodedPicture {
            codec: codec.clone(),
            pts_us: pts.useconds(),
            key,
            data: Box::new(data),
        };
        self.hub.videos.push(&self.camera, picture);
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.hub.videos.end(&self.camera);
    }
}

/// How pictures with these caps are coded, of which the first is a key picture; nothing, if it is not H.264.
fn codec(caps: &gst::Caps, first: &[u8]) -> Option<Codec> {
    let structure = caps.structure(0)?;
    if structure.name() != "video/x-h264" {
        return None;
    }
    match structure.get::<gst::Buffer>("codec_data") {
        Ok(record) => {
            let record = record.map_readable().ok()?;
            Some(Codec {
                codec: name(record.get(1..4)?),
                description: Some(hex(&record)),
            })
        }
        Err(_) => Some(Codec {
            codec: name(sequence_parameters(first)?.get(..3)?),
            description: None,
        }),
    }
}

/// `avc1` with profile, constraints and level.
fn name(profile: &[u8]) -> String {
    format!("avc1.{}", hex(profile))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What stands behind the header of the first sequence parameter set of an access unit in Annex B.
fn sequence_parameters(unit: &[u8]) -> Option<&[u8]> {
    let starts = unit.windows(3).enumerate();
    let mut starts = starts.filter(|(_, window)| *window == [0, 0, 1]);
    starts.find_map(|(at, _)| {
        let (header, body) = unit.get(at + 3..)?.split_first()?;
        (header & 0x1f == SEQUENCE_PARAMETERS).then_some(body)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_profile_is_found() {
        gst::init().unwrap();
        let caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", "byte-stream")
            .build();
        let unit = [0, 0, 0, 1, 9, 0x10, 0, 0, 1, 0x67, 0x64, 0x00, 0x28, 0xac];
        let found = codec(&caps, &unit).unwrap();
        assert_eq!((&*found.codec, found.description), ("avc1.640028", None));
        let record = gst::Buffer::from_slice([1, 0x42, 0xc0, 0x1f, 0xff]);
        let caps = gst::Caps::builder("video/x-h264")
            .field("stream-format", "avc")
            .field("codec_data", record)
            .build();
        let found = codec(&caps, &[]).unwrap();
        assert_eq!(found.codec, "avc1.42c01f");
        assert_eq!(found.description.as_deref(), Some("0142c01fff"));
        let other = gst::Caps::builder("video/x-h265").build();
        assert_eq!(codec(&other, &unit), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(unit in proptest::collection::vec(prop_oneof![0u8..2, any::<u8>()], 0..64)) {
            gst::init().unwrap();
            let caps = gst::Caps::builder("video/x-h264").build();
            let found = codec(&caps, &unit);
            prop_assert!(found.is_none_or(|found| found.codec.len() == 11));
        }
    }
}
