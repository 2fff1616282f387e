//! The thread that keeps frames.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::time::Duration;

use gst_video::VideoInfo;
use jpeg_encoder::{ColorType, Encoder};
use mdetr::Frame;
use mdetr::frame::LumaGrid;
use mdetr::seen::TokenPrecision;
use mdetr_past::{Keep, Key, Sampler, Writer, WriterOptions};

use super::{Archive, directory};
use crate::camera::Painter;
use crate::config::{PastSettings, Tokens};
use crate::store::free_bytes;

/// What is known of still scenes is written down at least as often.
const FLUSH: Duration = Duration::from_secs(10);
/// Long side of the pictures beside frames, and their quality.
const PICTURE: u32 = 320;
const QUALITY: u8 = 75;

/// A frame that is to be kept.
#[derive(Debug)]
pub(super) struct Sample {
    pub(super) camera: String,
    pub(super) time: i64,
    pub(super) buffer: gst::Buffer,
    pub(super) info: VideoInfo,
}

/// What the thread holds.
#[derive(Debug)]
pub(super) struct Keeper {
    archive: Weak<Archive>,
    open: Option<Open>,
    cameras: HashMap<String, Camera>,
    /// What failed last, to say it once.
    failure: Option<String>,
}

#[derive(Debug)]
struct Open {
    settings: PastSettings,
    dir: std::path::PathBuf,
    writer: Writer,
}

#[derive(Debug)]
struct Camera {
    painter: Painter,
    sampler: Sampler,
}

impl Keeper {
    pub(super) fn new(archive: Weak<Archive>) -> Keeper {
        Keeper {
            archive,
            open: None,
            cameras: HashMap::new(),
            failure: None,
        }
    }

    /// Keeps frames until there will be none.
    pub(super) fn run(mut self, samples: &Receiver<Sample>) {
        loop {
            let done = match samples.recv_timeout(FLUSH) {
                Ok(sample) => {
                    let Some(archive) = self.archive.upgrade() else {
                        return;
                    };
                    let kept = self.keep(&archive, &sample);
                    if kept.is_err() {
                        // The next frame is no still one: it would be compared with one that was not kept.
                        self.cameras.remove(&sample.camera);
                        archive.metrics.not_kept(&sample.camera);
                    }
                    kept
                }
                Err(RecvTimeoutError::Timeout) => self.flush(),
                Err(RecvTimeoutError::Disconnected) => {
                    let _ = self.flush();
                    return;
                }
            };
            match done {
                Ok(()) => self.failure = None,
                Err(message) if self.failure.as_ref() == Some(&message) => {}
                Err(message) => {
                    tracing::warn!(message, "frames are not kept to be asked later");
                    self.failure = Some(message);
                }
            }
        }
    }

    fn flush(&mut self) -> Result<(), String> {
        match &mut self.open {
            Some(open) => open.writer.flush().map_err(words),
            None => Ok(()),
        }
    }

    /// Sees a frame and writes what was seen, or notes that nothing has changed.
    fn keep(&mut self, archive: &Arc<Archive>, sample: &Sample) -> Result<(), String> {
        let config = archive.hub.config();
        let Some(settings) = &config.document.past else {
            self.open = None;
            self.cameras.clear();
            return Ok(());
        };
        let dir = directory(&config.document);
        let is_open = self.open.as_ref();
        if is_open.is_none_or(|open| open.settings != *settings || open.dir != dir) {
            // The one before must be gone: there is one writer.
            self.open = None;
            self.cameras.clear();
            self.open = Some(open(settings, dir)?);
        }
        let open = self.open.as_mut().ok_or("it is not open")?;
        let camera = match self.cameras.get_mut(&sample.camera) {
            Some(camera) if camera.painter.takes(&sample.info) => camera,
            _ => {
                let camera = Camera {
                    painter: Painter::new(&sample.info)?,
                    sampler: Sampler::new(Duration::ZERO, settings.change_threshold),
                };
                self.cameras.insert(sample.camera.clone(), camera);
                self.cameras.get_mut(&sample.camera).ok_or("it is gone")?
            }
        };
        let pixels = camera.painter.pixels(&sample.buffer)?;
        let (width, height) = (sample.info.width(), sample.info.height());
        let frame = Frame::rgb(width, height, &pixels).map_err(words)?;
        let keep = camera.sampler.decide(sample.time, || LumaGrid::of(&frame));
        if keep == Keep::Still
            && open
                .writer
                .still(&sample.camera, sample.time)
                .map_err(words)?
        {
            return Ok(());
        }
        let precision = match settings.precision {
            Tokens::Fp16 => TokenPrecision::Fp16,
            Tokens::Int8 => TokenPrecision::Int8,
        };
        let least = config.document.store.free_bytes;
        if free_bytes(&open.dir).map_err(words)? < least {
            return Err(format!(
                "less than store.free_bytes ({least}) are left on the disk of {}: keep fewer past.days or past.bytes",
                open.dir.display()
            ));
        }
        let seen = archive.grounder().and_then(|grounder| grounder.see(&frame));
        let tokens = seen.map_err(words)?.to_bytes(precision).map_err(words)?;
        let picture = settings
            .pictures
            .then(|| small(&pixels, width, height))
            .transpose()?;
        let written = open
            .writer
            .frame(&sample.camera, sample.time, &tokens, picture.as_deref());
        written.map_err(words)?;
        archive.metrics.kept(&sample.camera, open.writer.bytes());
        Ok(())
    }
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

fn open(settings: &PastSettings, dir: std::path::PathBuf) -> Result<Open, String> {
    let key = settings
        .key
        .as_deref()
        .map(Key::read)
        .transpose()
        .map_err(words)?;
    let options = WriterOptions {
        key,
        keep: Some(Duration::from_secs(u64::from(settings.days) * 86_400)),
        keep_bytes: Some(settings.bytes),
        ..WriterOptions::default()
    };
    let writer = Writer::open(&dir, options).map_err(words)?;
    if writer.cut() > 0 {
        let bytes = writer.cut();
        tracing::warn!(
            bytes,
            "what was kept last before a crash is no whole frame, and is left out"
        );
    }
    Ok(Open {
        settings: settings.clone(),
        dir,
        writer,
    })
}

/// A small JPEG of packed RGB: every so many pixels of each row, as it is to tell scenes apart, no more.
fn small(pixels: &[u8], width: u32, height: u32) -> Result<Vec<u8>, String> {
    let step = width.max(height).div_ceil(PICTURE).max(1) as usize;
    let row = 3 * width as usize;
    let rows = pixels.chunks_exact(row.max(1)).step_by(step);
    let thin = |row: &[u8]| -> Vec<u8> {
        row.chunks_exact(3)
            .step_by(step)
            .flatten()
            .copied()
            .collect()
    };
    let scaled: Vec<u8> = rows.flat_map(thin).collect();
    let side = |side: u32| {
        u16::try_from(side as usize / step + usize::from(!(side as usize).is_multiple_of(step)))
    };
    let (width, height) = (side(width).map_err(words)?, side(height).map_err(words)?);
    let mut jpeg = Vec::new();
    let encoded = Encoder::new(&mut jpeg, QUALITY).encode(&scaled, width, height, ColorType::Rgb);
    encoded.map_err(words)?;
    Ok(jpeg)
}
