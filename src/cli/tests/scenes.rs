//! `mdetr scenes` as a user runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;

fn mdetr(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .arg("scenes")
        .args(args)
        .output()
        .expect("mdetr starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("output is UTF-8")
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name)
        .to_str()
        .expect("paths are UTF-8")
        .to_string()
}

#[test]
fn dataset() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "set");
    let args = [
        "dataset",
        "--count",
        "3",
        "--size",
        "160x120",
        "--captions",
        "2",
        "--out",
        &out,
    ];
    let run = mdetr(&args);
    assert!(run.status.success(), "{}", text(&run.stderr));
    assert!(run.stdout.is_empty());
    assert!(text(&run.stderr).contains("3 pictures rendered"));
    let json = std::fs::read(dir.path().join("set/annotations.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["images"].as_array().unwrap().len(), 6);
    assert!(dir.path().join("set/images/000002.png").exists());
    assert!(text(&mdetr(&args).stderr).contains("3 kept"));
    let other = mdetr(&[&args[..], &["--seed", "1"]].concat());
    assert_eq!(other.status.code(), Some(1));
    assert!(text(&other.stderr).contains("--overwrite"));
}

#[test]
fn another_focal_length() {
    let dir = tempfile::tempdir().unwrap();
    let focal = |name: &str, length: &str| {
        let out = path(dir.path(), name);
        let args = ["--count", "2", "--size", "96x64", "--focal", length];
        mdetr(&[&["dataset"], &args[..], &["--out", &out]].concat())
    };
    let run = focal("set", "1.5");
    assert!(run.status.success(), "{}", text(&run.stderr));
    let json = std::fs::read(dir.path().join("set/scenes.json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["recipe"]["focal"], 1.5);
    assert_eq!(json["scenes"][1]["camera"]["focal"], 1.5);
    let other = text(&focal("set", "0.8").stderr);
    assert!(other.contains("focal length 1.5"), "{other}");
    let refused = focal("none", "9");
    assert_eq!(refused.status.code(), Some(1));
    assert!(text(&refused.stderr).contains("expected 0.5 to 3"));
}

#[test]
fn only_some_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "set");
    let run = mdetr(&[
        "dataset",
        "--count",
        "9",
        "--size",
        "160x120",
        "--kinds",
        "absent,plural",
        "--out",
        &out,
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let json = std::fs::read_to_string(dir.path().join("set/annotations.json")).unwrap();
    assert!(json.contains("tabletop-absent") && !json.contains("tabletop-relation\""));
}

#[test]
fn show() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "one.png");
    let deep = path(dir.path(), "depth.png");
    let run = mdetr(&[
        "show",
        "--seed",
        "4",
        "--size",
        "320x180",
        "--captions",
        "3",
        "--focal",
        "1.25",
        "--out",
        &out,
        "--depth",
        &deep,
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let shown: Value = serde_json::from_slice(&run.stdout).unwrap();
    assert_eq!(shown["size"], serde_json::json!([320, 180]));
    let camera = serde_json::json!({ "focal": 400.0, "centre": [160.0, 90.0] });
    assert_eq!(shown["camera"], camera);
    assert_eq!(shown["captions"].as_array().unwrap().len(), 3);
    for caption in shown["captions"].as_array().unwrap() {
        let text = caption["text"].as_str().unwrap();
        for phrase in caption["phrases"].as_array().unwrap() {
            assert!(text.contains(phrase["words"][0].as_str().unwrap()));
        }
    }
    let picture = image::open(dir.path().join("one.png")).unwrap();
    assert_eq!((picture.width(), picture.height()), (320, 180));
    let depth = image::open(dir.path().join("depth.png")).unwrap();
    let image::DynamicImage::ImageLuma16(depth) = depth else {
        panic!("{:?}", depth.color());
    };
    assert_eq!(depth.dimensions(), (320, 180));
    // Every object stands behind the front edge of the picture.
    for object in shown["objects"].as_array().unwrap() {
        let bbox: [u32; 4] = serde_json::from_value(object["bbox"].clone()).unwrap();
        let column = bbox[0] + bbox[2] / 2;
        let at = |row| depth.get_pixel(column, row).0[0];
        let (middle, front) = (at(bbox[1] + bbox[3] / 2), at(179));
        assert!(
            front < middle && middle < 20_000,
            "{object}: {front}, {middle}"
        );
    }
}

#[test]
fn a_picture_and_its_depth_have_files_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "one.png");
    let run = mdetr(&["show", "--out", &out, "--depth", &out]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("name the same file"));
    let deep = path(dir.path(), "depth.png");
    std::fs::write(&deep, "somebody's").unwrap();
    let run = mdetr(&["show", "--out", &out, "--depth", &deep]);
    assert_eq!(run.status.code(), Some(1));
    assert!(text(&run.stderr).contains("depth.png"));
    assert_eq!(std::fs::read(&deep).unwrap(), b"somebody's");
    assert!(!dir.path().join("one.png").exists());
}

#[test]
fn video_to_standard_output_and_truth() {
    let dir = tempfile::tempdir().unwrap();
    let truth = path(dir.path(), "truth.jsonl");
    let run = mdetr(&[
        "video",
        "--seconds",
        "0.5",
        "--fps",
        "10",
        "--size",
        "162x121",
        "--out",
        "-",
        "--truth",
        &truth,
    ]);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let header = run.stdout.split(|&b| b == b'\n').next().unwrap();
    assert!(text(header).starts_with("YUV4MPEG2 W162 H121 F10:1 "));
    let frame = b"FRAME\n".len() + 162 * 121 + 2 * 81 * 61;
    assert_eq!(run.stdout.len(), header.len() + 1 + 5 * frame);
    let lines = std::fs::read_to_string(truth).unwrap();
    let lines: Vec<Value> = lines
        .lines()
        .map(|l| serde_json::from_str(l).unwrap())
        .collect();
    assert_eq!(lines.len(), 5);
    assert_eq!(lines[3]["pts_ns"], 300_000_000);
    assert!(lines[0]["objects"][0]["words"].is_string());
}

#[test]
fn video_as_pictures_and_as_file() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["frames", "clip.y4m"] {
        let out = path(dir.path(), name);
        let run = mdetr(&[
            "video",
            "--seconds",
            "0.1",
            "--fps",
            "30000/1001",
            "--size",
            "160x120",
            "--out",
            &out,
        ]);
        assert!(run.status.success(), "{}", text(&run.stderr));
        assert!(run.stdout.is_empty());
    }
    assert!(dir.path().join("frames/000002.png").exists());
    let clip = std::fs::read(dir.path().join("clip.y4m")).unwrap();
    assert!(clip.starts_with(b"YUV4MPEG2 W160 H120 F30000:1001 "));
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .args([
            "scenes",
            "video",
            "--seconds",
            "20",
            "--size",
            "160x120",
            "--out",
            "-",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", text(&output.stderr));
}

#[test]
fn mistakes_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "x");
    let file = path(dir.path(), "file");
    std::fs::write(&file, "").unwrap();
    let blocked = path(Path::new(&file), "set");
    let cases: [(&[&str], i32, &str); 8] = [
        (
            &["dataset", "--count", "1", "--size", "320", "--out", &out],
            2,
            "WIDTHxHEIGHT",
        ),
        (
            &["dataset", "--count", "1", "--size", "8x8", "--out", &out],
            1,
            "8x8",
        ),
        (
            &["dataset", "--count", "1", "--kinds", "wrong", "--out", &out],
            2,
            "'wrong'",
        ),
        (
            &[
                "dataset",
                "--count",
                "1",
                "--max-objects",
                "99",
                "--out",
                &out,
            ],
            1,
            "99 objects",
        ),
        (
            &["dataset", "--count", "1", "--out", &blocked],
            1,
            "file/set",
        ),
        (&["video", "--seconds", "0", "--out", "-"], 1, "--seconds 0"),
        (&["video", "--fps", "0", "--out", "-"], 2, "30000/1001"),
        (&["show", "--out", &blocked], 1, "file/set"),
    ];
    for (args, code, message) in cases {
        let run = mdetr(args);
        assert_eq!(run.status.code(), Some(code), "{args:?}");
        let stderr = text(&run.stderr);
        assert!(stderr.contains(message), "{args:?}: {stderr}");
        assert!(run.stdout.is_empty());
    }
}

