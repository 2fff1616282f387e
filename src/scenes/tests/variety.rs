//! Scenes that differ widely.

use mdetr_scenes::dataset::{DatasetOptions, sample};
use mdetr_scenes::{Material, Mix, Scene, SceneOptions, render, visibility};

fn options() -> SceneOptions {
    SceneOptions {
        varied: true,
        ..SceneOptions::default()
    }
}

fn scenes() -> impl Iterator<Item = Scene> {
    (0..200).map(|seed| Scene::sample(seed, &options()))
}

fn brightness(scene: &Scene) -> f32 {
    let rgb = render(scene, 64, 48, 0).rgb;
    rgb.iter().map(|v| f32::from(*v)).sum::<f32>() / rgb.len() as f32
}

#[test]
fn objects_are_cut_by_the_edges_and_seen_all_the_same() {
    let mut cut = 0;
    for scene in scenes() {
        for v in visibility(&scene, 256, 192) {
            assert!(v.visible >= 40 && v.visible as f32 >= 0.35 * v.alone as f32);
        }
        for visible in render(&scene, 256, 192, 0).ground_truth().objects {
            let [x, y, width, height] = visible.bbox;
            cut += usize::from(x == 0 || y == 0 || x + width == 256 || y + height == 192);
        }
    }
    assert!(cut > 100, "{cut}");
}

#[test]
fn light_differs_and_is_enough() {
    let all: Vec<f32> = scenes().map(|scene| brightness(&scene)).collect();
    let count = |range: std::ops::Range<f32>| all.iter().filter(|b| range.contains(b)).count();
    assert!(count(0.0..60.0) > 20 && count(150.0..256.0) > 5, "{all:?}");
    assert!(
        all.iter().all(|brightness| *brightness > 10.0),
        "the darkest: {:?}",
        all.iter().copied().reduce(f32::min)
    );
}

#[test]
fn where_shiny_things_do_not_shine_no_caption_names_a_material() {
    let options = DatasetOptions {
        count: 150,
        seed: 3,
        scene: options(),
        captions: 6,
        mix: Mix::with_questions(),
        masks: false,
        overwrite: false,
    };
    let names_material = |text: &str| {
        let text = text.to_lowercase();
        let words = ["matte", "rubber", "dull", "shiny", "metal", "material"];
        words.iter().any(|word| text.contains(word))
    };
    let (mut dull, mut named) = (0, 0);
    for index in 0..options.count {
        let sample = sample(&options, index);
        let names = sample.captions.iter().filter(|c| names_material(&c.text));
        match sample.scene.look.tells_materials() {
            true => named += names.count(),
            false => {
                dull += 1;
                assert_eq!(names.count(), 0);
                let mut matte = sample.scene.clone();
                for object in &mut matte.objects {
                    object.material = Material::Matte;
                }
                let picture = |scene| render(scene, 64, 48, 1).rgb;
                assert_eq!(picture(&matte), picture(&sample.scene));
            }
        }
    }
    assert!(dull > 5 && named > 100, "{dull} {named}");
}
