//! Data sets of clips: frames of stories, and sentences with what they denote in each.
//!
//! `frames/000000/00.png ...` are the pictures. `clips.jsonl` has one line for each clip: its objects,
//! when its frames were taken and where the objects are in them, and its captions. Of a caption, `known` says of which frames
//! it is certain what it denotes there for somebody who saw this frame and those before it.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use rand::Rng;
use rand::seq::IndexedRandom;
use rayon::prelude::*;
use serde::Serialize;

use crate::caption::names_material;
use crate::dataset::write_png;
use crate::error::ScenesError;
use crate::object::Object;
use crate::options::SceneOptions;
use crate::random::{mix, rng};
use crate::recipe::{Recipe, write_whole};
use crate::story::{Instant, Story, StoryCaption, Watch, tell};

/// What to write.
#[derive(Clone, Debug)]
pub struct ClipsOptions {
    /// Number of clips.
    pub count: usize,
    /// Seed; the i-th clip depends on it and on i alone.
    pub seed: u64,
    /// Number of objects and size of the pictures.
    pub scene: SceneOptions,
    /// Captions per clip.
    pub captions: usize,
    /// When frames are taken.
    pub frames: Frames,
    /// Part of the clips, 0 to 1, in which something goes behind something else and is hidden there for a while.
    pub hiding: f64,
    /// Whether another data set of ours in the same directory may be replaced.
    pub overwrite: bool,
}

/// When the frames of a clip are taken.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Frames {
    /// So many of a stream's of 5 to 30 frames per second: most are those that somebody remembers who remembers an instant
    /// every 0.4 seconds, and up to a third lie between them.
    Some(usize),
    /// All of the story at so many a second, of which this part is missing at random.
    Rate {
        /// Frames per second.
        fps: f64,
        /// Part of the frames that is missing, 0..1.
        dropped: f64,
    },
}

impl std::fmt::Display for Frames {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        match self {
            Frames::Some(count) => write!(f, "{count} frames"),
            Frames::Rate { fps, dropped } if *dropped > 0.0 => {
                write!(f, "{fps} frames per second, {dropped} of them missing")
            }
            Frames::Rate { fps, .. } => write!(f, "{fps} frames per second"),
        }
    }
}

/// What was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Pictures rendered now.
    pub rendered: usize,
    /// Pictures found from an earlier run and kept.
    pub kept: usize,
    /// Captions.
    pub captions: usize,
}

const FRAMES: &str = "frames";
const CLIPS: &str = "clips.jsonl";
const TIME_STREAM: u64 = 1 << 32;
const NOISE_STREAM: u64 = 2 << 32;
const CAPTION_STREAM: u64 = 3 << 32;
const HIDING_STREAM: u64 = 4 << 32;
/// Frames per second of a stream of which some moments are seen, and the part of them that is missing at most.
const STREAM_FPS: (f64, f64) = (5.0, 30.0);
const STREAM_DROPPED: f64 = 0.15;
/// Seconds between moments that are remembered, at least.
const REMEMBERED_INTERVAL: f64 = 0.4 - 1e-6;

/// The `index`-th clip of a data set, and its captions, no two alike.
///
/// # Panics
/// If `options.scene` does not pass [`SceneOptions::check`], or `options.hiding` is not within 0 and 1.
pub fn clip(options: &ClipsOptions, index: usize) -> (Watch, Vec<StoryCaption>) {
    let seed = mix(options.seed) ^ mix(index as u64 ^ 0xc11b_5000_0000_0000);
    let hiding = rng(seed, HIDING_STREAM).random_bool(options.hiding);
    let story = match hiding {
        true => Story::hiding(mix(seed), &options.scene),
        false => Story::new(mix(seed), &options.scene),
    };
    let seconds = times(&mut rng(seed, TIME_STREAM), options.frames);
    let SceneOptions { width, height, .. } = options.scene;
    let watch = Watch::new(story, &seconds, width, height, mix(seed ^ NOISE_STREAM));
    let mut rng = rng(seed, CAPTION_STREAM);
    let mut captions: Vec<StoryCaption> = Vec::with_capacity(options.captions);
    // A story of one thing that rests offers few sentences.
    for _ in 0..20 * options.captions {
        if captions.len() == options.captions {
            break;
        }
        if let Some(caption) = tell(&mut rng, &watch)
            && (watch.story.tells_materials() || !names_material(&caption.text))
            && captions.iter().all(|c| c.text != caption.text)
        {
            captions.push(caption);
        }
    }
    (watch, captions)
}

