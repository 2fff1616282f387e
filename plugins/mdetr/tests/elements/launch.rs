//! What users type after `gst-launch-1.0`, word for word as their shell passes it on.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::common::model;
use crate::installed::{Installed, output_of};

fn installed() -> Installed {
    Installed::of("libgstmdetr.so")
}

/// A tool that finds the plugin, whose default model is that of these tests.
fn tool(installed: &Installed, name: &str) -> Command {
    let mut command = installed.command(name);
    command.env("MDETR_MODEL", model());
    command
}

/// Runs a pipeline that writes lines to the file `OUT`; gives the first.
fn first_line(words: &[&str]) -> Value {
    let installed = installed();
    let dir = tempfile::tempdir().expect("a writable temporary directory");
    let out = dir.path().join("lines.jsonl");
    let out_word = format!("location={}", out.display());
    let mut command = tool(&installed, "gst-launch-1.0");
    let words = words.iter().map(|&word| {
        if word == "OUT" {
            out_word.as_str()
        } else {
            word
        }
    });
    command.arg("-q").args(words);
    output_of(&mut command);
    let lines = fs::read_to_string(&out).expect("written");
    serde_json::from_str(lines.lines().next().expect("a line")).expect("JSON")
}

#[test]
fn the_pipelines_of_the_documentation_run() {
    let documentation = include_str!("../../src/lib.rs").lines();
    let lines = documentation.filter_map(|line| line.strip_prefix("//! gst-launch-1.0 "));
    let installed = installed();
    let mut count = 0;
    for line in lines {
        let dir = tempfile::tempdir().expect("a writable temporary directory");
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        std::os::unix::fs::symlink(configs, dir.path().join("configs")).expect("linked");
        let mut shell = tool(&installed, "sh");
        shell
            .args(["-c", &format!("gst-launch-1.0 -q {line}")])
            .current_dir(dir.path());
        output_of(&mut shell);
        count += 1;
    }
    assert!(count >= 5, "{count} pipelines found");
}

#[test]
fn one_query() {
    let line = first_line(&[
        "tabletopsrc",
        "num-buffers=2",
        "!",
        "mdetr",
        "query=[a red cube] left of a ball",
        "!",
        "mdetroverlay",
        "!",
        "mdetr2json",
        "source=cam0",
        "!",
        "filesink",
        "OUT",
    ]);
    assert_eq!(line["source"], "cam0");
    assert_eq!(line["queries"][0]["id"], "q1");
    assert_eq!(line["queries"][0]["text"], "a red cube left of a ball");
}

#[test]
fn a_list_of_queries() {
    let line = first_line(&[
        "tabletopsrc",
        "num-buffers=2",
        "!",
        "mdetr",
        r#"queries=<"a\ red\ cube","all\ balls">"#,
        "!",
        "mdetr2json",
        "!",
        "filesink",
        "OUT",
    ]);
    let texts: Vec<_> = (0..2)
        .map(|i| line["queries"][i]["text"].as_str())
        .collect();
    assert_eq!(texts, [Some("a red cube"), Some("all balls")]);
}

#[test]
fn queries_with_ids_of_their_own() {
    let line = first_line(&[
        "tabletopsrc",
        "num-buffers=2",
        "!",
        "mdetr",
        r#"queries=<[query,id=cones,text="all\ cones",score-threshold=0.5],"a\ ball">"#,
        "!",
        "mdetr2json",
        "!",
        "filesink",
        "OUT",
    ]);
    let of = |i: usize| {
        (
            line["queries"][i]["id"].as_str(),
            line["queries"][i]["text"].as_str(),
        )
    };
    assert_eq!(of(0), (Some("cones"), Some("all cones")));
    assert_eq!(of(1), (Some("q2"), Some("a ball")));
}

#[test]
fn packed_queries() {
    let line = first_line(&[
        "tabletopsrc",
        "num-buffers=2",
        "!",
        "mdetr",
        "pack-queries=simple",
        r#"queries=<"all\ cones","a\ ball","a\ cube">"#,
        "!",
        "mdetr2json",
        "!",
        "filesink",
        "OUT",
    ]);
    let texts: Vec<_> = (0..3)
        .map(|i| line["queries"][i]["text"].as_str())
        .collect();
    assert_eq!(texts, [Some("all cones"), Some("a ball"), Some("a cube")]);
}

#[test]
fn without_fonts_boxes_are_drawn_and_it_is_said_once() {
    let installed = installed();
    let dir = tempfile::tempdir().expect("a writable temporary directory");
    let fonts = dir.path().join("fonts.conf");
    fs::write(&fonts, "<?xml version=\"1.0\"?><fontconfig/>").expect("written");
    let mut shell = tool(&installed, "sh");
    shell
        .args([
            "-c",
            "gst-launch-1.0 tabletopsrc num-buffers=4 ! mdetroverlay ! filesink location=drawn.rgb
             gst-launch-1.0 -q tabletopsrc num-buffers=4 ! filesink location=plain.rgb",
        ])
        .current_dir(dir.path())
        .env("FONTCONFIG_FILE", &fonts);
    let output = shell.output().expect("GStreamer's tools are installed");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(output.status.success(), "{said}");
    let warnings = said.matches("WARNING: from element").count();
    assert_eq!(warnings, 1, "{said}");
    assert!(said.contains("fonts-dejavu-core"), "{said}");
    let read = |name| fs::read(dir.path().join(name)).expect("written");
    assert_ne!(read("drawn.rgb"), read("plain.rgb"), "no boxes");
}

#[test]
fn a_variable_that_names_no_bundle_is_named() {
    let installed = installed();
    let mut command = tool(&installed, "gst-launch-1.0");
    let output = command
        .args([
            "-q",
            "tabletopsrc",
            "num-buffers=1",
            "!",
            "mdetr",
            "query=a ball",
            "!",
            "fakesink",
        ])
        .env("MDETR_MODEL", "/no/such/bundle")
        .output()
        .expect("GStreamer's tools are installed");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("MDETR_MODEL names /no/such/bundle"), "{said}");
    assert!(!said.contains("No model was named"), "{said}");
}

#[test]
fn a_model_is_found_by_its_name() {
    let installed = installed();
    let data = tempfile::tempdir().expect("a writable temporary directory");
    let models = data.path().join("mdetr/models");
    std::fs::create_dir_all(&models).expect("a writable temporary directory");
    std::os::unix::fs::symlink(model(), models.join("mine")).expect("linked");
    let launch = |property: &str, variable: &str| {
        let mut command = tool(&installed, "gst-launch-1.0");
        let pipeline =
            format!("-q tabletopsrc num-buffers=1 ! mdetr {property} query=cubes ! fakesink");
        let words = pipeline.split_whitespace();
        command
            .args(words)
            .env("XDG_DATA_HOME", data.path())
            .env("MDETR_MODEL", variable);
        command.output().expect("GStreamer's tools are installed")
    };
    for (property, variable) in [("model=mine", ""), ("", "mine")] {
        let output = launch(property, variable);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{property} {variable}: {said}");
    }
    for (property, variable) in [("model=eb3", ""), ("", "eb3")] {
        let output = launch(property, variable);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success(), "{property} {variable}");
        assert!(said.contains("no model is named eb3: there are"), "{said}");
        assert!(said.contains("mdetr pull eb3"), "{said}");
    }
}
