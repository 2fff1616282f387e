//! `mdetr see`: keeps pictures as the model sees them.

use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::{Duration, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use image::codecs::jpeg::JpegEncoder;
use image::imageops::FilterType;
use image::{DynamicImage, RgbImage};
use indicatif::ProgressBar;
use mdetr::frame::LumaGrid;
use mdetr::seen::TokenPrecision;
use mdetr::{Frame, Grounder, GrounderOptions};
use mdetr_past::{Keep, Sampler, Writer, WriterOptions};
use rayon::prelude::*;

use super::key::KeyArgs;
use super::time;
use crate::import::stop_on_signals;
use crate::model::ModelArgs;
use crate::{picture, progress, warning};

/// Long side of the pictures that are kept, in pixels, and their quality.
const PICTURE: u32 = 320;
const QUALITY: u8 = 75;

/// Keep pictures as the model sees them, to be asked later by `mdetr past`.
#[derive(Debug, Args)]
pub struct SeeArgs {
    /// Pictures (PNG, JPEG), directories of them, or patterns such as "shots/*.png", in the order of time.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// Directory that they are added to. It is made if need be, for its owner alone to read.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Name of the camera that took them.
    #[arg(long, value_name = "NAME", default_value = "camera")]
    camera: String,
    /// When the first was taken, such as 2026-01-05T10:15:03Z [default: each when its file was last changed].
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    start: Option<i64>,
    /// Seconds from one picture to the next.
    #[arg(
        long,
        value_name = "SECONDS",
        default_value_t = 1.0,
        requires = "start"
    )]
    every: f64,
    /// What values are kept in: fp16, or int8, which takes half as much and is a little less accurate.
    #[arg(long, value_name = "PRECISION", default_value_t)]
    precision: TokenPrecision,
    /// Keep a picture only if the brightness of some cell of a 32 x 24 grid differs by more than this from the last that was kept,
    /// 0 to 1; 0: keep all.
    #[arg(long, value_name = "X", default_value_t = 0.0)]
    change_threshold: f32,
    /// Keep a small JPEG beside each.
    #[arg(long)]
    pictures: bool,
    /// Scale pictures to this short side in pixels for the network [default: the model's].
    #[arg(long, value_name = "PIXELS")]
    short_side: Option<u32>,
    #[command(flatten)]
    key: KeyArgs,
}

/// A picture that was read, and what becomes of it.
struct Read {
    path: PathBuf,
    time: i64,
    image: RgbImage,
    grid: LumaGrid,
}

impl SeeArgs {
    /// Exit code 0 if every picture was processed, 1 if some were not.
    ///
    /// # Errors
    /// The model, the key or the directory cannot be used.
    pub fn run(self) -> Result<ExitCode> {
        ensure!(
            self.every > 0.0 && self.every <= 1e6,
            "--every: expected more than 0, up to 1000000 seconds, found {}",
            self.every
        );
        let mut pictures = Vec::new();
        for argument in &self.images {
            let found = picture::expand(argument)?;
            if let Some(left_out) = found.left_out {
                warning::print(&left_out);
            }
            pictures.extend(found.pictures);
        }
        let key = self.key.read()?;
        let options = WriterOptions {
            key,
            ..WriterOptions::default()
        };
        let mut writer = Writer::open(&self.out, options)?;
        if writer.cut() > 0 {
            warning::print(&format!(
                "{}: {} bytes at the end of what was there are no whole frame, and are left out",
                self.out.display(),
                writer.cut()
            ));
        }
        let grounder = self.model.load(GrounderOptions {
            short_side: self.short_side,
            masks: false,
            ..GrounderOptions::default()
        })?;
        let stop = stop_on_signals()?;
        let progress = match pictures.len() {
            0 | 1 => ProgressBar::hidden(),
            many => progress::bar(many, "pictures"),
        };
        let mut sampler = Sampler::new(Duration::ZERO, self.change_threshold);
        let (mut failures, mut number) = (0, 0);
        for batch in pictures.chunks(2 * rayon::current_num_threads()) {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            let read = batch.par_iter().enumerate();
            let read: Vec<Result<Read>> = read
                .map(|(at, path)| self.read(path, number + at))
                .collect();
            // In the order of time; what is kept is then seen on all cores.
            let decided = read.into_iter().map(|read| {
                let read = read?;
                let keep = sampler.decide(read.time, || read.grid.clone());
                Ok((read, keep))
            });
            let decided: Vec<Result<(Read, Keep)>> = decided.collect();
            let seen = decided.into_par_iter().map(|decided| {
                let (read, keep) = decided?;
                let tokens = match keep {
                    Keep::Frame => Some(self.tokens(&grounder, &read)?),
                    Keep::Still | Keep::Nothing => None,
                };
                Ok((read, tokens))
            });
            let seen: Vec<Result<(Read, Option<Vec<u8>>)>> = seen.collect();
            for seen in seen {
                match seen {
                    Ok((read, tokens)) => self.write(&mut writer, &grounder, read, tokens)?,
                    Err(error) => {
                        failures += 1;
                        progress.suspend(|| eprintln!("mdetr: {error:#}"));
                    }
                }
                progress.inc(1);
            }
            number += batch.len();
        }
        writer.flush()?;
        progress.finish_and_clear();
        Ok(match failures {
            0 if number == pictures.len() => ExitCode::SUCCESS,
            _ => ExitCode::FAILURE,
        })
    }

