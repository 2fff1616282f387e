//! Requests to the inference server, and answers of another.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mdetr_kserve::fuzzing::messages(bytes));
