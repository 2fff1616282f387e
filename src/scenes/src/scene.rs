//! Scenes: what lies on the table, seen from where, under which light.

use std::f32::consts::{PI, TAU};

use rand::Rng;
use rand::seq::IndexedRandom;
use serde::{Deserialize, Serialize};

use crate::error::ScenesError;
use crate::render::visibility;
use crate::solid::footprint;
use crate::vector::{Vec3, vec3};

macro_rules! word_enum {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "lowercase")]
        pub enum $name {
            $(#[doc = concat!("\"", $word, "\"")] $variant),+
        }

        impl $name {
            /// All values.
            pub const ALL: &[$name] = &[$($name::$variant),+];

            /// The first of the words for it.
            pub fn word(self) -> &'static str {
                match self { $($name::$variant => $word),+ }
            }
        }
    };
}

word_enum! {
    /// Shape of an object.
    Shape { Cube = "cube", Sphere = "sphere", Cylinder = "cylinder", Cone = "cone" }
}
word_enum! {
    /// Size class of an object.
    Size { Small = "small", Large = "large" }
}
word_enum! {
    /// Surface of an object.
    Material { Matte = "matte", Shiny = "shiny" }
}
word_enum! {
    /// Colour name of an object.
    Colour {
        Red = "red", Green = "green", Blue = "blue", Yellow = "yellow",
        Purple = "purple", Cyan = "cyan", Gray = "gray", Brown = "brown",
    }
}

impl Size {
    /// Mean radius in world units.
    pub fn radius(self) -> f32 {
        match self {
            Size::Small => 0.38,
            Size::Large => 0.70,
        }
    }
}

impl Colour {
    /// Mean and greatest deviation of hue (degrees), saturation and value.
    fn hsv(self) -> [(f32, f32); 3] {
        match self {
            Colour::Red => [(0.0, 6.0), (0.82, 0.10), (0.72, 0.12)],
            Colour::Green => [(118.0, 15.0), (0.74, 0.12), (0.52, 0.11)],
            Colour::Blue => [(226.0, 8.0), (0.76, 0.11), (0.80, 0.12)],
            Colour::Yellow => [(54.0, 4.0), (0.82, 0.10), (0.94, 0.06)],
            Colour::Purple => [(281.0, 9.0), (0.68, 0.12), (0.68, 0.11)],
            Colour::Cyan => [(180.0, 7.0), (0.74, 0.12), (0.80, 0.10)],
            Colour::Gray => [(0.0, 180.0), (0.03, 0.03), (0.47, 0.10)],
            Colour::Brown => [(26.0, 5.0), (0.70, 0.10), (0.45, 0.06)],
        }
    }
}

/// One solid on the ground plane.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Object {
    /// Its shape.
    pub shape: Shape,
    /// Its size class.
    pub size: Size,
    /// Its surface.
    pub material: Material,
    /// Its colour's name.
    pub colour: Colour,
    /// The colour itself: hue in degrees, saturation, value.
    pub hsv: [f32; 3],
    /// Radius in world units: the sphere's; the other shapes are scaled to look as large.
    pub radius: f32,
    /// Centre of its footprint on the ground, world units.
    pub position: [f32; 2],
    /// Rotation about the vertical, radians.
    pub rotation: f32,
}

impl Object {
    /// All its attributes in the usual order, e.g. "small red matte cube".
    pub fn words(&self) -> String {
        let (size, colour) = (self.size.word(), self.colour.word());
        format!(
            "{size} {colour} {} {}",
            self.material.word(),
            self.shape.word()
        )
    }

    /// Radius of the circle around its footprint, world units.
    pub fn footprint(&self) -> f32 {
        self.radius * footprint(self.shape)
    }

    fn sample(rng: &mut impl Rng) -> Object {
        let shape = pick(rng, Shape::ALL);
        let size = pick(rng, Size::ALL);
        let material = pick(rng, Material::ALL);
        let colour = pick(rng, Colour::ALL);
        Object {
            shape,
            size,
            material,
            colour,
            hsv: jittered_colour(rng, colour),
            radius: size.radius() * rng.random_range(0.94..1.06),
            position: [0.0; 2],
            rotation: rng.random_range(0.0..TAU),
        }
    }

    /// A new object that shares most attributes with `other`: what makes "the small one" or "the
    /// one behind" worth saying.
    fn sample_like(rng: &mut impl Rng, other: &Object) -> Object {
        let mut object = Object::sample(rng);
        let fresh = rng.random_range(0..5);
        if fresh != 0 {
            object.shape = other.shape;
        }
        if fresh != 1 {
            object.material = other.material;
        }
        if fresh != 2 && object.size != other.size {
            object.size = other.size;
            object.radius = object.size.radius() * rng.random_range(0.94..1.06);
        }
        if fresh != 3 {
            object.colour = other.colour;
            object.hsv = jittered_colour(rng, object.colour);
        }
        object
    }
}

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