/// What `mdetr eval` says of the clips in `set`, as the number of frames in which nothing answers to "a moving ..." and
/// the like, and the share of them with a box all the same.
fn alarms(dir: &Path, options: &[&str]) -> (u64, f64) {
    let out = Command::new(env!("CARGO_BIN_EXE_mdetr"))
        .args(["eval", &path(dir, "set"), "--json", "--model"])
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop"))
        .args(options)
        .output()
        .expect("mdetr starts");
    assert!(out.status.success(), "{}", text(&out.stderr));
    let report: Value = serde_json::from_slice(&out.stdout).expect("JSON");
    let kinds = report["kinds"].as_object().expect("by kind");
    let of = |kind: &Value, name: &str| kind[name].as_f64().unwrap_or(0.0);
    let told = kinds.iter().filter(|(name, _)| !name.ends_with("now"));
    let (mut frames, mut boxes) = (0.0, 0.0);
    for (_, kind) in told {
        frames += of(kind, "absent");
        boxes += of(kind, "absent") * of(kind, "absent_with_box");
    }
    (frames as u64, boxes / frames)
}

#[test]
fn what_clips_showed_before_matters_unless_it_is_forgotten() {
    let dir = tempfile::tempdir().unwrap();
    let out = path(dir.path(), "set");
    let line = "clips --count 2 --fps 3 --captions 8 --out";
    let args: Vec<&str> = line.split(' ').chain([out.as_str()]).collect();
    let run = mdetr(&args);
    assert!(run.status.success(), "{}", text(&run.stderr));
    let (frames, remembered) = alarms(dir.path(), &[]);
    let (same, forgotten) = alarms(dir.path(), &["--forget"]);
    assert_eq!(frames, same);
    assert!(frames > 20, "{frames}");
    assert_ne!(remembered, forgotten);
}
