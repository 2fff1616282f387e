//! `proto/inference.rs` is what `proto/inference.proto` becomes. `MDETR_WRITE_INFERENCE=1` writes it.

use std::path::Path;
use std::{env, fs};

#[test]
fn the_code_is_that_of_the_definition() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("proto");
    let definition = protox::compile(["inference.proto"], [&folder]).expect("it is sound");
    let out = tempfile::tempdir().expect("a folder for a file");
    tonic_prost_build::configure()
        // Tensors are not copied out of the message that they came in.
        .bytes(".inference")
        .out_dir(out.path())
        .compile_fds(definition)
        .expect("it can be compiled");
    let made = fs::read_to_string(out.path().join("inference.rs")).expect("it was written");
    let kept = folder.join("inference.rs");
    if env::var_os("MDETR_WRITE_INFERENCE").is_some() {
        fs::write(&kept, &made).expect("the file can be written");
    }
    let found = fs::read_to_string(&kept).expect("it is kept");
    assert!(
        made == found,
        "proto/inference.rs is not what proto/inference.proto becomes: MDETR_WRITE_INFERENCE=1 cargo test -p mdetr-kserve"
    );
}
