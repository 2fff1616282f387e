//! The page, and the interface for programs: REST, events as they happen, pictures, metrics.

mod app;
mod auth;
mod cameras;
mod config;
mod error;
mod events;
mod limit;
mod listen;
mod live;
mod openapi;
mod page;
mod pictures;
mod router;
mod schema;
mod search;
mod sessions;
mod status;
pub mod token;
mod video;

pub use app::{About, HttpState, Limits};
pub use listen::{Server, serve};
pub use router::document;

#[cfg(test)]
mod tests;
