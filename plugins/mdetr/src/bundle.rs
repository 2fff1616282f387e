//! Where a model is looked for when none is named.

use std::env;
use std::path::{Path, PathBuf};

/// Environment variable with the path of the bundle to use.
pub(crate) const VARIABLE: &str = "MDETR_MODEL";

/// Places of the bundled model, relative to the plugin's directory or one above it.
const PLACES: [&str; 2] = ["models/tabletop", "share/mdetr/models/tabletop"];
/// Directories above the plugin's that are searched: `lib/ARCH/gstreamer-1.0` to the prefix, and `target/debug` to the workspace.
const LEVELS: usize = 4;

/// `$MDETR_MODEL`, else the bundled model near the plugin's file, else `models/tabletop` in the working directory.
pub(crate) fn default_dir(plugin: Option<&Path>) -> PathBuf {
    if let Some(dir) = env::var_os(VARIABLE).filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let near = plugin
        .into_iter()
        .flat_map(|file| file.ancestors().skip(1).take(LEVELS))
        .flat_map(|above| PLACES.map(|place| above.join(place)))
        .find(|dir| dir.join("model.toml").is_file());
    near.unwrap_or_else(|| PLACES[0].into())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_bundled_model_is_found_from_the_plugin() {
        if env::var_os(VARIABLE).is_some() {
            return;
        }
        let prefix = tempfile::tempdir().expect("a writable temporary directory");
        let plugin = prefix
            .path()
            .join("lib/x86_64-linux-gnu/gstreamer-1.0/libgstmdetr.so");
        assert_eq!(default_dir(Some(&plugin)), Path::new("models/tabletop"));
        let bundle = prefix.path().join("share/mdetr/models/tabletop");
        fs::create_dir_all(&bundle).expect("a writable temporary directory");
        fs::write(bundle.join("model.toml"), "").expect("a writable temporary directory");
        assert_eq!(default_dir(Some(&plugin)), bundle);
    }
}
