//! Image files named on the command line.

mod expand;
mod jpeg;
mod png;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::io::{self, Cursor, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};

pub use expand::expand;

/// Bounds on what is decoded.
const MAX_SIDE: u32 = mdetr::frame::MAX_SIDE;
const MAX_BYTES: u64 = 1 << 30;
/// What is read to tell a file's kind.
const HEAD: u64 = 4096;

/// The argument that stands for standard input, and what errors call it.
const STANDARD_INPUT: &str = "-";

const SAVE_ANEW: &str = "save it anew as PNG, or as baseline or progressive JPEG";

/// Whether an argument stands for standard input.
pub fn is_standard_input(path: &Path) -> bool {
    path == Path::new(STANDARD_INPUT)
}

/// How messages name an argument.
pub fn name(path: &Path) -> String {
    match is_standard_input(path) {
        true => "standard input".to_owned(),
        false => path.display().to_string(),
    }
}

/// Decodes a PNG or JPEG file, or standard input, to RGB as it is to be seen: turned and mirrored as
/// its Exif orientation says. Alpha is dropped.
///
/// # Errors
/// The file cannot be read, is no PNG or JPEG, is too large, or does not hold all of its picture.
pub fn read_upright(path: &Path) -> Result<RgbImage> {
    let bytes = match is_standard_input(path) {
        true => load(io::stdin().lock(), None, MAX_BYTES),
        false => open(path),
    };
    let decoded = bytes.and_then(|bytes| decode_upright(&bytes));
    decoded.with_context(|| name(path))
}

/// As [`read_upright`], of a file's bytes.
///
/// # Errors
/// It is no PNG or JPEG, is too large, or does not hold all of its picture.
pub fn decode_upright(bytes: &[u8]) -> Result<RgbImage> {
    let (picture, orientation) = decode(bytes)?;
    let mut picture = DynamicImage::ImageRgb8(picture);
    picture.apply_orientation(orientation);
    Ok(picture.into_rgb8())
}

/// Decodes a PNG or JPEG file to RGB as it is stored, which is what the annotations of data sets count
/// pixels in. Alpha is dropped.
///
/// # Errors
/// As [`read_upright`].
#[cfg(any(test, feature = "eval"))]
pub fn read_stored(path: &Path) -> Result<RgbImage> {
    let decoded = open(path).and_then(|bytes| decode(&bytes));
    let (picture, _) = decoded.with_context(|| name(path))?;
    Ok(picture)
}

fn open(path: &Path) -> Result<Vec<u8>> {
    let file = File::open(path)?;
    let data = file.metadata()?;
    ensure!(
        !data.is_dir(),
        "this is a directory; expected PNG or JPEG: name it without a pattern, or its files"
    );
    load(file, data.is_file().then_some(data.len()), MAX_BYTES)
}

/// The bytes of a picture, of a file or a pipe, at most `most`. What is no picture is not read to its
/// end.
fn load(mut from: impl Read, length: Option<u64>, most: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.by_ref().take(HEAD).read_to_end(&mut bytes)?;
    ensure!(!bytes.is_empty(), "it is empty; expected PNG or JPEG");
    kind(&bytes)?;
    let more = length.unwrap_or(0).min(most);
    bytes.reserve_exact((more as usize).saturating_sub(bytes.len()));
    from.take((most + 1).saturating_sub(bytes.len() as u64))
        .read_to_end(&mut bytes)?;
    ensure!(
        bytes.len() as u64 <= most,
        "too large: a file of more than {} MiB is not read; scale the picture down",
        most >> 20
    );
    Ok(bytes)
}

