//! Files of the caches of texts and plans.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    mdetr::fuzzing::cache(bytes);
    mdetr_engine::fuzzing::plan(bytes);
});
