//! Depths against the geometry of the scene.

use mdetr_scenes::{Camera, Scene, SceneOptions, Shape, depth, render};

const WIDTH: u32 = 160;
const HEIGHT: u32 = 120;

type Point = [f64; 3];

fn minus(a: Point, b: Point) -> Point {
    std::array::from_fn(|i| a[i] - b[i])
}

fn cross(a: Point, b: Point) -> Point {
    std::array::from_fn(|i| {
        let (j, k) = ((i + 1) % 3, (i + 2) % 3);
        a[j] * b[k] - a[k] * b[j]
    })
}

fn length(a: Point) -> f64 {
    a.iter().map(|x| x * x).sum::<f64>().sqrt()
}

fn unit(a: Point) -> Point {
    a.map(|x| x / length(a))
}

/// Where in the world a pixel of this depth is, by the formula that `depth` documents.
fn world(camera: &Camera, at: usize, z: f64) -> Point {
    let eye = camera.eye.map(f64::from);
    let forward = unit(minus(camera.target.map(f64::from), eye));
    let right = unit(cross(forward, [0.0, 0.0, 1.0]));
    let down = cross(forward, right);
    let focal = f64::from(camera.focal) * f64::from(WIDTH);
    let (x, y) = (at as u32 % WIDTH, at as u32 / WIDTH);
    let u = z * (f64::from(x) + 0.5 - f64::from(WIDTH) / 2.0) / focal;
    let v = z * (f64::from(y) + 0.5 - f64::from(HEIGHT) / 2.0) / focal;
    std::array::from_fn(|i| eye[i] + forward[i] * z + right[i] * u + down[i] * v)
}

#[test]
fn pixels_at_their_depths_lie_on_the_ground_and_on_the_objects() {
    let (mut ground, mut spheres) = (0, 0);
    for seed in 0..20 {
        let options = SceneOptions {
            width: WIDTH,
            height: HEIGHT,
            ..SceneOptions::default()
        };
        let scene = Scene::sample(seed, &options);
        let ids = render(&scene, WIDTH, HEIGHT, seed).ids;
        let depths = depth(&scene, WIDTH, HEIGHT);
        assert_eq!(depths.len(), ids.len());
        for (at, (&z, &id)) in depths.iter().zip(&ids).enumerate() {
            if !z.is_finite() {
                assert_eq!(id, 0, "an object has a depth");
                continue;
            }
            let point = world(&scene.camera, at, f64::from(z));
            let Some(object) = usize::from(id).checked_sub(1).map(|i| &scene.objects[i]) else {
                assert!(point[2].abs() < 1e-3, "seed {seed}, pixel {at}: {point:?}");
                ground += 1;
                continue;
            };
            let radius = f64::from(object.radius);
            // No shape is taller than a cone.
            assert!(
                (-1e-3..2.1 * radius + 1e-3).contains(&point[2]),
                "{point:?}"
            );
            if object.shape == Shape::Sphere {
                let [x, y] = object.position.map(f64::from);
                let distance = length(minus(point, [x, y, radius]));
                assert!((distance - radius).abs() < 1e-3, "{distance}, not {radius}");
                spheres += 1;
            }
        }
    }
    assert!(ground > 100_000 && spheres > 1000, "{ground}, {spheres}");
}
