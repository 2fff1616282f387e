//! From a kind to an engine.

use std::path::PathBuf;

use crate::choice::{EngineChoice, GraphRole};
use crate::error::{EngineError, OpenError};
#[cfg(feature = "kserve")]
use crate::fallback;
use crate::graph::Engine;
#[cfg(feature = "kserve")]
use crate::kserve;
use crate::log::EngineLog;
use crate::mixed::Mixed;
#[cfg(feature = "onnxruntime")]
use crate::onnxruntime;
#[cfg(feature = "kserve")]
use crate::options::Fallback;
use crate::options::{EngineKind, KServeOptions, TensorRtOptions};
use crate::tract;
#[cfg(feature = "tensorrt")]
use crate::{standby, tensorrt};

/// What engines are to do.
#[derive(Debug, Clone, Copy)]
pub struct EngineOptions<'a> {
    /// For TensorRT.
    pub tensorrt: &'a TensorRtOptions,
    /// For servers.
    pub kserve: &'a KServeOptions,
}

/// The engines of a choice, for bundles of `precision`; for [`EngineKind::Auto`] the first that is available here, in the
/// order of [`EngineKind::ALL`] but without [`EngineKind::KServe`].
pub fn open(
    choice: EngineChoice,
    precision: &str,
    options: EngineOptions,
) -> Result<Box<dyn Engine>, OpenError> {
    if let Some(kind) = choice.single() {
        return open_kind(kind, precision, options);
    }
    let mut kinds = Vec::new();
    let places = GraphRole::ALL.map(|role| {
        let kind = choice.of(role);
        let known = kinds.iter().position(|&known| known == kind);
        known.unwrap_or_else(|| {
            kinds.push(kind);
            kinds.len() - 1
        })
    });
    let engines = kinds
        .into_iter()
        .map(|kind| open_kind(kind, precision, options));
    let engines = engines.collect::<Result<_, _>>()?;
    Ok(Box::new(Mixed::new(engines, places)))
}

fn open_kind(
    kind: EngineKind,
    precision: &str,
    options: EngineOptions,
) -> Result<Box<dyn Engine>, OpenError> {
    if kind != EngineKind::Auto {
        check_precision(kind, precision)?;
        return open_one(kind, options, format!("engine={kind} was asked for"));
    }
    let mut passed_over = String::new();
    for &candidate in EngineKind::LOCAL {
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
    options: EngineOptions,
    reason: String,
) -> Result<Box<dyn Engine>, OpenError> {
    #[cfg(not(any(feature = "tensorrt", feature = "kserve")))]
    let _ = options;
    match kind {
        #[cfg(feature = "tensorrt")]
        EngineKind::TensorRt => {
            let options = options.tensorrt;
            let engine = Box::new(tensorrt::TensorRt::new(options, reason)?);
            if !options.answer_while_building {
                return Ok(engine);
            }
            let tract = Box::new(tract::Tract::new(String::new()));
            Ok(Box::new(standby::Standby::new(kind.name(), engine, tract)))
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
        #[cfg(feature = "kserve")]
        EngineKind::KServe => open_kserve(options, reason),
        #[cfg(not(feature = "kserve"))]
        EngineKind::KServe => Err(unbuilt(kind, "build it with --features kserve").into()),
        EngineKind::Auto | EngineKind::Tract => Ok(Box::new(tract::Tract::new(reason))),
    }
}

#[cfg(feature = "kserve")]
fn open_kserve(options: EngineOptions, reason: String) -> Result<Box<dyn Engine>, OpenError> {
    let servers = Box::new(kserve::KServe::new(options.kserve, reason)?);
    let local = |kind: EngineKind| open_one(kind, options, String::new());
    let substitute = match options.kserve.fallback {
        Fallback::None => return Ok(servers),
        Fallback::OnnxRuntime => local(EngineKind::OnnxRuntime)?,
        Fallback::Tract => local(EngineKind::Tract)?,
        Fallback::Auto => local(EngineKind::OnnxRuntime).or_else(|_| local(EngineKind::Tract))?,
    };
    Ok(Box::new(fallback::Fallback::new(servers, substitute)))
}

#[cfg(not(all(feature = "tensorrt", feature = "onnxruntime", feature = "kserve")))]
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

/// Lets `log` hear what TensorRT logs in this process, and what becomes of servers, in the place of whoever did before.
/// Without it only errors are told, by the calls that fail.
pub fn set_engine_log(log: Option<EngineLog>) {
    #[cfg(feature = "tensorrt")]
    crate::tensorrt::set_log(log.clone());
    crate::log::set(log);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::GraphSource;

    fn open_on(kind: EngineKind, precision: &str) -> Result<Box<dyn Engine>, OpenError> {
        let options = EngineOptions {
            tensorrt: &TensorRtOptions::default(),
            kserve: &KServeOptions::default(),
        };
        open(kind.into(), precision, options)
    }

    #[test]
    fn auto_says_what_it_took_and_why() {
        let open = |kind| open_on(kind, "fp32");
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
            let error = open_on(kind, "fp32").map(drop).unwrap_err();
            let message = error.to_string();
            assert!(message.contains(&format!("--features {kind}")), "{message}");
        }
    }

    #[test]
    fn tensorrt_takes_no_weights_of_8_bit() {
        let open = |kind| open_on(kind, "int8");
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
    fn graphs_have_engines_of_their_own() {
        let options = EngineOptions {
            tensorrt: &TensorRtOptions::default(),
            kserve: &KServeOptions::default(),
        };
        let choice = "text:tract,fusion:tract".parse().unwrap();
        let info = open(choice, "fp32", options).unwrap().info();
        let auto = open_on(EngineKind::Auto, "fp32").unwrap().info().name;
        assert_eq!(
            info.name,
            format!("text:tract,vision:{auto},fusion:tract,mask:{auto}")
        );
        assert!(
            info.reason
                .contains("engine=tract was asked for; engine=auto took")
        );
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
            bundle: "some".to_owned(),
            role: GraphRole::Vision,
            path,
            onnx: b"no graph".to_vec(),
            sha256: String::new(),
            half: false,
            outputs: vec![],
            shapes: Default::default(),
        };
        let message = open_on(EngineKind::Tract, "fp32")
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
