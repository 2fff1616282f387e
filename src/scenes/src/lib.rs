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
mod colour;
pub mod dataset;
mod error;
mod motion;
mod render;
mod scene;
mod solid;
mod truth;
mod vector;
pub mod video;

pub use caption::{
    Answer, Caption, CaptionKind, Description, GroundedPhrase, Mix, Relation, caption,
    caption_or_fallback,
};
pub use error::ScenesError;
pub use mdetr_grounding::rle::{CompressedRle, Rle};
pub use motion::MovingScene;
pub use render::{Rendering, Visibility, render, visibility};
pub use scene::{
    Camera, Colour, Ground, Light, Material, Object, Scene, SceneOptions, Sensor, Shape, Size,
    Texture,
};
pub use truth::{GroundTruth, NamedBox, Visible};

use rand_pcg::Pcg64;

/// A portable random number generator for the `stream`-th thing drawn from `seed`.
///
/// The same pair gives the same numbers on every platform and in every thread.
pub fn rng(seed: u64, stream: u64) -> Pcg64 {
    Pcg64::new(
        (u128::from(mix(seed)) << 64) | u128::from(mix(stream)),
        u128::from(mix(seed ^ stream.rotate_left(32))),
    )
}

/// SplitMix64's finalizer: neighbouring seeds become unrelated ones.
pub(crate) fn mix(seed: u64) -> u64 {
    let mut z = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
