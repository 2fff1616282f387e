//! What a real broker hears, whatever happens to it.

mod events;
mod failures;
#[path = "../peers/mod.rs"]
mod peers;
mod states;
mod telling;
