//! Data sets: pictures and MDETR's COCO-style annotations.
//!
//! `images/000000.png ...` are the pictures, `annotations.json` has one `images` entry per
//! caption and one `annotations` entry per object that a caption denotes, `scenes.json` has what
//! the renderer knows: attributes, boxes and masks of all objects, camera and light.

use std::fs;
use std::io::Write;
use std::path::Path;

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use mdetr_grounding::rle::CompressedRle;
use rayon::prelude::*;
use serde::Serialize;

use crate::caption::{Caption, Mix, caption_or_fallback};
use crate::error::ScenesError;
use crate::object::Object;
use crate::options::SceneOptions;
use crate::random::{mix, rng};
use crate::recipe::{Recipe, write_json, write_whole};
use crate::render::{Rendering, render};
use crate::scene::{Camera, Ground, Light, Look, Scene, Sensor};
use crate::truth::GroundTruth;

/// What to write.
#[derive(Clone, Debug)]
pub struct DatasetOptions {
    /// Number of pictures.
    pub count: usize,
    /// Seed; the i-th scene depends on it and on i alone.
    pub seed: u64,
    /// Number of objects and size of the pictures.
    pub scene: SceneOptions,
    /// Captions per picture.
    pub captions: usize,
    /// Kinds of captions.
    pub mix: Mix,
    /// Whether `annotations.json` has masks; `scenes.json` always does.
    pub masks: bool,
    /// Whether another data set of ours in the same directory may be replaced.
    pub overwrite: bool,
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
    /// Annotations.
    pub annotations: usize,
}

/// A picture with its scene, truth and captions.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The scene.
    pub scene: Scene,
    /// Its picture.
    pub rendering: Rendering,
    /// What is visible.
    pub truth: GroundTruth,
    /// Sentences about it, no two alike.
    pub captions: Vec<Caption>,
}

/// What a data set consists of, beside its recipe.
const IMAGES: &str = "images";
const SCENES: &str = "scenes.json";
const ANNOTATIONS: &str = "annotations.json";

/// Random streams of one sample.
const SCENE_STREAM: u64 = 0;
const NOISE_STREAM: u64 = 1 << 32;
const CAPTION_STREAM: u64 = 2 << 32;

/// The `index`-th sample of a data set.
///
/// # Panics
/// If `options.scene` does not pass [`SceneOptions::check`].
pub fn sample(options: &DatasetOptions, index: usize) -> Sample {
    let SceneOptions { width, height, .. } = options.scene;
    let seed = mix(options.seed) ^ mix(index as u64 ^ 0x5ce0_e5ee_d000_0000);
    // At sizes far below the reference, an object can fall between the pixels: draw again.
    for attempt in 0.. {
        let scene = Scene::sample(mix(seed ^ (SCENE_STREAM + attempt)), &options.scene);
        let rendering = render(&scene, width, height, mix(seed ^ NOISE_STREAM));
        let truth = rendering.ground_truth();
        if truth.all_visible() {
            let captions = captions(options, &scene, &truth, mix(seed ^ CAPTION_STREAM));
            return Sample {
                scene,
                rendering,
                truth,
                captions,
            };
        }
    }
    unreachable!("some scene shows all of its objects")
}

fn captions(
    options: &DatasetOptions,
    scene: &Scene,
    truth: &GroundTruth,
    seed: u64,
) -> Vec<Caption> {
    let mut rng = rng(seed, 0);
    let mut captions: Vec<Caption> = Vec::with_capacity(options.captions);
    for _ in 0..options.captions {
        let kind = options.mix.sample(&mut rng);
        let mut caption = caption_or_fallback(&mut rng, scene, truth, kind);
        for _ in 0..5 {
            if captions.iter().all(|c| c.text != caption.text) {
                break;
            }
            let kind = options.mix.sample(&mut rng);
            caption = caption_or_fallback(&mut rng, scene, truth, kind);
        }
        captions.push(caption);
    }
    captions
}

