//! Light: the ground, matte and shiny surfaces, shadows, reflections, the sensor.

use std::f32::consts::FRAC_PI_2;
use std::sync::LazyLock;

use crate::colour::{hsv_to_srgb, to_linear, to_srgb255};
use crate::object::Material;
use crate::random::mix;
use crate::scene::{Ground, Light, Look, Scene, Texture};
use crate::solid::{Solid, tangent_range};
use crate::vector::{Vec3, vec3};

/// A sample position: its ray and the pixel it belongs to.
#[derive(Clone, Copy)]
pub(super) struct Pixel {
    pub direction: Vec3,
    pub x: u32,
    pub y: u32,
}

pub(super) struct Shader<'a> {
    solids: &'a [Solid],
    surfaces: Vec<Surface>,
    /// Where on the ground each object's shadow may fall: least and greatest x and y.
    shadows: Vec<[f32; 4]>,
    ground: Floor,
    light: Lamp,
    look: &'a Look,
}

/// An object's reflectance.
struct Surface {
    albedo: Vec3,
    material: Material,
}

struct Lamp {
    position: Vec3,
    radius: f32,
    intensity: Vec3,
    ambient: f32,
    /// Squared distance at which the intensity holds.
    reference: f32,
}

/// Sine and cosine of four directions a quarter turn apart, for each of 256 steps of a quarter.
static TURNS: LazyLock<[[(f32, f32); 4]; 256]> = LazyLock::new(|| {
    std::array::from_fn(|step| {
        let turn = step as f32 * (FRAC_PI_2 / 256.0);
        std::array::from_fn(|sample| (turn + sample as f32 * FRAC_PI_2).sin_cos())
    })
});

struct Floor {
    albedo: Vec3,
    texture: Texture,
    contrast: f32,
    inverse_scale: f32,
    sin: f32,
    cos: f32,
    offset: [f32; 2],
}

/// Part of the diffuse light a shiny surface keeps.
const SHINY_BODY: f32 = 0.5;
/// Reflectance of shiny surfaces seen head-on and at grazing angles.
const MIRROR: (f32, f32) = (0.32, 0.75);
/// How much of the body's colour the reflection takes.
const MIRROR_TINT: f32 = 0.75;

