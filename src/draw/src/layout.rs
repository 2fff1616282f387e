//! Where boxes and labels come to lie, in whole pixels of the picture.

use crate::colour::{self, Colour};
use crate::rect::Rect;
use crate::shade::Shade;
use crate::shapes::Shape;
use crate::style::Style;
use crate::{Drawing, LegendLine, Mark};

/// Picture height over font size when the font description has no size.
const HEIGHT_PER_FONT_SIZE: f64 = 32.0;
/// Smallest and largest automatic font size in pixels.
const FONT_SIZES: (f64, f64) = (10.0, 40.0);
/// Picture's shorter side over line width when the style has no line width.
const SIDE_PER_LINE_WIDTH: f64 = 200.0;
/// Longest text drawn, in characters; what is longer could only be ellipsized anyway.
const MAX_LABEL_CHARS: usize = 200;

/// The outline of a box: `rect` is its outer edge.
#[derive(Debug, Clone)]
pub(crate) struct Outline {
    pub rect: Rect,
    pub line_width: f64,
    pub colour: Colour,
}

impl Outline {
    /// The four sides with the dark rim around them.
    pub fn sides(&self) -> [Rect; 4] {
        let Rect {
            x,
            y,
            width,
            height,
        } = self.rect.grown(RIM);
        let thick = (self.line_width + 2.0 * RIM).min(width).min(height);
        let side = |x, y, width, height| Rect {
            x,
            y,
            width,
            height,
        };
        [
            side(x, y, width, thick),
            side(x, y + height - thick, width, thick),
            side(x, y, thick, height),
            side(x + width - thick, y, thick, height),
        ]
    }
}

/// Width of the translucent dark rim that keeps outlines visible on bright ground.
pub(crate) const RIM: f64 = 1.0;

/// Words on a coloured ground.
#[derive(Debug)]
pub(crate) struct Label {
    pub rect: Rect,
    pub text: pango::Layout,
    pub padding: f64,
    pub colour: Colour,
}

impl Label {
    /// What the label may touch: glyphs can reach a little beyond their logical box.
    pub fn extent(&self) -> Rect {
        self.rect.grown(self.padding)
    }
}

/// Everything of a picture, the most important first: zones and lines, above them masks, outlines and labels.
#[derive(Debug, Default)]
pub(crate) struct Layout {
    pub shapes: Vec<Shape>,
    pub shades: Vec<Shade>,
    pub outlines: Vec<Outline>,
    pub labels: Vec<Label>,
}

/// Lays `drawing` out on a picture of `width` x `height`.
pub(crate) fn lay_out(drawing: &Drawing, width: f64, height: f64, style: &Style) -> Layout {
    let mut layout = Layout::default();
    let colours = colour::assign(drawing.keys.iter().map(String::as_str));
    let colour_of = |key: &str| {
        let index = drawing.keys.iter().position(|k| k == key);
        colours[index.expect("every mark and legend line registers its key")]
    };
    let scale = (width / drawing.width, height / drawing.height);
    let line_width = line_width(width, height, style);
    let boxes: Vec<(&Mark, Rect)> = drawing
        .marks
        .iter()
        .filter_map(|mark| Some((mark, place_box(mark, scale, width, height)?)))
        .collect();
    let zones = drawing
        .zones
        .iter()
        .map(|mark| (&mark.label, Shape::zone(mark, width, height, line_width)));
    let lines = drawing
        .lines
        .iter()
        .map(|mark| (&mark.label, Shape::line(mark, width, height, line_width)));
    let shapes = zones.chain(lines);
    let shapes: Vec<(&String, Shape)> = shapes
        .filter_map(|(label, shape)| Some((label, shape?)))
        .collect();
    layout
        .shapes
        .extend(shapes.iter().map(|(_, shape)| shape.clone()));
    for (mark, rect) in &boxes {
        layout.outlines.push(Outline {
            rect: *rect,
            line_width,
            colour: colour_of(&mark.key),
        });
        let mask = mark.mask.as_ref().filter(|_| style.show_masks);
        layout.shades.extend(mask.and_then(|mask| {
            let (width, height) = (width as u32, height as u32);
            Shade::new(mask, width, height, line_width, colour_of(&mark.key))
        }));
    }

    if !crate::has_fonts() {
        return layout;
    }
    let writer = Writer::new(width, height, style);
    let lines = drawing
        .legend
        .iter()
        .filter(|line| style.show_absent || !line.absent);
    writer.legend(lines, colour_of, &mut layout.labels);
    for (mark, rect) in &boxes {
        let text = label_text(mark, style);
        if !text.is_empty() {
            writer.label(&text, *rect, colour_of(&mark.key), &mut layout.labels);
        }
    }
    for (label, shape) in shapes.iter().filter(|(label, _)| !label.is_empty()) {
        let short: String = label.chars().take(MAX_LABEL_CHARS).collect();
        writer.label(
            &short,
            shape.label_target(),
            shape.colour(),
            &mut layout.labels,
        );
    }
    layout
}

