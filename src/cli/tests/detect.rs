//! `mdetr detect`, `mdetr bundle` and `mdetr eval` as a user runs them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{ImageFormat, RgbImage};
use serde_json::Value;

/// The bundled model, or another one in `MDETR_TEST_BUNDLE`.
fn bundle() -> PathBuf {
    let dir = std::env::var_os("MDETR_TEST_BUNDLE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop"),
        PathBuf::from,
    );
    assert!(
        dir.join("model.toml").is_file(),
        "no bundle in {}",
        dir.display()
    );
    dir
}

fn mdetr<S: AsRef<std::ffi::OsStr>>(arguments: &[S]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .args(arguments)
        .env("MDETR_MODEL", bundle())
        .output()
        .unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn lines(output: &Output) -> Vec<Value> {
    text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A directory with `a.png`, `b.jpg` and a file that is no picture.
fn pictures() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    let image = RgbImage::from_fn(80, 60, |x, y| {
        image::Rgb([(3 * x) as u8, (4 * y) as u8, 90])
    });
    image.save(dir.path().join("a.png")).unwrap();
    image
        .save_with_format(dir.path().join("b.jpg"), ImageFormat::Jpeg)
        .unwrap();
    fs::write(dir.path().join("notes.txt"), "no picture").unwrap();
    dir
}

fn path(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).display().to_string()
}

#[test]
fn json_is_one_line_for_each_picture_and_nothing_else() {
    let dir = pictures();
    let schema = serde_json::from_str(mdetr::report::SCHEMA).unwrap();
    let directory = dir.path().display().to_string();
    let pattern = path(&dir, "*.[pj]*g");
    for input in [directory, pattern] {
        let arguments = [
            "detect",
            &input,
            "--json",
            "--query",
            "a red cube",
            "--query",
            "[all] cones",
        ];
        let output = mdetr(&arguments);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        assert!(output.stderr.is_empty(), "{}", text(&output.stderr));
        let lines = lines(&output);
        assert_eq!(lines.len(), 2);
        for (index, (line, name)) in lines.iter().zip(["a.png", "b.jpg"]).enumerate() {
            assert!(jsonschema::is_valid(&schema, line), "{line}");
            assert_eq!(line["source"], path(&dir, name));
            assert_eq!(line["frame"], index);
            assert_eq!(line["size"], serde_json::json!([80, 60]));
            assert_eq!(line["queries"][0]["id"], "q1");
            assert_eq!(line["queries"][1]["text"], "all cones");
        }
    }
}

#[test]
fn people_read_presence_and_boxes() {
    let dir = pictures();
    let picture = path(&dir, "a.png");
    let detect = |threshold: &str| {
        let output = mdetr(&[
            "detect",
            &picture,
            "--query",
            "all objects",
            "--score-threshold",
            threshold,
            "--overlap-threshold",
            "1",
        ]);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        text(&output.stdout).to_owned()
    };
    assert_eq!(
        detect("1"),
        format!("{picture}\n  q1 \"all objects\": absent\n")
    );
    let everything = detect("0");
    assert!(
        everything.contains("q1 \"all objects\": 20 found"),
        "{everything}"
    );
    assert_eq!(everything.lines().count(), 22);
}

#[test]
fn annotated_pictures_have_names_of_their_own() {
    let dir = pictures();
    fs::create_dir(dir.path().join("more")).unwrap();
    fs::copy(dir.path().join("a.png"), dir.path().join("more/a.png")).unwrap();
    let out = dir.path().join("new/out");
    let out_name = out.display().to_string();
    let inputs = [
        path(&dir, "a.png"),
        path(&dir, "more/a.png"),
        path(&dir, "b.jpg"),
    ];
    let mut arguments = vec![
        "detect",
        "--query",
        "a cube",
        "--score-threshold",
        "0",
        "--annotate",
    ];
    arguments.push(&out_name);
    arguments.extend(inputs.iter().map(String::as_str));
    let output = mdetr(&arguments);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let original = image::open(dir.path().join("a.png")).unwrap().into_rgb8();
    for name in ["a.png", "a-2.png", "b.png"] {
        let drawn = image::open(out.join(name)).unwrap().into_rgb8();
        assert_eq!(drawn.dimensions(), (80, 60));
        assert_ne!(drawn, original, "{name} has no boxes");
    }
}

