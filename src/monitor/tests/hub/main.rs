//! Hubs with a real broker and a real database.

mod database;
#[path = "../peers/mod.rs"]
mod peers;
mod postgres;
mod running;
