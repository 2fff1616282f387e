//! What caps say of frames: how their pixels lie, and in which memory.

use std::ops::Deref;

use gst_video::{VideoCapsBuilder, VideoFormat, VideoInfo};

/// Formats the library reads.
pub(super) const FORMATS: [VideoFormat; 14] = [
    VideoFormat::Rgb,
    VideoFormat::Bgr,
    VideoFormat::Rgbx,
    VideoFormat::Bgrx,
    VideoFormat::Xrgb,
    VideoFormat::Xbgr,
    VideoFormat::Rgba,
    VideoFormat::Bgra,
    VideoFormat::Argb,
    VideoFormat::Abgr,
    VideoFormat::Gray8,
    VideoFormat::Nv12,
    VideoFormat::I420,
    VideoFormat::Yuy2,
];

/// Those of them that surfaces of a Jetson have.
const NVMM_FORMATS: [VideoFormat; 5] = [
    VideoFormat::Nv12,
    VideoFormat::Rgba,
    VideoFormat::I420,
    VideoFormat::Bgrx,
    VideoFormat::Gray8,
];

/// Linear formats of the kernel, as GStreamer 1.24 and later names them, and which they are.
const DRM_FORMATS: [(&str, VideoFormat); 10] = [
    ("NV12", VideoFormat::Nv12),
    ("YU12", VideoFormat::I420),
    ("YUYV", VideoFormat::Yuy2),
    ("XR24", VideoFormat::Bgrx),
    ("AR24", VideoFormat::Bgra),
    ("XB24", VideoFormat::Rgbx),
    ("AB24", VideoFormat::Rgba),
    ("RG24", VideoFormat::Bgr),
    ("BG24", VideoFormat::Rgb),
    ("R8  ", VideoFormat::Gray8),
];
const DMA_DRM: &str = "DMA_DRM";

const DMABUF: &str = "memory:DMABuf";
const CUDA: &str = "memory:CUDAMemory";
const NVMM: &str = "memory:NVMM";

/// Frames that the library reads. What the CPU reads at once stands first, for those who can give several.
pub(crate) fn caps() -> gst::Caps {
    let sides = 1..=mdetr::frame::MAX_SIDE as i32;
    let of = |feature: Option<&str>, formats: &[VideoFormat]| {
        let builder = VideoCapsBuilder::new()
            .format_list(formats.iter().copied())
            .width_range(sides.clone())
            .height_range(sides.clone());
        match feature {
            Some(feature) => builder.features([feature]).build(),
            None => builder.build(),
        }
    };
    let mut caps = of(None, &FORMATS);
    let drm = DRM_FORMATS.map(|(name, _)| name);
    let mut opaque = of(Some(DMABUF), &FORMATS);
    for structure in opaque.make_mut().iter_mut() {
        structure.set("format", DMA_DRM);
        structure.set("drm-format", gst::List::new(drm));
    }
    let further = caps.make_mut();
    further.append(of(Some(DMABUF), &FORMATS));
    further.append(opaque);
    further.append(of(Some(CUDA), &FORMATS));
    further.append(of(Some(NVMM), &NVMM_FORMATS));
    caps
}

/// Where pixels lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Memory {
    /// In what GStreamer maps for the CPU: its own memory, that of a device behind a DMABuf, or that of a GPU, which is
    /// copied when it is mapped.
    Mapped,
    /// In surfaces of NVIDIA's libraries.
    Nvmm,
}

/// What caps say.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Layout {
    info: VideoInfo,
    memory: Memory,
}

impl Layout {
    /// Reads them.
    ///
    /// # Errors
    /// They are not of raw video.
    pub fn from_caps(caps: &gst::CapsRef) -> Result<Layout, gst::glib::BoolError> {
        let has = |feature| caps.features(0).is_some_and(|all| all.contains(feature));
        let memory = if has(NVMM) {
            Memory::Nvmm
        } else {
            Memory::Mapped
        };
        let structure = caps.structure(0);
        let named = structure.filter(|structure| structure.get::<&str>("format") == Ok(DMA_DRM));
        let Some(named) = named else {
            let info = VideoInfo::from_caps(caps)?;
            return Ok(Layout { info, memory });
        };
        let drm = named.get::<&str>("drm-format").unwrap_or_default();
        let known = DRM_FORMATS.iter().find(|(name, _)| *name == drm);
        let (_, format) = known.ok_or_else(|| {
            gst::glib::bool_error!("drm-format {drm}: not one of linear layout that is known")
        })?;
        let mut plain = named.to_owned();
        plain.set("format", format.to_str());
        plain.remove_field("drm-format");
        let info = VideoInfo::from_caps(&gst::Caps::from(plain))?;
        Ok(Layout { info, memory })
    }

    /// Where the pixels lie.
    pub fn memory(&self) -> Memory {
        self.memory
    }
}

/// Of frames that the CPU reads.
impl From<VideoInfo> for Layout {
    fn from(info: VideoInfo) -> Layout {
        let memory = Memory::Mapped;
        Layout { info, memory }
    }
}

impl Deref for Layout {
    type Target = VideoInfo;

    fn deref(&self) -> &VideoInfo {
        &self.info
    }
}

#[cfg(test)]
mod tests {
    use std::str::FromStr;

    use super::*;

    fn layout(caps: &str) -> Result<Layout, String> {
        gst::init().expect("GStreamer is installed");
        let caps = gst::Caps::from_str(caps).expect(caps);
        Layout::from_caps(&caps).map_err(|error| error.to_string())
    }

    #[test]
    fn the_memory_is_that_of_the_feature() {
        let size = "width=64,height=48,framerate=30/1";
        for (feature, memory) in [
            ("", Memory::Mapped),
            ("(memory:DMABuf)", Memory::Mapped),
            ("(memory:CUDAMemory)", Memory::Mapped),
            ("(memory:NVMM)", Memory::Nvmm),
        ] {
            let found = layout(&format!("video/x-raw{feature},format=NV12,{size}")).expect(feature);
            assert_eq!(found.memory(), memory, "{feature}");
            assert_eq!(found.format(), VideoFormat::Nv12);
            assert_eq!((found.width(), found.height()), (64, 48));
        }
    }

    #[test]
    fn linear_formats_of_the_kernel_are_known() {
        let caps = |format: &str| {
            format!(
                "video/x-raw(memory:DMABuf),format=DMA_DRM,drm-format=(string)\"{format}\",width=64,height=48,framerate=0/1"
            )
        };
        for (name, format) in DRM_FORMATS {
            assert_eq!(layout(&caps(name)).expect(name).format(), format);
        }
        // Tiles of Intel.
        let tiled = layout(&caps("NV12:0x0100000000000002"));
        assert!(tiled.expect_err("tiles").contains("NV12:0x0100"));
    }

    #[test]
    fn system_memory_comes_first() {
        gst::init().expect("GStreamer is installed");
        let caps = caps();
        let features: Vec<String> = caps
            .iter_with_features()
            .map(|(_, features)| features.to_string())
            .collect();
        assert_eq!(features[0], "memory:SystemMemory");
        assert_eq!(features[1..], [DMABUF, DMABUF, CUDA, NVMM]);
    }
}
