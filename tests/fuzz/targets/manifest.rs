//! `model.toml`.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| mdetr::fuzzing::manifest(text));
