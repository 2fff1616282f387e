//! `mdetr sheet`: several pictures on one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use clap::Args;
use image::RgbImage;
use image::imageops::{FilterType, overlay, resize};

use crate::output::{self, Author};
use crate::picture;

/// Widest and highest sheet, in pixels.
const MAX_SIDE: u32 = 16_384;

#[derive(Debug, Args)]
pub struct SheetArgs {
    /// Pictures (PNG, JPEG), in reading order, upright; "-" reads one from standard input.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// Pictures in a row.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=64))]
    columns: u32,
    /// Width of each picture on the sheet, in pixels; its height follows from the first picture.
    #[arg(long, default_value_t = 426, value_parser = clap::value_parser!(u32).range(16..=4096))]
    width: u32,
    /// Picture to write. It replaces an earlier sheet, and no other file.
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
}

impl SheetArgs {
    /// # Errors
    /// A picture cannot be read or the sheet not be written, or it would be too large.
    pub fn run(&self) -> Result<ExitCode> {
        output::ensure_png_replaceable(&self.out, Author::Sheet)?;
        let from_standard_input = self.images.iter().filter(|p| picture::is_standard_input(p));
        ensure!(
            from_standard_input.count() <= 1,
            "standard input is named twice, and holds one picture"
        );
        let first = picture::read_upright(&self.images[0])?;
        let scaled = u64::from(first.height()) * u64::from(self.width) / u64::from(first.width());
        let height = u32::try_from(scaled.max(1)).unwrap_or(u32::MAX);
        let columns = self.columns.min(self.images.len() as u32);
        let rows = (self.images.len() as u32).div_ceil(columns);
        let size = (
            self.width.saturating_mul(columns),
            height.saturating_mul(rows),
        );
        ensure!(
            size.0 <= MAX_SIDE && size.1 <= MAX_SIDE,
            "the sheet would have {}x{} pixels, more than {MAX_SIDE} a side: give fewer pictures, \
         more --columns or less --width",
            size.0,
            size.1
        );
        let mut sheet = RgbImage::new(size.0, size.1);
        for (i, path) in self.images.iter().enumerate() {
            let later = match i {
                0 => None,
                _ => Some(picture::read_upright(path)?),
            };
            let picture = later.as_ref().unwrap_or(&first);
            let tile = resize(picture, self.width, height, FilterType::Triangle);
            let (column, row) = (i as u32 % columns, i as u32 / columns);
            overlay(
                &mut sheet,
                &tile,
                (column * self.width).into(),
                (row * height).into(),
            );
        }
        output::write_png(&self.out, Author::Sheet, size, &sheet)?;
        Ok(ExitCode::SUCCESS)
    }
}