/// Which scenes to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneOptions {
    /// Least number of objects.
    pub min_objects: usize,
    /// Greatest number of objects.
    pub max_objects: usize,
    /// Width of the pictures to be made; with the height it gives their shape, nothing else.
    pub width: u32,
    /// Height of the pictures to be made.
    pub height: u32,
    /// Focal length of the camera in image widths; `None`: a random one of 1.0 to 1.2.
    pub focal: Option<f32>,
}

impl Default for SceneOptions {
    fn default() -> Self {
        SceneOptions {
            min_objects: 2,
            max_objects: 8,
            width: 320,
            height: 240,
            focal: None,
        }
    }
}

impl SceneOptions {
    /// Least and greatest focal length in image widths.
    pub const FOCAL_LENGTHS: (f32, f32) = (0.5, 3.0);
    /// Greatest number of objects a scene has room for.
    pub const MAX_OBJECTS: usize = 10;
    /// Least and greatest side of a picture in pixels.
    pub const SIDES: (u32, u32) = (64, 8192);

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`ScenesError::Size`], [`ScenesError::ObjectCount`] or [`ScenesError::Focal`].
    pub fn check(&self) -> Result<(), ScenesError> {
        let (width, height) = (self.width, self.height);
        let (min, max) = Self::SIDES;
        let sides = (min..=max).contains(&width) && (min..=max).contains(&height);
        if !sides || height > 2 * width || width > 3 * height {
            return Err(ScenesError::Size {
                width,
                height,
                min,
                max,
            });
        }
        if self.min_objects == 0
            || self.min_objects > self.max_objects
            || self.max_objects > Self::MAX_OBJECTS
        {
            return Err(ScenesError::ObjectCount {
                min: self.min_objects,
                max: self.max_objects,
                limit: Self::MAX_OBJECTS,
            });
        }
        let (shortest, longest) = Self::FOCAL_LENGTHS;
        match self.focal {
            Some(focal) if !(shortest..=longest).contains(&focal) => Err(ScenesError::Focal {
                focal,
                shortest,
                longest,
            }),
            _ => Ok(()),
        }
    }

    /// Size with this shape and about as many pixels as 256 x 192, at which visibility is judged.
    pub fn reference_size(&self) -> (u32, u32) {
        let aspect = self.width as f32 / self.height as f32;
        let height = (REFERENCE_PIXELS / aspect).sqrt();
        ((height * aspect).round() as u32, height.round() as u32)
    }
}

const REFERENCE_PIXELS: f32 = 256.0 * 192.0;
/// Every object shows at least this many pixels at the reference size ...
const MIN_VISIBLE_PIXELS: u32 = 40;
/// ... and at least this part of what it would show alone.
const MIN_VISIBLE_PART: f32 = 0.35;
/// Chance that an object is made similar to another.
const SIMILAR: f64 = 0.4;
/// Objects' footprints keep this distance, world units.
const GAP: f32 = 0.15;
/// Objects stay within this distance of the table's centre, world units.
const TABLE_RADIUS: f32 = 4.2;
/// Objects' centres stay this far from the picture's edges, in parts of its width and height.
const MARGIN: f32 = 0.05;

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
}

impl Scene {
    /// Draws a scene in which every object rests on the ground, touches no other, has its centre
    /// in the picture, and can be seen (at least 40 pixels at 256 x 192, at least 35 %).
    ///
    /// # Panics
    /// If `options` do not pass [`SceneOptions::check`].
    pub fn sample(seed: u64, options: &SceneOptions) -> Scene {
        options.check().expect("scene options pass their check");
        for attempt in 0.. {
            let mut rng = crate::rng(seed, attempt);
            // A crowded view may have no room: after many attempts, ask for fewer objects.
            let fewer = (attempt / 64) as usize;
            let max = options.max_objects.saturating_sub(fewer).max(1);
            let count = rng.random_range(options.min_objects.min(max)..=max);
            if let Some(scene) = Scene::attempt(&mut rng, count, options) {
                return scene;
            }
        }
        unreachable!("an object fits on an empty table")
    }

    fn attempt(rng: &mut impl Rng, count: usize, options: &SceneOptions) -> Option<Scene> {
        let mut scene = Scene::empty(rng, options);
        for _ in 0..count {
            let mut object = scene.sample_object(rng);
            scene.place(rng, &mut object, options)?;
            scene.objects.push(object);
        }
        scene.well_visible(options).then_some(scene)
    }

    /// A table with nothing on it, seen by a random camera under random light.
    pub(crate) fn empty(rng: &mut impl Rng, options: &SceneOptions) -> Scene {
        let azimuth = rng.random_range(0.0..TAU);
        let target = vec3(
            rng.random_range(-0.5..0.5),
            rng.random_range(-0.5..0.5),
            rng.random_range(0.1..0.5),
        );
        let elevation = rng.random_range(25f32.to_radians()..45f32.to_radians());
        let eye = target + spherical(azimuth, elevation) * rng.random_range(8.0..10.0);
        // Drawn in any case, so that the rest of the scene does not depend on the option.
        let usual_focal = rng.random_range(1.0..1.2);
        let camera = Camera {
            eye: eye.into(),
            target: target.into(),
            focal: options.focal.unwrap_or(usual_focal),
        };
        Scene {
            objects: Vec::new(),
            camera,
            light: sample_light(rng, azimuth),
            ground: sample_ground(rng),
            sensor: Sensor {
                exposure: rng.random_range(0.85..1.12),
                vignette: rng.random_range(0.0..0.3),
                noise: rng.random_range(0.0f32..1.0).powi(2) * 6.0,
            },
        }
    }

