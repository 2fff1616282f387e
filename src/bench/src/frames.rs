//! Frames to measure with: scenes of the tabletop world, rendered beforehand.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use clap::Args;
use mdetr::Frame;
use mdetr_scenes::{Scene, SceneOptions, render};

/// Width and height.
#[derive(Debug, Clone, Copy)]
pub struct Size(pub u32, pub u32);

impl std::str::FromStr for Size {
    type Err = String;

    fn from_str(text: &str) -> Result<Size, String> {
        let sides = text.split_once('x').map(|(w, h)| (w.parse(), h.parse()));
        match sides {
            Some((Ok(w), Ok(h))) if w > 0 && h > 0 => Ok(Size(w, h)),
            _ => Err("expected WIDTHxHEIGHT, such as 640x480".to_owned()),
        }
    }
}

#[derive(Debug, Args)]
pub struct FramesArgs {
    #[arg(long, value_name = "N")]
    count: u64,
    #[arg(long, value_name = "WxH")]
    size: Size,
    #[arg(long, value_name = "N")]
    seed: u64,
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl FramesArgs {
    pub fn run(self) -> Result<()> {
        let Size(width, height) = self.size;
        let mut bytes = Vec::new();
        for seed in self.seed..self.seed + self.count {
            let scene = Scene::sample(seed, &SceneOptions::default());
            bytes.extend(render(&scene, width, height, seed).rgb);
        }
        fs::write(&self.out, bytes).with_context(|| self.out.display().to_string())
    }
}

/// Where frames come from.
#[derive(Debug, Args)]
pub struct Source {
    /// Packed RGB frames, one after the other.
    #[arg(long, value_name = "FILE")]
    frames: PathBuf,
    /// Their size.
    #[arg(long, value_name = "WxH")]
    size: Size,
}

/// Packed RGB frames of one size.
#[derive(Debug)]
pub struct Pictures {
    pub size: Size,
    pub pixels: Vec<Vec<u8>>,
}

impl Source {
    pub fn read(&self) -> Result<Pictures> {
        let path = self.frames.display();
        let bytes = fs::read(&self.frames).with_context(|| path.to_string())?;
        let Size(width, height) = self.size;
        let frame = width as usize * height as usize * 3;
        ensure!(
            !bytes.is_empty() && bytes.len() % frame == 0,
            "{path}: expected frames of {frame} bytes ({width}x{height}), found {} bytes",
            bytes.len()
        );
        Ok(Pictures {
            size: self.size,
            pixels: bytes.chunks_exact(frame).map(<[u8]>::to_vec).collect(),
        })
    }
}

impl Pictures {
    /// The frames again and again.
    pub fn frame(&self, index: usize) -> Result<Frame<'_>> {
        let Size(width, height) = self.size;
        let pixels = &self.pixels[index % self.pixels.len()];
        Ok(Frame::rgb(width, height, pixels)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        let Size(width, height) = "640x480".parse().unwrap();
        assert_eq!((width, height), (640, 480));
        for wrong in ["", "640", "640x", "0x480", "640x-1", "640x480x3"] {
            assert!(wrong.parse::<Size>().is_err(), "{wrong}");
        }
    }
}
