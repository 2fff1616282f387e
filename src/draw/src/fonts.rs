//! Whether words can be drawn.

use std::sync::LazyLock;

use pango::prelude::FontMapExt;

/// What to tell users where [`has_fonts`] is false.
pub const NO_FONTS: &str = "no fonts are installed: words are not drawn; install some, on Debian and Ubuntu the package fonts-dejavu-core";

/// Whether this process found any font. If not, drawings have no words, as each letter would be a box.
///
/// Fonts that are installed later count from the next start on.
pub fn has_fonts() -> bool {
    static FOUND: LazyLock<bool> = LazyLock::new(|| {
        // Pango lists families of its own, such as "Sans", whether they have letters or not.
        let context = pangocairo::FontMap::default().create_context();
        let layout = pango::Layout::new(&context);
        layout.set_text("a");
        layout.unknown_glyphs_count() == 0
    });
    *FOUND
}
