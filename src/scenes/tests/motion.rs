//! Moving scenes: no contact, no loss, no jumps, the same every time.

use mdetr_scenes::{MovingScene, Scene, SceneOptions, render, visibility};
use proptest::prelude::*;

fn options() -> SceneOptions {
    SceneOptions::default()
}

/// Least distance between the surfaces' footprint circles.
fn clearance(scene: &Scene) -> f32 {
    let objects = &scene.objects;
    let pairs = (0..objects.len()).flat_map(|i| (0..i).map(move |j| (&objects[i], &objects[j])));
    pairs
        .map(|(a, b)| {
            let [dx, dy] = [0, 1].map(|k| a.position[k] - b.position[k]);
            dx.hypot(dy) - a.footprint() - b.footprint()
        })
        .fold(f32::INFINITY, f32::min)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn nothing_ever_touches(seed in any::<u64>(), times in prop::collection::vec(-1e6..1e6f64, 400)) {
        let moving = MovingScene::new(seed, &options());
        for t in times {
            let scene = moving.at(t);
            prop_assert!(clearance(&scene) > 0.0, "at {t} s: {}", clearance(&scene));
        }
    }
}

#[test]
fn everything_stays_in_sight() {
    for (width, height) in [(640, 480), (640, 360)] {
        for seed in 0..3 {
            let options = SceneOptions {
                width,
                height,
                ..options()
            };
            let moving = MovingScene::new(seed, &options);
            for frame in 0..240 {
                let scene = moving.at(frame as f64 / 10.0 + 0.033);
                for (i, v) in visibility(&scene, width / 2, height / 2).iter().enumerate() {
                    assert!(v.visible >= 30, "object {i} at frame {frame}: {v:?}");
                }
            }
        }
    }
}

#[test]
fn objects_pass_before_one_another() {
    let occluded = |seed: u64| {
        let moving = MovingScene::new(seed, &options());
        (0..120).any(|n| {
            let seen = visibility(&moving.at(n as f64 / 5.0), 256, 192);
            seen.iter().any(|v| v.visible * 10 < v.alone * 8)
        })
    };
    let count = (0..12).filter(|&seed| occluded(seed)).count();
    assert!(count >= 9, "{count} of 12");
}

#[test]
fn motion_is_smooth_and_periodic() {
    for seed in 0..4 {
        let moving = MovingScene::new(seed, &options());
        let step = 1.0 / 30.0;
        let mut travelled = 0.0;
        for frame in 0..900 {
            let (a, b) = (
                moving.at(frame as f64 * step),
                moving.at((frame + 1) as f64 * step),
            );
            for (a, b) in a.objects.iter().zip(&b.objects) {
                let [dx, dy] = [0, 1].map(|k| a.position[k] - b.position[k]);
                let distance = dx.hypot(dy);
                assert!(distance < 0.05, "{distance} in one frame");
                travelled += distance;
            }
        }
        assert!(travelled > 5.0, "hardly anything moves: {travelled}");
        let (now, later) = (moving.at(3.2), moving.at(3.2 + 5.0 * MovingScene::PERIOD));
        for (a, b) in now.objects.iter().zip(&later.objects) {
            assert!((a.position[0] - b.position[0]).abs() < 1e-3);
            assert!((a.position[1] - b.position[1]).abs() < 1e-3);
        }
    }
}

#[test]
fn the_same_seed_moves_the_same_way() {
    let (a, b) = (
        MovingScene::new(5, &options()),
        MovingScene::new(5, &options()),
    );
    assert_eq!(a.at(7.7), b.at(7.7));
    assert_ne!(a.at(7.7), MovingScene::new(6, &options()).at(7.7));
    let rendered = [&a, &b].map(|m| render(&m.at(7.7), 160, 120, 9));
    assert_eq!(rendered[0], rendered[1]);
    let camera = a.at(0.0).camera;
    assert_eq!(camera, a.at(11.0).camera);
}

#[test]
fn names_match_boxes() {
    let scene = MovingScene::new(2, &options()).at(1.0);
    let truth = render(&scene, 320, 240, 0).ground_truth();
    let named = truth.named(&scene);
    assert_eq!(named.len(), scene.objects.len());
    for seen in named {
        assert_eq!(seen.bbox, truth.objects[seen.object].bbox);
        assert_eq!(seen.words, scene.objects[seen.object].words());
    }
}
