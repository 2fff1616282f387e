//! A frame's pixels as packed RGB, to draw on, and as a JPEG file.

use jpeg_encoder::{ColorType, Encoder};
use mdetr::{Frame, PixelFormat};
use mdetr_ros2_messages::sensor_msgs::CompressedImage;
use mdetr_ros2_messages::std_msgs::Header;

/// Quality of JPEG files, of 100.
const QUALITY: u8 = 80;

/// Packed pixels as a JPEG file; `None` if it cannot be one.
pub(crate) fn jpeg(
    header: &Header,
    width: u32,
    height: u32,
    rgb: &[u8],
) -> Option<CompressedImage> {
    let (columns, rows) = (u16::try_from(width).ok()?, u16::try_from(height).ok()?);
    let mut data = Vec::new();
    let encoder = Encoder::new(&mut data, QUALITY);
    encoder.encode(rgb, columns, rows, ColorType::Rgb).ok()?;
    Some(CompressedImage {
        header: header.clone(),
        format: "rgb8; jpeg compressed bgr8".to_owned(),
        data,
    })
}

/// R, G and B of every pixel, rows without padding. Colours of YUV are those of BT.601 in the limited range.
pub(crate) fn packed(frame: &Frame<'_>) -> Option<Vec<u8>> {
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let mut rgb = vec![0; width * height * 3];
    let rows = rgb.chunks_exact_mut((width * 3).max(1)).enumerate();
    let planes = frame.planes();
    let row = |plane: usize, y: usize| {
        let plane = &planes[plane];
        &plane.data[y * plane.stride..]
    };
    match frame.format() {
        PixelFormat::Gray8 => {
            for (y, out) in rows {
                for (pixel, gray) in out.chunks_exact_mut(3).zip(row(0, y)) {
                    pixel.fill(*gray);
                }
            }
        }
        PixelFormat::Yuy2 => {
            for (y, out) in rows {
                let line = row(0, y);
                for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                    let pair = x / 2 * 4;
                    let luma = line[pair + x % 2 * 2];
                    pixel.copy_from_slice(&from_yuv(luma, line[pair + 1], line[pair + 3]));
                }
            }
        }
        PixelFormat::Nv12 => {
            for (y, out) in rows {
                let (luma, chroma) = (row(0, y), row(1, y / 2));
                for (x, pixel) in out.chunks_exact_mut(3).enumerate() {
                    let pair = x / 2 * 2;
                    pixel.copy_from_slice(&from_yuv(luma[x], chroma[pair], chroma[pair + 1]));
                }
            }
        }
        format => {
            let (bytes, places) = packing(format)?;
            for (y, out) in rows {
                let pixels = row(0, y).chunks_exact(bytes);
                for (pixel, source) in out.chunks_exact_mut(3).zip(pixels) {
                    for (channel, place) in pixel.iter_mut().zip(places) {
                        *channel = source[place];
                    }
                }
            }
        }
    }
    Some(rgb)
}

/// Bytes of a pixel, and where R, G and B lie in it.
fn packing(format: PixelFormat) -> Option<(usize, [usize; 3])> {
    match format {
        PixelFormat::Rgb => Some((3, [0, 1, 2])),
        PixelFormat::Bgr => Some((3, [2, 1, 0])),
        PixelFormat::Rgba | PixelFormat::Rgbx => Some((4, [0, 1, 2])),
        PixelFormat::Bgra | PixelFormat::Bgrx => Some((4, [2, 1, 0])),
        _ => None,
    }
}

/// ITU-R BT.601, luma from 16 to 235.
fn from_yuv(y: u8, cb: u8, cr: u8) -> [u8; 3] {
    let y = 1.164_383 * (f32::from(y) - 16.0);
    let (cb, cr) = (f32::from(cb) - 128.0, f32::from(cr) - 128.0);
    [
        y + 1.596_027 * cr,
        y - 0.391_762 * cb - 0.812_968 * cr,
        y + 2.017_232 * cb,
    ]
    .map(|channel| channel.round().clamp(0.0, 255.0) as u8)
}

#[cfg(test)]
mod tests {
    use mdetr::Plane;

    use super::*;

    #[test]
    fn every_format_of_ros_becomes_rgb() {
        let cases: [(PixelFormat, &[u8], usize); 6] = [
            (PixelFormat::Rgb, &[10, 20, 30, 40, 50, 60, 9], 7),
            (PixelFormat::Bgr, &[30, 20, 10, 60, 50, 40, 9], 7),
            (PixelFormat::Rgba, &[10, 20, 30, 1, 40, 50, 60, 2], 8),
            (PixelFormat::Bgra, &[30, 20, 10, 1, 60, 50, 40, 2], 8),
            (PixelFormat::Gray8, &[7, 8], 2),
            // Red of BT.601 beside white.
            (PixelFormat::Yuy2, &[81, 90, 235, 240], 4),
        ];
        for (format, data, stride) in cases {
            let planes = [Plane { data, stride }];
            let frame = Frame::new(format, 2, 1, &planes).expect("a sound frame");
            let rgb = packed(&frame).expect("a format of ROS");
            match format {
                PixelFormat::Gray8 => assert_eq!(rgb, [7, 7, 7, 8, 8, 8]),
                PixelFormat::Yuy2 => assert!(rgb[0] > 250 && rgb[1] < 5 && rgb[2] < 5, "{rgb:?}"),
                _ => assert_eq!(rgb, [10, 20, 30, 40, 50, 60], "{format:?}"),
            }
        }
    }

    #[test]
    fn chroma_of_nv12_is_shared_by_four_pixels() {
        let (luma, chroma) = ([81; 9], [90, 240, 128, 128, 128, 128, 128, 128]);
        let planes = [
            Plane {
                data: &luma[..],
                stride: 3,
            },
            Plane {
                data: &chroma[..],
                stride: 4,
            },
        ];
        let frame = Frame::new(PixelFormat::Nv12, 3, 3, &planes).expect("a sound frame");
        let rgb = packed(&frame).expect("a format of ROS");
        let reds: Vec<bool> = rgb.chunks(3).map(|pixel| pixel[0] > 250).collect();
        let expected = [true, true, false, true, true, false, false, false, false];
        assert_eq!(reds, expected);
    }
}
