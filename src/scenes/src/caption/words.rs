//! Words: noun phrases in English.

use rand::Rng;
use rand::seq::{IndexedRandom, SliceRandom};

use super::describe::Description;
use crate::object::{Colour, Material, Shape, Size};

/// What stands before the noun.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Determiner {
    /// "the" + singular: exactly one.
    The,
    /// "a" + singular: all that match.
    A,
    /// "every" + singular.
    Every,
    /// "all" + plural.
    All,
    /// "all the" + plural.
    AllThe,
    /// "the" + plural.
    ThePlural,
    /// Plural alone.
    Bare,
}

impl Determiner {
    pub(crate) fn plural(self) -> bool {
        use Determiner::*;
        matches!(self, All | AllThe | ThePlural | Bare)
    }
}

/// Chance that the adjectives come in another order than size, colour, material.
const SHUFFLED: f64 = 0.1;

/// Puts a description into words, synonyms and all; another adjective comes first.
pub(crate) fn noun_phrase(
    rng: &mut impl Rng,
    description: &Description,
    determiner: Determiner,
    adjective: Option<&str>,
) -> String {
    let mut adjectives: Vec<&str> = Vec::with_capacity(3);
    adjectives.extend(description.size.map(|v| one_of(rng, size_words(v))));
    adjectives.extend(description.colour.map(|v| one_of(rng, colour_words(v))));
    adjectives.extend(description.material.map(|v| one_of(rng, material_words(v))));
    if rng.random_bool(SHUFFLED) {
        adjectives.shuffle(rng);
    }
    let noun = one_of(rng, noun_words(description.shape));
    let noun = match determiner.plural() {
        true if noun == "box" => "boxes".to_string(),
        true => format!("{noun}s"),
        false => noun.to_string(),
    };
    let mut words: Vec<&str> = adjective.into_iter().chain(adjectives).collect();
    words.push(&noun);
    let article = match determiner {
        Determiner::The | Determiner::ThePlural => "the",
        Determiner::A if words[0].starts_with(['a', 'e', 'i', 'o', 'u']) => "an",
        Determiner::A => "a",
        Determiner::Every => "every",
        Determiner::All => "all",
        Determiner::AllThe => "all the",
        Determiner::Bare => return words.join(" "),
    };
    format!("{article} {}", words.join(" "))
}

// Words are listed as often as they are to be drawn.

fn noun_words(shape: Option<Shape>) -> &'static [&'static str] {
    match shape {
        None => &["object", "thing"],
        Some(Shape::Sphere) => &["sphere", "ball"],
        Some(Shape::Cube) => &["cube", "cube", "block", "box"],
        Some(Shape::Cylinder) => &["cylinder"],
        Some(Shape::Cone) => &["cone"],
    }
}

fn size_words(size: Size) -> &'static [&'static str] {
    match size {
        Size::Small => &["small", "tiny"],
        Size::Large => &["large", "big"],
    }
}

fn colour_words(colour: Colour) -> &'static [&'static str] {
    match colour {
        Colour::Gray => &["gray", "gray", "grey"],
        Colour::Red => &["red"],
        Colour::Green => &["green"],
        Colour::Blue => &["blue"],
        Colour::Yellow => &["yellow"],
        Colour::Purple => &["purple"],
        Colour::Cyan => &["cyan"],
        Colour::Brown => &["brown"],
    }
}

fn material_words(material: Material) -> &'static [&'static str] {
    match material {
        Material::Matte => &["matte", "matte", "rubber", "dull"],
        Material::Shiny => &["shiny", "shiny", "metal", "metallic"],
    }
}

/// Whether a sentence says or asks what something is made of.
pub(crate) fn names_material(text: &str) -> bool {
    let words = Material::ALL.iter().flat_map(|m| material_words(*m));
    let named: Vec<&str> = words.copied().chain(["material", "materials"]).collect();
    text.split(|c: char| !c.is_alphanumeric())
        .any(|word| named.contains(&word.to_lowercase().as_str()))
}

pub(crate) fn one_of<'a>(rng: &mut impl Rng, words: &[&'a str]) -> &'a str {
    words.choose(rng).expect("every word list has a word")
}
