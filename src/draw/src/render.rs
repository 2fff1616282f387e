//! Painting with cairo.

use crate::Drawing;
use crate::error::Error;
use crate::layout::{Label, Layout, Outline, RIM, lay_out};
use crate::rect::Rect;
use crate::shade::Shade;
use crate::style::Style;

/// Opacity of the rim around outlines.
const RIM_ALPHA: f64 = 0.45;
/// Opacity of the ground of labels.
const GROUND_ALPHA: f64 = 0.85;

impl Drawing {
    /// Draws on a picture of `width` x `height` user units whose top left corner is the origin.
    pub fn draw(
        &self,
        cr: &cairo::Context,
        width: f64,
        height: f64,
        style: &Style,
    ) -> Result<(), Error> {
        if self.is_empty() {
            return Ok(());
        }
        paint(cr, &lay_out(self, width, height, style), None)
    }
}

/// Paints the layout: last things first, as what comes first scores higher and belongs on top.
///
/// What does not reach into `visible` may be left out.
pub(crate) fn paint(
    cr: &cairo::Context,
    layout: &Layout,
    visible: Option<Rect>,
) -> Result<(), Error> {
    let shows = |extent: Rect| visible.is_none_or(|visible| visible.overlaps(&extent));
    cr.save()?;
    cr.set_antialias(cairo::Antialias::Default);
    let shapes = layout.shapes.iter().rev();
    for shape in shapes.filter(|shape| shows(shape.extent())) {
        shape.paint(cr)?;
    }
    let shades = layout.shades.iter().rev();
    for shade in shades.filter(|shade| shows(shade.rect)) {
        paint_shade(cr, shade)?;
    }
    let outlines = layout.outlines.iter().rev();
    for outline in outlines.filter(|outline| shows(outline.rect.grown(RIM))) {
        paint_outline(cr, outline)?;
    }
    let labels = layout.labels.iter().rev();
    for label in labels.filter(|label| shows(label.extent())) {
        paint_label(cr, label)?;
    }
    cr.restore()?;
    Ok(())
}

fn paint_shade(cr: &cairo::Context, shade: &Shade) -> Result<(), Error> {
    let (width, height) = (shade.rect.width as i32, shade.rect.height as i32);
    let mut surface = cairo::ImageSurface::create(cairo::Format::A8, width, height)?;
    let stride = surface.stride() as usize;
    let rows = shade.coverage.chunks_exact(width as usize);
    for (row, coverage) in surface.data()?.chunks_mut(stride).zip(rows) {
        row[..coverage.len()].copy_from_slice(coverage);
    }
    let colour = shade.colour;
    cr.set_source_rgb(colour.red, colour.green, colour.blue);
    cr.mask_surface(&surface, shade.rect.x, shade.rect.y)?;
    Ok(())
}

fn paint_outline(cr: &cairo::Context, outline: &Outline) -> Result<(), Error> {
    let rect = outline.rect;
    let line_width = outline.line_width.min(rect.width).min(rect.height);
    let stroke = |width: f64| {
        let inset = line_width / 2.0;
        cr.rectangle(
            rect.x + inset,
            rect.y + inset,
            rect.width - line_width,
            rect.height - line_width,
        );
        cr.set_line_join(cairo::LineJoin::Miter);
        cr.set_line_width(width);
        cr.stroke()
    };
    cr.set_source_rgba(0.0, 0.0, 0.0, RIM_ALPHA);
    stroke(line_width + 2.0 * RIM)?;
    let colour = outline.colour;
    cr.set_source_rgb(colour.red, colour.green, colour.blue);
    stroke(line_width)?;
    Ok(())
}

fn paint_label(cr: &cairo::Context, label: &Label) -> Result<(), Error> {
    let (rect, ground) = (label.rect, label.colour);
    cr.rectangle(rect.x, rect.y, rect.width, rect.height);
    cr.set_source_rgba(ground.red, ground.green, ground.blue, GROUND_ALPHA);
    cr.fill()?;
    let ink = ground.contrast();
    cr.set_source_rgb(ink.red, ink.green, ink.blue);
    cr.move_to(rect.x + label.padding, rect.y + label.padding);
    pangocairo::functions::show_layout(cr, &label.text);
    cr.status()?;
    Ok(())
}