    fn tokens(&self, grounder: &Grounder, read: &Read) -> Result<Vec<u8>> {
        let image = &read.image;
        let see = || {
            let frame = Frame::rgb(image.width(), image.height(), image)?;
            anyhow::Ok(grounder.see(&frame)?.to_bytes(self.precision)?)
        };
        see().with_context(|| picture::name(&read.path))
    }

    fn read(&self, path: &Path, number: usize) -> Result<Read> {
        let image = picture::read_upright(path)?;
        let time = match self.start {
            Some(start) => {
                let offset = (self.every * 1e9 * number as f64) as i64;
                start.checked_add(offset)
            }
            None => {
                let changed = fs::metadata(path).and_then(|file| file.modified());
                let changed = changed.with_context(|| picture::name(path))?;
                let since = changed.duration_since(UNIX_EPOCH).ok();
                since.and_then(|since| i64::try_from(since.as_nanos()).ok())
            }
        };
        let time = time.ok_or_else(|| {
            anyhow!(
                "{}: its time is not from 1970 to 2261: give one with --start",
                picture::name(path)
            )
        })?;
        let grid =
            Frame::rgb(image.width(), image.height(), &image).map(|frame| LumaGrid::of(&frame));
        let grid = grid.with_context(|| picture::name(path))?;
        Ok(Read {
            path: path.to_owned(),
            time,
            image,
            grid,
        })
    }

    /// Adds what was seen, or notes that nothing changed where it was not looked at.
    fn write(
        &self,
        writer: &mut Writer,
        grounder: &Grounder,
        read: Read,
        tokens: Option<Vec<u8>>,
    ) -> Result<()> {
        let tokens = match tokens {
            Some(tokens) => tokens,
            None if writer.still(&self.camera, read.time)? => return Ok(()),
            None => self.tokens(grounder, &read)?,
        };
        let time = read.time;
        let picture = self.pictures.then(|| small(read.image)).transpose()?;
        Ok(writer.frame(&self.camera, time, &tokens, picture.as_deref())?)
    }
}

/// A small JPEG of a picture.
fn small(image: RgbImage) -> Result<Vec<u8>> {
    let image = DynamicImage::ImageRgb8(image);
    let image = match image.width().max(image.height()) > PICTURE {
        true => image.resize(PICTURE, PICTURE, FilterType::Triangle),
        false => image,
    };
    let mut bytes = Vec::new();
    JpegEncoder::new_with_quality(Cursor::new(&mut bytes), QUALITY).encode_image(&image)?;
    Ok(bytes)
}
