//! What happens in a scene, along time.

use rand::Rng;

use super::camera::Swing;
use super::glide::{Programme, SECONDS};
use crate::object::{Object, Shape, Size};
use crate::options::SceneOptions;
use crate::random;
use crate::render::visibility;
use crate::sampling::separation;
use crate::scene::{Camera, Scene};

/// Some seconds of a scene whose objects start, stop, come and go, seen by a camera that may shake.
///
/// Objects never touch. One may be hidden behind another for a while.
#[derive(Clone, Debug, PartialEq)]
pub struct Story {
    /// Where the objects lie plays no role.
    still: Scene,
    /// One per object.
    programmes: Vec<Programme>,
    swing: Swing,
    /// The object that is to be hidden for a while.
    hides: Option<usize>,
}

/// Keeps stories apart from scenes and moving scenes of the same seed.
const STORY_STREAM: u64 = 2 << 40;
/// Seconds between the moments at which a new story is checked for room and for what is seen.
const ROOM_CHECKS: f64 = 0.05;
const SIGHT_CHECKS: f64 = 0.5;
/// Distance footprints keep at the moments checked, world units: more than two objects come nearer
/// in half of the time between two.
const CLEARANCE: f32 = 0.15;
/// An object that shows fewer pixels at the reference size, or a smaller part of itself, counts as
/// hidden, and it is hidden for less than this part of the time.
const MIN_PIXELS: u32 = 30;
const MIN_PART: f32 = 0.2;
const MOST_HIDDEN: f32 = 0.3;
/// The one that is to be hidden is so at this many of the moments at least, and for less than this part of the time.
const LEAST_HIDDEN: u32 = 2;
const MOST_OF_ONE: f32 = 0.75;
/// How far behind what hides it an object goes, and how far aside, world units.
const BEHIND: (f32, f32) = (0.18, 0.7);
const ASIDE: f32 = 0.25;
/// Chances that nothing moves, and that one object does alone; else each does with the third.
const NOTHING_MOVES: f64 = 0.15;
const ONE_MOVES: f64 = 0.25;
const EACH_MOVES: f64 = 0.6;
/// Chances that an object comes late, and that it leaves early.
const COMES: f64 = 0.15;
const LEAVES: f64 = 0.05;

impl Story {
    /// How long it takes.
    pub const SECONDS: f64 = SECONDS;

    /// Draws a story.
    ///
    /// # Panics
    /// If `options` do not pass [`SceneOptions::check`].
    pub fn new(seed: u64, options: &SceneOptions) -> Story {
        Story::draw(seed, options, false)
    }

    /// Draws a story in which something goes behind something else and is hidden there for a while.
    ///
    /// # Panics
    /// If `options` do not pass [`SceneOptions::check`].
    pub fn hiding(seed: u64, options: &SceneOptions) -> Story {
        Story::draw(seed, options, true)
    }

    fn draw(seed: u64, options: &SceneOptions, hides: bool) -> Story {
        options.check().expect("scene options pass their check");
        for attempt in 0.. {
            let mut rng = random::rng(seed, STORY_STREAM + attempt);
            // A crowded view may have no room: after many attempts, ask for fewer objects.
            let max = options.max_objects.saturating_sub((attempt / 16) as usize);
            let count = rng.random_range(options.min_objects.min(max.max(1))..=max.max(1));
            let story = match hides {
                true => Story::attempt_hiding(&mut rng, count, options),
                false => Story::attempt(&mut rng, count, options),
            };
            if let Some(story) = story {
                return story;
            }
        }
        unreachable!("an object fits on an empty table")
    }

    /// Every object that is there at some time.
    pub fn objects(&self) -> &[Object] {
        &self.still.objects
    }

    /// Whether shiny surfaces look different from matte ones.
    pub fn tells_materials(&self) -> bool {
        self.still.look.tells_materials()
    }

    /// Whether an object is on the table.
    pub fn is_there(&self, object: usize, seconds: f64) -> bool {
        self.programmes[object].is_there(seconds)
    }

