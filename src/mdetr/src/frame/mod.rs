//! Video frames as they come: pixel formats, planes, strides; the network's input made of them, and
//! how much they change.

mod change;
mod input;
mod resize;

pub use change::LumaGrid;
pub(crate) use input::{InputPolicy, Normalisation};

use crate::error::FrameError;

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

/// How pixels lie in memory. Alpha and padding bytes are ignored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum PixelFormat {
    /// R, G, B.
    Rgb,
    /// B, G, R.
    Bgr,
    /// R, G, B, padding.
    Rgbx,
    /// B, G, R, padding.
    Bgrx,
    /// Padding, R, G, B.
    Xrgb,
    /// Padding, B, G, R.
    Xbgr,
    /// R, G, B, alpha.
    Rgba,
    /// B, G, R, alpha.
    Bgra,
    /// Alpha, R, G, B.
    Argb,
    /// Alpha, B, G, R.
    Abgr,
    /// One byte a pixel; 0 is black and 255 white whatever the [`Colorimetry`].
    Gray8,
    /// A plane of Y, then one of interleaved Cb, Cr at half width and half height (rounded up).
    Nv12,
    /// Planes Y, Cb, Cr; the last two at half width and half height (rounded up).
    I420,
    /// Y0, Cb, Y1, Cr for each two pixels of a row; an odd last pixel takes four bytes too.
    Yuy2,
}

/// Where the channels of a packed RGB format lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packing {
    /// Bytes a pixel: 3 or 4.
    pub bytes: usize,
    /// Byte offsets of R, G and B in a pixel.
    pub rgb: [usize; 3],
}

impl PixelFormat {
    /// Every format, for tests and tables of capabilities.
    pub const ALL: [PixelFormat; 14] = [
        PixelFormat::Rgb,
        PixelFormat::Bgr,
        PixelFormat::Rgbx,
        PixelFormat::Bgrx,
        PixelFormat::Xrgb,
        PixelFormat::Xbgr,
        PixelFormat::Rgba,
        PixelFormat::Bgra,
        PixelFormat::Argb,
        PixelFormat::Abgr,
        PixelFormat::Gray8,
        PixelFormat::Nv12,
        PixelFormat::I420,
        PixelFormat::Yuy2,
    ];

    /// Bytes of a row without padding and number of rows, for each plane of a `width` x `height` frame.
    pub fn plane_sizes(self, width: u32, height: u32) -> Vec<(usize, usize)> {
        let (w, h) = (width as usize, height as usize);
        let (cw, ch) = (w.div_ceil(2), h.div_ceil(2));
        match self {
            PixelFormat::Gray8 => vec![(w, h)],
            PixelFormat::Nv12 => vec![(w, h), (2 * cw, ch)],
            PixelFormat::I420 => vec![(w, h), (cw, ch), (cw, ch)],
            PixelFormat::Yuy2 => vec![(4 * cw, h)],
            _ => vec![(w * self.packing().map_or(1, |packing| packing.bytes), h)],
        }
    }

    /// `None` for formats that are not packed RGB.
    pub(crate) fn packing(self) -> Option<Packing> {
        let (bytes, rgb) = match self {
            PixelFormat::Rgb => (3, [0, 1, 2]),
            PixelFormat::Bgr => (3, [2, 1, 0]),
            PixelFormat::Rgbx | PixelFormat::Rgba => (4, [0, 1, 2]),
            PixelFormat::Bgrx | PixelFormat::Bgra => (4, [2, 1, 0]),
            PixelFormat::Xrgb | PixelFormat::Argb => (4, [1, 2, 3]),
            PixelFormat::Xbgr | PixelFormat::Abgr => (4, [3, 2, 1]),
            _ => return None,
        };
        Some(Packing { bytes, rgb })
    }
}

/// Coefficients between Y'CbCr and R'G'B'.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum YuvMatrix {
    /// ITU-R BT.601: standard definition, JPEG.
    #[default]
    Bt601,
    /// ITU-R BT.709: high definition.
    Bt709,
    /// ITU-R BT.2020, non-constant luminance: ultra high definition.
    Bt2020,
}

impl YuvMatrix {
    /// Weights of red and blue in luma (K_R, K_B).
    pub(crate) fn luma_weights(self) -> (f32, f32) {
        match self {
            YuvMatrix::Bt601 => (0.299, 0.114),
            YuvMatrix::Bt709 => (0.2126, 0.0722),
            YuvMatrix::Bt2020 => (0.2627, 0.0593),
        }
    }
}

/// Which codes mean black and white.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum YuvRange {
    /// 16 to 235 for luma, 16 to 240 for chroma.
    #[default]
    Limited,
    /// 0 to 255.
    Full,
}

/// How Y'CbCr is to be read. RGB formats and [`PixelFormat::Gray8`] do not use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Colorimetry {
    /// The matrix.
    pub matrix: YuvMatrix,
    /// The range.
    pub range: YuvRange,
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
    format: PixelFormat,
    width: u32,
    height: u32,
    planes: Vec<Plane<'a>>,
    colorimetry: Colorimetry,
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

    /// The pixel format.
    pub fn format(&self) -> PixelFormat {
        self.format
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// How Y'CbCr is read.
    pub fn colorimetry(&self) -> Colorimetry {
        self.colorimetry
    }

    /// As many planes as the format has.
    pub fn planes(&self) -> &[Plane<'a>] {
        &self.planes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

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
