//! `mdetr see` and `mdetr past` as a user runs them.

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use common::{code, errors, mdetr, refused, root, run, scene, succeeded};
use serde_json::Value;

/// The bundled model with boxes of its own, not those around masks.
fn loose_model(dir: &Path) {
    fs::create_dir(dir).unwrap();
    for file in fs::read_dir(root().join("models/tabletop")).unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), dir.join(file.file_name())).unwrap();
    }
    let manifest = fs::read_to_string(dir.join("model.toml")).unwrap();
    let tight = manifest.lines().find(|line| line.starts_with("tight = "));
    let loose = manifest.replace(tight.expect("boxes around masks"), "");
    fs::write(dir.join("model.toml"), loose).unwrap();
}

/// Twelve pictures, a minute apart: of two scenes, the second for the last four.
fn pictures(dir: &Path) {
    fs::create_dir(dir.join("shots")).unwrap();
    for number in 0..12 {
        let other = scene().with_file_name("03.png");
        let from = if number < 8 { scene() } else { other };
        fs::copy(from, dir.join(format!("shots/{number:02}.png"))).unwrap();
    }
}

fn see(dir: &Path, more: &str) -> String {
    let line =
        format!("see shots --out past --camera yard --start 2026-01-05T10:00:00Z --every 60{more}");
    succeeded(run(dir, &line))
}

fn past<'a>(query: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["past", "past", "--query", query][..], more].concat()
}

/// What the second scene alone has.
const NEW: &str = "a gray thing";

#[test]
fn pictures_are_seen_once_and_asked_later() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    pictures(dir);
    see(dir, " --pictures");
    let found = succeeded(mdetr(dir, &past(NEW, &["--pictures", "found"])));
    assert!(
        found.contains("2026-01-05T10:08:00.000Z  yard  "),
        "{found}"
    );
    assert!(
        found.ends_with("4 found; 12 of 12 frames asked\n"),
        "{found}"
    );
    let pictures: Vec<_> = fs::read_dir(dir.join("found")).unwrap().collect();
    assert_eq!(pictures.len(), 4);
    let picture = fs::read(dir.join("found/2026-01-05T10-08-00.000Z-yard.jpg")).unwrap();
    assert!(picture.starts_with(b"\xff\xd8"));

    // The same boxes as `mdetr detect` finds with a model that does not tighten them to masks, which are not kept.
    loose_model(&dir.join("loose"));
    let lines = succeeded(mdetr(dir, &past(NEW, &["--format", "json"])));
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let (outcome, hits) = lines.split_last().unwrap();
    assert_eq!(outcome["outcome"]["hits"].as_array().unwrap().len(), 4);
    let detected = succeeded(mdetr(
        dir,
        &[
            "detect",
            "shots/11.png",
            "--json",
            "--query",
            NEW,
            "--model",
            "./loose",
        ],
    ));
    let detected: Value = serde_json::from_str(&detected).unwrap();
    let expected = &detected["queries"][0]["detections"][0];
    for hit in hits {
        let hit = &hit["hit"];
        assert_eq!(hit["camera"], "yard");
        for side in 0..4 {
            let side = |value: &Value| value["box"][side].as_f64();
            let (found, expected) = (side(&hit["detections"][0]), side(expected));
            assert!(
                (found.unwrap() - expected.unwrap()).abs() < 0.5,
                "{hit} {detected}"
            );
        }
    }

    let moments = succeeded(mdetr(dir, &past(NEW, &["--moments"])));
    let expected = "2026-01-05T10:08:00.000Z  yard  appears (after 2026-01-05T10:07:00.000Z)\n";
    assert!(moments.starts_with(expected), "{moments}");
    let range = [
        "--from",
        "2026-01-05T10:09:00Z",
        "--to",
        "2026-01-05T10:11:00Z",
        "--camera",
        "yard",
    ];
    let found = succeeded(mdetr(dir, &past(NEW, &range)));
    assert!(found.ends_with("2 found; 2 of 2 frames asked\n"), "{found}");
    let question = succeeded(mdetr(dir, &past("how many things are there?", &[])));
    let first = "2026-01-05T10:00:00.000Z to 2026-01-05T10:07:00.000Z  yard  \"";
    assert!(question.starts_with(first), "{question}");
    assert!(question.contains("\n2 answers; "), "{question}");

    let elsewhere = mdetr(dir, &past(NEW, &["--camera", "roof"]));
    assert_eq!(code(&elsewhere), 0);
    assert!(String::from_utf8_lossy(&elsewhere.stdout).contains("0 found; 0 of 0 frames"));
}

