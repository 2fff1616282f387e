//! Scenes: what lies on the table, seen from where, under which light.

use serde::{Deserialize, Serialize};

use crate::object::Object;
use crate::vector::Vec3;

/// A pinhole camera.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Camera {
    /// Where it is, world units.
    pub eye: [f32; 3],
    /// Where it looks, world units.
    pub target: [f32; 3],
    /// Focal length in image widths.
    pub focal: f32,
}

/// A point light.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Light {
    /// Where it is, world units.
    pub position: [f32; 3],
    /// Its radius, world units; 0 casts hard shadows.
    pub radius: f32,
    /// Irradiance at the centre of the table, linear RGB.
    pub intensity: [f32; 3],
    /// Ambient light, linear.
    pub ambient: f32,
}

/// Pattern of the ground.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Texture {
    /// One tone.
    Plain,
    /// Smooth blotches.
    Clouds,
    /// Squares.
    Checker,
    /// Boards.
    Stripes,
    /// Fine grain.
    Grain,
}

/// The ground plane z = 0.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ground {
    /// Hue in degrees, saturation, value.
    pub hsv: [f32; 3],
    /// Its pattern.
    pub texture: Texture,
    /// Relative change of brightness within the pattern.
    pub contrast: f32,
    /// Length of the pattern, world units.
    pub scale: f32,
    /// Rotation of the pattern, radians.
    pub rotation: f32,
    /// Offset that makes the pattern unique.
    pub offset: [f32; 2],
}

/// How surfaces answer to light.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// How far light wraps around edges that face away from the lamp, 0 to 1.
    pub wrap: f32,
    /// Blinn-Phong exponent of shiny surfaces.
    pub gloss: f32,
    /// Strength of their highlight.
    pub highlight: f32,
    /// Part of their reflection that shows; the rest is that of a matte surface.
    pub mirror: f32,
}

impl Default for Look {
    fn default() -> Look {
        Look {
            wrap: 0.0,
            // A broad lobe, to be seen on objects 20 pixels wide.
            gloss: 16.0,
            highlight: 1.1,
            mirror: 1.0,
        }
    }
}

impl Look {
    /// Whether shiny surfaces look different from matte ones.
    pub fn tells_materials(&self) -> bool {
        self.highlight > 0.0 || self.mirror > 0.0
    }
}

/// What the sensor does to the light.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sensor {
    /// Factor on all light.
    pub exposure: f32,
    /// Light lost in the corners, 0..=1.
    pub vignette: f32,
    /// Standard deviation of the noise, in steps of 8 bit.
    pub noise: f32,
}

/// A table with things on it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scene {
    /// The things; every index of an object refers to this order.
    pub objects: Vec<Object>,
    /// The camera.
    pub camera: Camera,
    /// The light.
    pub light: Light,
    /// The ground.
    pub ground: Ground,
    /// The sensor.
    pub sensor: Sensor,
    /// How surfaces answer to light.
    pub look: Look,
}

/// A camera's axes.
pub(crate) struct View {
    pub eye: Vec3,
    pub right: Vec3,
    pub up: Vec3,
    pub forward: Vec3,
    pub focal: f32,
}

impl View {
    pub fn new(camera: &Camera) -> View {
        let eye = Vec3::from(camera.eye);
        let forward = (Vec3::from(camera.target) - eye).normalized();
        let right = forward.cross(Vec3::UP).normalized();
        View {
            eye,
            right,
            up: right.cross(forward),
            forward,
            focal: camera.focal,
        }
    }

    /// Picture coordinates of a point, from the picture's centre, right and down, in widths.
    pub fn project(&self, p: Vec3) -> (f32, f32) {
        let d = p - self.eye;
        let depth = d.dot(self.forward);
        let scale = self.focal / depth;
        (d.dot(self.right) * scale, -d.dot(self.up) * scale)
    }
}
