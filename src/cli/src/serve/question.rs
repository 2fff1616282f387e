//! What a call asks.

use bytes::Bytes;
use image::{ImageReader, RgbImage};
use mdetr::{Frame, Query};
use mdetr_kserve::inference::ModelInferRequest;
use mdetr_kserve::{Tensor, Values, inputs};

use crate::picture;

/// Names of the inputs.
pub const IMAGE: &str = "image";
pub const QUERY: &str = "query";
/// Most sentences of a call.
pub const MOST_QUERIES: usize = 64;
/// Most pixels of a picture: 8K has half as many.
const MOST_PIXELS: u64 = 1 << 26;

/// A picture, and what to look for in it.
#[derive(Debug)]
pub struct Question {
    pub picture: Picture,
    pub queries: Vec<Query>,
}

/// A picture as it came.
#[derive(Debug)]
pub enum Picture {
    /// A file in PNG or JPEG.
    File(Bytes),
    /// Packed RGB, with width and height.
    Pixels(u32, u32, Bytes),
}

impl Question {
    /// Reads a request.
    ///
    /// # Errors
    /// In words, which input is wrong.
    pub fn read(request: ModelInferRequest) -> Result<Question, String> {
        let tensors = inputs(request).map_err(|error| error.to_string())?;
        let (mut image, mut query) = (None, None);
        for tensor in tensors {
            let place = match tensor.name.as_str() {
                IMAGE => &mut image,
                QUERY => &mut query,
                other => {
                    let other: String = other.chars().take(64).collect();
                    return Err(format!(
                        "expected the inputs {IMAGE} and {QUERY}, found {other:?}"
                    ));
                }
            };
            if place.replace(tensor).is_some() {
                return Err("an input is there twice".to_owned());
            }
        }
        let missing = |name| format!("the input {name} is missing");
        Ok(Question {
            picture: Picture::read(image.ok_or_else(|| missing(IMAGE))?)?,
            queries: queries(query.ok_or_else(|| missing(QUERY))?)?,
        })
    }
}

fn queries(tensor: Tensor) -> Result<Vec<Query>, String> {
    let Values::Bytes(texts) = tensor.values else {
        return Err(format!("input {QUERY}: expected BYTES, found numbers"));
    };
    if !(1..=MOST_QUERIES).contains(&texts.len()) {
        let found = texts.len();
        return Err(format!(
            "input {QUERY}: expected 1 to {MOST_QUERIES} sentences, found {found}"
        ));
    }
    let query = |(index, text): (usize, &Bytes)| {
        let number = index + 1;
        let text = std::str::from_utf8(text)
            .map_err(|_| format!("input {QUERY}, sentence {number}: it is not UTF-8"))?;
        Query::parse(format!("q{number}"), text).map_err(|error| format!("input {QUERY}: {error}"))
    };
    texts.iter().enumerate().map(query).collect()
}

impl Picture {
    fn read(tensor: Tensor) -> Result<Picture, String> {
        let expected = format!(
            "input {IMAGE}: expected one PNG or JPEG as BYTES, or pixels as UINT8 of shape [height, width, 3]"
        );
        match (tensor.values, tensor.shape.as_slice()) {
            (Values::Bytes(mut files), _) if files.len() == 1 => Ok(Picture::File(files.remove(0))),
            (Values::U8(pixels), &[height, width, 3]) => {
                let side = |side: usize| u32::try_from(side).ok().filter(|side| *side > 0);
                match (side(width), side(height)) {
                    (Some(width), Some(height)) => Ok(Picture::Pixels(width, height, pixels)),
                    _ => Err(expected),
                }
            }
            (_, shape) => Err(format!("{expected}; found something of shape {shape:?}")),
        }
    }

    /// Gives its pixels to `use_it`.
    ///
    /// # Errors
    /// In words: it is too large or no picture, or what `use_it` says.
    pub fn with<T>(&self, use_it: impl FnOnce(&Frame) -> Result<T, String>) -> Result<T, String> {
        let words = |error: &dyn std::fmt::Display| format!("input {IMAGE}: {error:#}");
        let decoded: RgbImage;
        let (width, height, pixels) = match self {
            Picture::Pixels(width, height, pixels) => (*width, *height, pixels.as_ref()),
            Picture::File(file) => {
                check_pixels(file)?;
                decoded = picture::decode_upright(file).map_err(|error| words(&error))?;
                (
                    decoded.width(),
                    decoded.height(),
                    decoded.as_raw().as_slice(),
                )
            }
        };
        let frame = Frame::rgb(width, height, pixels).map_err(|error| words(&error))?;
        use_it(&frame)
    }
}

/// Refuses a file that would take much memory. What is no picture is refused by who decodes it.
fn check_pixels(file: &[u8]) -> Result<(), String> {
    let reader = ImageReader::new(std::io::Cursor::new(file)).with_guessed_format();
    let size = reader.ok().and_then(|reader| reader.into_dimensions().ok());
    match size {
        Some((width, height)) if u64::from(width) * u64::from(height) > MOST_PIXELS => {
            Err(format!(
                "input {IMAGE}: {width} x {height} pixels are too many; scale the picture to {MOST_PIXELS} or fewer"
            ))
        }
        _ => Ok(()),
    }
}
