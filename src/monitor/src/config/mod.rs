//! The configuration: one document with one revision, taken whole or not at all.

mod check;
mod document;
mod read;
mod redact;
pub mod schema;
mod secret;

pub use check::{Fault, check};
pub use document::{
    Broker, Camera, Document, Email, Http, KServe, Keep, Onvif, Quality, Recording, Role, Smtp,
    Store, Tls, Token, Transport, Webhook,
};
pub use read::{ConfigFile, MAX_BYTES, ReadError, parse_json, parse_toml, read};
pub use redact::{redacted, redacted_url, restored};
pub use secret::{Secret, SecretError};

#[cfg(test)]
mod mutated;
