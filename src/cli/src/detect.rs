//! `mdetr detect`: grounds sentences in pictures.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::Args;
use image::RgbImage;
use indicatif::ProgressBar;
use mdetr::report::FrameInfo;
use mdetr::{Frame, Grounder, GrounderOptions, Grounding, Packing, Query, report};
use rayon::prelude::*;

use crate::model::ModelArgs;
use crate::output::{self, Author, Beside};
use crate::{picture, progress, warning};

#[derive(Debug, Args)]
pub struct DetectArgs {
    /// Pictures (PNG, JPEG), directories of them, or patterns such as "shots/*.png"; "-" reads one from
    /// standard input. Photos are turned as their Exif orientation says, and boxes are those of the
    /// upright picture.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    #[command(flatten)]
    model: ModelArgs,
    /// What to look for: a sentence. Only words in [brackets] are reported, if there are any. May be
    /// repeated; results have the ids q1, q2, ...
    #[arg(long, required = true, value_name = "SENTENCE")]
    query: Vec<String>,
    /// Report boxes with a score above this, 0 to 1 [default: the model's].
    #[arg(long, value_name = "X")]
    score_threshold: Option<f32>,
    /// Drop a box that overlaps another of its query with a greater score by more than this
    /// intersection over union, if it answers to no other words; 1: keep all [default: the model's].
    #[arg(long, value_name = "X")]
    overlap_threshold: Option<f32>,
    /// Scale pictures to this short side in pixels for the network [default: the model's].
    #[arg(long, value_name = "PIXELS")]
    short_side: Option<u32>,
    /// Measure, and scale pictures to the largest short side, up to the model's or --short-side, with which so many of the
    /// first one's size are answered in a second, one after the other.
    #[arg(long, value_name = "N")]
    fps: Option<f64>,
    /// Fuse these queries as one caption, in less time and less accurately: none, simple (no words of
    /// relation, no questions) or all but questions.
    #[arg(long, value_name = "WHICH", num_args = 0..=1, require_equals = true)]
    #[arg(default_value = "none", default_missing_value = "simple")]
    pack_queries: Packing,
    /// Write one JSON object (schema mdetr/1) per picture to standard output, and nothing else. What is
    /// not UTF-8 in a file name becomes U+FFFD in "source"; "frame" is the picture's number, from 0.
    #[arg(long)]
    json: bool,
    /// Write each picture with its boxes drawn to this directory, as PNG. Those of an earlier run are
    /// replaced, and no other file.
    #[arg(long, value_name = "DIR")]
    annotate: Option<PathBuf>,
}

/// A picture with what was found in it.
struct Answer {
    path: PathBuf,
    result: Result<(RgbImage, Grounding)>,
}