    /// A new object without a place, often similar to one already there.
    pub(crate) fn sample_object(&self, rng: &mut impl Rng) -> Object {
        match self.objects.choose(rng) {
            Some(other) if rng.random_bool(SIMILAR) => Object::sample_like(rng, other),
            _ => Object::sample(rng),
        }
    }

    /// Finds `object` a free place in view.
    fn place(&self, rng: &mut impl Rng, object: &mut Object, options: &SceneOptions) -> Option<()> {
        for _ in 0..40 {
            let angle = rng.random_range(0.0..TAU);
            let distance = TABLE_RADIUS * rng.random_range(0f32..1.0).sqrt();
            object.position = [distance * angle.cos(), distance * angle.sin()];
            let free = self.objects.iter().all(|o| separation(o, object) > GAP);
            if free && self.in_view(object, options) {
                return Some(());
            }
        }
        None
    }

    /// Whether the object's centre is in the picture, with a margin.
    pub(crate) fn in_view(&self, object: &Object, options: &SceneOptions) -> bool {
        let aspect = options.width as f32 / options.height as f32;
        let [x, y] = object.position;
        let (u, v) = View::new(&self.camera).project(vec3(x, y, object.radius * 0.9));
        let low = MARGIN..=1.0 - MARGIN;
        low.contains(&(u + 0.5)) && low.contains(&(v * aspect + 0.5))
    }

    /// Whether every object shows enough of itself.
    pub(crate) fn well_visible(&self, options: &SceneOptions) -> bool {
        let (width, height) = options.reference_size();
        visibility(self, width, height).iter().all(|v| {
            v.visible >= MIN_VISIBLE_PIXELS && v.visible as f32 >= MIN_VISIBLE_PART * v.alone as f32
        })
    }
}

/// Distance between two objects' footprint circles, world units.
pub(crate) fn separation(a: &Object, b: &Object) -> f32 {
    let [ax, ay] = a.position;
    let [bx, by] = b.position;
    (ax - bx).hypot(ay - by) - a.footprint() - b.footprint()
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

impl From<[f32; 3]> for Vec3 {
    fn from([x, y, z]: [f32; 3]) -> Vec3 {
        vec3(x, y, z)
    }
}

impl From<Vec3> for [f32; 3] {
    fn from(v: Vec3) -> [f32; 3] {
        [v.x, v.y, v.z]
    }
}

/// Unit vector at this azimuth and elevation (radians).
fn spherical(azimuth: f32, elevation: f32) -> Vec3 {
    let (sin, cos) = elevation.sin_cos();
    vec3(cos * azimuth.cos(), cos * azimuth.sin(), sin)
}

fn pick<T: Copy>(rng: &mut impl Rng, from: &[T]) -> T {
    *from.choose(rng).expect("the list is not empty")
}

fn jittered_colour(rng: &mut impl Rng, colour: Colour) -> [f32; 3] {
    colour
        .hsv()
        .map(|(mean, deviation)| mean + deviation * rng.random_range(-1.0..1.0f32))
}

fn sample_light(rng: &mut impl Rng, camera_azimuth: f32) -> Light {
    let azimuth = camera_azimuth + rng.random_range(-1.1..1.1f32);
    let elevation = rng.random_range(0.22 * PI..0.4 * PI);
    let warmth = rng.random_range(-0.05..0.05f32);
    let power = rng.random_range(0.8..1.05f32);
    Light {
        position: (spherical(azimuth, elevation) * rng.random_range(9.0..13.0)).into(),
        radius: if rng.random_bool(0.5) {
            0.0
        } else {
            rng.random_range(0.1..0.5)
        },
        intensity: [power * (1.0 + warmth), power, power * (1.0 - warmth)],
        ambient: rng.random_range(0.2..0.4),
    }
}

fn sample_ground(rng: &mut impl Rng) -> Ground {
    let textures = [
        Texture::Plain,
        Texture::Clouds,
        Texture::Clouds,
        Texture::Checker,
        Texture::Stripes,
        Texture::Grain,
    ];
    let texture = pick(rng, &textures);
    Ground {
        hsv: [
            rng.random_range(0.0..360.0),
            0.28 * rng.random_range(0f32..1.0).powi(2),
            rng.random_range(0.42..0.88),
        ],
        texture,
        contrast: rng.random_range(0.04..0.22),
        scale: rng.random_range(0.5..2.2),
        rotation: rng.random_range(0.0..TAU),
        offset: [rng.random_range(-50.0..50.0), rng.random_range(-50.0..50.0)],
    }
}
