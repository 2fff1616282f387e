//! What lies on the table: solids and their attributes.

use std::f32::consts::TAU;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::random::pick;

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

    pub(crate) fn sample(rng: &mut impl Rng) -> Object {
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
    pub(crate) fn sample_like(rng: &mut impl Rng, other: &Object) -> Object {
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

fn jittered_colour(rng: &mut impl Rng, colour: Colour) -> [f32; 3] {
    colour
        .hsv()
        .map(|(mean, deviation)| mean + deviation * rng.random_range(-1.0..1.0f32))
}
