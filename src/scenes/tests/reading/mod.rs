//! An independent reading of sentences, word by word.

use mdetr_scenes::{GroundTruth, Object, Rendering, Scene, SceneOptions, render};

const SIZE: (u32, u32) = (256, 192);

/// A scene with the boxes found by looking at every pixel.
pub struct World {
    pub scene: Scene,
    pub truth: GroundTruth,
    boxes: Vec<Edges>,
}

/// Left, top, right, bottom; half-open.
type Edges = [usize; 4];

pub fn world(seed: u64) -> World {
    let options = SceneOptions {
        width: SIZE.0,
        height: SIZE.1,
        ..SceneOptions::default()
    };
    let scene = Scene::sample(seed, &options);
    let rendering = render(&scene, SIZE.0, SIZE.1, seed);
    let boxes = (0..scene.objects.len())
        .map(|i| edges(&rendering, i))
        .collect();
    World {
        truth: rendering.ground_truth(),
        boxes,
        scene,
    }
}

fn edges(rendering: &Rendering, object: usize) -> Edges {
    let w = rendering.width as usize;
    let mut edges = [usize::MAX, usize::MAX, 0, 0];
    for (at, &id) in rendering.ids.iter().enumerate() {
        if id as usize == object + 1 {
            let (x, y) = (at % w, at / w);
            edges = [
                edges[0].min(x),
                edges[1].min(y),
                edges[2].max(x + 1),
                edges[3].max(y + 1),
            ];
        }
    }
    edges
}

/// A word and where it is.
struct Word {
    text: String,
    start: u32,
    end: u32,
}

fn words(text: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    let mut open = false;
    for (i, c) in text.chars().enumerate() {
        let i = i as u32;
        if c == ' ' || c == '.' {
            open = false;
            continue;
        }
        if !open || c == ',' {
            words.push(Word {
                text: String::new(),
                start: i,
                end: i,
            });
        }
        open = c != ',';
        let word = words.last_mut().expect("just pushed");
        word.text.extend(c.to_lowercase());
        word.end = i + 1;
    }
    words
}

#[derive(Debug, PartialEq)]
pub struct Reading {
    pub span: (u32, u32),
    pub objects: Vec<usize>,
}

/// Reads a caption word by word.
pub struct Reader<'a> {
    world: &'a World,
    words: Vec<Word>,
    at: usize,
    readings: Vec<Reading>,
}

impl Reader<'_> {
    pub fn read(world: &World, text: &str) -> Vec<Reading> {
        let mut reader = Reader {
            world,
            words: words(text),
            at: 0,
            readings: Vec::new(),
        };
        reader.term();
        while reader.take(&[","]) || reader.take(&["and"]) {
            reader.term();
        }
        assert_eq!(reader.at, reader.words.len(), "left over in '{text}'");
        reader.readings.sort_by_key(|r| r.span);
        reader.readings
    }

    fn peek(&self) -> &str {
        self.words.get(self.at).map_or("", |w| &w.text)
    }

    fn take(&mut self, expected: &[&str]) -> bool {
        let rest = &self.words[self.at..];
        let found =
            rest.len() >= expected.len() && expected.iter().zip(rest).all(|(e, w)| *e == w.text);
        if found {
            self.at += expected.len();
        }
        found
    }

    /// A noun phrase and the relations after it, which belong to their nearest neighbour.
    fn term(&mut self) -> Vec<usize> {
        let start = self.words[self.at].start;
        let (singular_the, mut objects) = self.noun_phrase();
        let span = (start, self.words[self.at - 1].end);
        self.take(&["that", "is"]);
        type Side = fn(Edges, Edges) -> f32;
        let relations: [(&[&str], Side); 6] = [
            (&["left", "of"], |a, b| -right(a, b)),
            (&["to", "the", "left", "of"], |a, b| -right(a, b)),
            (&["right", "of"], right),
            (&["to", "the", "right", "of"], right),
            (&["in", "front", "of"], down),
            (&["behind"], |a, b| -down(a, b)),
        ];
        let side = relations.iter().find(|(w, _)| self.take(w)).map(|r| r.1);
        if let Some(side) = side {
            let anchor = self.term();
            let [anchor] = anchor[..] else {
                panic!("the anchor is not one object: {anchor:?}");
            };
            objects.retain(|&i| i != anchor);
            objects.retain(|&i| {
                let offset = side(self.world.boxes[i], self.world.boxes[anchor]);
                assert!(offset.abs() >= 0.03, "close call: {offset}");
                offset > 0.0
            });
        }
        if singular_the {
            assert!(objects.len() <= 1, "'the' + singular denotes {objects:?}");
        }
        self.readings.push(Reading {
            span,
            objects: objects.clone(),
        });
        objects
    }

    /// Whether it is "the" + singular, and the objects its words fit.
    fn noun_phrase(&mut self) -> (bool, Vec<usize>) {
        let all: Vec<usize> = (0..self.world.scene.objects.len()).collect();
        if self.take(&["everything"]) {
            return (false, all);
        }
        let the = !(self.take(&["all", "the"])
            || ["a", "an", "every", "all"].iter().any(|d| self.take(&[*d])))
            && self.take(&["the"]);
        let mut tests: Vec<fn(&Object) -> bool> = Vec::new();
        loop {
            let word = self.peek().to_string();
            self.at += 1;
            if let Some(test) = adjective(&word) {
                tests.push(test);
                continue;
            }
            let (noun, plural) = noun(&word);
            tests.push(noun);
            let fits = |i: &usize| tests.iter().all(|t| t(&self.world.scene.objects[*i]));
            return (the && !plural, all.into_iter().filter(fits).collect());
        }
    }
}

/// How far `a` is right of `b`, in picture widths.
fn right(a: Edges, b: Edges) -> f32 {
    let centre = |e: Edges| (e[0] + e[2]) as f32 / 2.0;
    (centre(a) - centre(b)) / SIZE.0 as f32
}

/// How far `a`'s lower edge is below `b`'s, in picture heights.
fn down(a: Edges, b: Edges) -> f32 {
    (a[3] as f32 - b[3] as f32) / SIZE.1 as f32
}

fn adjective(word: &str) -> Option<fn(&Object) -> bool> {
    use mdetr_scenes::{Colour::*, Material::*, Size::*};
    Some(match word {
        "large" | "big" => |o| o.size == Large,
        "small" | "tiny" => |o| o.size == Small,
        "matte" | "rubber" | "dull" => |o| o.material == Matte,
        "shiny" | "metal" | "metallic" => |o| o.material == Shiny,
        "red" => |o| o.colour == Red,
        "green" => |o| o.colour == Green,
        "blue" => |o| o.colour == Blue,
        "yellow" => |o| o.colour == Yellow,
        "purple" => |o| o.colour == Purple,
        "cyan" => |o| o.colour == Cyan,
        "gray" | "grey" => |o| o.colour == Gray,
        "brown" => |o| o.colour == Brown,
        _ => return None,
    })
}

fn noun(word: &str) -> (fn(&Object) -> bool, bool) {
    use mdetr_scenes::Shape::*;
    let test: fn(&Object) -> bool = match word {
        "object" | "thing" | "objects" | "things" => |_| true,
        "sphere" | "ball" | "spheres" | "balls" => |o| o.shape == Sphere,
        "cube" | "block" | "box" | "cubes" | "blocks" | "boxes" => |o| o.shape == Cube,
        "cylinder" | "cylinders" => |o| o.shape == Cylinder,
        "cone" | "cones" => |o| o.shape == Cone,
        _ => panic!("'{word}' is no noun"),
    };
    (test, word.ends_with('s'))
}
