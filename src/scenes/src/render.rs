//! The ray tracer: object ids, one ray a pixel, and shaded colour.

mod shade;

use rayon::prelude::*;

use crate::random::mix;
use crate::scene::{Scene, Sensor, View};
use crate::solid::{Solid, tangent_range};
use crate::truth::{GroundTruth, Visible};
use crate::vector::Vec3;
use shade::{Pixel, Shader};

/// A rendered scene.
#[derive(Clone, Debug, PartialEq)]
pub struct Rendering {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Packed sRGB, row-major, width x height x 3 bytes.
    pub rgb: Vec<u8>,
    /// What is seen at the centre of each pixel: 0 the ground, i + 1 object i.
    pub ids: Vec<u8>,
    objects: usize,
}

impl Rendering {
    /// Boxes, areas and masks of all objects.
    pub fn ground_truth(&self) -> GroundTruth {
        GroundTruth::from_ids(&self.ids, self.width, self.height, self.objects)
    }

    /// The visible part of object `i`.
    ///
    /// # Panics
    /// If the scene has no object `i`.
    pub fn visible(&self, i: usize) -> Visible {
        self.ground_truth().objects.swap_remove(i)
    }
}

/// How much of an object shows, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Visibility {
    /// Pixels that show it.
    pub visible: u32,
    /// Pixels that would show it if it were alone.
    pub alone: u32,
}

/// Renders a scene. `seed` draws the sensor noise and nothing else.
///
/// # Panics
/// If `width` or `height` is 0, or the scene has more than 255 objects.
pub fn render(scene: &Scene, width: u32, height: u32, seed: u64) -> Rendering {
    assert!(width > 0 && height > 0, "a picture has at least one pixel");
    let tracer = Tracer::new(scene, width, height);
    let (ids, depths) = tracer.trace_ids(|_, _| ());
    let shader = Shader::new(scene, &tracer.solids);
    let mut rgb = vec![0; width as usize * height as usize * 3];
    rgb.par_chunks_mut(width as usize * 3)
        .enumerate()
        .for_each(|(y, row)| {
            let mut noise = mix(seed ^ mix(y as u64));
            for (x, out) in row.chunks_exact_mut(3).enumerate() {
                let light = tracer.pixel_light(&shader, &ids, &depths, x, y);
                let lens = tracer.lens(&scene.sensor, x, y);
                shade::expose(light * lens, scene.sensor.noise, &mut noise, out);
            }
        });
    Rendering {
        width,
        height,
        rgb,
        ids,
        objects: scene.objects.len(),
    }
}

/// How much of each object a picture of this size shows; renders no colour.
///
/// # Panics
/// If the scene has more than 255 objects.
pub fn visibility(scene: &Scene, width: u32, height: u32) -> Vec<Visibility> {
    let shown = coverage(scene, width, height);
    let of = |(object, shown): (usize, Vec<u32>)| Visibility {
        visible: shown[object],
        alone: shown.iter().sum(),
    };
    shown.into_iter().enumerate().map(of).collect()
}

/// Of each object, how many pixels of a picture of this size would show it if it were alone, by the object that they show;
/// renders no colour.
///
/// # Panics
/// If the scene has more than 255 objects.
pub(crate) fn coverage(scene: &Scene, width: u32, height: u32) -> Vec<Vec<u32>> {
    let count = scene.objects.len();
    let mut alone = vec![Vec::new(); count];
    let tracer = Tracer::new(scene, width, height);
    let (ids, _) = tracer.trace_ids(|object, at| alone[object].push(at));
    let shown = alone.into_iter().map(|pixels: Vec<usize>| {
        let mut shown = vec![0; count];
        for at in pixels {
            // Where an object is, the ground is not seen.
            shown[usize::from(ids[at]) - 1] += 1;
        }
        shown
    });
    shown.collect()
}

/// How far what a picture of this size shows is from the camera, along its view axis, in world units: at the centre of each
/// pixel, row-major. Infinite where neither an object nor the ground is. Renders no colour.
///
/// A pixel (x, y) at depth z is z (x + 0.5 - width / 2) / f to the right of the view axis and z (y + 0.5 - height / 2) / f
/// below it, f being the focal length times the width.
///
/// # Panics
/// If the scene has more than 255 objects.
pub fn depth(scene: &Scene, width: u32, height: u32) -> Vec<f32> {
    let tracer = Tracer::new(scene, width, height);
    let (_, mut depths) = tracer.trace_ids(|_, _| ());
    for (at, depth) in depths.iter_mut().enumerate() {
        let (x, y) = (at % tracer.width, at / tracer.width);
        let direction = tracer.direction(x as f32 + 0.5, y as f32 + 0.5);
        let down = -direction.dot(Vec3::UP);
        if down > 0.0 {
            *depth = depth.min(tracer.view.eye.dot(Vec3::UP) / down);
        }
    }
    depths
}

/// Pixel rectangle an object's bounding sphere falls into, half-open.
#[derive(Clone, Copy, Debug)]
struct Rect {
    x: (usize, usize),
    y: (usize, usize),
}

impl Rect {
    fn contains(&self, x: usize, y: usize) -> bool {
        (self.x.0..self.x.1).contains(&x) && (self.y.0..self.y.1).contains(&y)
    }
}

