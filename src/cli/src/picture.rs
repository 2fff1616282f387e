//! Image files named on the command line.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, anyhow, bail, ensure};
use image::{ImageFormat, ImageReader, Limits, RgbImage};

/// Bounds on what is decoded.
const MAX_SIDE: u32 = mdetr::frame::MAX_SIDE;
const MAX_BYTES: u64 = 1 << 30;

/// Files that a directory's listing counts as pictures.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];

/// The pictures that `argument` names: a file, the PNG and JPEG files of a directory by name, or
/// those that a pattern matches.
pub fn expand(argument: &str) -> Result<Vec<PathBuf>> {
    let path = Path::new(argument);
    if path.is_dir() {
        let entries = std::fs::read_dir(path).with_context(|| format!("cannot list {argument}"))?;
        let mut pictures: Vec<PathBuf> = entries
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<Vec<PathBuf>>>()
            .with_context(|| format!("cannot list {argument}"))?;
        pictures.retain(|file| is_picture(file));
        pictures.sort();
        ensure!(
            !pictures.is_empty(),
            "{argument}: no PNG or JPEG file in this directory"
        );
        return Ok(pictures);
    }
    if path.exists() || !argument.contains(['*', '?', '[']) {
        return Ok(vec![path.to_owned()]);
    }
    let matches = glob::glob(argument).with_context(|| format!("{argument}: not a pattern"))?;
    let pictures: Vec<PathBuf> = matches
        .collect::<Result<_, _>>()
        .with_context(|| format!("{argument}: cannot list what matches"))?;
    ensure!(
        !pictures.is_empty(),
        "{argument}: nothing matches this pattern"
    );
    Ok(pictures)
}

fn is_picture(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    path.is_file() && extension.is_some_and(|e| EXTENSIONS.contains(&e.to_lowercase().as_str()))
}

/// Decodes a PNG or JPEG file to RGB; alpha is dropped, orientation tags are not applied.
pub fn read(path: &Path) -> Result<RgbImage> {
    decode(path).with_context(|| path.display().to_string())
}

fn decode(path: &Path) -> Result<RgbImage> {
    let mut reader = ImageReader::new(BufReader::new(File::open(path)?)).with_guessed_format()?;
    let format = reader.format();
    match format {
        Some(ImageFormat::Jpeg) => ensure_jpeg_ends(&mut File::open(path)?)?,
        Some(ImageFormat::Png) => {}
        Some(other) => bail!("this is {other:?}; expected PNG or JPEG"),
        None => bail!("this is no picture; expected PNG or JPEG"),
    }
    let mut limits = Limits::default();
    limits.max_image_width = Some(MAX_SIDE);
    limits.max_image_height = Some(MAX_SIDE);
    limits.max_alloc = Some(MAX_BYTES);
    reader.limits(limits);
    let picture = reader
        .decode()
        .map_err(|error| anyhow!("cannot be decoded, it may be cut short or damaged: {error}"))?;
    Ok(picture.into_rgb8())
}

/// A JPEG ends with the marker EOI; decoders fill in what a truncated one lacks. Some writers append
/// a few bytes after it.
fn ensure_jpeg_ends(file: &mut File) -> Result<()> {
    const END_OF_IMAGE: [u8; 2] = [0xff, 0xd9];
    const SEARCHED: u64 = 64 << 10;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(SEARCHED)))?;
    let mut tail = Vec::new();
    file.take(SEARCHED).read_to_end(&mut tail)?;
    let ends = tail.windows(2).any(|pair| pair == END_OF_IMAGE);
    ensure!(
        ends,
        "the JPEG is cut short: no end-of-image marker in its last {SEARCHED} bytes"
    );
    Ok(())
}
