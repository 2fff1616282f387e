//! Draws what was found in a frame: boxes, masks, phrases, scores, identities, answers, absent
//! queries.
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

mod colour;
mod drawing;
mod fonts;
mod layout;
mod patch;
mod render;
mod shade;

pub use colour::Colour;
pub use drawing::{Drawing, LegendLine, Mark};
pub use fonts::{NO_FONTS, has_fonts};
pub use patch::Patch;

use mdetr_grounding::Grounding;

/// Widest and highest picture that can be drawn on, in pixels (cairo's limit).
pub const MAX_SIZE: u32 = 32_767;

/// Why nothing was drawn.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The picture is empty or too large.
    #[error("cannot draw on {width}x{height} pixels: both sides must be 1 to {MAX_SIZE}")]
    Size {
        /// Width asked for.
        width: u32,
        /// Height asked for.
        height: u32,
    },
    /// The pixels do not fill the picture.
    #[error(
        "{width}x{height} packed RGB pixels take {expected} bytes, but {found} were given: pass rows without padding"
    )]
    Pixels {
        /// Width of the picture.
        width: u32,
        /// Height of the picture.
        height: u32,
        /// `3 * width * height`.
        expected: usize,
        /// Bytes given.
        found: usize,
    },
    /// cairo refused, most often because the context was in an error state before.
    #[error("cairo: {0}")]
    Cairo(String),
}

impl From<cairo::Error> for Error {
    fn from(error: cairo::Error) -> Error {
        Error::Cairo(error.to_string())
    }
}

impl From<cairo::BorrowError> for Error {
    fn from(error: cairo::BorrowError) -> Error {
        Error::Cairo(error.to_string())
    }
}

/// How marks are drawn.
#[derive(Debug, Clone, PartialEq)]
pub struct Style {
    /// Width of box outlines in pixels; 0: chosen from the size of the picture.
    pub line_width: f64,
    /// Pango font description; without a size, the size is chosen from that of the picture.
    pub font: String,
    /// Write the score behind the phrase.
    pub show_scores: bool,
    /// Write the track id before the phrase.
    pub show_tracks: bool,
    /// Tint and outline masks.
    pub show_masks: bool,
    /// List queries with nothing found in the lower left corner.
    pub show_absent: bool,
}

impl Default for Style {
    fn default() -> Style {
        Style {
            line_width: 0.0,
            font: "Sans Bold".into(),
            show_scores: true,
            show_tracks: true,
            show_masks: true,
            show_absent: false,
        }
    }
}

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
