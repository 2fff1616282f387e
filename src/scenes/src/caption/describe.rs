//! Descriptions: which attributes a noun phrase states.

use rand::Rng;
use rand::seq::IndexedRandom;

use crate::object::{Colour, Material, Object, Shape, Size};

/// The attributes a noun phrase states; `None` says nothing about one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Description {
    /// Stated size.
    pub size: Option<Size>,
    /// Stated colour.
    pub colour: Option<Colour>,
    /// Stated material.
    pub material: Option<Material>,
    /// Stated shape; without one the noun is "object" or "thing".
    pub shape: Option<Shape>,
}

/// One bit per attribute, in the order of [`Description`]'s fields.
const ATTRIBUTES: u8 = 4;

impl Description {
    /// Whether this description is true of an object.
    pub fn matches(&self, object: &Object) -> bool {
        self.size.is_none_or(|v| v == object.size)
            && self.colour.is_none_or(|v| v == object.colour)
            && self.material.is_none_or(|v| v == object.material)
            && self.shape.is_none_or(|v| v == object.shape)
    }

    /// Indices of the objects this description is true of, ascending.
    pub fn denoted(&self, objects: &[Object]) -> Vec<usize> {
        (0..objects.len())
            .filter(|&i| self.matches(&objects[i]))
            .collect()
    }

    /// Number of attributes stated.
    pub fn len(&self) -> usize {
        self.mask().count_ones() as usize
    }

    /// Whether nothing is stated.
    pub fn is_empty(&self) -> bool {
        self.mask() == 0
    }

    fn mask(&self) -> u8 {
        u8::from(self.size.is_some())
            | u8::from(self.colour.is_some()) << 1
            | u8::from(self.material.is_some()) << 2
            | u8::from(self.shape.is_some()) << 3
    }

    /// The attributes of `object` that `mask` selects.
    fn select(object: &Object, mask: u8) -> Description {
        Description {
            size: (mask & 1 != 0).then_some(object.size),
            colour: (mask & 2 != 0).then_some(object.colour),
            material: (mask & 4 != 0).then_some(object.material),
            shape: (mask & 8 != 0).then_some(object.shape),
        }
    }

    /// All descriptions of an object that state at least one attribute.
    pub(crate) fn all_of(object: &Object) -> impl Iterator<Item = Description> {
        (1..1 << ATTRIBUTES).map(|mask| Description::select(object, mask))
    }

    /// A random description of an object: shape and colour more often than size and material,
    /// at least one attribute.
    pub(crate) fn random_of(rng: &mut impl Rng, object: &Object) -> Description {
        loop {
            let mask = u8::from(rng.random_bool(0.4))
                | u8::from(rng.random_bool(0.55)) << 1
                | u8::from(rng.random_bool(0.35)) << 2
                | u8::from(rng.random_bool(0.7)) << 3;
            if mask != 0 {
                return Description::select(object, mask);
            }
        }
    }

    /// A random description that is true of object `i` alone, if there is one; short ones are
    /// preferred.
    pub(crate) fn unique_of(
        rng: &mut impl Rng,
        objects: &[Object],
        i: usize,
    ) -> Option<Description> {
        let unique: Vec<Description> = Description::all_of(&objects[i])
            .filter(|d| d.denoted(objects).len() == 1)
            .collect();
        let weight = |d: &Description| [0, 8, 6, 3, 1][d.len()];
        unique.choose_weighted(rng, weight).ok().copied()
    }

    /// Any description of 1 to 4 attributes, true of something or not.
    pub(super) fn random(rng: &mut impl Rng) -> Description {
        let mask = rng.random_range(1..1u8 << ATTRIBUTES);
        let mut any = |n: usize| rng.random_range(0..n);
        let mut description = Description {
            size: Some(Size::ALL[any(Size::ALL.len())]),
            colour: Some(Colour::ALL[any(Colour::ALL.len())]),
            material: Some(Material::ALL[any(Material::ALL.len())]),
            shape: Some(Shape::ALL[any(Shape::ALL.len())]),
        };
        description.keep(mask);
        description
    }

    /// This description with one stated attribute changed to another value.
    pub(crate) fn changed(&self, rng: &mut impl Rng) -> Description {
        let stated: Vec<u8> = (0..ATTRIBUTES)
            .filter(|bit| self.mask() & (1 << bit) != 0)
            .collect();
        let mut changed = *self;
        match stated.choose(rng) {
            Some(0) => changed.size = other(rng, Size::ALL, self.size),
            Some(1) => changed.colour = other(rng, Colour::ALL, self.colour),
            Some(2) => changed.material = other(rng, Material::ALL, self.material),
            Some(_) => changed.shape = other(rng, Shape::ALL, self.shape),
            None => {}
        }
        changed
    }

    fn keep(&mut self, mask: u8) {
        self.size = self.size.filter(|_| mask & 1 != 0);
        self.colour = self.colour.filter(|_| mask & 2 != 0);
        self.material = self.material.filter(|_| mask & 4 != 0);
        self.shape = self.shape.filter(|_| mask & 8 != 0);
    }
}

fn other<T: Copy + PartialEq>(rng: &mut impl Rng, all: &[T], not: Option<T>) -> Option<T> {
    let rest: Vec<T> = all.iter().copied().filter(|v| Some(*v) != not).collect();
    rest.choose(rng).copied()
}
