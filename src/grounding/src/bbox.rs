//! Boxes.

use serde::{Deserialize, Serialize};

/// A box in pixels; (x, y) is its top left corner.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct BBox {
    /// Left edge.
    pub x: f32,
    /// Top edge.
    pub y: f32,
    /// Width, not negative.
    pub width: f32,
    /// Height, not negative.
    pub height: f32,
}

impl BBox {
    /// From centre and size.
    pub fn from_cxcywh(cx: f32, cy: f32, width: f32, height: f32) -> BBox {
        BBox {
            x: cx - width / 2.0,
            y: cy - height / 2.0,
            width,
            height,
        }
    }

    /// From the top left and the bottom right corner. Corners the wrong way round give no width or height.
    pub fn from_xyxy(x0: f32, y0: f32, x1: f32, y1: f32) -> BBox {
        BBox {
            x: x0,
            y: y0,
            width: (x1 - x0).max(0.0),
            height: (y1 - y0).max(0.0),
        }
    }

    /// The top left and the bottom right corner: x0, y0, x1, y1.
    pub fn to_xyxy(self) -> [f32; 4] {
        [self.x, self.y, self.x + self.width, self.y + self.height]
    }

    /// The box with all lengths along x and y multiplied by these factors.
    pub fn scaled(self, x: f32, y: f32) -> BBox {
        BBox {
            x: self.x * x,
            y: self.y * y,
            width: self.width * x,
            height: self.height * y,
        }
    }

    /// Width times height.
    pub fn area(self) -> f32 {
        self.width * self.height
    }

    /// Area in common over area covered by either; 0 if both are empty.
    pub fn iou(self, other: BBox) -> f32 {
        let ([ax0, ay0, ax1, ay1], [bx0, by0, bx1, by1]) = (self.to_xyxy(), other.to_xyxy());
        let width = (ax1.min(bx1) - ax0.max(bx0)).max(0.0);
        let height = (ay1.min(by1) - ay0.max(by0)).max(0.0);
        let common = width * height;
        let covered = self.area() + other.area() - common;
        if covered > 0.0 { common / covered } else { 0.0 }
    }

    /// The part inside a frame of `width` x `height` pixels.
    pub fn clamp(self, width: f32, height: f32) -> BBox {
        let [x0, y0, x1, y1] = self.to_xyxy();
        BBox::from_xyxy(
            x0.clamp(0.0, width),
            y0.clamp(0.0, height),
            x1.clamp(0.0, width),
            y1.clamp(0.0, height),
        )
    }
}
