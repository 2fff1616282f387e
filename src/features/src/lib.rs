//! Nothing: see the dependencies in `Cargo.toml`.