fn times(rng: &mut impl Rng, frames: Frames) -> Vec<f64> {
    match frames {
        Frames::Some(count) => {
            let mut seconds = of_a_stream(rng, count);
            let room = (Story::SECONDS - seconds[seconds.len() - 1]).max(0.0);
            let start = rng.random_range(0.0..=room);
            for s in &mut seconds {
                *s += start;
            }
            seconds
        }
        Frames::Rate { fps, dropped } => {
            let count = (Story::SECONDS * fps).floor() as usize;
            let mut kept = |n: &usize| *n == 0 || !rng.random_bool(dropped);
            (0..count)
                .filter(|n| kept(n))
                .map(|n| n as f64 / fps)
                .collect()
        }
    }
}

/// So many moments of a stream, from 0 on.
fn of_a_stream(rng: &mut impl Rng, count: usize) -> Vec<f64> {
    let fps = rng.random_range(STREAM_FPS.0.ln()..STREAM_FPS.1.ln()).exp();
    let dropped = rng.random_range(0.0..STREAM_DROPPED);
    let (mut kept, mut others) = (vec![0.0], Vec::new());
    let mut frame = 0;
    while kept.len() + others.len().min(count / 3) < count {
        frame += 1;
        let seconds = f64::from(frame) / fps;
        if rng.random_bool(dropped) {
            continue;
        }
        match seconds - kept[kept.len() - 1] >= REMEMBERED_INTERVAL {
            true => kept.push(seconds),
            false => others.push(seconds),
        }
    }
    let between = others.choose_multiple(rng, count - kept.len());
    let mut seconds: Vec<f64> = kept.iter().chain(between).copied().collect();
    seconds.sort_by(f64::total_cmp);
    seconds
}

/// Writes a data set to `dir`, in parallel; calls `progress` once per finished clip.
///
/// Pictures of the same recipe that are there already are kept, so an interrupted run can be
/// repeated. Every file appears whole or not at all; `clips.jsonl` comes last.
///
/// # Errors
/// If the options are not possible, `dir` holds another data set or files that are not ours, or something
/// cannot be written.
pub fn write(
    dir: &Path,
    options: &ClipsOptions,
    progress: impl Fn() + Sync,
) -> Result<Summary, ScenesError> {
    options.scene.check()?;
    let frames = dir.join(FRAMES);
    fs::create_dir_all(&frames).map_err(ScenesError::io("create directory", &frames))?;
    let mut recipe = Recipe::new(options.seed, &options.scene);
    recipe.frames = Some(match options.hiding {
        0.0 => options.frames.to_string(),
        part => format!("{}, something hidden in {part}", options.frames),
    });
    let same = recipe.claim(dir, &[FRAMES, CLIPS], options.overwrite)?;
    let lines: Vec<(Summary, String)> = (0..options.count)
        .into_par_iter()
        .map(|index| {
            let (watch, captions) = clip(options, index);
            let written = write_frames(dir, index, &watch, same)?;
            progress();
            let line = ClipEntry::new(index, &watch, &captions);
            let line = serde_json::to_string(&line).expect("a clip is JSON");
            let captions = captions.len();
            Ok((
                Summary {
                    captions,
                    ..written
                },
                line,
            ))
        })
        .collect::<Result<_, ScenesError>>()?;
    write_whole(&dir.join(CLIPS), |file| {
        let mut out = BufWriter::new(file);
        for (_, line) in &lines {
            writeln!(out, "{line}")?;
        }
        out.flush()
    })?;
    let sum = |a: Summary, (b, _): &(Summary, String)| Summary {
        rendered: a.rendered + b.rendered,
        kept: a.kept + b.kept,
        captions: a.captions + b.captions,
    };
    Ok(lines.iter().fold(Summary::default(), sum))
}

