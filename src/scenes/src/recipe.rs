//! What a data set's pictures depend on, and files that appear whole.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::ScenesError;
use crate::options::SceneOptions;

/// Changes when the same seed gives other pictures.
const RENDERER: u32 = 1;

/// What the pictures depend on, kept beside them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Recipe {
    renderer: u32,
    seed: u64,
    width: u32,
    height: u32,
    min_objects: usize,
    max_objects: usize,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    focal: Option<f32>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    varied: bool,
    /// Of clips: how many frames at which times.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frames: Option<String>,
}

impl Recipe {
    pub fn new(seed: u64, scene: &SceneOptions) -> Recipe {
        Recipe {
            renderer: RENDERER,
            seed,
            width: scene.width,
            height: scene.height,
            min_objects: scene.min_objects,
            max_objects: scene.max_objects,
            focal: scene.focal,
            varied: scene.varied,
            frames: None,
        }
    }

    /// Makes `dir` this recipe's, which writes to these `places` in it. Returns whether its pictures may be kept. Where no
    /// recipe of ours lies, nothing is ours.
    pub fn claim(&self, dir: &Path, places: &[&str], overwrite: bool) -> Result<bool, ScenesError> {
        let path = dir.join("recipe.json");
        let found = match fs::read(&path) {
            Ok(bytes) => Some(bytes),
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => None,
            Err(e) => return Err(ScenesError::io("read", path)(e)),
        };
        if let Some(bytes) = found {
            let Ok(recipe) = serde_json::from_slice::<Recipe>(&bytes) else {
                return Err(ScenesError::Foreign { path });
            };
            if recipe == *self {
                return Ok(true);
            }
            if !overwrite {
                return Err(ScenesError::OtherDataset {
                    path,
                    found: recipe.to_string(),
                    expected: self.to_string(),
                });
            }
        } else {
            let mut places = places.iter().map(|name| dir.join(name));
            if let Some(path) = places.find(|path| !is_free(path)) {
                return Err(ScenesError::Foreign { path });
            }
        }
        write_json(&path, self)?;
        Ok(false)
    }
}

/// Whether there is nothing at a path, or an empty directory.
fn is_free(path: &Path) -> bool {
    match fs::read_dir(path) {
        Ok(mut entries) => entries.next().is_none(),
        Err(_) => path.symlink_metadata().is_err(),
    }
}

impl std::fmt::Display for Recipe {
    fn fmt(&self, f: &mut std::fmt::Formatter) -> std::fmt::Result {
        let Recipe {
            renderer,
            seed,
            width,
            height,
            min_objects,
            max_objects,
            focal,
            varied,
            frames,
        } = self;
        write!(
            f,
            "seed {seed}, size {width}x{height}, {min_objects} to {max_objects} objects, \
             renderer {renderer}"
        )?;
        if let Some(focal) = focal {
            write!(f, ", focal length {focal}")?;
        }
        if *varied {
            write!(f, ", varied")?;
        }
        match frames {
            Some(frames) => write!(f, ", clips of {frames}"),
            None => Ok(()),
        }
    }
}

pub(crate) fn write_json(path: &Path, value: &impl Serialize) -> Result<(), ScenesError> {
    write_whole(path, |file| {
        let mut buffer = BufWriter::with_capacity(1 << 20, file);
        serde_json::to_writer(&mut buffer, value)?;
        buffer.write_all(b"\n")?;
        buffer.flush()
    })
}

/// Writes beside `path` and renames, so that no half-written file is ever seen under its name.
pub(crate) fn write_whole(
    path: &Path,
    write: impl FnOnce(&mut File) -> std::io::Result<()>,
) -> Result<(), ScenesError> {
    let mut temporary = path.as_os_str().to_owned();
    temporary.push(".part");
    let temporary = PathBuf::from(temporary);
    let mut file = File::create(&temporary).map_err(ScenesError::io("create", path))?;
    write(&mut file).map_err(ScenesError::io("write", path))?;
    drop(file);
    fs::rename(&temporary, path).map_err(ScenesError::io("rename to", path))
}
