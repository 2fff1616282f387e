//! Watches cameras for what sentences describe.

pub mod config;
pub mod control;
pub mod hub;
pub mod store;
