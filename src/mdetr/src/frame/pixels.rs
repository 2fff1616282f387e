//! A frame: the pixels of a picture as they lie.

use super::error::FrameError;
use super::format::{Colorimetry, PixelFormat};

/// Longest side of a frame in pixels; more is refused as a mistake.
pub const MAX_SIDE: u32 = 16384;

/// # Errors
/// A side is 0 or over [`MAX_SIDE`].
pub(crate) fn check_size(width: u32, height: u32) -> Result<(), FrameError> {
    if width == 0 || height == 0 || width > MAX_SIDE || height > MAX_SIDE {
        return Err(FrameError::Size {
            width,
            height,
            max: MAX_SIDE,
        });
    }
    Ok(())
}

/// One plane of a frame.
#[derive(Debug, Clone, Copy)]
pub struct Plane<'a> {
    /// The bytes, first row first. The last row may lack its padding.
    pub data: &'a [u8],
    /// Bytes from the start of a row to the start of the next.
    pub stride: usize,
}

/// A borrowed video frame whose planes are known to be large enough.
#[derive(Debug, Clone)]
pub struct Frame<'a> {
    pub(super) format: PixelFormat,
    pub(super) width: u32,
    pub(super) height: u32,
    pub(super) planes: Vec<Plane<'a>>,
    pub(super) colorimetry: Colorimetry,
    /// The size that it stands for.
    size: (u32, u32),
}

impl<'a> Frame<'a> {
    /// A frame from its planes, which are borrowed, not copied.
    ///
    /// # Errors
    /// A side is 0 or over [`MAX_SIDE`], there are too few planes (further ones are ignored),
    /// a stride is smaller than a row, or a plane holds fewer bytes than its rows need.
    pub fn new(
        format: PixelFormat,
        width: u32,
        height: u32,
        planes: &[Plane<'a>],
    ) -> Result<Frame<'a>, FrameError> {
        check_size(width, height)?;
        let sizes = format.plane_sizes(width, height);
        if planes.len() < sizes.len() {
            return Err(FrameError::PlaneCount {
                format,
                expected: sizes.len(),
                found: planes.len(),
            });
        }
        for (index, ((row, rows), plane)) in sizes.iter().zip(planes).enumerate() {
            if plane.stride < *row {
                return Err(FrameError::Stride {
                    format,
                    width,
                    plane: index,
                    expected: *row,
                    found: plane.stride,
                });
            }
            let needed = plane
                .stride
                .checked_mul(rows - 1)
                .and_then(|bytes| bytes.checked_add(*row));
            if needed.is_none_or(|needed| plane.data.len() < needed) {
                return Err(FrameError::ShortPlane {
                    format,
                    width,
                    height,
                    plane: index,
                    stride: plane.stride,
                    expected: needed.unwrap_or(usize::MAX),
                    found: plane.data.len(),
                });
            }
        }
        let planes = planes[..sizes.len()].to_vec();
        Ok(Frame {
            format,
            width,
            height,
            planes,
            colorimetry: Colorimetry::default(),
            size: (width, height),
        })
    }

