//! The configuration: one document with one revision, taken whole or not at all.

mod check;
mod document;
mod name;
mod read;
mod redact;
pub mod schema;
mod secret;

pub use check::{Fault, check};
pub use document::{
    Broker, Camera, Central, Document, Email, Fleet, Http, KServe, Keep, Onvif, PastSettings,
    Quality, Recording, Role, Smtp, Store, Tls, Token, Tokens, Transport, Webhook, default_fleet,
};
pub use name::is_name;
pub use read::{ConfigFile, MAX_BYTES, ReadError, parse_json, parse_toml, read};
pub use redact::{redacted, redacted_url, restored};
pub use secret::{Secret, SecretError};

#[cfg(test)]
mod mutated;
