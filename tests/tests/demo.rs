//! `make demo` with the user's own words.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::process::Command;

use mdetr_tests::TestEnv;
use serde_json::Value;

/// What makes trouble in a shell, in make, in `gst-launch-1.0` or in TOML.
const QUERY: &str = r#""all" the 'big' $x $(y) `id` \ "objects, 50 % & < > ! # ; $$"#;
const VIDEO: &str = r#"my "own" $clip \ 'of' !.webm"#;
const MODEL: &str = r#"my "own" $model ! 'x'"#;

#[test]
fn query_and_file_name_arrive_as_typed() {
    let env = TestEnv::new();
    let here = env.path();
    for name in ["Makefile", "configs", "models", "tools"] {
        symlink(env.root().join(name), here.join(name)).unwrap();
    }
    // What is built is there already: cargo has nothing to do.
    let cargo = here.join("home/.cargo/bin/cargo");
    fs::create_dir_all(cargo.parent().unwrap()).unwrap();
    fs::write(&cargo, "#!/bin/sh\n").unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    fs::create_dir(here.join("built")).unwrap();
    symlink(env.target(), here.join("built/release")).unwrap();

    let clip = "tabletopsrc num-buffers=3 ! video/x-raw,width=160,height=120,framerate=2/1 ! videoconvert \
                ! vp8enc deadline=1 ! webmmux ! filesink location=clip.webm";
    env.launch(clip).success();
    fs::rename(here.join("clip.webm"), here.join(VIDEO)).unwrap();
    symlink(env.root().join("models/tabletop"), here.join(MODEL)).unwrap();
    let make = |words: &[String]| {
        let mut make = Command::new("make");
        make.arg("demo")
            .args(words)
            .env("HOME", here.join("home"))
            .env("CARGO_TARGET_DIR", "built");
        env.run(&mut make)
    };
    let model = format!("MODEL={MODEL}");
    let refused = make(std::slice::from_ref(&model)).failure();
    assert!(refused.contains("needs QUERY"), "{refused}");
    let words = [
        format!("QUERY={QUERY}"),
        format!("VIDEO={VIDEO}"),
        model,
        "FPS=0.01".to_owned(),
    ];
    let printed = make(&words).success();
    let measured = printed.lines().find(|line| line.contains("FPS=0.01"));
    let measured = measured.unwrap_or_else(|| panic!("{printed}"));
    assert!(measured.contains("short side 192"), "{measured}");

    let lines = env.read("out/demo.jsonl");
    let lines: Vec<Value> = lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines.iter().all(|line| line["queries"][0]["text"] == QUERY),
        "{}",
        lines[0]
    );
    assert!(here.join("out/demo.png").exists() && here.join("out/demo.webm").exists());
}