/// Writes a data set to `dir`, in parallel; calls `progress` once per finished picture.
///
/// Pictures of the same recipe that are there already are kept, so an interrupted run can be
/// repeated. Every file appears whole or not at all; the JSON files come last.
///
/// # Errors
/// If the options are not possible, `dir` holds another data set or files that are not ours, or something
/// cannot be written.
pub fn write(
    dir: &Path,
    options: &DatasetOptions,
    progress: impl Fn() + Sync,
) -> Result<Summary, ScenesError> {
    options.scene.check()?;
    let images = dir.join(IMAGES);
    fs::create_dir_all(&images).map_err(ScenesError::io("create directory", &images))?;
    let same = recipe(options).claim(dir, &[IMAGES, SCENES, ANNOTATIONS], options.overwrite)?;
    let records: Vec<Record> = (0..options.count)
        .into_par_iter()
        .map(|index| {
            let file = format!("{index:06}.png");
            let path = images.join(&file);
            let sample = sample(options, index);
            let kept = same && path.exists();
            if !kept {
                write_png(&path, &sample.rendering)?;
            }
            progress();
            Ok(Record::new(file, kept, &sample, options.masks))
        })
        .collect::<Result<_, ScenesError>>()?;
    let annotations = number(&records);
    write_json(&dir.join(SCENES), &SceneFile::new(options, &records))?;
    let summary = Summary {
        rendered: records.iter().filter(|r| !r.kept).count(),
        kept: records.iter().filter(|r| r.kept).count(),
        captions: annotations.images.len(),
        annotations: annotations.annotations.len(),
    };
    write_json(&dir.join(ANNOTATIONS), &annotations)?;
    Ok(summary)
}

fn recipe(options: &DatasetOptions) -> Recipe {
    Recipe::new(options.seed, &options.scene)
}

/// Writes a rendering as PNG, whole or not at all.
///
/// # Errors
/// If the file cannot be written.
pub fn write_png(path: &Path, rendering: &Rendering) -> Result<(), ScenesError> {
    let mut data = Vec::with_capacity(rendering.rgb.len());
    PngEncoder::new_with_quality(&mut data, CompressionType::Fast, FilterType::Sub)
        .write_image(
            &rendering.rgb,
            rendering.width,
            rendering.height,
            ExtendedColorType::Rgb8,
        )
        .map_err(|source| ScenesError::Png {
            path: path.into(),
            source,
        })?;
    write_whole(path, |file| file.write_all(&data))
}

/// All that the JSON files say about one picture.
struct Record {
    kept: bool,
    scene: SceneEntry,
    captions: Vec<(ImageEntry, Vec<AnnotationEntry>)>,
}

#[derive(Serialize)]
struct Annotations {
    info: Info,
    categories: [Category; 1],
    images: Vec<ImageEntry>,
    annotations: Vec<AnnotationEntry>,
}

#[derive(Clone, Serialize)]
struct Info {
    description: &'static str,
    version: &'static str,
}

const INFO: Info = Info {
    description: "tabletop world, MDETR's COCO-style annotations",
    version: env!("CARGO_PKG_VERSION"),
};

#[derive(Serialize)]
struct Category {
    id: u32,
    name: &'static str,
}

#[derive(Clone, Serialize)]
struct ImageEntry {
    id: usize,
    file_name: String,
    height: u32,
    width: u32,
    caption: String,
    dataset_name: String,
    original_img_id: usize,
    tokens_positive_eval: Vec<Vec<(u32, u32)>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<String>,
}

#[derive(Clone, Serialize)]
struct AnnotationEntry {
    id: usize,
    image_id: usize,
    object: usize,
    bbox: [u32; 4],
    area: u32,
    iscrowd: u8,
    category_id: u32,
    tokens_positive: Vec<(u32, u32)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    segmentation: Option<CompressedRle>,
}

#[derive(Serialize)]
struct SceneFile<'a> {
    info: Info,
    recipe: Recipe,
    scenes: Vec<&'a SceneEntry>,
}