impl<'a> Shader<'a> {
    pub fn new(scene: &'a Scene, solids: &'a [Solid]) -> Shader<'a> {
        let albedo =
            |[h, s, v]: [f32; 3]| to_linear(hsv_to_srgb(h, s.clamp(0.0, 1.0), v.clamp(0.0, 1.0)));
        let light = Lamp::new(&scene.light);
        Shader {
            solids,
            surfaces: scene
                .objects
                .iter()
                .map(|o| Surface {
                    albedo: albedo(o.hsv),
                    material: o.material,
                })
                .collect(),
            shadows: solids.iter().map(|s| light.shadow_bounds(s)).collect(),
            ground: Floor::new(&scene.ground, albedo(scene.ground.hsv)),
            light,
            look: &scene.look,
        }
    }

    /// Light that reaches the eye along a pixel's ray, which meets this object at this depth,
    /// or the ground.
    pub fn light(&self, eye: Vec3, pixel: Pixel, object: Option<(usize, f32)>) -> Vec3 {
        let dither = (pixel.x.wrapping_mul(0x9e37_79b1) ^ pixel.y.wrapping_mul(0x85eb_ca6b)) >> 8;
        match object {
            None => match ground_point(eye, pixel.direction) {
                Some(p) => self.floor(p, dither, true),
                None => self.sky(pixel.direction.normalized()),
            },
            Some((object, t)) => {
                let hit = self.solids[object].intersect(eye, pixel.direction, t * 0.999);
                let normal = hit.map_or(Vec3::UP, |h| h.normal);
                let p = eye + pixel.direction * t;
                self.surface(object, p, normal, pixel.direction.normalized(), dither)
            }
        }
    }

    fn surface(&self, object: usize, p: Vec3, normal: Vec3, view: Vec3, dither: u32) -> Vec3 {
        let surface = &self.surfaces[object];
        let to_light = self.light.position - p;
        let l = to_light.normalized();
        let facing = self.facing(normal, l);
        let lit = if facing > 0.0 {
            self.lit(p, Some(object), dither)
        } else {
            0.0
        };
        let irradiance = self.light.intensity * (self.light.falloff(to_light) * lit);
        let ambient = self.ambient(p, normal);
        let matte = surface.albedo.times(irradiance * facing + ambient);
        if surface.material == Material::Matte || !self.look.tells_materials() {
            return matte;
        }
        let normal = self.solids[object].rounded_normal(p, normal);
        let facing = self.facing(normal, l);
        let kept = 1.0 - (1.0 - SHINY_BODY) * self.look.mirror.min(1.0);
        let body = surface.albedo.times(irradiance * facing + ambient) * kept;
        let half = (l - view).normalized();
        let lobe = normal.dot(half).max(0.0).powf(self.look.gloss);
        let grazing = (1.0 + view.dot(normal)).clamp(0.0, 1.0).powi(3);
        let reflectance = MIRROR.0 + (MIRROR.1 - MIRROR.0) * grazing;
        let tint = Vec3::splat(1.0).lerp(
            surface.albedo * (1.0 / brightest(surface.albedo)),
            MIRROR_TINT,
        );
        let mirrored = self.mirrored(object, p, view.reflected(normal), dither);
        body + irradiance * (self.look.highlight * lobe)
            + mirrored.times(tint) * (reflectance * self.look.mirror)
    }

    /// Part of the light from direction `l` that falls on a surface, which wraps around it a little.
    fn facing(&self, normal: Vec3, l: Vec3) -> f32 {
        let wrap = self.look.wrap;
        ((normal.dot(l) + wrap) / (1.0 + wrap)).max(0.0)
    }

    /// What a shiny object at `p` reflects from direction `r`.
    fn mirrored(&self, object: usize, p: Vec3, r: Vec3, dither: u32) -> Vec3 {
        let mut nearest: Option<(usize, f32, Vec3)> = None;
        for (other, solid) in self.solids.iter().enumerate() {
            if other != object
                && solid.blocks(p, r, f32::INFINITY)
                && let Some(hit) = solid.intersect(p, r, 1e-3)
                && nearest.is_none_or(|(_, t, _)| hit.t < t)
            {
                nearest = Some((other, hit.t, hit.normal));
            }
        }
        if let Some((other, t, normal)) = nearest {
            let q = p + r * t;
            let to_light = self.light.position - q;
            let facing = normal.dot(to_light.normalized()).max(0.0);
            let irradiance = self.light.intensity * (self.light.falloff(to_light) * facing);
            return self.surfaces[other]
                .albedo
                .times(irradiance + self.ambient(q, normal));
        }
        match ground_point(p, r) {
            Some(q) => self.floor(q, dither, false),
            None => self.sky(r),
        }
    }

    fn floor(&self, p: Vec3, dither: u32, shadows: bool) -> Vec3 {
        let to_light = self.light.position - p;
        let facing = to_light.z / to_light.length();
        let lit = if shadows {
            self.lit(p, None, dither)
        } else {
            1.0
        };
        let irradiance = self.light.intensity * (self.light.falloff(to_light) * facing * lit);
        self.ground
            .albedo_at(p)
            .times(irradiance + Vec3::splat(self.light.ambient))
    }

    /// A studio's walls and ceiling: dark at the horizon, bright above.
    fn sky(&self, direction: Vec3) -> Vec3 {
        let height = direction.z.clamp(0.0, 1.0);
        let glow = direction
            .dot(self.light.position.normalized())
            .max(0.0)
            .powi(4);
        Vec3::splat(0.12 + 0.75 * height) + self.light.intensity * (0.6 * glow)
    }

    fn ambient(&self, p: Vec3, normal: Vec3) -> Vec3 {
        let open = 0.7 + 0.3 * normal.z;
        let contact = (p.z * 2.0 + 0.6).min(1.0);
        Vec3::splat(self.light.ambient * open * contact)
    }

    /// Part of the lamp that `p` sees: 0 in full shadow, 1 in the open.
    fn lit(&self, p: Vec3, own: Option<usize>, dither: u32) -> f32 {
        let to_lamp = self.light.position - p;
        let mut lamp: Option<[Vec3; 4]> = None;
        let mut seen = [true; 4];
        let samples = if self.light.radius == 0.0 { 1 } else { 4 };
        for (object, solid) in self.solids.iter().enumerate() {
            if own == Some(object) {
                continue;
            }
            if own.is_none() {
                let [x0, x1, y0, y1] = self.shadows[object];
                if p.x < x0 || p.x > x1 || p.y < y0 || p.y > y1 {
                    continue;
                }
            }
            if !solid.near_segment(p, to_lamp, self.light.radius) {
                continue;
            }
            let lamp = lamp.get_or_insert_with(|| self.light.samples(dither));
            for (seen, sample) in seen.iter_mut().zip(lamp).take(samples) {
                let to_light = *sample - p;
                let distance = to_light.length();
                *seen = *seen && !solid.blocks(p, to_light * (1.0 / distance), distance);
            }
        }
        seen[..samples].iter().filter(|s| **s).count() as f32 / samples as f32
    }
}