struct Tracer {
    view: View,
    width: usize,
    height: usize,
    solids: Vec<Solid>,
    rects: Vec<Rect>,
}

impl Tracer {
    fn new(scene: &Scene, width: u32, height: u32) -> Tracer {
        assert!(
            scene.objects.len() <= usize::from(u8::MAX),
            "ids are one byte: a scene has at most 255 objects"
        );
        let view = View::new(&scene.camera);
        let (width, height) = (width as usize, height as usize);
        let solids: Vec<Solid> = scene.objects.iter().map(Solid::new).collect();
        let rects = solids
            .iter()
            .map(|s| bounding_rect(&view, s, width, height))
            .collect();
        Tracer {
            view,
            width,
            height,
            solids,
            rects,
        }
    }

    /// Direction of the ray through picture position (x, y) in pixels; its component along the
    /// view axis is 1, so that ray parameters are depths.
    fn direction(&self, x: f32, y: f32) -> Vec3 {
        let scale = 1.0 / (self.view.focal * self.width as f32);
        let u = (x - self.width as f32 / 2.0) * scale;
        let v = (self.height as f32 / 2.0 - y) * scale;
        self.view.forward + self.view.right * u + self.view.up * v
    }

    /// Ids and depths at the pixels' centres; `hit` hears of each pixel an object covers, seen
    /// or hidden.
    fn trace_ids(&self, mut hit: impl FnMut(usize, usize)) -> (Vec<u8>, Vec<f32>) {
        let mut ids = vec![0u8; self.width * self.height];
        let mut depths = vec![f32::INFINITY; self.width * self.height];
        for (object, (solid, rect)) in self.solids.iter().zip(&self.rects).enumerate() {
            for y in rect.y.0..rect.y.1 {
                for x in rect.x.0..rect.x.1 {
                    let d = self.direction(x as f32 + 0.5, y as f32 + 0.5);
                    let Some(found) = solid.intersect(self.view.eye, d, 0.0) else {
                        continue;
                    };
                    let at = y * self.width + x;
                    hit(object, at);
                    if found.t < depths[at] {
                        depths[at] = found.t;
                        ids[at] = object as u8 + 1;
                    }
                }
            }
        }
        (ids, depths)
    }

    /// Linear light of one pixel: one ray, or four where a neighbour shows something else.
    fn pixel_light(&self, shader: &Shader, ids: &[u8], depths: &[f32], x: usize, y: usize) -> Vec3 {
        let at = y * self.width + x;
        let id = ids[at];
        let same = |at: usize| ids[at] == id;
        let inside = (x == 0 || same(at - 1))
            && (x + 1 == self.width || same(at + 1))
            && (y == 0 || same(at - self.width))
            && (y + 1 == self.height || same(at + self.width));
        let pixel = |dx: f32, dy: f32| Pixel {
            direction: self.direction(x as f32 + dx, y as f32 + dy),
            x: x as u32,
            y: y as u32,
        };
        if inside {
            let object = (id != 0).then(|| (id as usize - 1, depths[at]));
            return shader.light(self.view.eye, pixel(0.5, 0.5), object);
        }
        let corners = [(0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)];
        let sum = corners.into_iter().fold(Vec3::default(), |sum, (dx, dy)| {
            let pixel = pixel(dx, dy);
            let object = self.nearest(x, y, pixel.direction);
            sum + shader.light(self.view.eye, pixel, object)
        });
        sum * 0.25
    }

    /// The nearest object along a ray through pixel (x, y), and its depth.
    fn nearest(&self, x: usize, y: usize, direction: Vec3) -> Option<(usize, f32)> {
        let mut best: Option<(usize, f32)> = None;
        for (object, (solid, rect)) in self.solids.iter().zip(&self.rects).enumerate() {
            if !rect.contains(x, y) {
                continue;
            }
            if let Some(hit) = solid.intersect(self.view.eye, direction, 0.0)
                && best.is_none_or(|(_, t)| hit.t < t)
            {
                best = Some((object, hit.t));
            }
        }
        best
    }

    /// Part of the light that passes exposure and lens at this pixel.
    fn lens(&self, sensor: &Sensor, x: usize, y: usize) -> f32 {
        let u = (x as f32 + 0.5) / self.width as f32 * 2.0 - 1.0;
        let v = (y as f32 + 0.5) / self.height as f32 * 2.0 - 1.0;
        sensor.exposure * (1.0 - sensor.vignette * (u * u + v * v) / 2.0)
    }
}

fn bounding_rect(view: &View, solid: &Solid, width: usize, height: usize) -> Rect {
    let d = solid.centre - view.eye;
    let depth = d.dot(view.forward);
    let scale = view.focal * width as f32;
    let range = |lateral: f32, size: usize| match tangent_range(lateral, depth, solid.bound) {
        None => (0, size),
        Some((low, high)) => {
            let pixel = |tangent: f32| size as f32 / 2.0 + tangent * scale;
            let clamp = |v: f32| v.clamp(0.0, size as f32) as usize;
            // One pixel of slack for the samples of antialiased edges.
            (clamp(pixel(low) - 1.0), clamp(pixel(high) + 2.0))
        }
    };
    Rect {
        x: range(d.dot(view.right), width),
        y: range(-d.dot(view.up), height),
    }
}
