//! Sentences as users write them.
#![no_main]

use mdetr::Query;

libfuzzer_sys::fuzz_target!(|source: &str| {
    for query in [Query::parse("q", source), Query::literal("q", source)]
        .into_iter()
        .flatten()
    {
        let length = query.text().chars().count() as u32;
        for target in query.targets() {
            assert!(
                target.start < target.end && target.end <= length,
                "{target:?} of {length}"
            );
        }
    }
});