impl Lamp {
    fn new(light: &Light) -> Lamp {
        let position = Vec3::from(light.position);
        Lamp {
            position,
            radius: light.radius,
            intensity: Vec3::from(light.intensity),
            ambient: light.ambient,
            reference: position.dot(position),
        }
    }

    fn falloff(&self, to_light: Vec3) -> f32 {
        self.reference / to_light.dot(to_light)
    }

    /// Four points on the lamp, turned by `dither`.
    fn samples(&self, dither: u32) -> [Vec3; 4] {
        const REACH: [f32; 4] = [0.45, 0.95, 0.6, 0.8];
        if self.radius == 0.0 {
            return [self.position; 4];
        }
        let turned = &TURNS[(dither & 0xff) as usize];
        std::array::from_fn(|sample| {
            let reach = self.radius * REACH[(sample + (dither >> 8) as usize) & 3];
            let (sin, cos) = turned[sample];
            self.position + vec3(cos * reach, sin * reach, 0.0)
        })
    }

    /// Rectangle of the ground (least and greatest x, then y) that holds the shadow of a solid.
    fn shadow_bounds(&self, solid: &Solid) -> [f32; 4] {
        let depth = self.position.z - solid.centre.z;
        let range = |lamp: f32, centre: f32| match tangent_range(
            centre - lamp,
            depth,
            solid.bound + self.radius,
        ) {
            Some((low, high)) => (lamp + low * self.position.z, lamp + high * self.position.z),
            None => (f32::NEG_INFINITY, f32::INFINITY),
        };
        let (x0, x1) = range(self.position.x, solid.centre.x);
        let (y0, y1) = range(self.position.y, solid.centre.y);
        let r = 2.0 * self.radius;
        [x0 - r, x1 + r, y0 - r, y1 + r]
    }
}

impl Floor {
    fn new(ground: &Ground, albedo: Vec3) -> Floor {
        let (sin, cos) = ground.rotation.sin_cos();
        Floor {
            albedo,
            texture: ground.texture,
            contrast: ground.contrast,
            inverse_scale: 1.0 / ground.scale,
            sin,
            cos,
            offset: ground.offset,
        }
    }

