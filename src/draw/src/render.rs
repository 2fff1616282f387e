//! Painting with cairo.

use crate::layout::{Label, Layout, Outline, RIM, Rect, lay_out};
use crate::shade::Shade;
use crate::{Drawing, Error, MAX_SIZE, Style};

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

    /// Draws on packed RGB pixels, rows without padding.
    pub fn annotate_rgb(
        &self,
        width: u32,
        height: u32,
        rgb: &mut [u8],
        style: &Style,
    ) -> Result<(), Error> {
        check_size(width, height)?;
        let expected = width as usize * height as usize * 3;
        if rgb.len() != expected {
            return Err(Error::Pixels {
                width,
                height,
                expected,
                found: rgb.len(),
            });
        }
        let row_bytes = width as usize * 3;
        for patch in self.patches(width, height, style)? {
            let left = patch.x as usize * 3;
            let rows = rgb.chunks_exact_mut(row_bytes).skip(patch.y as usize);
            for (row, source) in rows.zip(patch.pixels.chunks_exact(patch.stride())) {
                blend_row(&mut row[left..left + patch.width as usize * 3], source);
            }
        }
        Ok(())
    }
}

/// Porter-Duff "over" of premultiplied pixels in cairo's order on packed RGB.
fn blend_row(rgb: &mut [u8], argb: &[u8]) {
    for (below, above) in rgb.chunks_exact_mut(3).zip(argb.chunks_exact(4)) {
        let above = u32::from_ne_bytes(above.try_into().expect("chunks of four"));
        let rest = 255 - (above >> 24);
        for (i, channel) in below.iter_mut().enumerate() {
            let colour = (above >> (16 - 8 * i)) & 0xff;
            *channel = (colour + (u32::from(*channel) * rest + 127) / 255).min(255) as u8;
        }
    }
}

pub(crate) fn check_size(width: u32, height: u32) -> Result<(), Error> {
    if (1..=MAX_SIZE).contains(&width) && (1..=MAX_SIZE).contains(&height) {
        Ok(())
    } else {
        Err(Error::Size { width, height })
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
