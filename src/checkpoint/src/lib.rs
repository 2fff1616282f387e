//! Weights in files of PyTorch (`torch.save`, both of its formats) and of safetensors, read tensor by tensor.
//!
//! Nothing in a file is executed: its pickle is read by a machine that knows tensors, containers and the two classes that
//! arguments of training scripts are made of, and refuses everything else by name.
//!
//! ```no_run
//! use mdetr_checkpoint::Checkpoint;
//!
//! let checkpoint = Checkpoint::open("pretrained_EB3_checkpoint.pth".as_ref())?;
//! let weights = checkpoint.root().get("model_ema").unwrap().tensors()?;
//! let (name, tensor) = weights.iter().next().unwrap();
//! let values: Vec<f32> = checkpoint.read(tensor)?;
//! println!("{name}: {:?}, {}", tensor.shape, values[0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod archive;
mod class;
mod contents;
mod error;
mod file;
mod flat;
mod legacy;
mod machine;
mod node;
mod opcode;
mod tensor;
mod view;

pub use error::{CheckpointError, Fault};
pub use file::Checkpoint;
pub use tensor::{DType, Tensor};
pub use view::View;
