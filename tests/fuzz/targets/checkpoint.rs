//! Files of weights; those that begin with an even byte have a pickle of the older format behind it.
#![no_main]

use std::io::Write;

use mdetr_checkpoint::Checkpoint;

/// What stands before the pickle of what was saved: a number, a version, and the system.
const HEAD: &[u8] = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}.";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, rest)) = bytes.split_first() else {
        return;
    };
    let mut file = tempfile::NamedTempFile::new_in("/dev/shm").expect("a file can be made");
    if kind % 2 == 0 {
        file.write_all(HEAD).expect("it can be written");
    }
    file.write_all(rest).expect("it can be written");
    let Ok(checkpoint) = Checkpoint::open(file.path()) else {
        return;
    };
    let root = checkpoint.root();
    let parts = root.keys().filter_map(|key| root.get(key));
    for part in parts.chain([root.clone()]) {
        for tensor in part.tensors().unwrap_or_default().into_values() {
            if let Ok(values) = checkpoint.read(tensor) {
                assert_eq!(values.len() as u64, tensor.len());
            }
        }
    }
});
