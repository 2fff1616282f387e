//! Pulls from a publisher on loopback that behaves, and misbehaves, as publishers do.

mod bundles;
mod fixture;
mod processes;
mod secure;
mod server;
mod sources;
mod transfer;