#[test]
fn failures_are_named_and_the_rest_goes_on() {
    let dir = pictures();
    let cut = |name: &str, of: &str| {
        let bytes = fs::read(dir.path().join(of)).unwrap();
        fs::write(dir.path().join(name), &bytes[..bytes.len() * 2 / 3]).unwrap();
        path(&dir, name)
    };
    let empty = dir.path().join("empty");
    fs::create_dir(&empty).unwrap();
    let inputs = [
        cut("cut.png", "a.png"),
        cut("cut.jpg", "b.jpg"),
        path(&dir, "notes.txt"),
        path(&dir, "missing.png"),
        empty.display().to_string(),
        path(&dir, "*.gif"),
        path(&dir, "a.png"),
    ];
    let mut arguments = vec!["detect", "--json", "--query", "a cube"];
    arguments.extend(inputs.iter().map(String::as_str));
    let output = mdetr(&arguments);
    assert_eq!(code(&output), 1);
    let lines = lines(&output);
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0]["source"], inputs[6]);
    let errors = text(&output.stderr);
    for input in &inputs[..6] {
        let named = errors
            .lines()
            .filter(|line| line.contains(input.as_str()))
            .count();
        assert_eq!(named, 1, "{input}: {errors}");
    }
    let of = |name: &str| errors.lines().find(|line| line.contains(name)).unwrap();
    assert!(of("cut.png").contains("cut short"), "{errors}");
    assert!(of("cut.jpg").contains("cut short"), "{errors}");
    assert!(of("notes.txt").contains("expected PNG or JPEG"), "{errors}");
    assert!(of("missing.png").contains("No such file"), "{errors}");
    assert!(of("empty").contains("no PNG or JPEG"), "{errors}");
    assert!(of("*.gif").contains("nothing matches"), "{errors}");
}

