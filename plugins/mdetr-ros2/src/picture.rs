//! Pictures of ROS as buffers, and buffers as such pictures.

use gst_video::{VideoCapsBuilder, VideoColorimetry, VideoFormat, VideoInfo};
use mdetr_gst::pixels::{self, BufferError};
use mdetr_ros2_messages::image::{Encoding, FileFormat, ImageView};
use mdetr_ros2_messages::sensor_msgs::{CompressedImage, Image};
use mdetr_ros2_messages::std_msgs::Header;

/// What the colours of YUV pictures are taken for, as the node takes them.
const COLORIMETRY: &str = "bt601";

/// The format of GStreamer with the same bytes; `None` of an encoding that is not known here.
fn format(encoding: Encoding) -> Option<VideoFormat> {
    Some(match encoding {
        Encoding::Rgb8 => VideoFormat::Rgb,
        Encoding::Bgr8 => VideoFormat::Bgr,
        Encoding::Rgba8 => VideoFormat::Rgba,
        Encoding::Bgra8 => VideoFormat::Bgra,
        Encoding::Mono8 => VideoFormat::Gray8,
        Encoding::Yuv422Yuy2 => VideoFormat::Yuy2,
        Encoding::Nv12 => VideoFormat::Nv12,
        _ => return None,
    })
}

fn encoding(of: VideoFormat) -> Option<Encoding> {
    Encoding::ALL
        .into_iter()
        .find(|known| format(*known) == Some(of))
}

/// Raw video that ROS has encodings for.
pub(crate) fn raw_caps() -> gst::Caps {
    VideoCapsBuilder::new()
        .format_list(Encoding::ALL.into_iter().filter_map(format))
        .build()
}

/// Pictures as files, by their media types.
pub(crate) fn file_caps() -> gst::Caps {
    let mut caps = gst::Caps::new_empty();
    for format in [FileFormat::Jpeg, FileFormat::Png] {
        caps.merge(media(format).into_iter().collect::<gst::Caps>());
    }
    caps
}

fn media(format: FileFormat) -> Option<gst::Structure> {
    match format {
        FileFormat::Jpeg => Some(gst::Structure::new_empty("image/jpeg")),
        FileFormat::Png => Some(gst::Structure::new_empty("image/png")),
        _ => None,
    }
}

/// A picture as a topic sends it.
pub(crate) enum Picture {
    /// Its pixels.
    Raw(Image),
    /// A file.
    Compressed(CompressedImage),
}

impl Picture {
    /// When and where it was taken.
    pub fn header(&self) -> &Header {
        match self {
            Picture::Raw(image) => &image.header,
            Picture::Compressed(image) => &image.header,
        }
    }

    /// What it says of how its pixels lie, or of its file's format.
    pub fn encoding(&self) -> &str {
        match self {
            Picture::Raw(image) => &image.encoding,
            Picture::Compressed(image) => &image.format,
        }
    }

    /// Its caps, and its bytes in a buffer that lie as the caps say. They are copied only if they lie otherwise.
    ///
    /// # Errors
    /// It is malformed, or of an encoding or format that is not read.
    pub fn into_buffer(self) -> Result<(gst::Caps, gst::Buffer), String> {
        match self {
            Picture::Raw(image) => raw_buffer(image),
            Picture::Compressed(image) => {
                let format = FileFormat::of(&image).map_err(|error| error.to_string())?;
                let media = media(format).ok_or_else(|| format!("{format} files are not read"))?;
                let caps = [media].into_iter().collect();
                Ok((caps, gst::Buffer::from_mut_slice(image.data)))
            }
        }
    }
}

fn raw_buffer(image: Image) -> Result<(gst::Caps, gst::Buffer), String> {
    let view = ImageView::new(&image).map_err(|error| error.to_string())?;
    let info = video_info(&view)?;
    let caps = info
        .to_caps()
        .map_err(|_| format!("{} image: GStreamer has no caps for it", image.encoding))?;
    let start = image.data.as_ptr() as usize;
    let as_it_lies = image.data.len() >= info.size()
        && view.planes().iter().enumerate().all(|(index, plane)| {
            let offset = plane.data.as_ptr() as usize - start;
            plane.stride == info.stride()[index] as usize && offset == info.offset()[index]
        });
    let mut buffer = match as_it_lies {
        true => gst::Buffer::from_mut_slice(image.data),
        false => gst::Buffer::from_mut_slice(repacked(&view, &info)),
    };
    // What the message has behind its last row stays behind.
    buffer
        .get_mut()
        .expect("the only reference")
        .set_size(info.size());
    Ok((caps, buffer))
}

