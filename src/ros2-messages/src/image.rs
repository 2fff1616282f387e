//! Pictures of cameras: what their encodings and formats mean, and the bytes as planes.

use std::fmt;

use crate::sensor_msgs::{CompressedImage, Image};

/// How the pixels of an [`Image`] lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Encoding {
    /// `rgb8`: R, G, B.
    Rgb8,
    /// `bgr8`: B, G, R.
    Bgr8,
    /// `rgba8`: R, G, B, alpha.
    Rgba8,
    /// `bgra8`: B, G, R, alpha.
    Bgra8,
    /// `mono8`: one byte a pixel, 0 black and 255 white.
    Mono8,
    /// `yuv422_yuy2`, also called `yuyv`: Y0, Cb, Y1, Cr for each two pixels of a row.
    Yuv422Yuy2,
    /// `nv12`: a plane of Y, then one of interleaved Cb, Cr at half width and half height (rounded up), with the same
    /// step.
    Nv12,
}

impl Encoding {
    /// Every encoding.
    pub const ALL: [Encoding; 7] = [
        Encoding::Rgb8,
        Encoding::Bgr8,
        Encoding::Rgba8,
        Encoding::Bgra8,
        Encoding::Mono8,
        Encoding::Yuv422Yuy2,
        Encoding::Nv12,
    ];

    /// The name that messages have.
    pub fn name(self) -> &'static str {
        match self {
            Encoding::Rgb8 => "rgb8",
            Encoding::Bgr8 => "bgr8",
            Encoding::Rgba8 => "rgba8",
            Encoding::Bgra8 => "bgra8",
            Encoding::Mono8 => "mono8",
            Encoding::Yuv422Yuy2 => "yuv422_yuy2",
            Encoding::Nv12 => "nv12",
        }
    }

    /// The encoding of that name, if it is one of these.
    pub fn from_name(name: &str) -> Option<Encoding> {
        match name {
            "yuyv" => Some(Encoding::Yuv422Yuy2),
            name => Encoding::ALL.into_iter().find(|known| known.name() == name),
        }
    }

    /// Bytes of a row without padding and number of rows, for each plane of a picture.
    pub fn planes(self, width: u32, height: u32) -> impl Iterator<Item = (u64, u64)> {
        let (width, height) = (u64::from(width), u64::from(height));
        let first = match self {
            Encoding::Rgb8 | Encoding::Bgr8 => 3 * width,
            Encoding::Rgba8 | Encoding::Bgra8 => 4 * width,
            Encoding::Mono8 | Encoding::Nv12 => width,
            Encoding::Yuv422Yuy2 => 4 * width.div_ceil(2),
        };
        let second = (self == Encoding::Nv12).then(|| (2 * width.div_ceil(2), height.div_ceil(2)));
        [(first, height)].into_iter().chain(second)
    }
}

/// The names in one line.
struct Names;

impl fmt::Display for Names {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Encoding::ALL.map(Encoding::name).join(", "))
    }
}

/// Why a picture is not read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImageError {
    /// The encoding is another one.
    #[error(
        "image: expected one of the encodings {Names}, found {found:?}; convert it, with image_proc for instance"
    )]
    Encoding {
        /// The encoding found.
        found: String,
    },
    /// There is nothing in it.
    #[error("image of {width}x{height}: expected at least one pixel")]
    Empty {
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
    },
    /// The bytes are said to be in the other order.
    #[error("{encoding} image: expected is_bigendian to be 0, found {found}")]
    BigEndian {
        /// The encoding.
        encoding: String,
        /// `is_bigendian`.
        found: u8,
    },
    /// Rows would overlap.
    #[error(
        "{encoding} image {width} pixels wide: expected a step of at least {expected} bytes, found {found}"
    )]
    Step {
        /// The encoding.
        encoding: String,
        /// Width in pixels.
        width: u32,
        /// Bytes of a row.
        expected: u64,
        /// The step.
        found: u32,
    },
    /// The data end before the last row does.
    #[error(
        "{encoding} image of {width}x{height} with a step of {step}: expected at least {expected} bytes of data, found {found}"
    )]
    Short {
        /// The encoding.
        encoding: String,
        /// Width in pixels.
        width: u32,
        /// Height in pixels.
        height: u32,
        /// The step.
        step: u32,
        /// Bytes needed.
        expected: u64,
        /// Bytes given.
        found: u64,
    },
    /// The file format is another one.
    #[error(
        "compressed image: expected the format jpeg or png, found {found:?}; take the raw topic, or set the transport's format to jpeg"
    )]
    Format {
        /// The format found, shortened.
        found: String,
    },
    /// It is a depth image of `compressed_depth_image_transport`.
    #[error(
        "compressed image: expected a picture, found the depth format {found:?}; take the raw topic of the depth image"
    )]
    CompressedDepth {
        /// The format found, shortened.
        found: String,
    },
    /// The file is not what it is said to be.
    #[error(
        "compressed image: the format {format:?} is not that of the file, which begins with {found:02x?}"
    )]
    Contents {
        /// The format, shortened.
        format: String,
        /// The first bytes, at most eight.
        found: Vec<u8>,
    },
    /// The file has no end.
    #[error("compressed image: a {format} file of {bytes} bytes that ends too early")]
    Cut {
        /// JPEG or PNG.
        format: FileFormat,
        /// Its bytes.
        bytes: usize,
    },
}

/// One plane of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plane<'a> {
    /// The bytes, first row first. The last row may lack its padding.
    pub data: &'a [u8],
    /// Bytes from the start of a row to the start of the next.
    pub stride: usize,
}