#[test]
fn what_cannot_begin_exits_with_2() {
    let dir = pictures();
    let picture = path(&dir, "a.png");
    let long = "word ".repeat(5000);
    let nowhere = path(&dir, "nowhere");
    let not_a_directory = path(&dir, "notes.txt");
    let cases: [(&[&str], &str); 9] = [
        (&["detect", &picture], "--query"),
        (&["detect", "--query", "a cube"], "IMAGE"),
        (&["detect", &picture, "--query", " "], "empty"),
        (
            &["detect", &picture, "--query", "[a cube"],
            "'[' without ']'",
        ),
        (&["detect", &picture, "--query", &long], "4096"),
        (
            &[
                "detect",
                &picture,
                "--query",
                "a cube",
                "--score-threshold",
                "7",
            ],
            "0 to 1",
        ),
        (
            &["detect", &picture, "--query", "a cube", "--model", &nowhere],
            "model.toml",
        ),
        (
            &[
                "detect",
                &picture,
                "--query",
                "a cube",
                "--annotate",
                &not_a_directory,
            ],
            "annotate",
        ),
        (&["eval", &nowhere], "annotations.json"),
    ];
    for (arguments, expected) in cases {
        let output = mdetr(arguments);
        let errors = text(&output.stderr);
        assert_eq!(code(&output), 2, "{arguments:?}: {errors}");
        assert!(errors.contains(expected), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
}

#[test]
fn bundles_are_checked() {
    let output = mdetr(&[Path::new("bundle"), Path::new("check"), &bundle()]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    assert!(text(&output.stdout).trim_end().ends_with("sound"));
    let empty = tempfile::tempdir().unwrap();
    let output = mdetr(&[Path::new("bundle"), Path::new("check"), empty.path()]);
    assert_eq!(code(&output), 2);
    assert!(
        text(&output.stderr).contains("model.toml: missing"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_data_set_is_evaluated() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("data").display().to_string();
    let made = mdetr(&[
        "scenes",
        "dataset",
        "--count",
        "6",
        "--captions",
        "2",
        "--mix",
        "even",
        "--out",
        &out,
    ]);
    assert_eq!(code(&made), 0, "{}", text(&made.stderr));
    let output = mdetr(&["eval", &out, "--json"]);
    assert_eq!(code(&output), 0, "{}", text(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["pictures"], 6);
    assert_eq!(report["summary"]["captions"], 12);
    let recall = |k: u32| report["summary"][format!("recall_{k}")].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&recall(1)));
    assert!(recall(1) <= recall(5) && recall(5) <= recall(10));
    let by_kind: u64 = report["kinds"]
        .as_object()
        .unwrap()
        .values()
        .map(|k| k["captions"].as_u64().unwrap())
        .sum();
    assert_eq!(by_kind, 12);
    let some = mdetr(&["eval", &out, "--limit", "2"]);
    assert!(
        text(&some.stdout).starts_with("2 pictures, 4 captions"),
        "{}",
        text(&some.stdout)
    );

    let failures = dir.path().join("failures");
    let failures_dir = failures.display().to_string();
    let drawn = mdetr(&["eval", &out, "--json", "--failures", &failures_dir]);
    assert_eq!(text(&drawn.stdout), text(&output.stdout));
    // Random weights find nothing that is there.
    let model = official("resnet101_phrasecut");
    let wrong = path(&dir, "wrong");
    let drawn = mdetr(&[
        "eval",
        &out,
        "--limit",
        "2",
        "--model",
        &model,
        "--failures",
        &wrong,
    ]);
    assert_eq!(code(&drawn), 0, "{}", text(&drawn.stderr));
    let drawn: Vec<_> = std::fs::read_dir(&wrong).unwrap().collect();
    assert!(!drawn.is_empty());
    for entry in drawn {
        assert!(image::open(entry.unwrap().path()).unwrap().width() > 0);
    }

    let disturbed = mdetr(&["eval", &out, "--disturb", "typo", "--limit", "2", "--json"]);
    assert_eq!(code(&disturbed), 0, "{}", text(&disturbed.stderr));
    let found: Value = serde_json::from_slice(&disturbed.stdout).unwrap();
    assert_eq!(found["summary"]["captions"], 4);
    let unknown = mdetr(&["eval", &out, "--disturb", "fog"]);
    assert_eq!(code(&unknown), 2);
    assert!(text(&unknown.stderr).contains("jpeg, dark, bright, blur, typo"));
}

#[test]
fn an_engine_that_is_not_there_is_said_and_passed_over() {
    let dir = pictures();
    let picture = path(&dir, "a.png");
    let text_file = path(&dir, "libonnxruntime.so");
    std::fs::write(&text_file, "no library").unwrap();
    for library in ["/nowhere/libonnxruntime.so", &text_file] {
        let detect = |engine: &str| {
            let mut command = Command::new(env!("CARGO_BIN_EXE_mdetr"));
            command
                .args(["detect", &picture, "--query", "a cube", "--engine", engine])
                .env("ORT_DYLIB_PATH", library);
            command.output().expect("mdetr starts")
        };
        let output = detect("onnxruntime");
        assert_eq!(code(&output), 2);
        let error = text(&output.stderr);
        assert!(error.contains("onnxruntime is not available"), "{error}");
        assert!(
            error.contains(library) && error.contains("ORT_DYLIB_PATH"),
            "{error}"
        );
        assert_eq!(code(&detect("auto")), 0, "tract is there");
    }
    let unknown = mdetr(&["detect", &picture, "--query", "a cube", "--engine", "cuda"]);
    assert_eq!(code(&unknown), 2);
    assert!(
        text(&unknown.stderr).contains("expected auto, tensorrt, onnxruntime, tract or kserve")
    );
}

/// Bundles of the released structures, small and with random weights.
fn official(name: &str) -> String {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../mdetr/tests/data/official");
    dir.join(name).display().to_string()
}

#[test]
fn masks_are_printed_drawn_and_written() {
    let dir = pictures();
    let (picture, model) = (path(&dir, "a.png"), official("resnet101_phrasecut"));
    let drawn = path(&dir, "drawn");
    let detect = |more: &[&str]| {
        let mut arguments = vec!["detect", &picture, "--model", &model, "--query", "a cup"];
        arguments.extend(["--score-threshold", "0"]);
        arguments.extend(more);
        let output = mdetr(&arguments);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        output
    };
    let said = detect(&["--annotate", &drawn]);
    assert_eq!(text(&said.stdout).matches("  mask ").count(), 9);
    let line = &lines(&detect(&["--json"]))[0];
    let schema = serde_json::from_str(mdetr::report::SCHEMA).unwrap();
    assert!(jsonschema::is_valid(&schema, line), "{line}");
    let detections = line["queries"][0]["detections"].as_array().unwrap();
    let mut areas = Vec::new();
    for detection in detections {
        assert_eq!(detection["mask"]["size"], serde_json::json!([60, 80]));
        let counts = detection["mask"]["counts"].as_str().unwrap();
        areas.push(
            mdetr_grounding::rle::Rle::from_coco_string(counts, 80, 60)
                .unwrap()
                .area(),
        );
    }
    assert!(
        areas.iter().any(|&area| area > 0 && area < 80 * 60),
        "{areas:?}"
    );
    let before = image::open(&picture).unwrap().into_rgb8();
    let after = image::open(Path::new(&drawn).join("a.png"))
        .unwrap()
        .into_rgb8();
    let pixels = before.pixels().zip(after.pixels());
    assert!(pixels.filter(|(a, b)| a != b).count() > 100);
}

#[test]
fn questions_are_answered() {
    let dir = pictures();
    for name in ["clevr", "resnet101_gqa"] {
        let (picture, model) = (path(&dir, "a.png"), official(name));
        let arguments = [
            "detect",
            &picture,
            "--model",
            &model,
            "--query",
            "what is it?",
        ];
        let said = mdetr(&arguments);
        assert_eq!(code(&said), 0, "{}", text(&said.stderr));
        let said = text(&said.stdout).to_owned();
        assert!(said.contains("q1 \"what is it?\": \""), "{said}");
        let line = &lines(&mdetr(&[&arguments[..], &["--json"]].concat()))[0];
        let answer = &line["queries"][0]["answer"];
        assert!(
            said.contains(answer["text"].as_str().unwrap()),
            "{said}{line}"
        );
        assert!((0.0..=1.0).contains(&answer["score"].as_f64().unwrap()));
    }
}

#[test]
fn packed_queries_keep_their_ids_and_order() {
    let dir = pictures();
    let picture = path(&dir, "a.png");
    let texts = [
        "a red cube",
        "a ball left of a cone",
        "all cones",
        "is there a ball?",
    ];
    let detect = |packing: &[&str]| {
        let mut arguments = vec!["detect", &picture, "--json"];
        arguments.extend(texts.iter().flat_map(|text| ["--query", text]));
        arguments.extend(packing);
        let output = mdetr(&arguments);
        assert_eq!(code(&output), 0, "{}", text(&output.stderr));
        lines(&output).remove(0)
    };
    let alone = detect(&[]);
    for packing in [
        "--pack-queries",
        "--pack-queries=simple",
        "--pack-queries=all",
    ] {
        let packed = detect(&[packing]);
        for (index, expected) in texts.iter().enumerate() {
            let query = &packed["queries"][index];
            assert_eq!(query["text"], *expected, "{packing}");
            assert_eq!(query["id"], format!("q{}", index + 1));
        }
        // Questions are never packed.
        assert_eq!(packed["queries"][3], alone["queries"][3]);
    }
    assert_eq!(detect(&["--pack-queries=none"]), alone);
    let output = mdetr(&[
        "detect",
        &picture,
        "--query",
        "a cube",
        "--pack-queries=some",
    ]);
    assert_eq!(code(&output), 2);
    let message = text(&output.stderr);
    assert!(
        message.contains("expected none, simple or all"),
        "{message}"
    );
}
