//! From the name of a released model to boxes in a pipeline, in two commands.

#[path = "../../src/cli/tests/checkpoint/mod.rs"]
mod checkpoint;

use std::fs;

use mdetr_tests::TestEnv;

#[test]
fn a_pulled_model_is_used_in_a_pipeline() {
    let env = TestEnv::new();
    let stick = env.path().join("stick");
    fs::create_dir_all(stick.join("roberta-base")).unwrap();
    let weights = checkpoint::clevr(env.root());
    fs::write(stick.join("clevr_checkpoint.pth"), weights).unwrap();
    let tokenizer = stick.join("roberta-base/tokenizer.json");
    fs::write(tokenizer, checkpoint::tokenizer()).unwrap();

    let unknown = "tabletopsrc num-buffers=1 ! mdetr model=clevr query=cubes ! fakesink";
    let said = env.launch(unknown).failure();
    assert!(said.contains("no model is named clevr"), "{said}");
    assert!(said.contains("mdetr pull clevr"), "{said}");

    env.mdetr(["pull", "clevr", "--from", "stick"]).success();
    env.launch(
        "tabletopsrc num-buffers=2 ! video/x-raw,width=160,height=120 \
         ! mdetr model=clevr engine=tract query=cubes ! mdetr2json ! filesink location=out.jsonl",
    )
    .success();
    let lines = env.read("out.jsonl");
    assert_eq!(lines.lines().count(), 2);
    assert!(lines.contains("\"text\":\"cubes\""), "{lines}");
    // The pipeline needs the model and nothing else.
    assert!(!env.path().join("data/mdetr/downloads/clevr").exists());
}
