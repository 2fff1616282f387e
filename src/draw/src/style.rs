//! How things are drawn.

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
