//! From a kind to an engine.

use std::path::PathBuf;

use crate::error::{EngineError, OpenError};
use crate::graph::Engine;
use crate::log::EngineLog;
#[cfg(feature = "onnxruntime")]
use crate::onnxruntime;
use crate::options::{EngineKind, TensorRtOptions};
use crate::tract;
#[cfg(feature = "tensorrt")]
use crate::{standby, tensorrt};

/// The engine for `kind` and bundles of `precision`; for [`EngineKind::Auto`] the first that is
/// available here, in the order of [`EngineKind::ALL`].
pub fn open(
    kind: EngineKind,
    precision: &str,
    options: &TensorRtOptions,
) -> Result<Box<dyn Engine>, OpenError> {
    if kind != EngineKind::Auto {
        check_precision(kind, precision)?;
        return open_one(kind, options, format!("engine={kind} was asked for"));
    }
    let mut passed_over = String::new();
    for &candidate in &EngineKind::ALL[1..] {
        let reason = format!("engine=auto took {candidate}{passed_over}");
        let opened = check_precision(candidate, precision)
            .map_err(OpenError::from)
            .and_then(|()| open_one(candidate, options, reason));
        match opened {
            Ok(engine) => return Ok(engine),
            Err(error) => passed_over += &format!("; {error}"),
        }
    }
    unreachable!("tract is always available")
}

/// Refuses bundles of a precision that an engine does not run.
pub fn check_precision(kind: EngineKind, precision: &str) -> Result<(), EngineError> {
    if kind == EngineKind::TensorRt && precision == "int8" {
        return Err(EngineError::Unavailable {
            engine: kind.name(),
            message: "it does not run bundles of int8; export the model with --precision fp16 or \
                      fp32, or take another engine"
                .to_owned(),
        });
    }
    Ok(())
}

fn open_one(
    kind: EngineKind,
    options: &TensorRtOptions,
    reason: String,
) -> Result<Box<dyn Engine>, OpenError> {
    #[cfg(not(feature = "tensorrt"))]
    let _ = options;
    match kind {
        #[cfg(feature = "tensorrt")]
        EngineKind::TensorRt => {
            let engine = Box::new(tensorrt::TensorRt::new(options, reason)?);
            if !options.answer_while_building {
                return Ok(engine);
            }
            let tract = Box::new(tract::Tract::new(String::new()));
            Ok(Box::new(standby::Standby::new(engine, tract)))
        }
        #[cfg(not(feature = "tensorrt"))]
        EngineKind::TensorRt => {
            let remedy = "build it with --features tensorrt (cross/README.md)";
            Err(unbuilt(kind, remedy).into())
        }
        #[cfg(feature = "onnxruntime")]
        EngineKind::OnnxRuntime => Ok(Box::new(onnxruntime::OnnxRuntime::new(reason)?)),
        #[cfg(not(feature = "onnxruntime"))]
        EngineKind::OnnxRuntime => {
            Err(unbuilt(kind, "build it with --features onnxruntime").into())
        }
        EngineKind::Auto | EngineKind::Tract => Ok(Box::new(tract::Tract::new(reason))),
    }
}

#[cfg(not(all(feature = "tensorrt", feature = "onnxruntime")))]
fn unbuilt(kind: EngineKind, remedy: &str) -> EngineError {
    EngineError::Unavailable {
        engine: kind.name(),
        message: format!("this build has no such engine; {remedy}"),
    }
}

/// Looks for ONNX Runtime's library in the file `library` too: after the one that `ORT_DYLIB_PATH` names, which alone
/// counts where it is set, and before those of the system. Once a library is open this changes nothing.
pub fn add_onnxruntime_library(library: PathBuf) {
    #[cfg(feature = "onnxruntime")]
    onnxruntime::add_place(library);
    #[cfg(not(feature = "onnxruntime"))]
    drop(library);
}

/// Lets `log` hear what TensorRT logs in this process, in the place of whoever did before. Without it only
/// errors are told, by the calls that fail.
pub fn set_engine_log(log: Option<EngineLog>) {
    #[cfg(feature = "tensorrt")]
    crate::tensorrt::set_log(log);
    #[cfg(not(feature = "tensorrt"))]
    drop(log);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::GraphSource;

    #[test]
    fn auto_says_what_it_took_and_why() {
        let open = |kind| open(kind, "fp32", &TensorRtOptions::default());
        let info = open(EngineKind::Auto).unwrap().info();
        assert!(
            info.reason
                .starts_with(&format!("engine=auto took {}", info.name)),
            "{}",
            info.reason
        );
        let info = open(EngineKind::Tract).unwrap().info();
        assert_eq!(info.name, "tract");
        assert!(info.version.starts_with("0."), "{}", info.version);
        assert_eq!(info.reason, "engine=tract was asked for");
    }

    #[test]
    fn an_engine_that_is_not_built_says_how_to_have_it() {
        for &kind in EngineKind::ALL.iter().filter(|kind| !kind.is_built()) {
            let error = open(kind, "fp32", &TensorRtOptions::default())
                .map(drop)
                .unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&format!("--features {kind}")), "{message}");
        }
    }

    #[test]
    fn tensorrt_takes_no_weights_of_8_bit() {
        let open = |kind| open(kind, "int8", &TensorRtOptions::default());
        let message = open(EngineKind::TensorRt)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            message.contains("does not run bundles of int8"),
            "{message}"
        );
        let info = open(EngineKind::Auto).unwrap().info();
        assert_ne!(info.name, "tensorrt");
        assert!(info.reason.contains("bundles of int8"), "{}", info.reason);
        assert_eq!(open(EngineKind::Tract).unwrap().info().name, "tract");
    }

    #[test]
    fn engines_are_known_by_their_names() {
        for kind in EngineKind::ALL {
            assert_eq!(kind.name().parse::<EngineKind>().unwrap(), *kind);
        }
        let message = "cuda".parse::<EngineKind>().unwrap_err().to_string();
        assert!(
            message.contains("expected auto, tensorrt, onnxruntime"),
            "{message}"
        );
        assert!(message.contains("found cuda"), "{message}");
    }

    #[test]
    fn what_the_engine_cannot_load_is_named() {
        let path = "some/vision.onnx".to_owned();
        let source = GraphSource {
            path,
            onnx: b"no graph".to_vec(),
            sha256: String::new(),
            half: false,
            outputs: vec![],
        };
        let message = open(EngineKind::Tract, "fp32", &TensorRtOptions::default())
            .unwrap()
            .load(source)
            .map(drop)
            .unwrap_err()
            .to_string();
        assert!(
            message.starts_with("tract cannot load some/vision.onnx: "),
            "{message}"
        );
    }
}