fn video_info(view: &ImageView<'_>) -> Result<VideoInfo, String> {
    let (width, height, name) = (view.width(), view.height(), view.encoding().name());
    let format = format(view.encoding()).ok_or_else(|| format!("image: {name} is not read"))?;
    let builder = VideoInfo::builder(format, width, height).fps(gst::Fraction::new(0, 1));
    let colorimetry: Option<VideoColorimetry> = COLORIMETRY.parse().ok();
    let yuv = matches!(format, VideoFormat::Yuy2 | VideoFormat::Nv12);
    builder
        .colorimetry_if_some(colorimetry.as_ref().filter(|_| yuv))
        .build()
        .map_err(|_| format!("{name} image of {width}x{height}: too large for GStreamer"))
}

/// The rows as GStreamer lays them by default.
fn repacked(view: &ImageView<'_>, info: &VideoInfo) -> Vec<u8> {
    let mut bytes = vec![0; info.size()];
    for (index, plane) in view.planes().iter().enumerate() {
        let stride = info.stride()[index] as usize;
        let rows = bytes[info.offset()[index]..].chunks_mut(stride);
        for (to, from) in rows.zip(plane.data.chunks(plane.stride)) {
            let row = to.len().min(from.len());
            to[..row].copy_from_slice(&from[..row]);
        }
    }
    bytes
}

/// Why a buffer is not published.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ImageError {
    #[error(
        "video format {0}: ROS has no encoding for it here; put videoconvert before this element"
    )]
    Format(VideoFormat),
    #[error(transparent)]
    Buffer(#[from] BufferError),
}

