//! Dependencies between the crates of the workspace point down, and the lower ones stay small.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The crates from the lowest to the highest: each may depend on those before it.
const LAYERS: [&str; 29] = [
    "mdetr-features",
    "mdetr-grounding",
    "mdetr-track",
    "mdetr-draw",
    "mdetr-scenes",
    "mdetr-ros2-messages",
    "mdetr-ros2-bus",
    "mdetr-record",
    "mdetr-foxglove",
    "mdetr-rules",
    "mdetr-eval",
    "mdetr-tensorrt-standin",
    "mdetr-tensorrt",
    "mdetr-kserve",
    "mdetr-engine",
    "mdetr-checkpoint",
    "mdetr",
    "mdetr-weights",
    "mdetr-pull",
    "mdetr-past",
    "mdetr-cli",
    "mdetr-python",
    "mdetr-ros2",
    "mdetr-gst",
    "gst-plugin-mdetr-ros2",
    "gst-plugin-mdetr",
    "mdetr-monitor",
    "mdetr-bench",
    "mdetr-tests",
];

/// What runs networks.
const ENGINES: [&str; 5] = [
    "mdetr-engine",
    "mdetr-tensorrt",
    "ort",
    "tokenizers",
    "tract",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn cargo(args: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(args)
        .args(["--offline", "--locked"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(
        output.status.success(),
        "cargo {args:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).expect("cargo writes UTF-8")
}

/// For each crate of the workspace the others that it depends on, tests included.
fn members() -> BTreeMap<String, Vec<String>> {
    let metadata = cargo(&["metadata", "--format-version", "1", "--no-deps"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo writes JSON");
    let name = |value: &Value| value["name"].as_str().expect("a name").to_owned();
    let packages = metadata["packages"].as_array().expect("a list");
    packages
        .iter()
        .map(|package| {
            let dependencies = package["dependencies"].as_array().expect("a list");
            let inside = dependencies.iter().filter(|d| !d["path"].is_null());
            (name(package), inside.map(name).collect())
        })
        .collect()
}

/// Names of all crates that `package` compiles, with its default features.
fn tree(package: &str) -> BTreeSet<String> {
    let listed = cargo(&["tree", "-p", package, "-e", "normal", "--prefix", "none"]);
    let names = listed.lines().filter_map(|line| line.split(' ').next());
    names.map(str::to_owned).collect()
}

#[test]
fn dependencies_point_down() {
    let rank: BTreeMap<&str, usize> = LAYERS.iter().enumerate().map(|(i, n)| (*n, i)).collect();
    let members = members();
    for (package, dependencies) in &members {
        let own = rank.get(package.as_str());
        let own = own.unwrap_or_else(|| panic!("{package}: give it a place in LAYERS"));
        for dependency in dependencies {
            assert!(
                rank[dependency.as_str()] < *own,
                "{package} depends on {dependency}, which is above it in LAYERS"
            );
        }
    }
    assert_eq!(
        members.len(),
        LAYERS.len(),
        "LAYERS names a crate that is gone"
    );
}

#[test]
fn who_reads_results_compiles_no_engine() {
    for package in [
        "mdetr-grounding",
        "mdetr-track",
        "mdetr-draw",
        "mdetr-scenes",
        "mdetr-ros2-messages",
        "mdetr-ros2-bus",
        "mdetr-record",
        "mdetr-foxglove",
        "mdetr-eval",
        "mdetr-pull",
        "mdetr-gst",
        "gst-plugin-mdetr-ros2",
    ] {
        let compiled = tree(package);
        assert!(compiled.contains("serde"), "{package}: {compiled:?}");
        for engine in ENGINES {
            assert!(!compiled.contains(engine), "{package} compiles {engine}");
        }
    }
    assert!(tree("mdetr").contains("tract"));
}

/// For each crate that is compiled the sets of features it is compiled with.
fn features(selected: &[&str], edges: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut args = vec!["tree", "-e", edges, "--prefix", "none", "-f", "{p}|{f}"];
    args.extend(selected);
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in cargo(&args).lines() {
        let Some((package, features)) = line.split_once('|') else {
            continue;
        };
        let package = package.split(" (").next().unwrap_or(package);
        let features = features.trim_end_matches(" (*)");
        let sets = found.entry(package.to_owned()).or_default();
        sets.insert(features.to_owned());
    }
    found
}

#[test]
fn a_crate_built_alone_compiles_only_itself() {
    // What runs while others are compiled may have other features than what is linked.
    for (edges, alone) in [
        ("normal,build,dev", "normal,build"),
        ("normal,dev,no-proc-macro", "normal,no-proc-macro"),
    ] {
        let together = features(&["--workspace"], edges);
        for member in members().keys() {
            for (package, sets) in features(&["-p", member], alone) {
                for set in sets.difference(&together[&package]) {
                    assert!(
                        package.starts_with(&format!("{member} ")),
                        "{package} is compiled again for {member} alone, with the features {set:?}, \
                         not {:?}: give it those of all in src/features/Cargo.toml",
                        together[&package]
                    );
                }
            }
        }
    }
}

#[test]
fn only_plugins_and_what_is_above_them_know_gstreamer() {
    let lowest = LAYERS.iter().position(|name| *name == "mdetr-gst");
    for package in &LAYERS[..lowest.expect("what plugins share is a layer")] {
        assert!(
            !tree(package).contains("gstreamer"),
            "{package} compiles gstreamer"
        );
    }
    for plugin in ["gst-plugin-mdetr", "gst-plugin-mdetr-ros2"] {
        assert!(tree(plugin).contains("gstreamer"), "{plugin}");
    }
}

/// Who has no ROS loads no DDS.
#[test]
fn only_what_is_for_ros_speaks_dds() {
    for package in ["gst-plugin-mdetr", "mdetr-monitor", "mdetr-cli"] {
        assert!(!tree(package).contains("rustdds"), "{package}");
    }
    assert!(tree("gst-plugin-mdetr-ros2").contains("rustdds"));
}
