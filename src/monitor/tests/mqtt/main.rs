//! What a real broker hears, whatever happens to it.

mod events;
mod failures;
mod fleet;
#[path = "../peers/mod.rs"]
mod peers;
mod states;
mod telling;
