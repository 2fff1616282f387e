//! Draws what was found in a frame: boxes, masks, phrases, scores, identities, answers, absent
//! queries; and zones and lines.
//!
//! [`draw`] paints a [`Grounding`] on any cairo context and [`annotate_rgb`] on packed RGB pixels.
//! [`Drawing`] is the same for marks of any origin; [`Drawing::patches`] paints only the parts of a
//! frame that change, which is what a video overlay wants. Without fonts ([`has_fonts`]) words are left out.
//!
//! ```
//! use mdetr_draw::{Drawing, Mark, Style};
//!
//! let drawing = Drawing::new(64.0, 48.0).with_mark(Mark {
//!     key: "q1".into(),
//!     x: 8.0, y: 20.0, width: 30.0, height: 20.0,
//!     label: "a red cube".into(),
//!     score: Some(0.93),
//!     track: None,
//!     mask: None,
//! });
//! let mut rgb = vec![0; 64 * 48 * 3];
//! drawing.annotate_rgb(64, 48, &mut rgb, &Style::default())?;
//! assert!(rgb.iter().any(|&byte| byte > 0));
//! # Ok::<(), mdetr_draw::Error>(())
//! ```

mod annotate;
mod colour;
mod drawing;
mod error;
mod fonts;
mod layout;
mod patch;
mod rect;
mod render;
mod shade;
mod shapes;
mod style;

pub use colour::Colour;
pub use drawing::{Drawing, LegendLine, Mark};
pub use error::{Error, MAX_SIZE};
pub use fonts::{NO_FONTS, has_fonts};
pub use patch::Patch;
pub use shapes::{LineMark, ZoneMark};
pub use style::Style;

use mdetr_grounding::Grounding;

/// Draws `grounding` on a picture of `width` x `height` user units whose top left corner is the origin.
///
/// Boxes are scaled if the picture has another size than the frame that was grounded.
pub fn draw(
    cr: &cairo::Context,
    width: f64,
    height: f64,
    grounding: &Grounding,
    style: &Style,
) -> Result<(), Error> {
    Drawing::from(grounding).draw(cr, width, height, style)
}

/// Draws `grounding` on packed RGB pixels, rows without padding.
pub fn annotate_rgb(
    width: u32,
    height: u32,
    rgb: &mut [u8],
    grounding: &Grounding,
    style: &Style,
) -> Result<(), Error> {
    Drawing::from(grounding).annotate_rgb(width, height, rgb, style)
}
