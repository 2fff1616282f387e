//! Checkpoints of MDETR's structures to bundles, without Python.
//!
//! A structure is known by the names and shapes of its entries. Its graphs are templates, which the exporter in Python
//! wrote without weights: each says what it is made of, so that a bundle is a template filled from a checkpoint, tensor by
//! tensor.
//!
//! ```no_run
//! use mdetr_weights::{Import, Precision};
//!
//! let mut import = Import::new("pretrained_EB3_checkpoint.pth", "tokenizer.json", "models/eb3");
//! import.precision = Precision::Fp16;
//! let bundle = import.run(&mut |_| true)?;
//! println!("{}", bundle.manifest().name);
//! # Ok::<(), mdetr_weights::ImportError>(())
//! ```

mod answers;
mod bounded;
mod entries;
mod error;
mod graph;
mod half;
mod import;
mod manifest;
mod options;
mod recipe;
mod recognise;
mod staging;
mod structure;
mod tokenizer;
mod values;
mod wire;

pub use error::{ImportError, UnknownStructure};
pub use half::{HalfError, with_half_interface};
pub use import::Import;
pub use options::{Averaged, Precision, Progress};
pub use structure::Structure;
