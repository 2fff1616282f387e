//! Hubs with a real broker and a real database.

mod database;
#[path = "../peers/mod.rs"]
mod peers;
mod postgres;
mod running;
#[path = "../mqtt/telling.rs"]
mod telling;
