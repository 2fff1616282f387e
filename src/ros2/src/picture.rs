//! Pictures as they come: raw, or as files.

use std::io::Cursor;

use image::{ImageFormat, ImageReader, Limits, RgbImage};
use mdetr::{Frame, PixelFormat, Plane};
use mdetr_ros2_messages::image::{Encoding, FileFormat, ImageView};
use mdetr_ros2_messages::sensor_msgs::{CompressedImage, Image};
use mdetr_ros2_messages::std_msgs::Header;

/// Most bytes that a picture may take decoded.
const MAX_BYTES: u64 = 1 << 30;

/// A picture.
#[derive(Debug)]
pub(crate) enum Picture {
    /// Its pixels.
    Raw(Image),
    /// A file.
    Compressed(CompressedImage),
}

/// A picture whose pixels can be read.
pub(crate) enum Opened<'a> {
    /// As it came.
    Raw(&'a Image),
    /// Decoded.
    Decoded(RgbImage),
}

impl Picture {
    /// When and where it was taken.
    pub fn header(&self) -> &Header {
        match self {
            Picture::Raw(image) => &image.header,
            Picture::Compressed(image) => &image.header,
        }
    }

    /// Decodes it, if it is a file.
    ///
    /// # Errors
    /// It is not one, is damaged, or would be too large.
    pub fn open(&self) -> Result<Opened<'_>, String> {
        match self {
            Picture::Raw(image) => Ok(Opened::Raw(image)),
            Picture::Compressed(image) => decode(image).map(Opened::Decoded),
        }
    }
}

impl Opened<'_> {
    /// The pixels, which are not copied.
    ///
    /// # Errors
    /// Its encoding is not known, or it claims more pixels than it has.
    pub fn frame(&self) -> Result<Frame<'_>, String> {
        match self {
            Opened::Raw(image) => raw_frame(image),
            Opened::Decoded(image) => {
                let (width, height) = image.dimensions();
                Frame::rgb(width, height, image).map_err(|error| error.to_string())
            }
        }
    }
}

fn raw_frame(image: &Image) -> Result<Frame<'_>, String> {
    let view = ImageView::new(image).map_err(|error| error.to_string())?;
    let format = match view.encoding() {
        Encoding::Rgb8 => PixelFormat::Rgb,
        Encoding::Bgr8 => PixelFormat::Bgr,
        Encoding::Rgba8 => PixelFormat::Rgba,
        Encoding::Bgra8 => PixelFormat::Bgra,
        Encoding::Mono8 => PixelFormat::Gray8,
        Encoding::Yuv422Yuy2 => PixelFormat::Yuy2,
        Encoding::Nv12 => PixelFormat::Nv12,
        other => return Err(format!("image: the encoding {} is not read", other.name())),
    };
    let planes = view.planes().iter().map(|plane| Plane {
        data: plane.data,
        stride: plane.stride,
    });
    let planes: Vec<Plane> = planes.collect();
    Frame::new(format, view.width(), view.height(), &planes).map_err(|error| error.to_string())
}

fn decode(image: &CompressedImage) -> Result<RgbImage, String> {
    let format = match FileFormat::of(image).map_err(|error| error.to_string())? {
        FileFormat::Jpeg => ImageFormat::Jpeg,
        FileFormat::Png => ImageFormat::Png,
        _ => {
            return Err(format!(
                "compressed image: the format {:?} is not read",
                image.format
            ));
        }
    };
    let mut reader = ImageReader::with_format(Cursor::new(&image.data), format);
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    limits.max_image_width = Some(mdetr::frame::MAX_SIDE);
    limits.max_image_height = Some(mdetr::frame::MAX_SIDE);
    reader.limits(limits);
    let decoded = reader.decode();
    let decoded = decoded.map_err(|error| format!("compressed image: {error}"))?;
    Ok(decoded.into_rgb8())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn jpeg() -> Vec<u8> {
        let mut data = Vec::new();
        let gray = vec![128; 64 * 48 * 3];
        jpeg_encoder::Encoder::new(&mut data, 90)
            .encode(&gray, 64, 48, jpeg_encoder::ColorType::Rgb)
            .expect("a sound picture");
        data
    }

    fn compressed(format: &str, data: Vec<u8>) -> Picture {
        Picture::Compressed(CompressedImage {
            header: Header::default(),
            format: format.to_owned(),
            data,
        })
    }

    fn failure(picture: &Picture) -> String {
        let opened = picture.open();
        let frame = opened.and_then(|opened| opened.frame().map(|_| ()));
        frame.expect_err("a picture that cannot be read")
    }

    #[test]
    fn files_are_decoded() {
        let picture = compressed("rgb8; jpeg compressed bgr8", jpeg());
        let opened = picture.open().expect("a JPEG file");
        let frame = opened.frame().expect("a sound picture");
        assert_eq!((frame.width(), frame.height()), (64, 48));
        assert!(
            frame.planes()[0]
                .data
                .iter()
                .all(|byte| byte.abs_diff(128) < 3)
        );
    }

    #[test]
    fn damaged_files_are_refused() {
        let mut cut = jpeg();
        cut.truncate(cut.len() - 80);
        assert!(failure(&compressed("jpeg", cut)).contains("ends too early"));
        let png = b"\x89PNG\r\n\x1a\nrubbish".to_vec();
        assert!(failure(&compressed("png", png)).starts_with("compressed image: "));
        assert!(failure(&compressed("png", jpeg())).contains("is not that of the file"));
    }

    #[test]
    fn a_file_that_claims_a_huge_picture_is_refused() {
        // The size stands after the marker of the frame: FF C0, two bytes of length, one of precision.
        let mut data = jpeg();
        let at = data.windows(2).position(|pair| pair == [0xff, 0xc0]);
        let at = at.expect("a baseline file") + 5;
        data[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0xff]);
        failure(&compressed("jpeg", data));
    }

    #[test]
    fn raw_pictures_are_not_copied() {
        let image = Image {
            width: 2,
            height: 2,
            encoding: "bgr8".to_owned(),
            step: 8,
            data: vec![0; 16],
            ..Image::default()
        };
        let start = image.data.as_ptr();
        let picture = Picture::Raw(image);
        let opened = picture.open().expect("raw");
        let frame = opened.frame().expect("a sound picture");
        assert_eq!(frame.planes()[0].data.as_ptr(), start);
        assert_eq!(frame.planes()[0].stride, 8);
    }

    #[test]
    fn claims_larger_than_the_data_are_refused() {
        let image = |width, step, bytes| {
            Picture::Raw(Image {
                width,
                height: 2,
                encoding: "rgb8".to_owned(),
                step,
                data: vec![0; bytes],
                ..Image::default()
            })
        };
        assert!(failure(&image(2, 6, 11)).contains("expected at least 12 bytes of data, found 11"));
        assert!(failure(&image(u32::MAX, u32::MAX, 12)).contains("step"));
    }
}
