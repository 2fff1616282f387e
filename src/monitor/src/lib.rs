//! Watches cameras for what sentences describe.

pub mod archive;
pub mod camera;
pub mod central;
pub mod config;
pub mod control;
#[cfg(test)]
mod example;
pub mod fleet;
pub mod http;
pub mod hub;
pub mod metrics;
pub mod mqtt;
pub mod notify;
pub mod program;
mod retry;
pub mod sites;
pub mod store;
mod tls;
pub mod video;
