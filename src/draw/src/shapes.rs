//! Zones and lines of a camera's picture.

use crate::colour::Colour;
use crate::error::Error;
use crate::rect::Rect;

/// Opacity of outlines and of what they enclose.
const ALPHA: (f64, f64) = (0.6, 0.08);
/// The same while something happens there.
const ACTIVE_ALPHA: (f64, f64) = (1.0, 0.25);
/// Length of an arrow over the width of its line.
const ARROW: f64 = 10.0;

/// A polygon.
#[derive(Debug, Clone, PartialEq)]
pub struct ZoneMark {
    /// The words; may be empty.
    pub label: String,
    /// Corners, x and y from 0 to 1 of the picture's width and height.
    pub points: Vec<[f64; 2]>,
    /// Whether something happens there: it is drawn brighter.
    pub active: bool,
}

/// A segment with an arrow to its right side, looking from its beginning to its end.
#[derive(Debug, Clone, PartialEq)]
pub struct LineMark {
    /// The words; may be empty.
    pub label: String,
    /// Where it begins, x and y from 0 to 1 of the picture's width and height.
    pub from: [f64; 2],
    /// Where it ends.
    pub to: [f64; 2],
    /// Whether something happens there: it is drawn brighter.
    pub active: bool,
}

/// A path in pixels of the picture.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    points: Vec<[f64; 2]>,
    closed: bool,
    /// Tip and both ends of the barbs of an arrow.
    arrow: Option<[[f64; 2]; 3]>,
    active: bool,
    line_width: f64,
}

impl Shape {
    pub fn zone(mark: &ZoneMark, width: f64, height: f64, line_width: f64) -> Option<Shape> {
        let points = mark.points.iter().map(|point| place(*point, width, height));
        let points: Vec<_> = points.collect::<Option<_>>()?;
        (points.len() >= 3).then_some(Shape {
            points,
            closed: true,
            arrow: None,
            active: mark.active,
            line_width,
        })
    }

    pub fn line(mark: &LineMark, width: f64, height: f64, line_width: f64) -> Option<Shape> {
        let (from, to) = (
            place(mark.from, width, height)?,
            place(mark.to, width, height)?,
        );
        let (dx, dy) = (to[0] - from[0], to[1] - from[1]);
        let length = dx.hypot(dy);
        if length < 1.0 {
            return None;
        }
        // In pixels y grows downwards: a quarter turn clockwise.
        let (right, along) = ([-dy / length, dx / length], [dx / length, dy / length]);
        let reach = (ARROW * line_width).min(length / 2.0);
        let middle = [(from[0] + to[0]) / 2.0, (from[1] + to[1]) / 2.0];
        let at = |forward: f64, aside: f64| {
            [0, 1].map(|axis| middle[axis] + right[axis] * forward + along[axis] * aside)
        };
        let arrow = [
            at(reach, 0.0),
            at(reach * 0.6, reach * 0.3),
            at(reach * 0.6, -reach * 0.3),
        ];
        Some(Shape {
            points: vec![from, to],
            closed: false,
            arrow: Some(arrow),
            active: mark.active,
            line_width,
        })
    }

    pub fn colour(&self) -> Colour {
        if self.active {
            Colour::BRIGHT
        } else {
            Colour::WHITE
        }
    }

    /// What it may touch.
    pub fn extent(&self) -> Rect {
        let points = || self.points.iter().chain(self.arrow.iter().flatten());
        let side = |axis: usize| {
            let values = points().map(|point| point[axis]);
            let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| {
                (low.min(value), high.max(value))
            });
            (low, high - low)
        };
        let ((x, width), (y, height)) = (side(0), side(1));
        // Corners are mitred: a sharp one reaches farther than half the width.
        Rect {
            x,
            y,
            width,
            height,
        }
        .grown(4.0 * self.line_width)
    }

    /// Where its words stand: above its highest point.
    pub fn label_target(&self) -> Rect {
        let highest = self.points.iter().min_by(|a, b| a[1].total_cmp(&b[1]));
        let [x, y] = highest.copied().unwrap_or_default().map(f64::round);
        Rect {
            x,
            y,
            width: 1.0,
            height: 1.0,
        }
    }

    pub fn paint(&self, cr: &cairo::Context) -> Result<(), Error> {
        let (alpha, fill_alpha) = if self.active { ACTIVE_ALPHA } else { ALPHA };
        let Colour { red, green, blue } = self.colour();
        cr.set_line_join(cairo::LineJoin::Round);
        cr.set_line_cap(cairo::LineCap::Round);
        self.trace(cr);
        if self.closed {
            cr.set_fill_rule(cairo::FillRule::EvenOdd);
            cr.set_source_rgba(red, green, blue, fill_alpha);
            cr.fill_preserve()?;
        }
        if let Some([tip, left, right]) = self.arrow {
            let [a, b] = [self.points[0], self.points[1]];
            cr.move_to((a[0] + b[0]) / 2.0, (a[1] + b[1]) / 2.0);
            cr.line_to(tip[0], tip[1]);
            cr.move_to(left[0], left[1]);
            cr.line_to(tip[0], tip[1]);
            cr.line_to(right[0], right[1]);
        }
        cr.set_source_rgba(0.0, 0.0, 0.0, 0.45 * alpha);
        cr.set_line_width(self.line_width + 2.0);
        cr.stroke_preserve()?;
        cr.set_source_rgba(red, green, blue, alpha);
        cr.set_line_width(self.line_width);
        cr.stroke()?;
        Ok(())
    }

    fn trace(&self, cr: &cairo::Context) {
        cr.new_path();
        for point in &self.points {
            cr.line_to(point[0], point[1]);
        }
        if self.closed {
            cr.close_path();
        }
    }
}

/// A point in pixels; none of what is no number.
fn place([x, y]: [f64; 2], width: f64, height: f64) -> Option<[f64; 2]> {
    let sound = x.is_finite() && y.is_finite();
    sound.then(|| [x.clamp(0.0, 1.0) * width, y.clamp(0.0, 1.0) * height])
}
