//! Ground truth against the pixels, and boxes against pycocotools.

use std::collections::HashMap;

use mdetr_scenes::{
    GroundTruth, Material, Rle, Scene, SceneOptions, Shape, Size, render, visibility,
};
use serde::Deserialize;

fn options(width: u32, height: u32) -> SceneOptions {
    SceneOptions {
        width,
        height,
        ..SceneOptions::default()
    }
}

#[test]
fn boxes_areas_and_masks_are_those_of_the_pixels() {
    for seed in 0..40 {
        let scene = Scene::sample(seed, &options(320, 240));
        let picture = render(&scene, 320, 240, seed);
        let truth = picture.ground_truth();
        for (i, visible) in truth.objects.iter().enumerate() {
            let own: Vec<u8> = picture
                .ids
                .iter()
                .map(|&id| u8::from(id as usize == i + 1))
                .collect();
            let at: Vec<(u32, u32)> = (0..own.len() as u32)
                .filter(|&k| own[k as usize] != 0)
                .map(|k| (k % 320, k / 320))
                .collect();
            let x = at.iter().map(|p| p.0);
            let y = at.iter().map(|p| p.1);
            let (left, right) = (x.clone().min().unwrap(), x.max().unwrap());
            let (top, bottom) = (y.clone().min().unwrap(), y.max().unwrap());
            assert_eq!(
                visible.bbox,
                [left, top, right - left + 1, bottom - top + 1]
            );
            assert_eq!(visible.area as usize, at.len());
            assert_eq!(visible.rle.decode(), own);
            assert_eq!(visible.rle, Rle::encode(&own, 320, 240));
            assert_eq!(picture.visible(i), *visible);
        }
    }
}

#[test]
fn every_object_can_be_seen() {
    for (width, height, visible_at) in [(320, 240, (256, 192)), (640, 360, (296, 166))] {
        for seed in 0..60 {
            let scene = Scene::sample(seed, &options(width, height));
            assert!((2..=8).contains(&scene.objects.len()));
            for v in visibility(&scene, visible_at.0, visible_at.1) {
                assert!(v.visible >= 40, "{v:?}, seed {seed}");
                assert!(
                    v.visible as f32 >= 0.35 * v.alone as f32,
                    "{v:?}, seed {seed}"
                );
            }
            let full = visibility(&scene, width, height);
            assert!(full.iter().all(|v| v.visible > 0));
        }
    }
}

#[test]
fn objects_do_not_touch() {
    for seed in 0..200 {
        let scene = Scene::sample(seed, &options(320, 240));
        for (i, a) in scene.objects.iter().enumerate() {
            for b in &scene.objects[..i] {
                let [dx, dy] = [0, 1].map(|k| a.position[k] - b.position[k]);
                assert!(dx.hypot(dy) > a.footprint() + b.footprint() + 0.1);
            }
        }
    }
}

#[test]
fn sizes_and_counts_as_promised() {
    let mut counts = [0; 9];
    for seed in 0..300 {
        let scene = Scene::sample(seed, &options(320, 240));
        counts[scene.objects.len()] += 1;
        for object in &scene.objects {
            let mean = object.size.radius();
            assert!((object.radius - mean).abs() < 0.1 * mean);
        }
    }
    assert!(counts[2..].iter().all(|&n| n >= 15), "{counts:?}");
}

/// How much brighter an object's brightest pixels (upper 5 %) are than its median.
fn sparkle(rgb: &[u8], ids: &[u8], object: usize) -> f32 {
    let own = ids.iter().zip(rgb.chunks_exact(3));
    let mut luma: Vec<u32> = own
        .filter(|(id, _)| **id as usize == object + 1)
        .map(|(_, p)| 3 * u32::from(p[0]) + 6 * u32::from(p[1]) + u32::from(p[2]))
        .collect();
    luma.sort_unstable();
    luma[luma.len() * 19 / 20] as f32 / luma[luma.len() / 2].max(1) as f32
}

#[test]
fn small_shiny_objects_sparkle_and_small_matte_ones_do_not() {
    // By shape, then matte and shiny.
    let mut sparkles: HashMap<Shape, [Vec<f32>; 2]> = HashMap::new();
    for seed in 0..150 {
        let scene = Scene::sample(seed, &options(256, 192));
        let picture = render(&scene, 256, 192, seed);
        for (i, object) in scene.objects.iter().enumerate() {
            if object.size == Size::Small {
                let shiny = usize::from(object.material == Material::Shiny);
                let of_shape = sparkles.entry(object.shape).or_default();
                of_shape[shiny].push(sparkle(&picture.rgb, &picture.ids, i));
            }
        }
    }
    assert_eq!(sparkles.len(), Shape::ALL.len());
    for (shape, sparkles) in sparkles {
        let [matte, shiny] = sparkles.map(|mut s| {
            assert!(s.len() > 20);
            s.sort_by(f32::total_cmp);
            s[s.len() / 2]
        });
        assert!(
            shiny > 1.1 * matte,
            "{shape:?}: shiny {shiny}, matte {matte}"
        );
    }
}

/// The usual tests for the eight colours, on hue (degrees), saturation and value.
fn colour_name([r, g, b]: [f32; 3]) -> &'static str {
    let (max, min) = (r.max(g).max(b), r.min(g).min(b));
    let chroma = max - min;
    if chroma < 0.18 * max {
        return "gray";
    }
    let hue = 60.0
        * if max == r {
            (g - b) / chroma
        } else if max == g {
            (b - r) / chroma + 2.0
        } else {
            (r - g) / chroma + 4.0
        };
    match hue {
        h if h < -40.0 => "purple",
        h if h < 14.0 => "red",
        h if h < 41.0 => "brown",
        h if h < 80.0 => "yellow",
        h if h < 155.0 => "green",
        h if h < 203.0 => "cyan",
        h if h < 253.0 => "blue",
        _ => "purple",
    }
}

#[test]
fn colours_can_be_named() {
    let (mut right, mut all) = (0, 0);
    for seed in 0..150 {
        let scene = Scene::sample(seed, &options(256, 192));
        let picture = render(&scene, 256, 192, seed);
        for (i, object) in scene.objects.iter().enumerate() {
            let mut sum = [0.0; 3];
            for (pixel, _) in picture
                .rgb
                .chunks_exact(3)
                .zip(&picture.ids)
                .filter(|(_, id)| **id as usize == i + 1)
            {
                (0..3).for_each(|c| sum[c] += f32::from(pixel[c]));
            }
            all += 1;
            right += usize::from(colour_name(sum) == object.colour.word());
        }
    }
    assert!(right * 100 >= 95 * all, "{right} of {all}");
}

#[derive(Deserialize)]
struct Case {
    rows: Vec<String>,
    bbox: Option<[u32; 4]>,
}

/// `rle.json` was written with pycocotools: masks, their code, area and box.
#[test]
fn boxes_of_masks_are_those_of_pycocotools() {
    let fixture = include_str!("../../grounding/tests/fixtures/rle.json");
    let cases: Vec<Case> = serde_json::from_str(fixture).unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let (width, height) = (case.rows[0].len() as u32, case.rows.len() as u32);
        let mask: Vec<u8> = case.rows.concat().bytes().map(|b| b - b'0').collect();
        let truth = GroundTruth::from_ids(&mask, width, height, 1);
        assert_eq!(truth.objects[0].bbox, case.bbox.unwrap_or_default());
        assert_eq!(truth.objects[0].rle, Rle::encode(&mask, width, height));
    }
}