    fn albedo_at(&self, p: Vec3) -> Vec3 {
        let q = p.rotated_z(self.sin, self.cos);
        let (x, y) = (q.x + self.offset[0], q.y + self.offset[1]);
        let (u, v) = (x * self.inverse_scale, y * self.inverse_scale);
        let pattern = match self.texture {
            Texture::Plain => return self.albedo,
            Texture::Clouds => value_noise(u, v),
            Texture::Checker => {
                if (u.floor() + v.floor()).rem_euclid(2.0) < 1.0 {
                    -0.6
                } else {
                    0.6
                }
            }
            Texture::Stripes => {
                let board = u.floor();
                value_noise(board * 7.3, v * 0.4) + 0.3 * value_noise(u * 6.0, v * 0.7)
            }
            Texture::Grain => value_noise(u * 18.0, v * 18.0),
        };
        // Distant patterns are finer than a pixel; fade them out before they alias.
        let fade = 1.0 / (1.0 + 0.004 * (p.x * p.x + p.y * p.y));
        self.albedo * (1.0 + self.contrast * pattern * fade)
    }
}

/// Smooth noise in -1..=1 with about one blotch per unit square.
fn value_noise(x: f32, y: f32) -> f32 {
    let (fx, fy) = (x.floor(), y.floor());
    let (ix, iy) = (fx as i32, fy as i32);
    let smooth = |t: f32| t * t * (3.0 - 2.0 * t);
    let (u, v) = (smooth(x - fx), smooth(y - fy));
    let corner = |dx: i32, dy: i32| {
        let mut h = (ix.wrapping_add(dx) as u32).wrapping_mul(0x9e37_79b1)
            ^ (iy.wrapping_add(dy) as u32).wrapping_mul(0x85eb_ca6b);
        h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
        h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
        (h >> 8) as f32 * (2.0 / 16_777_216.0) - 1.0
    };
    let top = corner(0, 0) + (corner(1, 0) - corner(0, 0)) * u;
    let bottom = corner(0, 1) + (corner(1, 1) - corner(0, 1)) * u;
    top + (bottom - top) * v
}

/// The ground point a ray meets, if it goes down.
fn ground_point(origin: Vec3, direction: Vec3) -> Option<Vec3> {
    (direction.z < -1e-4).then(|| {
        let p = origin + direction * (-origin.z / direction.z);
        vec3(p.x, p.y, 0.0)
    })
}

fn brightest(c: Vec3) -> f32 {
    c.x.max(c.y).max(c.z).max(1e-3)
}

/// Turns linear light into 8-bit sRGB with Gaussian noise of deviation `sigma`.
pub(super) fn expose(light: Vec3, sigma: f32, noise: &mut u64, out: &mut [u8]) {
    for (channel, out) in [light.x, light.y, light.z].into_iter().zip(out) {
        let value = to_srgb255(channel) + sigma * gaussian(noise);
        *out = (value + 0.5).clamp(0.0, 255.0) as u8;
    }
}

/// Approximately standard normal: the sum of the eight bytes of one SplitMix64 number.
fn gaussian(state: &mut u64) -> f32 {
    const MEAN: f32 = 8.0 * 127.5;
    const DEVIATION: f32 = 209.02;
    *state = state.wrapping_add(1);
    let bits = mix(*state);
    let pairs = (bits & 0x00ff_00ff_00ff_00ff) + ((bits >> 8) & 0x00ff_00ff_00ff_00ff);
    let sum = (pairs.wrapping_mul(0x0001_0001_0001_0001) >> 48) as f32;
    (sum - MEAN) / DEVIATION
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_standard_normal() {
        let mut state = 5;
        let samples: Vec<f32> = (0..100_000).map(|_| gaussian(&mut state)).collect();
        let mean = samples.iter().sum::<f32>() / samples.len() as f32;
        let variance =
            samples.iter().map(|s| (s - mean).powi(2)).sum::<f32>() / samples.len() as f32;
        assert!(mean.abs() < 0.02, "mean {mean}");
        assert!((variance - 1.0).abs() < 0.03, "variance {variance}");
    }
}