/// A buffer as a picture, rows without padding. `named` is what its encoding is called instead, if it is not empty.
///
/// # Errors
/// Its format has no encoding, or it is not what its caps promise.
pub(crate) fn image(
    buffer: &gst::BufferRef,
    info: &VideoInfo,
    header: Header,
    named: &str,
) -> Result<Image, ImageError> {
    let format = info.format();
    let encoding = encoding(format).ok_or(ImageError::Format(format))?;
    let (width, height) = (info.width(), info.height());
    let sizes: Vec<(u64, u64)> = encoding.planes(width, height).collect();
    let step = sizes.iter().map(|(row, _)| *row).max().unwrap_or(0) as usize;
    let rows: u64 = sizes.iter().map(|(_, rows)| *rows).sum();
    let data = pixels::with_planes(buffer, info, |planes| {
        let mut data = vec![0; step * rows as usize];
        let mut into = data.chunks_mut(step.max(1));
        for (plane, (row, rows)) in planes.iter().zip(&sizes) {
            let from = plane.data.chunks(plane.stride).take(*rows as usize);
            // In this order no row is taken that the plane does not have.
            for (from, to) in from.zip(into.by_ref()) {
                let row = from.len().min(*row as usize);
                to[..row].copy_from_slice(&from[..row]);
            }
        }
        data
    })?;
    Ok(Image {
        header,
        height,
        width,
        encoding: match named {
            "" => encoding.name().to_owned(),
            named => named.to_owned(),
        },
        is_bigendian: 0,
        step: step as u32,
        data,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A picture in which each byte of a row says where it is, with `padding` bytes of 255 behind each row.
    fn sent(encoding: Encoding, width: u32, height: u32, padding: u32) -> Image {
        let sizes: Vec<(u64, u64)> = encoding.planes(width, height).collect();
        let longest = sizes.iter().map(|(row, _)| *row).max().expect("a plane") as usize;
        let step = longest as u32 + padding;
        let mut data = Vec::new();
        for (plane, (row, rows)) in sizes.iter().enumerate() {
            for y in 0..*rows {
                let bytes = (0..*row).map(|x| (plane as u64 * 100 + y * 31 + x) as u8);
                data.extend(bytes);
                // The rows of two planes may differ.
                data.resize(data.len() + longest - *row as usize, 0);
                data.resize(data.len() + padding as usize, 255);
            }
        }
        Image {
            width,
            height,
            encoding: encoding.name().to_owned(),
            step,
            data,
            ..Image::default()
        }
    }

    #[test]
    fn every_encoding_goes_to_buffers_and_back() {
        gst::init().expect("GStreamer is installed");
        for encoding in Encoding::ALL {
            for (width, height) in [(1, 1), (7, 5), (64, 48)] {
                let tight = sent(encoding, width, height, 0);
                for padding in [0, 1, 13] {
                    let at = format!("{} {width}x{height} {padding}", encoding.name());
                    let mut image = sent(encoding, width, height, padding);
                    // The last row may lack its padding.
                    if encoding != Encoding::Nv12 {
                        image.data.truncate(image.data.len() - padding as usize);
                    }
                    let (caps, buffer) = Picture::Raw(image).into_buffer().expect(&at);
                    let info = VideoInfo::from_caps(&caps).expect(&at);
                    assert_eq!(buffer.size(), info.size(), "{at}");
                    assert!(caps.is_subset(&raw_caps()), "{at}: {caps}");
                    let back = super::image(&buffer, &info, Header::default(), "").expect(&at);
                    assert_eq!(back, tight, "{at}");
                }
            }
        }
    }

    #[test]
    fn pictures_that_lie_right_are_not_copied() {
        gst::init().expect("GStreamer is installed");
        for encoding in Encoding::ALL {
            let mut image = sent(encoding, 64, 48, 0);
            image.data.extend([1, 2, 3]);
            let address = image.data.as_ptr();
            let (_, buffer) = Picture::Raw(image).into_buffer().expect("sound");
            let map = buffer.map_readable().expect("readable");
            assert_eq!(map.as_ptr(), address, "{}", encoding.name());
        }
    }

    #[test]
    fn colours_of_yuv_are_those_of_the_node() {
        gst::init().expect("GStreamer is installed");
        for (encoding, expected) in [(Encoding::Nv12, true), (Encoding::Rgb8, false)] {
            let (caps, _) = Picture::Raw(sent(encoding, 1920, 1080, 0))
                .into_buffer()
                .expect("sound");
            let named = caps.to_string().contains("colorimetry=(string)bt601");
            assert_eq!(named, expected, "{caps}");
        }
    }

    #[test]
    fn malformed_pictures_are_refused_by_name() {
        gst::init().expect("GStreamer is installed");
        let short = Image {
            data: vec![0; 10],
            ..sent(Encoding::Rgb8, 4, 4, 0)
        };
        let huge = Image {
            width: u32::MAX,
            step: u32::MAX,
            ..sent(Encoding::Mono8, 4, 4, 0)
        };
        let other = Image {
            encoding: "bayer_rggb8".to_owned(),
            ..sent(Encoding::Mono8, 4, 4, 0)
        };
        for (image, expected) in [
            (short, "expected at least 48 bytes of data, found 10"),
            (huge, "mono8 image"),
            (other, "bayer_rggb8"),
        ] {
            let error = Picture::Raw(image).into_buffer().expect_err(expected);
            assert!(error.contains(expected), "{error}");
        }
        let file = CompressedImage {
            format: "jpeg".to_owned(),
            data: b"GIF89a".to_vec(),
            ..CompressedImage::default()
        };
        let error = Picture::Compressed(file).into_buffer().expect_err("a GIF");
        assert!(error.contains("compressed image"), "{error}");
    }

    #[test]
    fn files_keep_their_bytes() {
        gst::init().expect("GStreamer is installed");
        let data = [0xff, 0xd8, 0xff, 1, 2, 3, 0xff, 0xd9].to_vec();
        let file = CompressedImage {
            format: "rgb8; jpeg compressed bgr8".to_owned(),
            data: data.clone(),
            ..CompressedImage::default()
        };
        let (caps, buffer) = Picture::Compressed(file)
            .into_buffer()
            .expect("a JPEG file");
        assert_eq!(caps.to_string(), "image/jpeg");
        assert_eq!(buffer.map_readable().expect("readable").as_slice(), data);
        assert!(caps.is_subset(&file_caps()));
    }
}