    /// A packed RGB frame without row padding, as image decoders give it.
    pub fn rgb(width: u32, height: u32, data: &'a [u8]) -> Result<Frame<'a>, FrameError> {
        let stride = width as usize * 3;
        Frame::new(PixelFormat::Rgb, width, height, &[Plane { data, stride }])
    }

    /// Sets how Y'CbCr is to be read; BT.601 in limited range otherwise.
    pub fn with_colorimetry(mut self, colorimetry: Colorimetry) -> Self {
        self.colorimetry = colorimetry;
        self
    }

    /// Says that these pixels are of a picture of another size, scaled before: what is found has the places and sizes that
    /// it has there.
    ///
    /// # Errors
    /// A side is 0 or over [`MAX_SIDE`].
    pub fn scaled_from(mut self, width: u32, height: u32) -> Result<Self, FrameError> {
        check_size(width, height)?;
        self.size = (width, height);
        Ok(self)
    }

    /// The pixel format.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width in pixels, of the picture before it was scaled if it was.
    pub fn width(&self) -> u32 {
        self.size.0
    }

    /// Height in pixels, of the picture before it was scaled if it was.
    pub fn height(&self) -> u32 {
        self.size.1
    }

    /// How Y'CbCr is read.
    pub fn colorimetry(&self) -> Colorimetry {
        self.colorimetry
    }

    /// As many planes as the format has, of the pixels as they lie.
    pub fn planes(&self) -> &[Plane<'a>] {
        &self.planes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_scaled_frame_has_the_size_of_its_picture() {
        let pixels = [0; 4 * 2 * 3];
        let frame = Frame::rgb(4, 2, &pixels).expect("enough bytes");
        let scaled = frame.clone().scaled_from(1920, 1080).expect("a size");
        assert_eq!((scaled.width(), scaled.height()), (1920, 1080));
        assert_eq!(scaled.planes()[0].stride, 12);
        assert!(frame.scaled_from(0, 1080).is_err());
    }

    #[test]
    fn chroma_of_odd_sizes_is_rounded_up() {
        assert_eq!(PixelFormat::Nv12.plane_sizes(5, 3), [(5, 3), (6, 2)]);
        assert_eq!(
            PixelFormat::I420.plane_sizes(5, 3),
            [(5, 3), (3, 2), (3, 2)]
        );
        assert_eq!(PixelFormat::Yuy2.plane_sizes(5, 3), [(12, 3)]);
        assert_eq!(PixelFormat::Bgrx.plane_sizes(1, 1), [(4, 1)]);
    }

    #[test]
    fn zero_and_absurd_sizes_are_refused() {
        for (width, height) in [(0, 4), (4, 0), (MAX_SIDE + 1, 1), (1, u32::MAX)] {
            let error = Frame::rgb(width, height, &[0; 64]).unwrap_err();
            assert_eq!(
                error,
                FrameError::Size {
                    width,
                    height,
                    max: MAX_SIDE
                }
            );
            assert!(error.to_string().contains("16384"), "{error}");
        }
    }

    #[test]
    fn a_missing_plane_is_refused() {
        let data = [0; 64];
        let plane = Plane {
            data: &data,
            stride: 4,
        };
        let error = Frame::new(PixelFormat::I420, 4, 4, &[plane; 2]).unwrap_err();
        let expected = FrameError::PlaneCount {
            format: PixelFormat::I420,
            expected: 3,
            found: 2,
        };
        assert_eq!(error, expected);
    }

    #[test]
    fn a_stride_below_the_row_is_refused() {
        let plane = Plane {
            data: &[0; 64],
            stride: 11,
        };
        let error = Frame::new(PixelFormat::Rgb, 4, 2, &[plane]).unwrap_err();
        assert!(matches!(
            error,
            FrameError::Stride {
                plane: 0,
                expected: 12,
                found: 11,
                ..
            }
        ));
    }

    #[test]
    fn a_stride_that_overflows_is_refused() {
        let plane = Plane {
            data: &[0; 64],
            stride: usize::MAX,
        };
        let error = Frame::new(PixelFormat::Gray8, 4, 3, &[plane]).unwrap_err();
        assert!(matches!(error, FrameError::ShortPlane { .. }), "{error}");
    }

    proptest! {
        #[test]
        fn exactly_the_needed_bytes_are_accepted(
            format in prop::sample::select(PixelFormat::ALL.to_vec()),
            width in 1u32..40,
            height in 1u32..40,
            padding in 0usize..9,
        ) {
            let sizes = format.plane_sizes(width, height);
            let buffers: Vec<Vec<u8>> =
                sizes.iter().map(|(row, rows)| vec![0; (row + padding) * (rows - 1) + row]).collect();
            let strides: Vec<usize> = sizes.iter().map(|(row, _)| row + padding).collect();
            let planes = |missing: usize| -> Vec<Plane<'_>> {
                buffers
                    .iter()
                    .zip(&strides)
                    .enumerate()
                    .map(|(index, (data, &stride))| {
                        let len = data.len() - usize::from(index == missing);
                        Plane { data: &data[..len], stride }
                    })
                    .collect()
            };
            prop_assert!(Frame::new(format, width, height, &planes(usize::MAX)).is_ok());
            for missing in 0..sizes.len() {
                let error = Frame::new(format, width, height, &planes(missing)).unwrap_err();
                let refused = matches!(error, FrameError::ShortPlane { plane, .. } if plane == missing);
                prop_assert!(refused, "{}", error);
            }
        }
    }
}
