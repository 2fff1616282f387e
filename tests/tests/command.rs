//! The `mdetr` command as a user types it.

use std::fs;

use mdetr_tests::TestEnv;
use serde_json::Value;

fn pictures(env: &TestEnv) -> std::path::PathBuf {
    env.root().join("src/mdetr/tests/data/parity")
}

#[test]
fn detect_prints_one_line_of_json_per_picture_and_nothing_else() {
    let env = TestEnv::new();
    let picture = pictures(&env).join("00.png");
    let args = [
        "detect",
        picture.to_str().unwrap(),
        "--query",
        "all objects",
        "--json",
    ];
    let output = env.mdetr(args.iter().map(ToString::to_string).chain(model(&env)));
    let lines: Vec<Value> = output
        .success()
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["schema"], "mdetr/1");
    assert_eq!(lines[0]["queries"][0]["text"], "all objects");
    assert!(
        !lines[0]["queries"][0]["detections"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

#[test]
fn detect_draws_what_it_found() {
    let env = TestEnv::new();
    let picture = pictures(&env).join("00.png");
    let args = [
        "detect",
        picture.to_str().unwrap(),
        "--query",
        "all objects",
        "--annotate",
        "drawn",
    ];
    env.mdetr(args.iter().map(ToString::to_string).chain(model(&env)))
        .success();
    let before = image::open(&picture).unwrap().into_rgb8();
    let after = image::open(env.path().join("drawn/00.png"))
        .unwrap()
        .into_rgb8();
    assert_eq!(before.dimensions(), after.dimensions());
    assert_ne!(before.as_raw(), after.as_raw());
}

#[test]
fn one_bad_picture_does_not_stop_the_others() {
    let env = TestEnv::new();
    let good = pictures(&env).join("01.png");
    let bytes = fs::read(&good).unwrap();
    fs::write(env.path().join("a.png"), &bytes[..bytes.len() / 2]).unwrap();
    fs::write(env.path().join("b.png"), &bytes).unwrap();
    let args = [
        "detect",
        "a.png",
        "b.png",
        "--query",
        "all objects",
        "--json",
    ];
    let output = env.mdetr(args.iter().map(ToString::to_string).chain(model(&env)));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout.lines().count(), 1);
    assert!(output.stderr.contains("a.png"), "{}", output.stderr);
}

#[test]
fn mistakes_end_with_code_2_and_a_reason() {
    let env = TestEnv::new();
    let good = pictures(&env).join("01.png").to_str().unwrap().to_owned();
    let long = "cube ".repeat(5000);
    for (query, expected) in [
        ("", "empty"),
        ("[a cube", "["),
        ("a [] cube", "target"),
        (&long, "expected at most 4096"),
    ] {
        let args = ["detect", &good, "--query", query];
        let output = env.mdetr(args.iter().map(ToString::to_string).chain(model(&env)));
        assert_eq!(
            output.status.code(),
            Some(2),
            "{query:.20}: {}",
            output.stderr
        );
        assert!(
            output.stderr.contains(expected),
            "{query:.20}: {}",
            output.stderr
        );
    }
    let output = env.mdetr(["detect", &good, "--query", "a cube", "--model", "nowhere"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stderr.contains("nowhere"), "{}", output.stderr);
}

#[test]
fn the_bundled_model_passes_its_check_and_a_damaged_copy_does_not() {
    let env = TestEnv::new();
    env.mdetr(["bundle", "check", env.model().to_str().unwrap()])
        .success();
    let copy = env.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(env.model()).unwrap() {
        let path = entry.unwrap().path();
        fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
    }
    let graph = copy.join("vision.onnx");
    let mut bytes = fs::read(&graph).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&graph, bytes).unwrap();
    let said = env.mdetr(["bundle", "check", "copy"]).failure();
    assert!(
        said.contains("vision.onnx") && said.contains("sha256"),
        "{said}"
    );
    fs::remove_file(&graph).unwrap();
    let said = env.mdetr(["bundle", "check", "copy"]).failure();
    assert!(said.contains("vision.onnx"), "{said}");
}

#[test]
fn sheets_and_summaries() {
    let env = TestEnv::new();
    let picture = pictures(&env).join("00.png").to_str().unwrap().to_owned();
    env.mdetr([
        "sheet",
        &picture,
        &picture,
        "--columns",
        "2",
        "--width",
        "64",
        "--out",
        "s.png",
    ])
    .success();
    assert_eq!(image::open(env.path().join("s.png")).unwrap().width(), 128);
    let args = ["detect", &picture, "--query", "all objects", "--json"];
    let json = env
        .mdetr(args.iter().map(ToString::to_string).chain(model(&env)))
        .success();
    fs::write(env.path().join("out.jsonl"), json).unwrap();
    let said = env.mdetr(["summary", "out.jsonl"]).success();
    assert!(said.contains("present in 1 of 1 frames"), "{said}");
}

fn model(env: &TestEnv) -> impl Iterator<Item = String> {
    [
        "--model".to_owned(),
        env.model().to_str().unwrap().to_owned(),
    ]
    .into_iter()
}
