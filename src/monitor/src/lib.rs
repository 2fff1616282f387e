//! Watches cameras for what sentences describe.

pub mod camera;
pub mod central;
pub mod config;
pub mod control;
pub mod events;
#[cfg(test)]
mod example;
pub mod fleet;
pub mod http;
pub mod hub;
pub mod metrics;
pub mod mqtt;
pub mod notify;
pub mod past;
pub mod program;
mod retry;
pub mod sites;
pub mod store;
mod tls;
pub mod video;
