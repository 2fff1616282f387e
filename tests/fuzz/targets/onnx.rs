//! The header of an ONNX file.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| mdetr::fuzzing::onnx(bytes));