fn write_frames(
    dir: &Path,
    index: usize,
    watch: &Watch,
    same: bool,
) -> Result<Summary, ScenesError> {
    let of_clip = dir.join(FRAMES).join(clip_name(index));
    fs::create_dir_all(&of_clip).map_err(ScenesError::io("create directory", &of_clip))?;
    let mut summary = Summary::default();
    for (n, instant) in watch.instants.iter().enumerate() {
        let path = dir.join(frame_name(index, n));
        if same && path.exists() {
            summary.kept += 1;
        } else {
            write_png(&path, &instant.rendering)?;
            summary.rendered += 1;
        }
    }
    Ok(summary)
}

fn clip_name(index: usize) -> String {
    format!("{index:06}")
}

fn frame_name(index: usize, frame: usize) -> String {
    format!("{FRAMES}/{}/{frame:03}.png", clip_name(index))
}

#[derive(Serialize)]
struct ClipEntry<'a> {
    clip: String,
    /// Width and height in pixels.
    size: [u32; 2],
    objects: &'a [Object],
    /// Whether shiny surfaces look different from matte ones.
    tells_materials: bool,
    frames: Vec<FrameEntry>,
    captions: Vec<CaptionEntry<'a>>,
}

#[derive(Serialize)]
struct FrameEntry {
    file: String,
    /// Seconds.
    time: f64,
    /// Of every object the box of what is visible, x, y, width, height in pixels; null if it is not
    /// seen.
    boxes: Vec<Option<[u32; 4]>>,
    /// Of every object that is not seen any more the boxes that it had in the second before, moved as the camera moved since;
    /// none of the others, left out where there are none at all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    last_boxes: Vec<Vec<[f32; 4]>>,
}

#[derive(Serialize)]
struct CaptionEntry<'a> {
    text: &'a str,
    kind: &'a str,
    phrases: Vec<PhraseEntry<'a>>,
    known: &'a [bool],
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Vec<Option<String>>>,
}

#[derive(Serialize)]
struct PhraseEntry<'a> {
    spans: [(u32, u32); 1],
    /// Of every frame.
    objects: &'a [Vec<usize>],
}

impl<'a> ClipEntry<'a> {
    fn new(index: usize, watch: &'a Watch, captions: &'a [StoryCaption]) -> ClipEntry<'a> {
        let first = &watch.instants[0].rendering;
        let frames = watch.instants.iter().enumerate();
        let frames = frames.map(|(n, instant)| FrameEntry::new(index, n, watch, instant));
        ClipEntry {
            clip: clip_name(index),
            size: [first.width, first.height],
            objects: watch.story.objects(),
            tells_materials: watch.story.tells_materials(),
            frames: frames.collect(),
            captions: captions.iter().map(CaptionEntry::new).collect(),
        }
    }
}

impl FrameEntry {
    fn new(index: usize, frame: usize, watch: &Watch, instant: &Instant) -> FrameEntry {
        let boxes = (0..watch.story.objects().len()).map(|i| {
            let visible = &instant.truth.objects[i];
            watch.sees(i, frame).then_some(visible.bbox)
        });
        let objects = 0..watch.story.objects().len();
        let mut last_boxes: Vec<_> = objects.map(|i| watch.last_boxes(i, frame)).collect();
        if last_boxes.iter().all(Vec::is_empty) {
            last_boxes.clear();
        }
        FrameEntry {
            file: frame_name(index, frame),
            time: instant.seconds,
            boxes: boxes.collect(),
            last_boxes,
        }
    }
}

impl<'a> CaptionEntry<'a> {
    fn new(caption: &'a StoryCaption) -> CaptionEntry<'a> {
        let phrases = caption.phrases.iter().map(|phrase| PhraseEntry {
            spans: [phrase.span],
            objects: &phrase.objects,
        });
        let word = |answer: &Option<crate::caption::Answer>| answer.map(|a| a.to_string());
        let answers = caption.answers.as_deref();
        CaptionEntry {
            text: &caption.text,
            kind: &caption.kind,
            phrases: phrases.collect(),
            known: &caption.known,
            answer: answers.map(|answers| answers.iter().map(word).collect()),
        }
    }
}