impl DetectArgs {
    /// Exit code 0 if every picture was processed, 1 if some were not.
    ///
    /// # Errors
    /// The model, a query or an output cannot be used.
    pub fn run(self) -> Result<ExitCode> {
        let options = GrounderOptions {
            score_threshold: self.score_threshold,
            overlap_threshold: self.overlap_threshold,
            short_side: self.short_side,
            packing: self.pack_queries,
            ..GrounderOptions::default()
        };
        let mut failures = 0;
        let pictures = self.pictures(&mut failures);
        let annotated = match &self.annotate {
            Some(dir) => Some(Beside::new("--annotate", dir, &pictures, Author::Detect)?),
            None => None,
        };
        if annotated.is_some() && !mdetr_draw::has_fonts() {
            warning::print(mdetr_draw::NO_FONTS);
        }
        let grounder = self.model.load(options)?;
        let queries = self.query.iter().enumerate();
        let queries = queries.map(|(i, text)| Query::parse(format!("q{}", i + 1), text));
        grounder.set_queries(queries.collect::<Result<_, _>>()?)?;
        if let Some(fps) = self.fps {
            choose_short_side(&grounder, &pictures, fps)?;
        }
        let progress = match pictures.len() {
            0 | 1 => ProgressBar::hidden(),
            many => progress::bar(many, "pictures"),
        };
        let mut index = 0;
        // Enough to keep every core busy, few enough to hold in memory.
        for batch in pictures.chunks(2 * rayon::current_num_threads()) {
            let answers: Vec<Answer> = batch
                .par_iter()
                .map(|path| Answer {
                    path: path.clone(),
                    result: detect(&grounder, path),
                })
                .collect();
            for Answer { path, result } in answers {
                let done = result.and_then(|(image, grounding)| {
                    let text = if self.json {
                        let source = path.display().to_string();
                        let info = FrameInfo {
                            source,
                            frame: index as u64,
                            ..FrameInfo::default()
                        };
                        report::to_json_line(&info, &grounding) + "\n"
                    } else {
                        for_people(&path, &grounding)
                    };
                    if let Some(annotated) = &annotated {
                        annotate(&path, &annotated.path(index), image, &grounding)?;
                    }
                    Ok(text)
                });
                match done {
                    Ok(text) => {
                        let write = || io::stdout().lock().write_all(text.as_bytes());
                        match progress.suspend(write) {
                            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                                return Ok(ExitCode::SUCCESS);
                            }
                            written => written.context("standard output")?,
                        }
                    }
                    Err(error) => fail(&mut failures, &error, Some(&progress)),
                }
                index += 1;
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        Ok(if failures == 0 {
            ExitCode::SUCCESS
        } else {
            ExitCode::FAILURE
        })
    }

    /// The pictures that the arguments name. What cannot be found is said, and counted.
    fn pictures(&self, failures: &mut usize) -> Vec<PathBuf> {
        let mut pictures = Vec::new();
        let mut reads_standard_input = false;
        for argument in &self.images {
            let found = picture::expand(argument).and_then(|found| {
                let again = reads_standard_input && picture::is_standard_input(argument);
                ensure!(
                    !again,
                    "standard input is named twice, and holds one picture"
                );
                Ok(found)
            });
            match found {
                Ok(found) => {
                    reads_standard_input |= picture::is_standard_input(argument);
                    if let Some(left_out) = found.left_out {
                        warning::print(&left_out);
                    }
                    pictures.extend(found.pictures);
                }
                Err(error) => fail(failures, &error, None),
            }
        }
        pictures
    }
}

fn detect(grounder: &Grounder, path: &Path) -> Result<(RgbImage, Grounding)> {
    let image = picture::read_upright(path)?;
    let ground = || grounder.ground(&Frame::rgb(image.width(), image.height(), &image)?);
    let grounding = ground().with_context(|| picture::name(path))?;
    Ok((image, grounding))
}

/// Chooses the size of pictures by the first that can be read twice, and says on standard error what it is.
fn choose_short_side(grounder: &Grounder, pictures: &[PathBuf], fps: f64) -> Result<()> {
    let files = pictures.iter().filter(|path| path.is_file());
    let Some(first) = files
        .filter_map(|path| picture::read_upright(path).ok())
        .next()
    else {
        warning::print("--fps: no picture is a file that can be read: nothing was measured");
        return Ok(());
    };
    let choice = grounder
        .choose_short_side(first.width(), first.height(), fps)
        .context("--fps")?;
    let (side, measured) = (choice.short_side, choice.frames_per_second);
    eprintln!("mdetr: short side {side}, {measured:.1} pictures/s one after the other");
    if !choice.is_reached {
        warning::print(&format!(
            "--fps {fps}: expected {fps} pictures/s, found {measured:.1}; take fewer queries, a smaller model or another engine"
        ));
    }
    Ok(())
}

fn fail(failures: &mut usize, error: &anyhow::Error, progress: Option<&ProgressBar>) {
    *failures += 1;
    let print = || eprintln!("mdetr: {error:#}");
    match progress {
        Some(progress) => progress.suspend(print),
        None => print(),
    }
}

/// ```text
/// shots/1.png
///   q1 "a red cube": 1 found
///     0.97  12.0 30.5 40.2x38.0  "a red cube" 0.98  mask 1180 px
///   q2 "a cone": absent
///   q3 "how many balls are there?": "2" 0.95
/// ```
fn for_people(path: &Path, grounding: &Grounding) -> String {
    let mut text = format!("{}\n", path.display());
    for result in &grounding.queries {
        let answer = result.answer.as_ref().map(|answer| {
            let (text, score) = (&answer.text, answer.score);
            format!("\"{text}\" {score:.2}")
        });
        let found = match result.detections.len() {
            0 if answer.is_some() => None,
            0 => Some("absent".to_owned()),
            count => Some(format!("{count} found")),
        };
        let found: Vec<String> = answer.into_iter().chain(found).collect();
        let found = found.join(", ");
        let (id, sentence) = (result.query.id(), result.query.text());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {id} \"{sentence}\": {found}");
        for detection in &result.detections {
            let bbox = detection.bbox;
            let _ = write!(
                text,
                "    {:.2}  {:.1} {:.1} {:.1}x{:.1}",
                detection.score, bbox.x, bbox.y, bbox.width, bbox.height
            );
            for phrase in &detection.phrases {
                let _ = write!(text, "  \"{}\" {:.2}", phrase.text, phrase.score);
            }
            if let Some(mask) = &detection.mask {
                let _ = write!(text, "  mask {} px", mask.area());
            }
            text.push('\n');
        }
    }
    text
}

/// Writes a picture with its boxes.
fn annotate(source: &Path, out: &Path, mut image: RgbImage, grounding: &Grounding) -> Result<()> {
    let (width, height) = image.dimensions();
    let style = mdetr_draw::Style::default();
    mdetr_draw::annotate_rgb(width, height, &mut image, grounding, &style)
        .map_err(|error| anyhow!("{}: cannot be drawn on: {error}", picture::name(source)))?;
    output::write_png(out, Author::Detect, (width, height), &image)
}
