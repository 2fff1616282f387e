//! `mdetr bundle triton`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop")
}

fn write(out: &Path, options: &[&str]) -> Output {
    let mut mdetr = Command::new(env!("CARGO_BIN_EXE_mdetr"));
    mdetr
        .args(["bundle", "triton"])
        .arg(bundle())
        .arg("--out")
        .arg(out)
        .args(options);
    mdetr.output().unwrap()
}

fn config(out: &Path, model: &str) -> String {
    fs::read_to_string(out.join(model).join("config.pbtxt")).unwrap()
}

#[test]
fn each_graph_becomes_a_model() {
    let out = tempfile::tempdir().unwrap();
    let done = write(out.path(), &["--instances", "2", "--device", "cpu"]);
    assert!(done.status.success(), "{done:?}");
    let manifest = fs::read_to_string(bundle().join("model.toml")).unwrap();
    for role in ["text", "vision", "fusion", "mask"] {
        let line = manifest
            .lines()
            .find(|line| line.starts_with(&format!("\"{role}.onnx\"")))
            .unwrap();
        let hash = line.split("sha256 = \"").nth(1).unwrap();
        let version = u32::from_str_radix(&hash[..8], 16).unwrap() | 1 << 31;
        let model = format!("tabletop-{role}");
        let served = out
            .path()
            .join(&model)
            .join(version.to_string())
            .join("model.onnx");
        let ours = bundle().join(format!("{role}.onnx"));
        assert_eq!(fs::read(served).unwrap(), fs::read(ours).unwrap(), "{role}");
        let config = config(out.path(), &model);
        assert!(config.contains("count: 2 kind: KIND_CPU"), "{config}");
        assert!(config.contains("key: \"mdetr_sha256\""), "{config}");
    }
    // Only frames can be put together: the first dimension of all that vision has is open.
    let vision = config(out.path(), "tabletop-vision");
    assert!(
        vision.contains("max_batch_size: 8\n") && vision.contains("dynamic_batching {"),
        "{vision}"
    );
    assert!(
        vision.contains("input [ { name: \"image\" data_type: TYPE_FP32 dims: [ 3, -1, -1 ] } ]"),
        "{vision}"
    );
    let fusion = config(out.path(), "tabletop-fusion");
    assert!(
        fusion.contains("max_batch_size: 0\n") && !fusion.contains("dynamic_batching"),
        "{fusion}"
    );
    assert!(
        fusion.contains("name: \"text_mask\" data_type: TYPE_INT64 dims: [ -1, -1 ]"),
        "{fusion}"
    );
}

#[test]
fn what_it_wrote_is_written_anew_and_nothing_else() {
    let out = tempfile::tempdir().unwrap();
    let other = out.path().join("tabletop-text/1");
    fs::create_dir_all(&other).unwrap();
    fs::write(other.join("model.onnx"), "another's").unwrap();
    assert!(write(out.path(), &[]).status.success());
    assert!(write(out.path(), &["--batch", "4"]).status.success());
    assert!(config(out.path(), "tabletop-vision").contains("max_batch_size: 4\n"));
    assert_eq!(
        fs::read_to_string(other.join("model.onnx")).unwrap(),
        "another's"
    );

    // A graph of its own too.
    assert!(write(out.path(), &["--half"]).status.success());
    let vision = config(out.path(), "tabletop-vision");
    assert!(
        vision.contains("name: \"image\" data_type: TYPE_FP16"),
        "{vision}"
    );

    let mine = out.path().join("tabletop-fusion/config.pbtxt");
    fs::write(&mine, "name: \"mine\"\n").unwrap();
    let refused = write(out.path(), &[]);
    assert_eq!(refused.status.code(), Some(2));
    let errors = String::from_utf8_lossy(&refused.stderr);
    assert!(errors.contains(mine.to_str().unwrap()), "{errors}");
    assert_eq!(fs::read_to_string(&mine).unwrap(), "name: \"mine\"\n");
}
