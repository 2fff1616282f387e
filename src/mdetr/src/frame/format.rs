//! How pixels lie in memory, and what luma and chroma mean.

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
pub(crate) struct Channels {
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
    pub(crate) fn packing(self) -> Option<Channels> {
        let (bytes, rgb) = match self {
            PixelFormat::Rgb => (3, [0, 1, 2]),
            PixelFormat::Bgr => (3, [2, 1, 0]),
            PixelFormat::Rgbx | PixelFormat::Rgba => (4, [0, 1, 2]),
            PixelFormat::Bgrx | PixelFormat::Bgra => (4, [2, 1, 0]),
            PixelFormat::Xrgb | PixelFormat::Argb => (4, [1, 2, 3]),
            PixelFormat::Xbgr | PixelFormat::Abgr => (4, [3, 2, 1]),
            _ => return None,
        };
        Some(Channels { bytes, rgb })
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
