//! `mdetr scenes`: pictures, data sets and videos of the tabletop world.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::iter;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use clap::{Args, Subcommand, ValueEnum};
use mdetr_scenes::clips::{self, ClipsOptions, Frames};
use mdetr_scenes::dataset::{self, DatasetOptions, Sample};
use mdetr_scenes::video::{FrameRate, Y4M_MARK, Y4mWriter};
use mdetr_scenes::{CaptionKind, Mix, MovingScene, Rendering, SceneOptions, depth, render};
use rayon::prelude::*;
use serde_json::json;

use crate::output::{self, Author};
use crate::{progress, size};

/// The `mdetr scenes` subcommands.
#[derive(Debug, Subcommand)]
pub enum ScenesCommand {
    /// Write a data set: PNG pictures and MDETR's COCO-style annotations.
    Dataset(DatasetArgs),
    /// Write clips in which things move, stop and come, with sentences about time and what they denote
    /// in each frame.
    Clips(ClipsArgs),
    /// Write a video of moving objects, as Y4M or as numbered PNG pictures.
    Video(VideoArgs),
    /// Write one picture and print its camera, objects and captions as JSON. Lengths are in pixels.
    Show(ShowArgs),
}

impl ScenesCommand {
    /// # Errors
    /// The options are not possible, or a file cannot be written.
    pub fn run(self) -> Result<ExitCode> {
        match self {
            ScenesCommand::Dataset(args) => args.run()?,
            ScenesCommand::Clips(args) => args.run()?,
            ScenesCommand::Video(args) => args.run()?,
            ScenesCommand::Show(args) => args.run()?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// Which scenes to draw.
#[derive(Debug, Args)]
struct SceneArgs {
    /// Seed of all random choices.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Size of the pictures.
    #[arg(long, value_name = "WIDTHxHEIGHT", default_value = "320x240", value_parser = parse_size)]
    size: (u32, u32),
    /// Least number of objects.
    #[arg(long, value_name = "N", default_value_t = SceneOptions::default().min_objects)]
    min_objects: usize,
    /// Greatest number of objects.
    #[arg(long, value_name = "N", default_value_t = SceneOptions::default().max_objects)]
    max_objects: usize,
    /// Focal length of the camera in image widths [default: a random one of 1.0 to 1.2, with --varied of 0.8
    /// to 1.6].
    #[arg(long, value_name = "WIDTHS")]
    focal: Option<f32>,
    /// Cameras, lights, surfaces and sensors that differ widely: objects cut by the picture's edges, dark scenes, shiny things
    /// that do not shine (captions then name no material).
    #[arg(long)]
    varied: bool,
}

impl SceneArgs {
    fn options(&self) -> Result<SceneOptions> {
        let options = SceneOptions {
            min_objects: self.min_objects,
            max_objects: self.max_objects,
            width: self.size.0,
            height: self.size.1,
            focal: self.focal,
            varied: self.varied,
        };
        options.check()?;
        Ok(options)
    }
}

/// Which captions to write.
#[derive(Debug, Args)]
struct CaptionArgs {
    /// Captions per picture.
    #[arg(long, value_name = "K", default_value_t = 1)]
    captions: usize,
    /// Only these kinds of captions, equally often (comma-separated).
    #[arg(
        long,
        value_name = "KIND,...",
        value_delimiter = ',',
        conflicts_with = "mix"
    )]
    kinds: Vec<CaptionKind>,
    /// How often each kind of caption is drawn.
    #[arg(long, value_enum, default_value_t = MixName::Training)]
    mix: MixName,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MixName {
    /// Sentences that name objects, as the bundled model is trained on.
    Training,
    /// The same, and as many questions.
    Questions,
    /// All kinds equally often.
    Even,
}

impl CaptionArgs {
    fn mix(&self) -> Mix {
        match self.mix {
            _ if !self.kinds.is_empty() => Mix::even(&self.kinds),
            MixName::Training => Mix::training(),
            MixName::Questions => Mix::with_questions(),
            MixName::Even => Mix::even(CaptionKind::ALL),
        }
    }
}

#[derive(Debug, Args)]
pub struct DatasetArgs {
    /// Number of pictures.
    #[arg(long, value_name = "N")]
    count: usize,
    #[command(flatten)]
    scene: SceneArgs,
    #[command(flatten)]
    captions: CaptionArgs,
    /// Directory to write to: images/, annotations.json, scenes.json.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Leave masks out of annotations.json (scenes.json keeps them).
    #[arg(long)]
    no_masks: bool,
    /// Replace another data set of this command in the same directory.
    #[arg(long)]
    overwrite: bool,
}

impl DatasetArgs {
    fn run(&self) -> Result<()> {
        let options = DatasetOptions {
            count: self.count,
            seed: self.scene.seed,
            scene: self.scene.options()?,
            captions: self.captions.captions,
            mix: self.captions.mix(),
            masks: !self.no_masks,
            overwrite: self.overwrite,
        };
        let bar = progress::bar(self.count, "pictures");
        let start = Instant::now();
        let summary = dataset::write(&self.out, &options, || bar.inc(1))?;
        bar.finish_and_clear();
        let seconds = start.elapsed().as_secs_f64();
        eprintln!(
            "{}: {} pictures rendered, {} kept, {} captions, {} annotations in {seconds:.1} s ({:.0} pictures/s)",
            self.out.display(),
            summary.rendered,
            summary.kept,
            summary.captions,
            summary.annotations,
            self.count as f64 / seconds,
        );
        Ok(())
    }
}

#[derive(Debug, Args)]
pub struct ClipsArgs {
    /// Number of clips.
    #[arg(long, value_name = "N")]
    count: usize,
    #[command(flatten)]
    scene: SceneArgs,
    /// Captions per clip.
    #[arg(long, value_name = "K", default_value_t = 8)]
    captions: usize,
    /// Frames of a clip: some moments of a stream.
    #[arg(long, value_name = "T", default_value_t = 8, value_parser = clap::value_parser!(u16).range(2..=64))]
    frames: u16,
    /// Instead of those the whole story, 8 seconds, at this number of frames per second.
    #[arg(long, conflicts_with = "frames", value_parser = parse_fps)]
    fps: Option<f64>,
    /// Part of these frames that is missing, at random.
    #[arg(long, value_name = "PART", default_value_t = 0.0, requires = "fps", value_parser = parse_part)]
    dropped: f64,
    /// Part of the clips in which something goes behind something else and is hidden there for a while.
    #[arg(long, value_name = "PART", default_value_t = 0.0, value_parser = parse_share)]
    hiding: f64,
    /// Directory to write to: frames/, clips.jsonl.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Replace another data set of this command in the same directory.
    #[arg(long)]
    overwrite: bool,
}

impl ClipsArgs {
    fn run(&self) -> Result<()> {
        let options = ClipsOptions {
            count: self.count,
            seed: self.scene.seed,
            scene: self.scene.options()?,
            captions: self.captions,
            frames: match self.fps {
                Some(fps) => Frames::Rate {
                    fps,
                    dropped: self.dropped,
                },
                None => Frames::Some(self.frames.into()),
            },
            hiding: self.hiding,
            overwrite: self.overwrite,
        };
        let bar = progress::bar(self.count, "clips");
        let start = Instant::now();
        let summary = clips::write(&self.out, &options, || bar.inc(1))?;
        bar.finish_and_clear();
        eprintln!(
            "{}: {} clips, {} pictures rendered, {} kept, {} captions in {:.1} s",
            self.out.display(),
            self.count,
            summary.rendered,
            summary.kept,
            summary.captions,
            start.elapsed().as_secs_f64(),
        );
        Ok(())
    }
}

fn parse_fps(text: &str) -> Result<f64, String> {
    parse_within(text, 1.0..=60.0)
}

fn parse_part(text: &str) -> Result<f64, String> {
    parse_within(text, 0.0..=0.9)
}

fn parse_share(text: &str) -> Result<f64, String> {
    parse_within(text, 0.0..=1.0)
}

fn parse_within(text: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, String> {
    let value = text
        .parse::<f64>()
        .ok()
        .filter(|value| range.contains(value));
    value.ok_or_else(|| format!("expected a number of {} to {}", range.start(), range.end()))
}

#[derive(Debug, Args)]
pub struct VideoArgs {
    /// Length of the video in seconds.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Frames per second: a number or a fraction such as 30000/1001.
    #[arg(long, value_name = "RATE", default_value = "30", value_parser = parse_rate)]
    fps: FrameRate,
    #[command(flatten)]
    scene: SceneArgs,
    /// FILE.y4m, "-" for Y4M on standard output, or a directory for numbered PNG pictures. What an
    /// earlier run wrote is replaced, and no other file.
    #[arg(long, value_name = "PATH")]
    out: PathBuf,
    /// Write what is visible in each frame, and where, to this file: one JSON line per frame. What an
    /// earlier run wrote is replaced, and no other file.
    #[arg(long, value_name = "FILE.jsonl")]
    truth: Option<PathBuf>,
}

/// Longest video, in frames: a day at 60 frames per second.
const MAX_FRAMES: f64 = 60.0 * 86_400.0;

impl VideoArgs {
    fn run(&self) -> Result<()> {
        let options = self.scene.options()?;
        let frames =
            (self.seconds * f64::from(self.fps.frames) / f64::from(self.fps.seconds)).round();
        ensure!(
            (1.0..=MAX_FRAMES).contains(&frames),
            "--seconds {} at this rate makes {frames} frames: expected 1 to {MAX_FRAMES}",
            self.seconds
        );
        ensure!(
            self.truth.as_ref() != Some(&self.out),
            "--out and --truth name the same file: {}",
            self.out.display()
        );
        let mut frame_sink = FrameSink::open(&self.out, &options, self.fps)?;
        let mut truth_sink = match &self.truth {
            Some(path) => Some(BufWriter::new(output::create(path, is_truth)?)),
            None => None,
        };
        let scene = MovingScene::new(self.scene.seed, &options);
        let bar = progress::bar(frames as usize, "frames");
        // Frames are rendered in parallel a batch at a time, and written in order.
        let batch = 2 * rayon::current_num_threads() as u64;
        let frames = frames as u64;
        for first in (0..frames).step_by(batch as usize) {
            let rendered: Vec<(u64, Rendering)> = (first..frames.min(first + batch))
                .into_par_iter()
                .map(|n| (n, self.frame(&scene, n)))
                .collect();
            for (n, frame) in rendered {
                if let Some(out) = &mut truth_sink {
                    writeln!(out, "{}", self.truth_line(&scene, n, &frame))
                        .context("cannot write the truth file")?;
                }
                if !frame_sink.write(n, &frame)? {
                    return Ok(());
                }
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        if let Some(mut out) = truth_sink {
            out.flush().context("cannot write the truth file")?;
        }
        frame_sink.finish()
    }

    fn frame(&self, scene: &MovingScene, n: u64) -> Rendering {
        let (width, height) = self.scene.size;
        render(
            &scene.at(self.fps.time(n)),
            width,
            height,
            self.scene.seed ^ n,
        )
    }

    fn truth_line(&self, scene: &MovingScene, n: u64, frame: &Rendering) -> serde_json::Value {
        json!({
            "frame": n,
            "pts_ns": self.fps.pts_ns(n),
            "size": [frame.width, frame.height],
            "objects": frame.ground_truth().named(&scene.at(self.fps.time(n))),
        })
    }
}

/// Where the frames of a video go.
enum FrameSink {
    Y4m(Y4mWriter<BufWriter<Box<dyn Write>>>, PathBuf),
    Pictures(PathBuf),
}

impl FrameSink {
    fn open(path: &Path, options: &SceneOptions, rate: FrameRate) -> Result<FrameSink> {
        let out: Box<dyn Write> = if path == Path::new("-") {
            Box::new(io::stdout())
        } else if path
            .extension()
            .is_some_and(|e| e.eq_ignore_ascii_case("y4m"))
        {
            Box::new(output::create(path, is_y4m)?)
        } else {
            std::fs::create_dir_all(path)
                .with_context(|| format!("cannot create directory {}", path.display()))?;
            return Ok(FrameSink::Pictures(path.into()));
        };
        let writer = Y4mWriter::new(BufWriter::new(out), options.width, options.height, rate);
        let writer = writer.with_context(|| format!("cannot write {}", path.display()))?;
        Ok(FrameSink::Y4m(writer, path.into()))
    }

    /// Writes a frame; false if nobody reads any more.
    fn write(&mut self, n: u64, frame: &Rendering) -> Result<bool> {
        match self {
            FrameSink::Pictures(dir) => {
                write_png(&dir.join(format!("{n:06}.png")), Author::Video, frame)?;
                Ok(true)
            }
            FrameSink::Y4m(out, path) => match out.write(frame) {
                Ok(()) => Ok(true),
                Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(false),
                Err(e) => Err(e).with_context(|| format!("cannot write {}", path.display())),
            },
        }
    }

    fn finish(self) -> Result<()> {
        match self {
            FrameSink::Pictures(_) => Ok(()),
            FrameSink::Y4m(out, path) => match out.finish() {
                Err(e) if e.kind() != io::ErrorKind::BrokenPipe => {
                    Err(e).with_context(|| format!("cannot write {}", path.display()))
                }
                _ => Ok(()),
            },
        }
    }
}

#[derive(Debug, Args)]
pub struct ShowArgs {
    #[command(flatten)]
    scene: SceneArgs,
    #[command(flatten)]
    captions: CaptionArgs,
    /// Picture to write. It replaces one of an earlier run, and no other file.
    #[arg(long, value_name = "FILE.png")]
    out: PathBuf,
    /// Write the depth of each pixel too, as gray of 16 bits: thousandths of a world unit along the
    /// optical axis, 0 beyond 65 units. It replaces one of an earlier run, and no other file.
    #[arg(long, value_name = "FILE.png")]
    depth: Option<PathBuf>,
}

impl ShowArgs {
    fn run(&self) -> Result<()> {
        let options = DatasetOptions {
            count: 1,
            seed: self.scene.seed,
            scene: self.scene.options()?,
            captions: self.captions.captions,
            mix: self.captions.mix(),
            masks: true,
            overwrite: true,
        };
        ensure!(
            self.depth.as_ref() != Some(&self.out),
            "--out and --depth name the same file: {}",
            self.out.display()
        );
        for path in iter::once(&self.out).chain(&self.depth) {
            output::ensure_png_replaceable(path, Author::Show)?;
        }
        let sample = dataset::sample(&options, 0);
        write_png(&self.out, Author::Show, &sample.rendering)?;
        if let Some(path) = &self.depth {
            let (width, height) = self.scene.size;
            let depths = depth(&sample.scene, width, height);
            let values: Vec<u16> = depths.into_iter().map(thousandths).collect();
            output::write_gray16_png(path, Author::Show, self.scene.size, &values)?;
        }
        let mut out = io::stdout().lock();
        match serde_json::to_writer_pretty(&mut out, &describe(&sample)) {
            Ok(()) => writeln!(out).context("cannot write standard output"),
            Err(e) if e.io_error_kind() == Some(io::ErrorKind::BrokenPipe) => Ok(()),
            Err(e) => Err(e).context("cannot write standard output"),
        }
    }
}

/// A depth in thousandths; 0 is for what is too far away.
fn thousandths(depth: f32) -> u16 {
    let value = (depth * 1000.0).round();
    if value <= f32::from(u16::MAX) {
        value as u16
    } else {
        0
    }
}

/// A sample's camera, objects and captions, each phrase with its words, span and objects.
fn describe(sample: &Sample) -> serde_json::Value {
    let captions = sample.captions.iter().map(|caption| {
        let text: Vec<char> = caption.text.chars().collect();
        let phrases = caption.phrases.iter().map(|phrase| {
            let words: Vec<String> = phrase
                .spans
                .iter()
                .map(|&(start, end)| text[start as usize..end as usize].iter().collect())
                .collect();
            json!({ "words": words, "spans": phrase.spans, "objects": phrase.objects })
        });
        json!({
            "text": caption.text,
            "kind": caption.kind.name(),
            "phrases": phrases.collect::<Vec<_>>(),
        })
    });
    let (width, height) = (sample.truth.width, sample.truth.height);
    json!({
        "size": [width, height],
        "camera": {
            "focal": sample.scene.camera.focal * width as f32,
            "centre": [f64::from(width) / 2.0, f64::from(height) / 2.0],
        },
        "objects": sample.truth.named(&sample.scene),
        "captions": captions.collect::<Vec<_>>(),
    })
}

fn write_png(path: &Path, author: Author, frame: &Rendering) -> Result<()> {
    output::write_png(path, author, (frame.width, frame.height), &frame.rgb)
}

/// Whether a video begins as ours do.
fn is_y4m(file: File) -> bool {
    output::first_line(file).ends_with(Y4M_MARK.as_bytes())
}

/// Whether a file begins with a line of [`VideoArgs::truth_line`].
fn is_truth(file: File) -> bool {
    let line = serde_json::from_slice::<serde_json::Map<_, _>>(&output::first_line(file));
    let keys = ["frame", "objects", "pts_ns", "size"];
    line.is_ok_and(|line: serde_json::Map<String, serde_json::Value>| {
        line.len() == keys.len() && keys.iter().all(|key| line.contains_key(*key))
    })
}

fn parse_rate(text: &str) -> Result<FrameRate> {
    let (frames, seconds) = text.split_once('/').unwrap_or((text, "1"));
    let parse = |part: &str| {
        part.trim()
            .parse()
            .ok()
            .filter(|n| (1..=1_000_000).contains(n))
    };
    parse(frames)
        .zip(parse(seconds))
        .map(|(frames, seconds)| FrameRate { frames, seconds })
        .with_context(|| {
            format!("'{text}' is not a frame rate: expected a number or a fraction, such as 30 or 30000/1001")
        })
}

fn parse_size(text: &str) -> Result<(u32, u32)> {
    size::parse(text)
        .with_context(|| format!("'{text}' is not a size: expected WIDTHxHEIGHT, such as 320x240"))
}
