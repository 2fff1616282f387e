//! Depth of rendered scenes: how far the positions are from the surfaces that were rendered.

use mdetr_grounding::{BBox, Detection, Rle};
use mdetr_ros2_messages::depth::{DepthView, Intrinsics, box_in_space, middle_in_space};
use mdetr_ros2_messages::sensor_msgs::{CameraInfo, Image};
use mdetr_ros2_messages::vision_msgs::BoundingBox3D;
use mdetr_scenes::{Camera, Scene, SceneOptions, depth, rng};
use rand::Rng;

const WIDTH: u32 = 640;
const HEIGHT: u32 = 480;
const SCENES: u64 = 60;
/// An object is called occluded if less than this part of it shows.
const WHOLE: f64 = 0.98;

/// A camera info for the renderer's camera.
fn info(camera: &Camera) -> CameraInfo {
    let focal = f64::from(camera.focal) * f64::from(WIDTH);
    let centre = |side: u32| f64::from(side) / 2.0 - 0.5;
    let (cx, cy) = (centre(WIDTH), centre(HEIGHT));
    CameraInfo {
        width: WIDTH,
        height: HEIGHT,
        k: [focal, 0.0, cx, 0.0, focal, cy, 0.0, 0.0, 1.0],
        ..CameraInfo::default()
    }
}

/// Exact depth, as floats.
fn exact(depths: &[f32]) -> Image {
    Image {
        width: WIDTH,
        height: HEIGHT,
        encoding: "32FC1".to_owned(),
        step: 4 * WIDTH,
        data: depths.iter().flat_map(|z| z.to_le_bytes()).collect(),
        ..Image::default()
    }
}

/// What a sensor makes of it: a deviation of 1 % (the sum of 12 draws is nearly normal), a tenth of the pixels not
/// measured, whole millimetres.
fn measured(depths: &[f32], random: &mut impl Rng) -> Image {
    let values = depths.iter().map(|z| {
        let normal: f32 = (0..12).map(|_| random.random_range(-0.5..0.5f32)).sum();
        let missing = random.random_range(0..10) == 0;
        let millimetres = z * (1.0 + 0.01 * normal) * 1000.0;
        if missing {
            0
        } else {
            millimetres.round() as u16
        }
    });
    Image {
        encoding: "16UC1".to_owned(),
        step: 2 * WIDTH,
        data: values.flat_map(|value| value.to_le_bytes()).collect(),
        ..exact(&[])
    }
}

/// One object: its depth if nothing were before it, the part of it that shows, and its detection.
struct Case {
    truth: f64,
    part: f64,
    exact: Detection,
    /// With the mask a pixel larger all around.
    grown: Detection,
}

fn cases(scene: &Scene, camera: &Intrinsics, depths: &[f32]) -> Vec<Case> {
    let mut empty = scene.clone();
    empty.objects.clear();
    let ground = depth(&empty, WIDTH, HEIGHT);
    let objects = scene.objects.iter().map(|object| {
        empty.objects = vec![object.clone()];
        let alone = depth(&empty, WIDTH, HEIGHT);
        let pairs = alone.iter().zip(&ground);
        let whole: Vec<u8> = pairs.map(|(z, ground)| (z < ground).into()).collect();
        let seen: Vec<u8> = (0..whole.len())
            .map(|at| (whole[at] != 0 && alone[at] == depths[at]).into())
            .collect();
        let count = |mask: &[u8]| mask.iter().filter(|&&bit| bit != 0).count() as f64;
        Case {
            truth: truth(&whole, &alone, camera),
            part: count(&seen) / count(&whole),
            exact: detection(&seen, &seen),
            grown: detection(&seen, &grown(&seen)),
        }
    });
    objects.collect()
}

/// The median depth of an object's surface.
fn truth(whole: &[u8], depths: &[f32], camera: &Intrinsics) -> f64 {
    let image = exact(depths);
    let view = DepthView::new(&image).expect("a depth image");
    let placed = box_in_space(&detection(whole, whole), &view, camera).expect("it shows");
    let median = placed.center.position.z;
    let mut surface: Vec<f32> = (0..whole.len())
        .filter(|&at| whole[at] != 0)
        .map(|at| depths[at])
        .collect();
    surface.sort_by(f32::total_cmp);
    let middle = f64::from(surface[surface.len() / 2]);
    assert!(
        (median - middle).abs() < 1e-2,
        "{median}, by sorting {middle}"
    );
    middle
}

