//! Files of PyTorch and safetensors as they are, and as nobody should have made them.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Cursor, Write};
use std::path::{Path, PathBuf};

use mdetr_checkpoint::{Checkpoint, CheckpointError, View};
use serde::Deserialize;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

#[derive(Debug, Deserialize)]
struct Expected {
    shape: Vec<u64>,
    values: Vec<f32>,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn expected(part: &str) -> BTreeMap<String, Expected> {
    let text = fs::read_to_string(data("expected.json")).unwrap();
    let mut all: BTreeMap<String, BTreeMap<String, Expected>> =
        serde_json::from_str(&text).unwrap();
    all.remove(part).unwrap()
}

/// Checks that the tensors are those that PyTorch had.
fn are_same(checkpoint: &Checkpoint, view: &View, part: &str) {
    let expected = expected(part);
    let found = view.tensors().unwrap();
    let names: Vec<&str> = expected.keys().map(String::as_str).collect();
    assert_eq!(found.keys().copied().collect::<Vec<_>>(), names);
    for (name, tensor) in found {
        let expected = &expected[name];
        assert_eq!(tensor.shape, expected.shape, "{name}");
        assert_eq!(checkpoint.read(tensor).unwrap(), expected.values, "{name}");
    }
}

#[test]
fn what_a_training_run_saved_is_read() {
    for format in ["new", "old"] {
        let checkpoint = Checkpoint::open(&data(&format!("training-{format}.pth"))).unwrap();
        let root = checkpoint.root();
        for part in ["model", "model_ema"] {
            are_same(&checkpoint, &root.get(part).unwrap(), part);
        }
        assert_eq!(root.get("epoch").unwrap().number(), Some(3.0));
        let arguments = root.get("args").unwrap();
        assert_eq!(arguments.kind(), "argparse.Namespace");
        assert_eq!(arguments.get("backbone").unwrap().text(), Some("resnet18"));
        assert_eq!(arguments.get("num_queries").unwrap().number(), Some(25.0));
        assert_eq!(arguments.get("lr").unwrap().number(), Some(1e-4));
        assert_eq!(arguments.get("ema").unwrap().bool(), Some(true));
        assert!(arguments.get("resume").unwrap().is_none());
        assert_eq!(arguments.get("output_dir").unwrap().kind(), "a path");
        let optimizer = root.get("optimizer").unwrap();
        assert_eq!(
            optimizer.keys().collect::<Vec<_>>(),
            ["state", "param_groups"]
        );
        let error = optimizer.tensors().unwrap_err().to_string();
        assert_eq!(
            error,
            "optimizer.state: expected a tensor, found a dictionary"
        );
    }
}

#[test]
fn types_and_views_are_read() {
    for name in [
        "types-new.pth",
        "types-old.pth",
        "types-protocol-4.pth",
        "types.safetensors",
    ] {
        let checkpoint = Checkpoint::open(&data(name)).unwrap();
        are_same(&checkpoint, &checkpoint.root(), "types");
    }
}

/// An archive as torch.save makes them, with a pickle and storages of one's own.
fn archive(pickle: &[u8], storages: &[(&str, &[u8])], how: CompressionMethod) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default().compression_method(how);
    zip.start_file("archive/data.pkl", options).unwrap();
    zip.write_all(pickle).unwrap();
    for (key, bytes) in storages {
        zip.start_file(format!("archive/data/{key}"), options)
            .unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

fn open(bytes: &[u8]) -> Result<Checkpoint, CheckpointError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.pth");
    fs::write(&path, bytes).unwrap();
    Checkpoint::open(&path)
}

/// What is said of a file.
fn refused(bytes: &[u8]) -> String {
    let error = open(bytes).expect_err("refused").to_string();
    let (path, message) = error.split_once(": ").unwrap();
    assert!(path.ends_with("some.pth"), "{error}");
    message.to_owned()
}

fn pickled(pickle: &[u8]) -> String {
    refused(&archive(pickle, &[], CompressionMethod::Stored))
}

#[test]
fn nothing_is_executed() {
    let system = b"\x80\x02cposix\nsystem\nX\x0d\x00\x00\x00touch /tmp/pwn\x85R.";
    let message = pickled(system);
    assert!(
        message.starts_with("holds posix.system, which is not read"),
        "{message}"
    );
    assert!(
        message.contains("torch.save(model.state_dict(), ...)"),
        "{message}"
    );
    // By the opcodes of later protocols too.
    let message = pickled(b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93)R.");
    assert!(message.starts_with("holds builtins.eval"), "{message}");
}

#[test]
fn values_are_compared_with_their_checksum() {
    let pickle = tensor(5, 0, &[5], &[1]);
    let values: Vec<u8> = (0..5u8)
        .flat_map(|value| f32::from(value).to_le_bytes())
        .collect();
    let mut bytes = archive(&pickle, &[("0", &values)], CompressionMethod::Stored);
    let verified = |bytes: &[u8]| {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("some.pth");
        fs::write(&path, bytes).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let tensor = checkpoint.root().tensors().unwrap()["a"];
        assert_eq!(checkpoint.stored_bytes([tensor, tensor]), 20);
        let mut read = 0;
        let result = checkpoint.verify([tensor, tensor], &mut |more| {
            read += more;
            true
        });
        assert_eq!(read, 20);
        result
    };
    verified(&bytes).unwrap();
    let two = 2f32.to_le_bytes();
    let at = bytes.windows(4).position(|window| window == two).unwrap();
    bytes[at] ^= 1;
    let error = verified(&bytes).unwrap_err().to_string();
    assert!(error.contains("storage 0 has the checksum"), "{error}");
    assert!(error.contains("download or copy it again"), "{error}");
}

#[test]
fn faults_are_named() {
    let cases: [(&[u8], &str); 12] = [
        (b"", "ends in the middle"),
        (b"\x80\x02", "ends in the middle"),
        (b"\x80\x09.", "protocol 9, expected 0 to 5"),
        (b".", "takes more from the stack than there is"),
        (b"(0.", "takes more from the stack than there is"),
        (b"h\x07.", "names a value that is not there"),
        (
            b"\x8e\xff\xff\xff\xff\xff\xff\xff\x7f",
            "a text of 9223372036854775807 bytes",
        ),
        (b"K\x01K\x02a.", "appends to an integer, expected a list"),
        (b"}(K\x01u.", "a key without a value"),
        (b"K\x01)R.", "calls an integer"),
        (b"K\x01Q.", "a reference that is to no storage"),
        (b"\xff.", "opcode 0xff, which is not read"),
    ];
    for (pickle, wanted) in cases {
        let message = pickled(pickle);
        assert!(message.starts_with("the pickle, byte "), "{message}");
        assert!(message.contains(wanted), "{message}: {wanted}");
    }
    for (bytes, wanted) in [
        (&b""[..], "found none of them"),
        (b"<!doctype html>", "found none of them"),
        (b"PK\x03\x04 and no more", "the archive is damaged"),
    ] {
        let message = refused(bytes);
        assert!(message.contains(wanted), "{message}");
    }
}

/// The pickle of one tensor of floats.
fn tensor(len: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
    let numbers = |numbers: &[u8]| {
        let values = numbers.iter().flat_map(|number| [b'K', *number]);
        [&b"("[..], &values.collect::<Vec<u8>>(), b"t"].concat()
    };
    [
        &b"\x80\x02}X\x01\x00\x00\x00actorch._utils\n_rebuild_tensor_v2\n("[..],
        b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpuK",
        &[len],
        b"tQK",
        &[offset],
        &numbers(shape),
        &numbers(strides),
        b"\x89ccollections\nOrderedDict\n)RtRs.",
    ]
    .concat()
}

#[test]
fn tensors_lie_in_their_storage() {
    let bytes: Vec<u8> = (0..6u8)
        .flat_map(|value| f32::from(value).to_le_bytes())
        .collect();
    let stored = CompressionMethod::Stored;
    let whole = archive(&tensor(6, 1, &[2, 2], &[3, 1]), &[("0", &bytes)], stored);
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.pth");
    fs::write(&path, &whole).unwrap();
    let checkpoint = Checkpoint::open(&path).unwrap();
    let tensors = checkpoint.root().tensors().unwrap();
    assert_eq!(checkpoint.read(tensors["a"]).unwrap(), [1.0, 2.0, 4.0, 5.0]);

    let message = pickled(&tensor(6, 2, &[2, 2], &[3, 1]));
    assert!(message.contains("lie outside of its 6 values"), "{message}");
    let message = pickled(&tensor(6, 0, &[200, 200], &[0, 0]));
    assert!(message.contains("of a storage of 6 values"), "{message}");
    // A storage that is shorter than it says, and one that is not there.
    for (storages, wanted) in [
        (
            &[("0", &bytes[..20])][..],
            "expected 6 values of 4 bytes, found 20 bytes",
        ),
        (&[][..], "its values are not in the file"),
    ] {
        fs::write(&path, archive(&tensor(6, 0, &[6], &[1]), storages, stored)).unwrap();
        let checkpoint = Checkpoint::open(&path).unwrap();
        let tensors = checkpoint.root().tensors().unwrap();
        let message = checkpoint.read(tensors["a"]).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
}

#[test]
fn what_is_too_much_is_refused() {
    // A million dictionaries.
    let many = [&b"("[..], &b"}".repeat(1 << 21), b"t."].concat();
    assert!(pickled(&many).contains("at most"));
    // Lists in lists, deeper than any stack.
    let deep = [&b"]".repeat(500_000)[..], &b"a".repeat(499_999), b"."].concat();
    assert!(open(&archive(&deep, &[], CompressionMethod::Stored)).is_ok());
    let long = [&b"K\x01"[..], &b"0K\x01".repeat(6 << 20), b"."].concat();
    assert_eq!(
        pickled(&long),
        "bytes of a pickle: at most 16777216 are read"
    );
}

#[test]
fn spoilt_files_are_refused_or_read() {
    let rounds = std::env::var("MDETR_MUTATIONS").map_or(400, |rounds| rounds.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("some.pth");
    let mut random = 0x9e37_79b9_7f4a_7c15u64;
    let mut next = move |below: usize| {
        // xorshift
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random % below as u64) as usize
    };
    for name in [
        "training-new.pth",
        "types-old.pth",
        "types-protocol-4.pth",
        "types.safetensors",
    ] {
        let whole = fs::read(data(name)).unwrap();
        for _ in 0..rounds {
            let mut bytes = whole.clone();
            for _ in 0..=next(4) {
                // The pickle is at the beginning: most of the file is alignment.
                let at = next(bytes.len().min(4000));
                bytes[at] = next(256) as u8;
            }
            if next(8) == 0 {
                bytes.truncate(next(bytes.len()));
            }
            fs::write(&path, &bytes).unwrap();
            let Ok(checkpoint) = Checkpoint::open(&path) else {
                continue;
            };
            let root = checkpoint.root();
            let parts = root.keys().filter_map(|key| root.get(key));
            for tensors in parts.chain([root.clone()]).filter_map(|part| {
                part.tensors()
                    .ok()
                    .map(|tensors| tensors.into_values().cloned().collect::<Vec<_>>())
            }) {
                for tensor in tensors {
                    if let Ok(values) = checkpoint.read(&tensor) {
                        assert_eq!(values.len() as u64, tensor.len());
                    }
                }
            }
        }
    }
}
