//! One colour for each key: stable from frame to frame, different within a picture.

/// An opaque sRGB colour, each channel 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Colour {
    /// Red.
    pub red: f64,
    /// Green.
    pub green: f64,
    /// Blue.
    pub blue: f64,
}

/// Luma above which black text reads better than white.
const LIGHT: f64 = 0.52;

impl Colour {
    pub(crate) const WHITE: Colour = Colour::from_hex(0xff_ff_ff);
    /// Of zones and lines where something happens.
    pub(crate) const BRIGHT: Colour = Colour::from_hex(0xff_e0_4d);
    pub(crate) const BLACK: Colour = Colour::from_hex(0x00_00_00);

    const fn from_hex(hex: u32) -> Colour {
        Colour {
            red: ((hex >> 16) & 0xff) as f64 / 255.0,
            green: ((hex >> 8) & 0xff) as f64 / 255.0,
            blue: (hex & 0xff) as f64 / 255.0,
        }
    }

    /// Black or white, whichever reads better on this colour.
    pub(crate) fn contrast(self) -> Colour {
        // Rec. 601 luma, the weights video uses for gamma-coded channels.
        let luma = 0.299 * self.red + 0.587 * self.green + 0.114 * self.blue;
        if luma > LIGHT {
            Colour::BLACK
        } else {
            Colour::WHITE
        }
    }
}

const PALETTE: [Colour; 12] = [
    Colour::from_hex(0xff_4d_4d),
    Colour::from_hex(0x2e_d5_73),
    Colour::from_hex(0x3d_8b_ff),
    Colour::from_hex(0xff_c3_12),
    Colour::from_hex(0xe0_56_fd),
    Colour::from_hex(0x18_dc_ff),
    Colour::from_hex(0xff_8b_1a),
    Colour::from_hex(0xb8_e9_1c),
    Colour::from_hex(0x7d_5f_ff),
    Colour::from_hex(0xff_9f_f3),
    Colour::from_hex(0x00_a8_8f),
    Colour::from_hex(0xc8_a2_7a),
];

/// One colour for each of `keys`, which are distinct: hashed, so that a key keeps its colour when others come and go,
/// and moved on where two would share one.
pub(crate) fn assign<'a>(keys: impl IntoIterator<Item = &'a str>) -> Vec<Colour> {
    let mut taken = [false; PALETTE.len()];
    keys.into_iter()
        .map(|key| {
            if taken.iter().all(|&t| t) {
                taken = [false; PALETTE.len()];
            }
            let mut slot = fnv1a(key) as usize % PALETTE.len();
            while taken[slot] {
                slot = (slot + 1) % PALETTE.len();
            }
            taken[slot] = true;
            PALETTE[slot]
        })
        .collect()
}

/// 32-bit FNV-1a: short, and the same on every machine and in every version.
fn fnv1a(key: &str) -> u32 {
    key.bytes().fold(0x811c_9dc5, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_differ_within_a_picture_and_stay_when_a_later_key_goes() {
        let keys: Vec<String> = (1..=PALETTE.len()).map(|i| format!("q{i}")).collect();
        let all = assign(keys.iter().map(String::as_str));
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b), "{} repeats", keys[i]);
        }
        let fewer = assign(keys[..5].iter().map(String::as_str));
        assert_eq!(fewer, all[..5]);
    }

    #[test]
    fn more_keys_than_colours_reuse_them() {
        let keys: Vec<String> = (0..40).map(|i| format!("k{i}")).collect();
        assert_eq!(assign(keys.iter().map(String::as_str)).len(), 40);
    }

    #[test]
    fn text_contrasts_with_its_ground() {
        assert_eq!(Colour::from_hex(0xff_c3_12).contrast(), Colour::BLACK);
        assert_eq!(Colour::from_hex(0x20_20_60).contrast(), Colour::WHITE);
    }
}
