//! Models by name.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::MANIFEST;
use super::error::BundleError;

/// Name of the bundled model.
const BUNDLED: &str = "tabletop";
/// Where the bundled model lies in the repository.
const BUNDLED_DIR: &str = "models/tabletop";
/// Where all users find models: first what administrators put there, then what packages bring.
const SYSTEM: [&str; 2] = ["/usr/local/share/mdetr/models", "/usr/share/mdetr/models"];
/// Where it lies, relative to the directory of a program or plugin or one above it.
const PLACES: [&str; 2] = [BUNDLED_DIR, "share/mdetr/models/tabletop"];
/// Directories above a program's or plugin's that are searched: `lib/ARCH/gstreamer-1.0` to the prefix, and `target/debug`
/// to the workspace.
const LEVELS: usize = 4;
/// Most bytes of a name.
const MAX_NAME: usize = 64;

/// Environment variable with the name or the path of the model to use where none is given.
pub const MODEL_VARIABLE: &str = "MDETR_MODEL";

/// What [`MODEL_VARIABLE`] names; `None` if it is empty or not set.
pub fn named_by_environment() -> Option<PathBuf> {
    let named = env::var_os(MODEL_VARIABLE).filter(|named| !named.is_empty());
    named.map(PathBuf::from)
}

/// Where models are found by name: the user's directory, then the system's, then the bundled model.
///
/// ```
/// use mdetr::bundle::Models;
///
/// for (name, dir) in Models::new().list() {
///     println!("{name}: {}", dir.display());
/// }
/// ```
#[derive(Debug, Clone)]
pub struct Models {
    own: Option<PathBuf>,
    system: Vec<PathBuf>,
    bundled: PathBuf,
}

impl Default for Models {
    fn default() -> Models {
        Models::new()
    }
}

impl Models {
    /// The user's models are in `mdetr/models` of `$XDG_DATA_HOME` or `~/.local/share`, the system's in
    /// `/usr/local/share/mdetr/models` and `/usr/share/mdetr/models`, and the bundled one in
    /// `models/tabletop` of the working directory.
    pub fn new() -> Models {
        Models {
            own: own_dir(),
            system: SYSTEM.map(PathBuf::from).into(),
            bundled: BUNDLED_DIR.into(),
        }
    }

    /// The same for a program or plugin whose file, which may be a link, is `program`: the bundled model is the one near
    /// it, if there is one.
    pub fn of_program(program: Option<&Path>) -> Models {
        let models = Models::new();
        match program.and_then(near) {
            Some(bundled) => models.with_bundled(bundled),
            None => models,
        }
    }

    /// The model, by path or name, that is used where none is given: what [`MODEL_VARIABLE`] names, else the bundled one.
    pub fn default_model(&self) -> PathBuf {
        named_by_environment().unwrap_or_else(|| self.bundled.clone())
    }

    /// The same, with the bundled model in `dir`.
    #[must_use]
    pub fn with_bundled(self, dir: impl Into<PathBuf>) -> Models {
        let bundled = dir.into();
        Models { bundled, ..self }
    }

    /// Where the user's models are, whether or not there are any; `None` if neither `XDG_DATA_HOME` nor
    /// `HOME` is an absolute path.
    pub fn own_dir(&self) -> Option<&Path> {
        self.own.as_deref()
    }

    /// The directory of a model, which is given by its path or by its name. What exists, or has a
    /// separator, is a path, and comes back as it is; [`Bundle::open`](super::Bundle::open) says what is
    /// wrong with it.
    ///
    /// # Errors
    /// [`BundleError::UnknownModel`] if there is neither such a path nor such a model.
    pub fn find(&self, model: impl AsRef<Path>) -> Result<PathBuf, BundleError> {
        let model = model.as_ref();
        let name = model.to_str().filter(|name| is_name(name));
        let Some(name) = name.filter(|_| !model.exists()) else {
            return Ok(model.to_owned());
        };
        let places = self.places().map(|place| place.join(name));
        let bundled = (name == BUNDLED).then(|| self.bundled.clone());
        let found = places.chain(bundled).find(|dir| is_bundle(dir));
        found.ok_or_else(|| BundleError::UnknownModel {
            name: name.to_owned(),
            known: self.list().into_keys().collect(),
        })
    }

    /// The models that have names, with their directories.
    pub fn list(&self) -> BTreeMap<String, PathBuf> {
        let mut models = BTreeMap::new();
        for place in self.places() {
            for entry in fs::read_dir(place).into_iter().flatten().flatten() {
                let name = entry.file_name().into_string();
                if let Some(name) = name.ok().filter(|name| is_name(name))
                    && is_bundle(&entry.path())
                {
                    models.entry(name).or_insert_with(|| entry.path());
                }
            }
        }
        if is_bundle(&self.bundled) {
            let bundled = || self.bundled.clone();
            models.entry(BUNDLED.to_owned()).or_insert_with(bundled);
        }
        models
    }

    fn places(&self) -> impl Iterator<Item = &PathBuf> {
        self.own.iter().chain(&self.system)
    }
}

