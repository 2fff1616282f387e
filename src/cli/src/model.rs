//! Which model a command uses.

use std::path::{Path, PathBuf};

/// Names the default of `--model`.
const VARIABLE: &str = "MDETR_MODEL";
/// Where the bundled model lies in the repository.
const BUNDLED: &str = "models/tabletop";

/// `given`, else what `MDETR_MODEL` names, else the bundled model: in the current directory, or where
/// this program was built.
pub fn directory(given: Option<&Path>) -> PathBuf {
    let from_variable = || {
        std::env::var_os(VARIABLE)
            .filter(|v| !v.is_empty())
            .map(PathBuf::from)
    };
    let here = || Some(PathBuf::from(BUNDLED)).filter(|dir| dir.is_dir());
    given
        .map(Path::to_owned)
        .or_else(from_variable)
        .or_else(here)
        .unwrap_or_else(|| {
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("../..")
                .join(BUNDLED)
        })
}