/// PNG or JPEG; an error names what else it is.
fn kind(head: &[u8]) -> Result<ImageFormat> {
    const EXPECTED: &str = "expected PNG or JPEG";
    if let Ok(known @ (ImageFormat::Png | ImageFormat::Jpeg)) = image::guess_format(head) {
        return Ok(known);
    }
    let Some(found) = infer::get(head) else {
        bail!("this is no picture; {EXPECTED}");
    };
    let extension = found.extension();
    let name = match extension {
        "heif" => "HEIC".to_owned(),
        "jxl" => "JPEG XL".to_owned(),
        "jp2" => "JPEG 2000".to_owned(),
        "tif" => "TIFF".to_owned(),
        "webp" => "WebP".to_owned(),
        other => other.to_uppercase(),
    };
    match found.matcher_type() {
        infer::MatcherType::Image => bail!(
            "this is a picture of the kind {name}, which cannot be read; {EXPECTED}: convert it, as \
             ImageMagick's `magick picture.{extension} picture.png` does"
        ),
        infer::MatcherType::Video => bail!(
            "this is a video ({name}); {EXPECTED}: videos are for the GStreamer element mdetr"
        ),
        _ => bail!("this is no picture but {name}; {EXPECTED}"),
    }
}

/// The picture as it is stored, and how it is to be turned.
fn decode(bytes: &[u8]) -> Result<(RgbImage, Orientation)> {
    let format = kind(bytes)?;
    let exif = match format {
        ImageFormat::Png => {
            let header = png::check(bytes)?;
            ensure_sides(header.size)?;
            header.exif
        }
        _ => None,
    };
    let refusal = |error: ImageError| match format {
        ImageFormat::Jpeg if jpeg::is_of_rare_kind(bytes) => {
            anyhow!("cannot be decoded, as it is {}; {SAVE_ANEW}", jpeg::RARE)
        }
        _ => refusal(error),
    };
    let mut decoder = reader(bytes, format).into_decoder().map_err(refusal)?;
    let (width, height) = decoder.dimensions();
    ensure_sides((width, height))?;
    let decoded = decoder.total_bytes();
    ensure!(
        decoded <= MAX_BYTES,
        "too large: {width}x{height} pixels take {} MiB, expected at most {}; scale it down, or reduce \
         it to 8 bits per channel",
        decoded >> 20,
        MAX_BYTES >> 20
    );
    let orientation = match exif {
        Some(exif) => orientation(exif),
        // A damaged Exif block does not keep the picture from being read.
        None => decoder.orientation().ok(),
    };
    let picture = DynamicImage::from_decoder(decoder).map_err(refusal)?;
    if format == ImageFormat::Jpeg {
        jpeg::check(bytes, MAX_BYTES)?;
    }
    let orientation = orientation.unwrap_or(Orientation::NoTransforms);
    Ok((picture.into_rgb8(), orientation))
}

fn ensure_sides((width, height): (u32, u32)) -> Result<()> {
    ensure!(
        width <= MAX_SIDE && height <= MAX_SIDE,
        "too large: {width}x{height} pixels, expected at most {MAX_SIDE} a side; scale it down or cut \
         it into tiles, as ImageMagick's `magick -resize` and `magick -crop` do"
    );
    Ok(())
}

fn reader(bytes: &[u8], format: ImageFormat) -> ImageReader<Cursor<&[u8]>> {
    let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
    // Sides are checked apart, so that the error can name them.
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    reader
}

/// The orientation of a chunk eXIf. Some writers keep the head that Exif has in JPEG.
fn orientation(exif: &[u8]) -> Option<Orientation> {
    Orientation::from_exif_chunk(exif.strip_prefix(b"Exif\0\0").unwrap_or(exif))
}

fn refusal(error: ImageError) -> anyhow::Error {
    match error {
        ImageError::Limits(error) => anyhow!(
            "too large: decoding it takes more than {} MiB ({error}); scale it down",
            MAX_BYTES >> 20
        ),
        ImageError::Unsupported(error) => anyhow!("cannot be decoded: {error}; {SAVE_ANEW}"),
        error => anyhow!("cannot be decoded, it may be cut short or damaged: {error}"),
    }
}
