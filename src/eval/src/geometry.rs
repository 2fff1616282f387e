//! Boxes and their overlap.

use serde::{Deserialize, Serialize};

/// An axis-aligned box, `[x0, y0, x1, y1]` in pixels.
#[derive(Debug, Clone, Copy, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(from = "[f64; 4]", into = "[f64; 4]")]
pub struct Bbox {
    /// Left edge.
    pub x0: f64,
    /// Upper edge.
    pub y0: f64,
    /// Right edge.
    pub x1: f64,
    /// Lower edge.
    pub y1: f64,
}

impl From<[f64; 4]> for Bbox {
    fn from([x0, y0, x1, y1]: [f64; 4]) -> Bbox {
        Bbox { x0, y0, x1, y1 }
    }
}

impl From<Bbox> for [f64; 4] {
    fn from(b: Bbox) -> [f64; 4] {
        [b.x0, b.y0, b.x1, b.y1]
    }
}

impl Bbox {
    /// From COCO's `[x, y, width, height]`.
    pub fn from_xywh([x, y, w, h]: [f64; 4]) -> Bbox {
        Bbox::from([x, y, x + w, y + h])
    }

    /// COCO's `[x, y, width, height]`.
    pub fn to_xywh(self) -> [f64; 4] {
        [self.x0, self.y0, self.x1 - self.x0, self.y1 - self.y0]
    }

    /// Width times height, in square pixels.
    pub fn area(self) -> f64 {
        (self.x1 - self.x0) * (self.y1 - self.y0)
    }

    /// Area in both boxes.
    pub fn intersection(self, other: Bbox) -> f64 {
        let w = self.x1.min(other.x1) - self.x0.max(other.x0);
        let h = self.y1.min(other.y1) - self.y0.max(other.y0);
        w.max(0.0) * h.max(0.0)
    }

    /// The smallest box around both.
    pub fn hull(self, other: Bbox) -> Bbox {
        Bbox {
            x0: self.x0.min(other.x0),
            y0: self.y0.min(other.y0),
            x1: self.x1.max(other.x1),
            y1: self.y1.max(other.y1),
        }
    }

    /// Intersection over union, 0 to 1; 0 if both boxes are empty.
    pub fn iou(self, other: Bbox) -> f64 {
        let intersection = self.intersection(other);
        let union = self.area() + other.area() - intersection;
        if union > 0.0 {
            intersection / union
        } else {
            0.0
        }
    }

    /// Generalised intersection over union (Rezatofighi et al., 2019), -1 to 1: the IoU less the
    /// share of the hull that is in neither box.
    pub fn giou(self, other: Bbox) -> f64 {
        let intersection = self.intersection(other);
        let union = self.area() + other.area() - intersection;
        let hull = self.hull(other).area();
        let outside = if hull > 0.0 {
            (hull - union) / hull
        } else {
            0.0
        };
        self.iou(other) - outside
    }
}
