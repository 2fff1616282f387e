//! Raw video: YUV4MPEG2 (Y4M), which GStreamer's `y4mdec`, FFmpeg and mpv read.

use std::io::{self, Write};

use crate::render::Rendering;

/// Frames per second as a fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameRate {
    /// Frames ...
    pub frames: u32,
    /// ... in this many seconds.
    pub seconds: u32,
}

impl FrameRate {
    /// Time of a frame in seconds.
    pub fn time(self, frame: u64) -> f64 {
        frame as f64 * f64::from(self.seconds) / f64::from(self.frames)
    }

    /// Presentation time of a frame in nanoseconds, rounded down.
    pub fn pts_ns(self, frame: u64) -> u64 {
        let ns = u128::from(frame) * u128::from(self.seconds) * 1_000_000_000;
        (ns / u128::from(self.frames)) as u64
    }
}

/// Luma weights of red and blue.
struct Weights {
    red: f32,
    blue: f32,
}

/// What players assume of video that does not say: BT.601 up to this many lines, BT.709 above.
const SD_LINES: u32 = 576;
const BT601: Weights = Weights {
    red: 0.299,
    blue: 0.114,
};
const BT709: Weights = Weights {
    red: 0.2126,
    blue: 0.0722,
};

/// The comment at the end of the stream header, by which [`Y4mWriter`]'s files are known. Short, as `y4mdec` of
/// GStreamer 1.22 fails on longer headers than 80 bytes, or waits for ever.
pub const Y4M_MARK: &str = "XMDETR";

/// Writes frames as Y4M: 4:2:0, limited range, which Y4M means where it says nothing, chroma sited between pixels.
#[derive(Debug)]
pub struct Y4mWriter<W> {
    out: W,
    width: u32,
    height: u32,
    planes: Vec<u8>,
}

impl<W: Write> Y4mWriter<W> {
    /// Writes the stream header.
    ///
    /// # Errors
    /// If `out` cannot be written.
    pub fn new(mut out: W, width: u32, height: u32, rate: FrameRate) -> io::Result<Self> {
        let FrameRate { frames, seconds } = rate;
        writeln!(
            out,
            "YUV4MPEG2 W{width} H{height} F{frames}:{seconds} Ip A1:1 C420jpeg {Y4M_MARK}"
        )?;
        Ok(Y4mWriter {
            out,
            width,
            height,
            planes: Vec::new(),
        })
    }

    /// Writes one frame.
    ///
    /// # Errors
    /// If the writer cannot be written, or the frame's size is not the stream's.
    pub fn write(&mut self, frame: &Rendering) -> io::Result<()> {
        if (frame.width, frame.height) != (self.width, self.height) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "a {}x{} frame does not fit a {}x{} stream",
                    frame.width, frame.height, self.width, self.height
                ),
            ));
        }
        self.planes.clear();
        rgb_to_i420(&frame.rgb, self.width, self.height, &mut self.planes);
        self.out.write_all(b"FRAME\n")?;
        self.out.write_all(&self.planes)
    }

    /// Flushes and returns the writer.
    ///
    /// # Errors
    /// If it cannot be flushed.
    pub fn finish(mut self) -> io::Result<W> {
        self.out.flush()?;
        Ok(self.out)
    }
}

/// Appends the planes Y, U, V of a packed RGB picture; chroma planes are halved, rounding up.
fn rgb_to_i420(rgb: &[u8], width: u32, height: u32, out: &mut Vec<u8>) {
    let (w, h) = (width as usize, height as usize);
    let weights = if height <= SD_LINES { BT601 } else { BT709 };
    let green = 1.0 - weights.red - weights.blue;
    let luma = |[r, g, b]: [f32; 3]| weights.red * r + green * g + weights.blue * b;
    let code = |v: f32| v.round().clamp(0.0, 255.0) as u8;
    out.extend(rgb.chunks_exact(3).map(|p| {
        let y = luma([p[0].into(), p[1].into(), p[2].into()]);
        code(16.0 + y * 219.0 / 255.0)
    }));
    let chroma = |plane: usize, scale: f32, out: &mut Vec<u8>| {
        for y in (0..h).step_by(2) {
            for x in (0..w).step_by(2) {
                let mean = block_mean(rgb, w, h, x, y);
                let difference = mean[plane] - luma(mean);
                out.push(code(128.0 + difference * 224.0 / 255.0 / scale));
            }
        }
    };
    chroma(2, 2.0 * (1.0 - weights.blue), out);
    chroma(0, 2.0 * (1.0 - weights.red), out);
}

/// Mean RGB of the (up to) 2 x 2 pixels from (x, y).
fn block_mean(rgb: &[u8], w: usize, h: usize, x: usize, y: usize) -> [f32; 3] {
    let (x1, y1) = ((x + 1).min(w - 1), (y + 1).min(h - 1));
    let corners = [(x, y), (x1, y), (x, y1), (x1, y1)];
    std::array::from_fn(|channel| {
        let sum: u32 = corners
            .iter()
            .map(|&(x, y)| u32::from(rgb[(y * w + x) * 3 + channel]))
            .sum();
        sum as f32 / 4.0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One colour as Y, U, V through the writer, checked against BT.601's published values.
    #[test]
    fn bt601_primaries() {
        let cases = [
            ([255, 255, 255], [235, 128, 128]),
            ([0, 0, 0], [16, 128, 128]),
            ([255, 0, 0], [81, 90, 240]),
            ([0, 255, 0], [145, 54, 34]),
            ([0, 0, 255], [41, 240, 110]),
        ];
        for (rgb, yuv) in cases {
            let mut out = Vec::new();
            rgb_to_i420(&rgb.repeat(4), 2, 2, &mut out);
            assert_eq!(
                out,
                [yuv[0], yuv[0], yuv[0], yuv[0], yuv[1], yuv[2]],
                "{rgb:?}"
            );
        }
    }

    #[test]
    fn tall_video_is_bt709() {
        let mut out = Vec::new();
        rgb_to_i420(&[255, 0, 0].repeat(2 * 578), 2, 578, &mut out);
        assert_eq!((out[0], out[2 * 578], out[2 * 578 + 289]), (63, 102, 240));
    }

    #[test]
    fn odd_sizes_round_chroma_up() {
        let mut out = Vec::new();
        rgb_to_i420(&[9; 3 * 5 * 3], 5, 3, &mut out);
        assert_eq!(out.len(), 15 + 2 * 3 * 2);
    }

    #[test]
    fn every_header_is_short() {
        let rate = FrameRate {
            frames: 1_000_000,
            seconds: 999_999,
        };
        let header = Y4mWriter::new(Vec::new(), 99_999, 99_999, rate).unwrap();
        assert!(header.finish().unwrap().len() <= 80);
    }

    #[test]
    fn times() {
        let ntsc = FrameRate {
            frames: 30_000,
            seconds: 1001,
        };
        assert_eq!(ntsc.pts_ns(1), 33_366_666);
        assert_eq!(ntsc.pts_ns(30_000), 1_001_000_000_000);
        assert!((ntsc.time(30_000) - 1001.0).abs() < 1e-9);
    }
}
