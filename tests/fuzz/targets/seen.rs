//! Bytes of seen frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mdetr::fuzzing::seen(bytes));