/// A detection with the box of one mask and another as its mask.
fn detection(seen: &[u8], mask: &[u8]) -> Detection {
    let at = (0..seen.len()).filter(|&at| seen[at] != 0);
    let columns = at.clone().map(|at| at % WIDTH as usize);
    let rows = at.map(|at| at / WIDTH as usize);
    let range = |values: &mut dyn Iterator<Item = usize>| {
        let (low, high) = values.fold((usize::MAX, 0), |(low, high), v| (low.min(v), high.max(v)));
        (low as f32, high as f32 + 1.0)
    };
    let ((left, right), (top, bottom)) = (
        range(&mut columns.into_iter()),
        range(&mut rows.into_iter()),
    );
    Detection {
        bbox: BBox::from_xyxy(left, top, right, bottom),
        score: 1.0,
        phrases: Vec::new(),
        track: None,
        hidden_ms: None,
        identity: None,
        mask: Some(Rle::encode(mask, WIDTH, HEIGHT)),
    }
}

fn grown(mask: &[u8]) -> Vec<u8> {
    let (width, height) = (WIDTH as i64, HEIGHT as i64);
    let at = |x: i64, y: i64| {
        let inside = (0..width).contains(&x) && (0..height).contains(&y);
        inside && mask[(y * width + x) as usize] != 0
    };
    let near = |x: i64, y: i64| (-1..=1).any(|dy| (-1..=1).any(|dx| at(x + dx, y + dy)));
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    pixels.map(|(x, y)| near(x, y).into()).collect()
}

/// Errors of the depth of one way of measuring, in metres and relative to the distance.
#[derive(Default)]
struct Errors {
    whole: Vec<f64>,
    occluded: Vec<f64>,
}

impl Errors {
    fn add(&mut self, case: &Case, found: Option<BoundingBox3D>) {
        let found = found.expect("something is measured").center.position.z;
        let error = (found - case.truth).abs();
        if case.part >= WHOLE {
            self.whole.push(error);
        } else {
            self.occluded.push(error / case.truth);
        }
    }

    fn median_and_ninetieth(values: &[f64]) -> [f64; 2] {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        [0.5, 0.9].map(|part| values[(part * (values.len() - 1) as f64) as usize])
    }

    /// Prints the figures; gives the medians.
    fn report(&self, name: &str) -> Medians {
        let [whole, most] = Errors::median_and_ninetieth(&self.whole);
        let [occluded, part] = Errors::median_and_ninetieth(&self.occluded);
        let (count, hidden) = (self.whole.len(), self.occluded.len());
        let ([whole_cm, most_cm], [percent, most_percent]) = (
            [whole, most].map(|m| 100.0 * m),
            [occluded, part].map(|p| 100.0 * p),
        );
        println!("{name}: {count} whole: median {whole_cm:.2} cm, 90 % {most_cm:.2} cm");
        println!("{name}: {hidden} occluded: median {percent:.2} %, 90 % {most_percent:.2} %");
        Medians { whole, occluded }
    }
}

/// Of whole objects in metres, of occluded ones relative to the distance.
struct Medians {
    whole: f64,
    occluded: f64,
}

/// The truth is the median depth of an object's surface as it would show if nothing were before it.
#[test]
fn depths_of_masks_are_those_of_the_surfaces() {
    let [
        mut exact_mask,
        mut exact_box,
        mut sensor_mask,
        mut sensor_box,
    ] = std::array::from_fn(|_| Errors::default());
    let mut random = rng(5, 0);
    for seed in 0..SCENES {
        let options = SceneOptions {
            width: WIDTH,
            height: HEIGHT,
            ..SceneOptions::default()
        };
        let scene = Scene::sample(seed, &options);
        let camera = Intrinsics::new(&info(&scene.camera), false).expect("a camera");
        let depths = depth(&scene, WIDTH, HEIGHT);
        let (rendered, sensor) = (exact(&depths), measured(&depths, &mut random));
        let rendered = DepthView::new(&rendered).expect("a depth image");
        let sensor = DepthView::new(&sensor).expect("a depth image");
        for case in cases(&scene, &camera, &depths) {
            let bbox = case.exact.bbox;
            exact_mask.add(&case, box_in_space(&case.exact, &rendered, &camera));
            exact_box.add(&case, middle_in_space(bbox, &rendered, &camera));
            sensor_mask.add(&case, box_in_space(&case.grown, &sensor, &camera));
            sensor_box.add(&case, middle_in_space(bbox, &sensor, &camera));
        }
    }
    exact_mask.report("exact depth, mask");
    exact_box.report("exact depth, middle of the box");
    let by_mask = sensor_mask.report("sensor, mask grown by a pixel");
    let by_box = sensor_box.report("sensor, middle of the box");
    assert!(sensor_mask.whole.len() > 200 && sensor_mask.occluded.len() > 20);
    assert!(by_mask.whole < 0.02 && by_mask.occluded < 0.05);
    assert!(by_mask.whole < by_box.whole / 4.0 && by_mask.occluded < by_box.occluded / 4.0);
}