#[test]
fn a_scene_that_stays_is_kept_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    pictures(dir);
    see(dir, " --change-threshold 0.05 --precision int8");
    let found = succeeded(mdetr(dir, &past(NEW, &[])));
    let expected = "2026-01-05T10:08:00.000Z to 2026-01-05T10:11:00.000Z  yard  ";
    assert!(found.starts_with(expected), "{found}");
    assert!(found.ends_with("1 found; 2 of 2 frames asked\n"), "{found}");
}

#[test]
fn what_is_encrypted_needs_its_key() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    pictures(dir);
    fs::write(dir.join("key"), [7; 32]).unwrap();
    let open =
        |mode| fs::set_permissions(dir.join("key"), fs::Permissions::from_mode(mode)).unwrap();
    open(0o644);
    refused(
        &run(dir, "see shots --out past --key key"),
        "found mode 644: `chmod 600` it",
    );
    assert!(!dir.join("past").exists());
    open(0o600);
    see(dir, " --key key");
    let bytes = fs::read(dir.join("past/000000000000.seg")).unwrap();
    assert!(!bytes.windows(4).any(|part| part == b"yard"));
    refused(
        &mdetr(dir, &past("a cube", &[])),
        "encrypted: give the file with the key",
    );
    let found = mdetr(
        dir,
        &past("a thing", &["--key", "key", "--score-threshold", "0.1"]),
    );
    assert_eq!(code(&found), 0, "{}", errors(&found));
    fs::write(dir.join("key"), [8; 32]).unwrap();
    refused(
        &mdetr(dir, &past("a cube", &["--key", "key"])),
        "encrypted with another key",
    );
}

#[test]
fn what_cannot_be_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    refused(&mdetr(dir, &past("a cube", &[])), "past: cannot be read");
    refused(&run(dir, "see none.png --out past"), "none.png");
    pictures(dir);
    refused(
        &run(dir, "see shots --out past --start tomorrow"),
        "expected a time such as",
    );
    refused(
        &run(dir, "see shots --out past --precision fp8"),
        "expected fp16 or int8",
    );
    fs::write(dir.join("file"), "").unwrap();
    refused(&run(dir, "see shots --out file"), "file");
    see(dir, "");
    refused(
        &mdetr(dir, &past("a cube", &["--score-threshold", "2"])),
        "expected 0 to 1, found 2",
    );
    refused(&mdetr(dir, &past("[a cube", &[])), "bracket");
    let official = root().join("src/mdetr/tests/data/official/clevr");
    let other = mdetr(
        dir,
        &past("a cube", &["--model", official.to_str().unwrap()]),
    );
    refused(&other, "none of 12 frames can be asked");
    refused(&other, "ask with the bundle that saw it");
    // A picture that cannot be read is named, and the others are kept.
    fs::write(dir.join("shots/05.png"), "no picture").unwrap();
    let some = run(dir, "see shots --out some");
    assert_eq!(code(&some), 1);
    assert!(errors(&some).contains("05.png"), "{}", errors(&some));
    let found = succeeded(run(
        dir,
        "past some --query thing --score-threshold 0.1 --apart 0",
    ));
    assert!(found.contains("11 of 11 frames asked"), "{found}");
}