fn line_width(width: f64, height: f64, style: &Style) -> f64 {
    if style.line_width > 0.0 {
        style.line_width.round().max(1.0)
    } else {
        (width.min(height) / SIDE_PER_LINE_WIDTH).round().max(1.0)
    }
}

/// The mark's box in whole pixels inside the picture; `None` if nothing of it is.
fn place_box(mark: &Mark, (sx, sy): (f64, f64), width: f64, height: f64) -> Option<Rect> {
    let left = (mark.x * sx).round().clamp(0.0, width);
    let top = (mark.y * sy).round().clamp(0.0, height);
    let right = ((mark.x + mark.width) * sx).round().clamp(0.0, width);
    let bottom = ((mark.y + mark.height) * sy).round().clamp(0.0, height);
    // Written so that NaN falls out too.
    let inside = right > left && bottom > top;
    inside.then_some(Rect {
        x: left,
        y: top,
        width: right - left,
        height: bottom - top,
    })
}

fn label_text(mark: &Mark, style: &Style) -> String {
    let mut parts = Vec::new();
    if let Some(track) = mark.track.filter(|_| style.show_tracks) {
        parts.push(format!("#{track}"));
    }
    if !mark.label.is_empty() {
        parts.push(mark.label.chars().take(MAX_LABEL_CHARS).collect());
    }
    if let Some(score) = mark.score.filter(|_| style.show_scores) {
        parts.push(format!("{score:.2}"));
    }
    parts.join(" ")
}

/// Measures and places text.
struct Writer {
    context: pango::Context,
    font: pango::FontDescription,
    width: f64,
    height: f64,
    padding: f64,
}

impl Writer {
    fn new(width: f64, height: f64, style: &Style) -> Writer {
        use pango::prelude::FontMapExt;
        let mut font = pango::FontDescription::from_string(&style.font);
        if font.size() == 0 {
            let size = (height / HEIGHT_PER_FONT_SIZE).clamp(FONT_SIZES.0, FONT_SIZES.1);
            font.set_absolute_size(size * f64::from(pango::SCALE));
        }
        Writer {
            context: pangocairo::FontMap::default().create_context(),
            font,
            width,
            height,
            padding: (height / 240.0).round().clamp(1.0, 6.0),
        }
    }

    /// The text in one line, ellipsized to the picture, with the size of its ground.
    fn measure(&self, text: &str) -> (pango::Layout, f64, f64) {
        let layout = pango::Layout::new(&self.context);
        layout.set_font_description(Some(&self.font));
        layout.set_single_paragraph_mode(true);
        layout.set_ellipsize(pango::EllipsizeMode::Middle);
        // Pango takes text that ends at a NUL.
        layout.set_text(&text.replace('\0', " "));
        let (natural, _) = layout.pixel_size();
        let room = (self.width - 2.0 * self.padding).max(1.0);
        if f64::from(natural) > room {
            layout.set_width((room * f64::from(pango::SCALE)) as i32);
        }
        let (width, height) = layout.pixel_size();
        let ground = |side: i32| f64::from(side) + 2.0 * self.padding;
        (layout, ground(width), ground(height))
    }

    /// Whether a line of this height leaves room to see the picture.
    fn fits(&self, height: f64) -> bool {
        height <= self.height / 2.0
    }

    /// Above the box, else inside its upper edge, else below it: the first place that is in the picture and free.
    fn label(&self, text: &str, target: Rect, colour: Colour, labels: &mut Vec<Label>) {
        let (layout, width, height) = self.measure(text);
        if !self.fits(height) {
            return;
        }
        let x = target.x.min(self.width - width).max(0.0);
        let at = |y: f64| Rect {
            x,
            y,
            width,
            height,
        };
        let places = [
            at(target.y - height),
            at(target.y),
            at(target.y + target.height),
            at(target.y + target.height - height),
        ];
        let visible = |rect: &&Rect| rect.y >= 0.0 && rect.y + rect.height <= self.height;
        let free = |rect: &&Rect| !labels.iter().any(|label| label.rect.overlaps(rect));
        let rect = places
            .iter()
            .filter(visible)
            .find(free)
            .or_else(|| places.iter().find(visible));
        if let Some(&rect) = rect {
            labels.push(Label {
                rect,
                text: layout,
                padding: self.padding,
                colour,
            });
        }
    }

    /// Lines from the lower left corner upwards, the last at the bottom, as many as fit.
    fn legend<'a>(
        &self,
        lines: impl DoubleEndedIterator<Item = &'a LegendLine>,
        colour_of: impl Fn(&str) -> Colour,
        labels: &mut Vec<Label>,
    ) {
        let mut bottom = self.height;
        for line in lines.rev() {
            let short: String = line.text.chars().take(MAX_LABEL_CHARS).collect();
            let (text, width, height) = self.measure(&short);
            if !self.fits(height) || bottom < height {
                return;
            }
            bottom -= height;
            labels.push(Label {
                rect: Rect {
                    x: 0.0,
                    y: bottom,
                    width,
                    height,
                },
                text,
                padding: self.padding,
                colour: colour_of(&line.key),
            });
        }
    }
}
