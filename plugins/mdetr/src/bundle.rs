//! The bundle that an element opens.

use std::path::Path;

use mdetr::Bundle;
use mdetr::bundle::{MODEL_VARIABLE, Models, named_by_environment};

/// Opens the bundle that `model` names or that lies there, or else the default; `plugin` is the plugin's file.
///
/// # Errors
/// The bundle cannot be used: names it and says what to set.
pub(crate) fn open(
    model: Option<&Path>,
    plugin: Option<&Path>,
) -> Result<Bundle, gst::ErrorMessage> {
    let models = Models::of_program(plugin);
    let opened = |model: &Path| Bundle::open(models.find(model)?);
    if let Some(model) = model {
        return opened(model)
            .map_err(|error| gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")));
    }
    let remedy = match named_by_environment() {
        Some(named) => format!(
            "{MODEL_VARIABLE} names {}: set it to the name of a model or the directory of a bundle, or set model=MODEL",
            named.display()
        ),
        None => format!("No model was named: set model=MODEL or {MODEL_VARIABLE}"),
    };
    opened(&models.default_model())
        .map_err(|error| gst::error_msg!(gst::ResourceError::NotFound, ("{error}. {remedy}")))
}
