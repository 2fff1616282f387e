//! Drawing on packed pixels.

use crate::Drawing;
use crate::error::{Error, check_size};
use crate::style::Style;

impl Drawing {
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
