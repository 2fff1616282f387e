//! Watches cameras for what sentences describe.

pub mod config;
pub mod control;
pub mod hub;
pub mod mqtt;
pub mod notify;
mod retry;
pub mod store;
mod tls;
