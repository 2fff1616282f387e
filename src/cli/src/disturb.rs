//! Faults of cameras, links and typists, to measure a model under.

use anyhow::{Context, Result};
use clap::ValueEnum;
use image::codecs::jpeg::{JpegDecoder, JpegEncoder};
use image::{DynamicImage, RgbImage};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Disturbance {
    /// The picture as a JPEG of quality 60.
    Jpeg,
    /// Half as bright.
    Dark,
    /// Twice as bright; what is too bright is clipped.
    Bright,
    /// Blurred by a Gaussian of one pixel per 320 of width.
    Blur,
    /// Two letters of one word of each caption change places.
    Typo,
    /// Captions in capitals.
    Upper,
    /// Captions with a capital at the beginning of each word.
    Title,
    /// Captions without capitals.
    Lower,
}

const JPEG_QUALITY: u8 = 60;
const BLUR_PER_WIDTH: f32 = 1.0 / 320.0;

impl Disturbance {
    /// The picture with the fault.
    pub fn picture(self, picture: RgbImage) -> Result<RgbImage> {
        Ok(match self {
            Disturbance::Jpeg => {
                let mut file = Vec::new();
                JpegEncoder::new_with_quality(&mut file, JPEG_QUALITY)
                    .encode_image(&picture)
                    .context("cannot be written as JPEG")?;
                let decoder = JpegDecoder::new(std::io::Cursor::new(file))?;
                DynamicImage::from_decoder(decoder)?.into_rgb8()
            }
            Disturbance::Dark => scaled(picture, |value| value / 2),
            Disturbance::Bright => scaled(picture, |value| value.saturating_mul(2)),
            Disturbance::Blur => {
                let sigma = picture.width() as f32 * BLUR_PER_WIDTH;
                image::imageops::blur(&picture, sigma)
            }
            Disturbance::Typo | Disturbance::Upper | Disturbance::Title | Disturbance::Lower => {
                picture
            }
        })
    }

    /// The caption with the fault; as many characters, each span in its place.
    pub fn caption(self, caption: &str) -> String {
        match self {
            Disturbance::Typo => with_typo(caption),
            Disturbance::Upper => in_case(caption, |_| true),
            Disturbance::Title => in_case(caption, |before| before.is_whitespace()),
            Disturbance::Lower => in_case(caption, |_| false),
            _ => caption.to_owned(),
        }
    }
}

fn scaled(mut picture: RgbImage, scale: impl Fn(u8) -> u8) -> RgbImage {
    picture
        .as_flat_samples_mut()
        .samples
        .iter_mut()
        .for_each(|value| *value = scale(*value));
    picture
}

/// Each letter as a capital if it is to be one after the character before it, a space at the beginning,
/// else a small one. A letter whose other form is longer stays as it is: spans keep their places.
fn in_case(caption: &str, capital: impl Fn(char) -> bool) -> String {
    fn single(mut letters: impl Iterator<Item = char>, otherwise: char) -> char {
        match (letters.next(), letters.next()) {
            (Some(letter), None) => letter,
            _ => otherwise,
        }
    }
    let before = std::iter::once(' ').chain(caption.chars());
    let letters = before.zip(caption.chars()).map(|(before, letter)| {
        if capital(before) {
            single(letter.to_uppercase(), letter)
        } else {
            single(letter.to_lowercase(), letter)
        }
    });
    letters.collect()
}

/// The word and its letters follow from the caption alone, so that a run can be repeated.
fn with_typo(caption: &str) -> String {
    let mut letters: Vec<char> = caption.chars().collect();
    // Pairs of different letters inside one word, not its first.
    let pairs: Vec<usize> = (1..letters.len().saturating_sub(1))
        .filter(|&i| {
            let inside = letters[i - 1..=i + 1].iter().all(|c| c.is_alphabetic());
            inside && letters[i] != letters[i + 1]
        })
        .collect();
    if !pairs.is_empty() {
        let sum = letters.iter().fold(0usize, |sum, &c| {
            sum.wrapping_mul(31).wrapping_add(c as usize)
        });
        let at = pairs[sum % pairs.len()];
        letters.swap(at, at + 1);
    }
    letters.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typo_keeps_length_and_letters() {
        for caption in ["the small red ball", "all cones", "a größerer Würfel"] {
            let typo = with_typo(caption);
            assert_ne!(typo, caption);
            assert_eq!(typo.chars().count(), caption.chars().count());
            let changed = typo.split(' ').zip(caption.split(' '));
            assert_eq!(changed.filter(|(a, b)| a != b).count(), 1, "{typo}");
            assert_eq!(typo, with_typo(caption));
        }
        assert_eq!(with_typo("a b"), "a b");
        assert_eq!(with_typo(""), "");
    }

    #[test]
    fn captions_change_their_case_and_not_their_length() {
        let of = |disturbance: Disturbance, caption: &str| disturbance.caption(caption);
        let caption = "the GROSSE weiße İ ball";
        assert_eq!(of(Disturbance::Upper, caption), "THE GROSSE WEIßE İ BALL");
        assert_eq!(of(Disturbance::Title, caption), "The Grosse Weiße İ Ball");
        assert_eq!(of(Disturbance::Lower, caption), "the grosse weiße İ ball");
    }

    #[test]
    fn pictures_are_disturbed_as_said() {
        let picture = RgbImage::from_fn(64, 48, |x, y| {
            image::Rgb([(x * 4) as u8, (y * 5) as u8, if x < 32 { 0 } else { 255 }])
        });
        let of = |disturbance: Disturbance| disturbance.picture(picture.clone()).unwrap();
        assert_eq!(of(Disturbance::Typo), picture);
        assert_eq!(of(Disturbance::Dark)[(10, 10)], image::Rgb([20, 25, 0]));
        assert_eq!(
            of(Disturbance::Bright)[(60, 10)],
            image::Rgb([255, 100, 255])
        );
        let picture =
            image::imageops::resize(&picture, 320, 240, image::imageops::FilterType::Nearest);
        for near in [Disturbance::Jpeg, Disturbance::Blur] {
            let found = near.picture(picture.clone()).unwrap();
            assert_eq!(found.dimensions(), picture.dimensions());
            assert!(found != picture, "{near:?}");
            let difference: u64 = found
                .iter()
                .zip(picture.iter())
                .map(|(a, b)| u64::from(a.abs_diff(*b)))
                .sum();
            assert!(difference / (320 * 240 * 3) < 16, "{near:?}: {difference}");
        }
    }
}