    /// When an object comes, if it was not there from the beginning.
    pub fn comes(&self, object: usize) -> Option<f64> {
        let comes = self.programmes[object].there.0;
        comes.is_finite().then_some(comes)
    }

    /// Whether something is hidden for a while on purpose.
    pub fn hides(&self) -> bool {
        self.hides.is_some()
    }

    /// Where an object is, world units.
    pub fn position(&self, object: usize, seconds: f64) -> [f32; 2] {
        self.programmes[object].position(seconds)
    }

    /// World units per second.
    pub fn velocity(&self, object: usize, seconds: f64) -> [f32; 2] {
        self.programmes[object].velocity(seconds)
    }

    /// The camera at a time.
    pub fn camera(&self, seconds: f64) -> Camera {
        self.swing.at(&self.still.camera, seconds)
    }

    /// The scene at a time, with those of the [`objects`](Self::objects) that are there, and their
    /// indices.
    pub fn at(&self, seconds: f64) -> (Scene, Vec<usize>) {
        let there: Vec<usize> = (0..self.objects().len())
            .filter(|&i| self.is_there(i, seconds))
            .collect();
        let mut scene = self.still.clone();
        scene.camera = self.camera(seconds);
        scene.objects = there.iter().map(|&i| self.object(i, seconds)).collect();
        (scene, there)
    }

    /// An object where it is then.
    fn object(&self, i: usize, seconds: f64) -> Object {
        Object {
            position: self.position(i, seconds),
            ..self.still.objects[i].clone()
        }
    }

    fn attempt(rng: &mut impl Rng, count: usize, options: &SceneOptions) -> Option<Story> {
        let mut story = Story::empty(rng, options);
        let movers = Movers::sample(rng, count);
        story.fill(rng, count, &movers, options)?;
        story.is_seen(options).then_some(story)
    }

    /// The first object hides the second.
    fn attempt_hiding(rng: &mut impl Rng, count: usize, options: &SceneOptions) -> Option<Story> {
        let mut story = Story::empty(rng, options);
        let hiding = Object::sample(rng);
        let hides = hiding.size == Size::Large && hiding.shape != Shape::Cone;
        let rests = Programme::sample(rng, 0);
        if !hides || !story.has_room(&rests, &hiding, options) {
            return None;
        }
        let place = rests.position(0.0);
        let hidden = story.still.sample_object(rng);
        story.add(hiding, rests);
        const TRIES: usize = 40;
        let programme = (0..TRIES).find_map(|_| {
            let behind = story.behind(rng, place, &hidden);
            let programme = Programme::by_way_of(rng, behind);
            story
                .has_room(&programme, &hidden, options)
                .then_some(programme)
        })?;
        story.add(hidden, programme);
        story.hides = Some(1);
        // Most attempts end here: the others need not be drawn.
        if !story.is_seen(options) {
            return None;
        }
        story.fill(rng, count.max(2), &Movers::Each, options)?;
        story.is_seen(options).then_some(story)
    }

    /// A place behind the first object, as the camera sees it.
    fn behind(&self, rng: &mut impl Rng, [x, y]: [f32; 2], object: &Object) -> [f32; 2] {
        let [eye_x, eye_y, _] = self.still.camera.eye;
        let (dx, dy) = (x - eye_x, y - eye_y);
        let length = dx.hypot(dy).max(1e-6);
        let (dx, dy) = (dx / length, dy / length);
        let apart = self.still.objects[0].footprint() + object.footprint();
        let (away, aside) = (
            apart + rng.random_range(BEHIND.0..BEHIND.1),
            rng.random_range(-ASIDE..ASIDE),
        );
        [x + away * dx - aside * dy, y + away * dy + aside * dx]
    }

    fn empty(rng: &mut impl Rng, options: &SceneOptions) -> Story {
        Story {
            still: Scene::empty(rng, options),
            programmes: Vec::new(),
            swing: Swing::sample(rng),
            hides: None,
        }
    }