#[derive(Serialize)]
struct SceneEntry {
    file_name: String,
    width: u32,
    height: u32,
    objects: Vec<ObjectEntry>,
    camera: Camera,
    light: Light,
    ground: Ground,
    sensor: Sensor,
    look: Look,
    /// Whether shiny surfaces look different from matte ones.
    tells_materials: bool,
}

#[derive(Serialize)]
struct ObjectEntry {
    #[serde(flatten)]
    object: Object,
    words: String,
    bbox: [u32; 4],
    area: u32,
    segmentation: CompressedRle,
}

impl SceneFile<'_> {
    fn new<'a>(options: &DatasetOptions, records: &'a [Record]) -> SceneFile<'a> {
        SceneFile {
            info: INFO,
            recipe: recipe(options),
            scenes: records.iter().map(|r| &r.scene).collect(),
        }
    }
}

impl Record {
    fn new(file: String, kept: bool, sample: &Sample, masks: bool) -> Record {
        let captions = sample.captions.iter().map(|caption| {
            let image = ImageEntry::new(&file, &sample.truth, caption);
            let annotations = caption.spans_by_object().into_iter();
            let annotations = annotations
                .map(|(object, spans)| AnnotationEntry::new(&sample.truth, object, spans, masks));
            (image, annotations.collect())
        });
        Record {
            kept,
            captions: captions.collect(),
            scene: SceneEntry::new(file.clone(), sample),
        }
    }
}

impl ImageEntry {
    /// Ids are given by [`number`].
    fn new(file: &str, truth: &GroundTruth, caption: &Caption) -> ImageEntry {
        let grounded = caption.phrases.iter().filter(|p| !p.objects.is_empty());
        ImageEntry {
            id: 0,
            file_name: file.to_string(),
            height: truth.height,
            width: truth.width,
            caption: caption.text.clone(),
            dataset_name: format!("tabletop-{}", caption.kind.name()),
            original_img_id: 0,
            tokens_positive_eval: grounded.map(|p| p.spans.clone()).collect(),
            answer: caption.answer.map(|answer| answer.to_string()),
        }
    }
}

impl AnnotationEntry {
    fn new(truth: &GroundTruth, object: usize, spans: Vec<(u32, u32)>, masks: bool) -> Self {
        let visible = &truth.objects[object];
        AnnotationEntry {
            id: 0,
            image_id: 0,
            object,
            bbox: visible.bbox,
            area: visible.area,
            iscrowd: 0,
            category_id: 1,
            tokens_positive: spans,
            segmentation: masks.then(|| visible.rle.compressed()),
        }
    }
}

impl SceneEntry {
    fn new(file_name: String, sample: &Sample) -> SceneEntry {
        let Sample { scene, truth, .. } = sample;
        let objects = scene.objects.iter().zip(&truth.objects);
        SceneEntry {
            file_name,
            width: truth.width,
            height: truth.height,
            objects: objects
                .map(|(object, visible)| ObjectEntry {
                    object: object.clone(),
                    words: object.words(),
                    bbox: visible.bbox,
                    area: visible.area,
                    segmentation: visible.rle.compressed(),
                })
                .collect(),
            camera: scene.camera.clone(),
            light: scene.light.clone(),
            ground: scene.ground.clone(),
            sensor: scene.sensor.clone(),
            look: scene.look.clone(),
            tells_materials: scene.look.tells_materials(),
        }
    }
}

/// Numbers images and annotations from 1 and pictures from 0, in order.
fn number(records: &[Record]) -> Annotations {
    let mut all = Annotations {
        info: INFO,
        categories: [Category {
            id: 1,
            name: "object",
        }],
        images: Vec::new(),
        annotations: Vec::new(),
    };
    for (picture, record) in records.iter().enumerate() {
        for (image, annotations) in &record.captions {
            let mut image = image.clone();
            image.id = all.images.len() + 1;
            image.original_img_id = picture;
            for annotation in annotations {
                let mut annotation = annotation.clone();
                annotation.id = all.annotations.len() + 1;
                annotation.image_id = image.id;
                all.annotations.push(annotation);
            }
            all.images.push(image);
        }
    }
    all
}
