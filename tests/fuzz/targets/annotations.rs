//! Files of annotations, predictions and tracks: the first byte says of which kind.
#![no_main]

use std::fs;

use mdetr_eval::{
    annotations::Annotations, coco, lvis, phrasecut, read_lines, rec, tracking::Tracks,
};

libfuzzer_sys::fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    mdetr_eval::fuzzing::annotations(bytes);
    let folder = tempfile::tempdir().expect("a folder for a file");
    let path = folder.path().join("input");
    fs::write(&path, bytes).expect("room for a small file");
    match kind % 8 {
        0 => drop(Annotations::read(&path)),
        1 => drop(coco::Truth::read(&path)),
        2 => drop(lvis::Truth::read(&path)),
        3 => drop(phrasecut::Truth::read(&path, None)),
        4 => drop(rec::Truth::read(&path, rec::Task::RefCoco)),
        5 => drop(Tracks::read_truth(&path)),
        6 => drop(Tracks::read_found(&path)),
        _ => drop(read_lines(&path).map(|lines| lines.map(drop).count())),
    }
});
