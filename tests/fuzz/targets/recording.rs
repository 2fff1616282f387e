//! Recordings that were not finished, or are none.
#![no_main]

use std::fs;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let folder = tempfile::tempdir().expect("a folder");
    let (from, to) = (folder.path().join("a.mcap"), folder.path().join("b.mcap"));
    // Few inputs begin as a recording does.
    let magic = b"\x89MCAP0\r\n";
    fs::write(&from, [magic, bytes].concat()).expect("written");
    if mdetr_record::recover(&from, &to).is_ok() {
        let again = mdetr_record::recover(&to, folder.path().join("c.mcap"));
        assert_eq!(again.expect("it is a recording").damage, None);
    }
});