/// Whether a model can have this name: letters and digits of ASCII, `-`, `_` and, but not first, `.`;
/// at most 64.
pub fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain) && !name.starts_with('.')
}

fn is_bundle(dir: &Path) -> bool {
    dir.join(MANIFEST).is_file()
}

/// The bundled model near a file.
fn near(file: &Path) -> Option<PathBuf> {
    let file = file.canonicalize().unwrap_or_else(|_| file.to_owned());
    let above = file.ancestors().skip(1).take(LEVELS);
    above
        .flat_map(|above| PLACES.map(|place| above.join(place)))
        .find(|dir| is_bundle(dir))
}

fn own_dir() -> Option<PathBuf> {
    let named = |name: &str| env::var_os(name).and_then(|value| absolute(&value));
    let data = named("XDG_DATA_HOME").or_else(|| Some(named("HOME")?.join(".local/share")));
    Some(data?.join("mdetr/models"))
}

fn absolute(value: &OsStr) -> Option<PathBuf> {
    Some(PathBuf::from(value)).filter(|path| path.is_absolute())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixture {
        dir: tempfile::TempDir,
        models: Models,
    }

    /// `eb3` is the user's and the system's, `lvis1` the system's.
    fn fixture() -> Fixture {
        let dir = tempfile::tempdir().unwrap();
        let models = Models {
            own: Some(dir.path().join("own")),
            system: vec![dir.path().join("system")],
            bundled: dir.path().join("bundled"),
        };
        for bundle in ["own/eb3", "system/eb3", "system/lvis1", "bundled"] {
            let bundle = dir.path().join(bundle);
            fs::create_dir_all(&bundle).unwrap();
            fs::write(bundle.join(MANIFEST), "").unwrap();
        }
        // Neither is a model that can be named.
        fs::create_dir_all(dir.path().join("own/empty")).unwrap();
        fs::create_dir_all(dir.path().join("own/.staging")).unwrap();
        fs::write(dir.path().join("own/.staging").join(MANIFEST), "").unwrap();
        Fixture { dir, models }
    }

    #[test]
    fn the_users_model_comes_first_then_the_systems_then_the_bundled_one() {
        let Fixture { dir, models } = fixture();
        let found = |name| models.find(name).unwrap();
        assert_eq!(found("eb3"), dir.path().join("own/eb3"));
        assert_eq!(found("lvis1"), dir.path().join("system/lvis1"));
        assert_eq!(found("tabletop"), dir.path().join("bundled"));
        let own = dir.path().join("own/tabletop");
        fs::create_dir(&own).unwrap();
        fs::write(own.join(MANIFEST), "").unwrap();
        assert_eq!(found("tabletop"), own);
    }

    #[test]
    fn what_exists_or_has_a_separator_is_a_path() {
        let Fixture { dir, models } = fixture();
        for path in ["own/eb3", "./eb3", "eb3/", "/no/such", "..", "."] {
            assert_eq!(models.find(path).unwrap(), Path::new(path), "{path}");
        }
        let inside = dir.path().join("own");
        assert_eq!(models.find(&inside).unwrap(), inside);
        // Tests run in the directory of the crate.
        assert_eq!(models.find("src").unwrap(), Path::new("src"));
    }

    #[test]
    fn an_unknown_name_is_told_what_exists_and_how_to_pull() {
        let Fixture { dir: _dir, models } = fixture();
        for name in ["eb5", "empty"] {
            let error = models.find(name).unwrap_err().to_string();
            let names = "there are eb3, lvis1, tabletop";
            assert!(error.contains(names), "{error}");
            assert!(error.contains(&format!("mdetr pull {name}")), "{error}");
        }
        let bare = Models {
            own: None,
            system: Vec::new(),
            bundled: "/no/such".into(),
        };
        let error = bare.find("eb3").unwrap_err().to_string();
        assert!(error.contains("there is none yet"), "{error}");
    }

    #[test]
    fn the_bundled_model_is_found_from_a_plugin_and_from_links_to_it() {
        let temporary = tempfile::tempdir().unwrap();
        let prefix = temporary.path().canonicalize().unwrap();
        let dir = prefix.join("lib/x86_64-linux-gnu/gstreamer-1.0");
        let plugin = dir.join("libgstmdetr.so");
        fs::create_dir_all(&dir).unwrap();
        fs::write(&plugin, "").unwrap();
        assert_eq!(near(&plugin), None);
        let bundle = prefix.join("share/mdetr/models/tabletop");
        fs::create_dir_all(&bundle).unwrap();
        fs::write(bundle.join(MANIFEST), "").unwrap();
        assert_eq!(near(&plugin), Some(bundle.clone()));

        let elsewhere = tempfile::tempdir().unwrap();
        let link = elsewhere.path().join("libgstmdetr.so");
        std::os::unix::fs::symlink(&plugin, &link).unwrap();
        assert_eq!(near(&link), Some(bundle));
    }

    #[test]
    fn names_are_plain() {
        for name in ["eb3", "refcoco-resnet101", "My_model.v2", &"a".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", ".eb3", "..", "a/b", "a b", "é", "a\0", &"a".repeat(65)] {
            assert!(!is_name(name), "{name:?}");
        }
    }
}
