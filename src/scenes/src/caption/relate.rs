//! Relations between objects in the picture.

use rand::Rng;

use super::describe::Description;
use super::words::one_of;
use crate::object::Object;
use crate::truth::GroundTruth;

/// Where one object is seen from another, in the picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// Its box's centre is further left.
    Left,
    /// Its box's centre is further right.
    Right,
    /// Its box's lower edge is lower.
    Front,
    /// Its box's lower edge is higher.
    Behind,
}

/// Part of the picture's width (left, right) or height (in front, behind) by which two objects
/// must differ for a sentence to be made about it.
pub(crate) const CLEAR_MARGIN: f32 = 0.03;

impl Relation {
    /// All relations.
    pub const ALL: [Relation; 4] = [
        Relation::Left,
        Relation::Right,
        Relation::Front,
        Relation::Behind,
    ];

    /// How far `a` is on the named side of `b`, in picture widths or heights; negative on the
    /// other side.
    pub fn offset(self, truth: &GroundTruth, a: usize, b: usize) -> f32 {
        let (a, b) = (&truth.objects[a], &truth.objects[b]);
        let right = (a.centre_x() - b.centre_x()) / truth.width as f32;
        let down = (a.lower_edge() - b.lower_edge()) / truth.height as f32;
        match self {
            Relation::Left => -right,
            Relation::Right => right,
            Relation::Front => down,
            Relation::Behind => -down,
        }
    }

    /// The objects but `anchor` that `target` describes and that stand in this relation to
    /// `anchor`, ascending. `None` if one of them is too near the border between yes and no.
    pub(super) fn referents(
        self,
        objects: &[Object],
        truth: &GroundTruth,
        target: &Description,
        anchor: usize,
    ) -> Option<Vec<usize>> {
        let mut referents = Vec::new();
        for i in target.denoted(objects) {
            if i == anchor {
                continue;
            }
            let offset = self.offset(truth, i, anchor);
            if offset.abs() < CLEAR_MARGIN {
                return None;
            }
            if offset > 0.0 {
                referents.push(i);
            }
        }
        Some(referents)
    }

    pub(crate) fn words(self, rng: &mut impl Rng) -> &'static str {
        match self {
            Relation::Left => one_of(rng, &["left of", "to the left of"]),
            Relation::Right => one_of(rng, &["right of", "to the right of"]),
            Relation::Front => "in front of",
            Relation::Behind => "behind",
        }
    }
}