/// A picture whose planes are known to be as large as it says. Nothing is copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageView<'a> {
    encoding: Encoding,
    width: u32,
    height: u32,
    planes: Vec<Plane<'a>>,
}

impl<'a> ImageView<'a> {
    /// Checks an image.
    ///
    /// # Errors
    /// Its encoding is none of [`Encoding`], it has no pixels, is said to be big-endian, its step is smaller than a row,
    /// or there are fewer bytes than its rows need.
    pub fn new(image: &'a Image) -> Result<ImageView<'a>, ImageError> {
        let Some(encoding) = Encoding::from_name(&image.encoding) else {
            let found = excerpt(&image.encoding);
            return Err(ImageError::Encoding { found });
        };
        let sizes = encoding.planes(image.width, image.height);
        let planes = planes(image, sizes)?;
        let (width, height) = (image.width, image.height);
        Ok(ImageView {
            encoding,
            width,
            height,
            planes,
        })
    }

    /// How the pixels lie.
    pub fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Width in pixels.
    pub fn width(&self) -> u32 {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> u32 {
        self.height
    }

    /// One plane; two for [`Encoding::Nv12`].
    pub fn planes(&self) -> &[Plane<'a>] {
        &self.planes
    }
}

/// The planes of an image, which follow each other: `sizes` has bytes of a row and rows of each.
pub(crate) fn planes(
    image: &Image,
    sizes: impl Iterator<Item = (u64, u64)>,
) -> Result<Vec<Plane<'_>>, ImageError> {
    let (width, height) = (image.width, image.height);
    let encoding = || excerpt(&image.encoding);
    if width == 0 || height == 0 {
        return Err(ImageError::Empty { width, height });
    }
    if image.is_bigendian != 0 {
        return Err(ImageError::BigEndian {
            encoding: encoding(),
            found: image.is_bigendian,
        });
    }
    let step = u64::from(image.step);
    let mut planes = Vec::with_capacity(2);
    let mut start = 0;
    for (row, rows) in sizes {
        if step < row {
            return Err(ImageError::Step {
                encoding: encoding(),
                width,
                expected: row,
                found: image.step,
            });
        }
        // A step and a height of 32 bits: none of this overflows 64.
        let end = start + step * (rows - 1) + row;
        if (image.data.len() as u64) < end {
            return Err(ImageError::Short {
                encoding: encoding(),
                width,
                height,
                step: image.step,
                expected: end,
                found: image.data.len() as u64,
            });
        }
        planes.push(Plane {
            data: &image.data[start as usize..end as usize],
            stride: image.step as usize,
        });
        start += step * rows;
    }
    Ok(planes)
}

/// A file format of a [`CompressedImage`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FileFormat {
    /// JPEG.
    Jpeg,
    /// PNG.
    Png,
}

impl fmt::Display for FileFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            FileFormat::Jpeg => "JPEG",
            FileFormat::Png => "PNG",
        })
    }
}

/// Bytes after the end of a file that are taken for padding.
const PADDING: usize = 64;

impl FileFormat {
    /// The file format of a compressed image. Its `format` is `jpeg` or `png`, or begins with the encoding of the picture
    /// before it was compressed: `rgb8; jpeg compressed bgr8`. An empty one leaves it to the file.
    ///
    /// # Errors
    /// It is another format, or the file does not begin or end as one of that format does: decoders fill what is missing
    /// with grey, or take it from the picture before.
    pub fn of(image: &CompressedImage) -> Result<FileFormat, ImageError> {
        let contents = FileFormat::of_bytes(&image.data);
        let named = match image.format.as_str() {
            "" => contents,
            format => Some(FileFormat::named(format)?),
        };
        match named {
            Some(format) if Some(format) == contents => match format.ends(&image.data) {
                true => Ok(format),
                false => Err(ImageError::Cut {
                    format,
                    bytes: image.data.len(),
                }),
            },
            _ => Err(ImageError::Contents {
                format: excerpt(&image.format),
                found: image.data[..image.data.len().min(8)].to_vec(),
            }),
        }
    }

    fn named(format: &str) -> Result<FileFormat, ImageError> {
        let last = format.rsplit(';').next().unwrap_or(format);
        let word = last.split_whitespace().next().unwrap_or("");
        let found = || excerpt(format);
        match word.to_ascii_lowercase().as_str() {
            "jpeg" | "jpg" => Ok(FileFormat::Jpeg),
            "png" => Ok(FileFormat::Png),
            "compresseddepth" => Err(ImageError::CompressedDepth { found: found() }),
            _ => Err(ImageError::Format { found: found() }),
        }
    }

    /// Whether a file of this format has its end.
    fn ends(self, bytes: &[u8]) -> bool {
        let end: &[u8] = match self {
            FileFormat::Jpeg => &[0xff, 0xd9],
            FileFormat::Png => b"IEND",
        };
        // Four bytes of checksum follow the end of PNG.
        let tail = &bytes[bytes.len().saturating_sub(PADDING + end.len() + 4)..];
        tail.windows(end.len()).any(|window| window == end)
    }

    fn of_bytes(bytes: &[u8]) -> Option<FileFormat> {
        const JPEG: &[u8] = &[0xff, 0xd8, 0xff];
        const PNG: &[u8] = b"\x89PNG\r\n\x1a\n";
        if bytes.starts_with(JPEG) {
            Some(FileFormat::Jpeg)
        } else if bytes.starts_with(PNG) {
            Some(FileFormat::Png)
        } else {
            None
        }
    }
}

/// What of a text from outside goes into a message.
fn excerpt(text: &str) -> String {
    const CHARS: usize = 60;
    match text.char_indices().nth(CHARS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
