//! Sentences about a scene, with the words that refer to each object.
//!
//! A noun phrase denotes all objects that match its description. Relations are those of the
//! picture: left and right by the centres of the visible boxes, in front and behind by their
//! lower edges. A sentence is only made when no relation in it is a close call.

mod describe;
mod kind;
mod questions;
mod relate;
mod sentence;
mod statements;
mod words;
mod writer;

use rand::Rng;

use crate::scene::Scene;
use crate::truth::GroundTruth;

pub use describe::Description;
pub use kind::{CaptionKind, Mix};
pub(crate) use relate::CLEAR_MARGIN;
pub use relate::Relation;
pub use sentence::{Answer, Caption, GroundedPhrase};
pub(crate) use words::{Determiner, names_material, noun_phrase, one_of};
use writer::Writer;

/// Draws of a caption that names no material, where none shows.
const TRIES: usize = 50;

/// A random caption of this kind, or `None` if the scene does not offer one (a relation needs two
/// objects, say) or an object of it shows no pixel. Where materials do not show, it names none.
pub fn caption(
    rng: &mut impl Rng,
    scene: &Scene,
    truth: &GroundTruth,
    kind: CaptionKind,
) -> Option<Caption> {
    if scene.objects.is_empty() || !truth.all_visible() {
        return None;
    }
    let mut draw = || {
        let mut writer = Writer::new(rng, &scene.objects, truth);
        say(&mut writer, kind)?;
        Some(writer.finish(kind))
    };
    match scene.look.tells_materials() {
        true => draw(),
        false => (0..TRIES)
            .filter_map(|_| draw())
            .find(|caption| !names_material(&caption.text)),
    }
}

fn say(writer: &mut Writer<impl Rng>, kind: CaptionKind) -> Option<()> {
    match kind {
        CaptionKind::Phrase => writer.phrase(),
        CaptionKind::Plural => writer.plural(),
        CaptionKind::Phrases => writer.several(),
        CaptionKind::Everything => writer.everything(),
        CaptionKind::Relation => writer.relation(),
        CaptionKind::Relation2 => writer.relation2(),
        CaptionKind::Absent => writer.absent(),
        CaptionKind::RelationAbsent => writer.relation_absent(),
        CaptionKind::Mixed => writer.mixed(),
        CaptionKind::Exist => writer.exist(),
        CaptionKind::Count => writer.count(),
        CaptionKind::CompareNumber => writer.compare_number(),
        CaptionKind::QueryAttribute => writer.query_attribute(),
        CaptionKind::CompareAttribute => writer.compare_attribute(),
    }
}

/// A random caption of this kind or, if the scene does not offer one, of a related one.
///
/// # Panics
/// If the scene has no objects or one of them shows no pixel.
pub fn caption_or_fallback(
    rng: &mut impl Rng,
    scene: &Scene,
    truth: &GroundTruth,
    kind: CaptionKind,
) -> Caption {
    use CaptionKind::*;
    let fallback = match kind {
        Relation2 => Relation,
        Relation | Plural => Phrases,
        RelationAbsent => Absent,
        CompareNumber | QueryAttribute | CompareAttribute => Count,
        _ => Phrase,
    };
    [kind, fallback, Phrase]
        .into_iter()
        .find_map(|kind| caption(rng, scene, truth, kind))
        .expect("any visible object can be named")
}
