//! The tabletop world: simple solids on a ground plane, rendered by a small CPU ray tracer, with
//! captions whose words are grounded and with exact ground truth.
//!
//! Everything is a function of a seed: [`Scene::sample`] draws a scene, [`render`] its picture and
//! object ids, [`GroundTruth`] boxes and visible masks, [`caption`] a sentence with spans.
//! [`MovingScene`] is the same world in motion; [`dataset`] writes training sets in MDETR's
//! COCO-style format.
//!
//! ```
//! use mdetr_scenes::{CaptionKind, Scene, SceneOptions, caption, render, rng};
//!
//! let scene = Scene::sample(7, &SceneOptions::default());
//! let picture = render(&scene, 256, 192, 7);
//! let truth = picture.ground_truth();
//! let sentence = caption(&mut rng(7, 0), &scene, &truth, CaptionKind::Phrase).unwrap();
//! for phrase in &sentence.phrases {
//!     println!("{:?} grounds objects {:?} of {}", phrase.spans, phrase.objects, sentence.text);
//! }
//! ```

mod caption;
pub mod clips;
mod colour;
pub mod dataset;
mod error;
mod motion;
mod object;
mod options;
mod random;
mod recipe;
mod render;
mod sampling;
mod scene;
mod solid;
pub mod story;
mod truth;
mod variety;
mod vector;
pub mod video;

pub use caption::{
    Answer, Caption, CaptionKind, Description, GroundedPhrase, Mix, Relation, caption,
    caption_or_fallback,
};
pub use error::ScenesError;
pub use mdetr_grounding::rle::{CompressedRle, Rle};
pub use motion::MovingScene;
pub use object::{Colour, Material, Object, Shape, Size};
pub use options::SceneOptions;
pub use random::rng;
pub use render::{Rendering, Visibility, depth, render, visibility};
pub use scene::{Camera, Ground, Light, Look, Scene, Sensor, Texture};
pub use truth::{GroundTruth, NamedBox, Visible};
