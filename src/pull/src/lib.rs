//! Released checkpoints: which there are, how they are downloaded, and where the bundles made of them go.
//!
//! A [`Registry`] lists what can be pulled. [`pull`] downloads a checkpoint and its tokenizer, has them
//! converted, and puts the bundle into the user's [`Home`], where it is found by name: at once or not at
//! all. Whatever breaks, what was downloaded stays, and the next run goes on from there; what was
//! downloaded wrong is thrown away. There is nothing to be tidied up on an interruption, so none is caught.

mod checksum;
mod client;
mod download;
mod error;
mod home;
mod partial;
mod pull;
mod record;
mod registry;
mod retry;
mod source;
mod tokenizer;
mod watch;

pub use checksum::Checksum;
pub use error::PullError;
pub use home::{Home, Provenance, Unfinished};
pub use pull::{ConvertError, Material, Pulled, Request, pull};
pub use registry::{Answers, Model, Registry, Tokenizer, own_registry};
pub use retry::Limits;
pub use source::Source;
pub use watch::{Silent, Watch};
