//! What can be seen of each object: boxes, areas, masks.

use mdetr_grounding::rle::{Rle, RunBuilder};
use serde::Serialize;

use crate::scene::Scene;

/// The visible part of one object in one picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Visible {
    /// Tight box around the visible pixels: x, y, width, height in pixels. All zero if nothing
    /// is visible.
    pub bbox: [u32; 4],
    /// Number of visible pixels.
    pub area: u32,
    /// The visible pixels.
    pub rle: Rle,
}

impl Visible {
    /// Horizontal centre of the box, in pixels.
    pub fn centre_x(&self) -> f32 {
        self.bbox[0] as f32 + self.bbox[2] as f32 / 2.0
    }

    /// Lower edge of the box, in pixels from the top.
    pub fn lower_edge(&self) -> f32 {
        (self.bbox[1] + self.bbox[3]) as f32
    }
}

/// The visible parts of a scene's objects, by object index.
#[derive(Clone, Debug, PartialEq)]
pub struct GroundTruth {
    /// Width of the picture in pixels.
    pub width: u32,
    /// Height of the picture in pixels.
    pub height: u32,
    /// One entry per object of the scene, in its order.
    pub objects: Vec<Visible>,
}

/// One object of a video frame, in words.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedBox {
    /// Index of the object in the scene.
    pub object: usize,
    /// Its full description, e.g. "small red matte cube".
    pub words: String,
    /// Tight box around its visible pixels: x, y, width, height.
    pub bbox: [u32; 4],
}

impl GroundTruth {
    /// Reads ids (row-major, 0 background, i + 1 for object i) of a scene with `count` objects.
    ///
    /// # Panics
    /// If `ids` does not hold width x height values or an id exceeds `count`.
    pub fn from_ids(ids: &[u8], width: u32, height: u32, count: usize) -> GroundTruth {
        let (w, h) = (width as usize, height as usize);
        assert_eq!(ids.len(), w * h, "ids are width x height");
        let mut parts: Vec<Part> = (0..count).map(|_| Part::default()).collect();
        for x in 0..w {
            let mut y = 0;
            while y < h {
                let id = ids[y * w + x];
                let top = y;
                while y < h && ids[y * w + x] == id {
                    y += 1;
                }
                if id != 0 {
                    parts[id as usize - 1].push_column(x as u32, top as u32, y as u32, height);
                }
            }
        }
        let objects = parts.into_iter().map(|p| p.finish(width, height));
        GroundTruth {
            width,
            height,
            objects: objects.collect(),
        }
    }

    /// The visible objects in words, in the scene's order.
    ///
    /// # Panics
    /// If `scene` has fewer objects than this truth.
    pub fn named(&self, scene: &Scene) -> Vec<NamedBox> {
        let visible = self.objects.iter().enumerate().filter(|(_, v)| v.area > 0);
        visible
            .map(|(object, v)| NamedBox {
                object,
                words: scene.objects[object].words(),
                bbox: v.bbox,
            })
            .collect()
    }

    /// Whether every object has at least one visible pixel.
    pub fn all_visible(&self) -> bool {
        self.objects.iter().all(|o| o.area > 0)
    }
}

/// A visible part under construction.
#[derive(Default)]
struct Part {
    x: Option<(u32, u32)>,
    y: (u32, u32),
    area: u32,
    runs: RunBuilder,
}

impl Part {
    /// Adds rows `top..bottom` of column `x`.
    fn push_column(&mut self, x: u32, top: u32, bottom: u32, height: u32) {
        (self.x, self.y) = match self.x {
            None => (Some((x, x + 1)), (top, bottom)),
            Some((left, _)) => (
                Some((left, x + 1)),
                (self.y.0.min(top), self.y.1.max(bottom)),
            ),
        };
        self.area += bottom - top;
        self.runs.push(x * height + top, bottom - top);
    }

    fn finish(self, width: u32, height: u32) -> Visible {
        let bbox = match self.x {
            None => [0; 4],
            Some((left, right)) => [left, self.y.0, right - left, self.y.1 - self.y.0],
        };
        Visible {
            bbox,
            area: self.area,
            rle: self.runs.finish(width, height),
        }
    }
}