    fn add(&mut self, object: Object, programme: Programme) {
        self.still.objects.push(object);
        self.programmes.push(programme);
    }

    /// Adds objects until there are so many.
    fn fill(
        &mut self,
        rng: &mut impl Rng,
        count: usize,
        movers: &Movers,
        options: &SceneOptions,
    ) -> Option<()> {
        for i in self.programmes.len()..count {
            let object = self.still.sample_object(rng);
            let moves = movers.moves(rng, i);
            let programme = self.find_programme(rng, &object, moves, options)?;
            self.add(object, programme);
        }
        Some(())
    }

    /// What `object` can do without leaving the view or touching another.
    fn find_programme(
        &self,
        rng: &mut impl Rng,
        object: &Object,
        moves: bool,
        options: &SceneOptions,
    ) -> Option<Programme> {
        let there = (
            match rng.random_bool(COMES) {
                true => rng.random_range(0.5..Story::SECONDS - 0.5),
                false => f64::NEG_INFINITY,
            },
            match rng.random_bool(LEAVES) {
                true => rng.random_range(0.5..Story::SECONDS),
                false => f64::INFINITY,
            },
        );
        const TRIES: usize = 150;
        (0..TRIES).find_map(|_| {
            let glides = if moves { rng.random_range(1..=3) } else { 0 };
            let mut programme = Programme::sample(rng, glides);
            if there.0 + 0.5 < there.1 {
                programme.there = there;
            }
            self.has_room(&programme, object, options)
                .then_some(programme)
        })
    }

    fn has_room(&self, programme: &Programme, object: &Object, options: &SceneOptions) -> bool {
        let mut own = object.clone();
        let moments = (Story::SECONDS / ROOM_CHECKS) as usize;
        (0..=moments).all(|moment| {
            let seconds = moment as f64 * ROOM_CHECKS;
            own.position = programme.position(seconds);
            self.still.in_view(&own, options)
                && (0..self.programmes.len())
                    .all(|i| separation(&self.object(i, seconds), &own) > CLEARANCE)
        })
    }

    /// Whether every object is seen most of the time that it is there, but for the one that is to be hidden.
    fn is_seen(&self, options: &SceneOptions) -> bool {
        let (width, height) = options.reference_size();
        let mut hidden = vec![(0, 0); self.programmes.len()];
        for moment in 0..=(Story::SECONDS / SIGHT_CHECKS) as usize {
            let (scene, there) = self.at(moment as f64 * SIGHT_CHECKS);
            for (i, v) in there.into_iter().zip(visibility(&scene, width, height)) {
                let part = v.visible as f32 / v.alone.max(1) as f32;
                let lost = v.visible < MIN_PIXELS || part < MIN_PART;
                hidden[i].0 += u32::from(lost);
                hidden[i].1 += 1;
            }
        }
        let is_seen = |(i, (lost, all)): (usize, (u32, u32))| {
            let (least, most) = match self.hides {
                Some(hides) if hides == i => (LEAST_HIDDEN, MOST_OF_ONE),
                _ => (0, MOST_HIDDEN),
            };
            all > 0 && lost >= least && lost as f32 <= most * all as f32
        };
        hidden.into_iter().enumerate().all(is_seen)
    }
}

/// Which objects move.
enum Movers {
    None,
    One(usize),
    Each,
}

impl Movers {
    fn sample(rng: &mut impl Rng, count: usize) -> Movers {
        let draw = rng.random_range(0.0..1.0);
        if draw < NOTHING_MOVES {
            Movers::None
        } else if draw < NOTHING_MOVES + ONE_MOVES {
            Movers::One(rng.random_range(0..count))
        } else {
            Movers::Each
        }
    }

    fn moves(&self, rng: &mut impl Rng, object: usize) -> bool {
        match self {
            Movers::None => false,
            Movers::One(one) => *one == object,
            Movers::Each => rng.random_bool(EACH_MOVES),
        }
    }
}
