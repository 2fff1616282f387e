//! Where a model is looked for, by name and when none is named.

use std::env;
use std::path::{Path, PathBuf};

use mdetr::Bundle;
use mdetr::bundle::Models;

/// Environment variable with the name or the path of the model to use.
const VARIABLE: &str = "MDETR_MODEL";

/// Places of the bundled model, relative to the plugin's directory or one above it.
const PLACES: [&str; 2] = ["models/tabletop", "share/mdetr/models/tabletop"];
/// Directories above the plugin's that are searched: `lib/ARCH/gstreamer-1.0` to the prefix, and `target/debug` to the workspace.
const LEVELS: usize = 4;

/// A bundle that no property names.
struct DefaultBundle {
    dir: PathBuf,
    /// What to do if it cannot be used.
    remedy: String,
}

/// Opens the bundle that `model` names or that lies there, or else the default; `plugin` is the plugin's file.
///
/// # Errors
/// The bundle cannot be used: names it and says what to set.
pub(crate) fn open(
    model: Option<&Path>,
    plugin: Option<&Path>,
) -> Result<Bundle, gst::ErrorMessage> {
    let models = models(plugin);
    let opened = |model: &Path| Bundle::open(models.find(model)?);
    if let Some(model) = model {
        return opened(model)
            .map_err(|error| gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")));
    }
    let DefaultBundle { dir, remedy } = default(plugin);
    opened(&dir)
        .map_err(|error| gst::error_msg!(gst::ResourceError::NotFound, ("{error}. {remedy}")))
}

/// Where models are found by name, in a program or plugin whose file is `program`.
pub fn models(program: Option<&Path>) -> Models {
    let models = Models::new();
    match program.and_then(near) {
        Some(bundled) => models.with_bundled(bundled),
        None => models,
    }
}

/// The model, by path or name, that is used when none is given, in a program whose file is `program`.
pub fn default_model(program: Option<&Path>) -> PathBuf {
    default(program).dir
}

/// `$MDETR_MODEL`, else the bundled model near the plugin's file, else `models/tabletop` in the working directory.
fn default(plugin: Option<&Path>) -> DefaultBundle {
    if let Some(dir) = env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
        let dir = PathBuf::from(dir);
        let remedy = format!(
            "{VARIABLE} names {}: set it to the name of a model or the directory of a bundle, or set model=MODEL",
            dir.display()
        );
        return DefaultBundle { dir, remedy };
    }
    let near = plugin.and_then(near);
    DefaultBundle {
        dir: near.unwrap_or_else(|| PLACES[0].into()),
        remedy: format!("No model was named: set model=MODEL or {VARIABLE}"),
    }
}

/// The bundled model near the plugin's file, which may be a link.
fn near(plugin: &Path) -> Option<PathBuf> {
    let file = plugin.canonicalize().unwrap_or_else(|_| plugin.to_owned());
    file.ancestors()
        .skip(1)
        .take(LEVELS)
        .flat_map(|above| PLACES.map(|place| above.join(place)))
        .find(|dir| dir.join("model.toml").is_file())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_bundled_model_is_found_from_the_plugin_and_from_links_to_it() {
        let temporary = tempfile::tempdir().expect("a writable temporary directory");
        let prefix = temporary.path().canonicalize().expect("exists");
        let dir = prefix.join("lib/x86_64-linux-gnu/gstreamer-1.0");
        let plugin = dir.join("libgstmdetr.so");
        fs::create_dir_all(&dir).expect("a writable temporary directory");
        fs::write(&plugin, "").expect("a writable temporary directory");
        assert_eq!(near(&plugin), None);
        let bundle = prefix.join("share/mdetr/models/tabletop");
        fs::create_dir_all(&bundle).expect("a writable temporary directory");
        fs::write(bundle.join("model.toml"), "").expect("a writable temporary directory");
        assert_eq!(near(&plugin), Some(bundle.clone()));

        let elsewhere = tempfile::tempdir().expect("a writable temporary directory");
        let link = elsewhere.path().join("libgstmdetr.so");
        std::os::unix::fs::symlink(&plugin, &link).expect("a writable temporary directory");
        assert_eq!(near(&link), Some(bundle));
    }
}
