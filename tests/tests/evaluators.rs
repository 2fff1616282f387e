//! `mdetr eval flickr|coco|...` with a model: pictures in, a file of predictions and the table out.

use std::fs;
use std::path::Path;

use mdetr_tests::TestEnv;
use serde_json::{Value, json};

/// Renders 12 pictures with one phrase each.
fn render(env: &TestEnv) {
    env.mdetr([
        "scenes",
        "dataset",
        "--count",
        "12",
        "--seed",
        "5",
        "--size",
        "320x240",
        "--captions",
        "2",
        "--kinds",
        "phrase,relation",
        "--out",
        "data",
    ])
    .success();
}

fn json_of(env: &TestEnv, args: &[&str]) -> Value {
    let model = env.model();
    let mut all: Vec<&str> = vec!["eval"];
    all.extend(args);
    all.extend(["--json", "--model", model.to_str().unwrap()]);
    serde_json::from_str(&env.mdetr(all).success()).expect("JSON")
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

#[test]
fn coco_average_precision_of_the_bundled_model_and_a_run_that_goes_on() {
    let env = TestEnv::new();
    render(&env);
    let args = [
        "coco",
        "--annotations",
        "data/annotations.json",
        "--images",
        "data/images",
        "--predictions",
        "out.jsonl",
    ];
    let report = json_of(&env, &args);
    assert!(report["ap_50"].as_f64().unwrap() > 0.7, "{report}");
    let path = env.path().join("out.jsonl");
    let whole = fs::read_to_string(&path).unwrap();
    assert_eq!(whole.lines().count(), 24);
    // An interrupted run: some lines and a part of one.
    let cut: String = whole
        .lines()
        .take(9)
        .map(|line| format!("{line}\n"))
        .collect();
    let part = &whole.lines().nth(9).unwrap()[..40];
    fs::write(&path, format!("{cut}{part}")).unwrap();
    assert_eq!(json_of(&env, &args), report);
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
    // All predictions are there: the pictures are not looked at.
    fs::remove_dir_all(env.path().join("data/images")).unwrap();
    assert_eq!(json_of(&env, &args), report);
}

/// The scenes' captions as Flickr30k Entities: one sentence a picture, one entity a phrase.
#[test]
fn flickr_recall_of_the_bundled_model() {
    let env = TestEnv::new();
    render(&env);
    let data = read(&env.path().join("data/annotations.json"));
    let root = env.path().join("entities");
    for directory in ["Annotations", "Sentences"] {
        fs::create_dir_all(root.join(directory)).unwrap();
    }
    let images = env.path().join("pictures");
    fs::create_dir_all(&images).unwrap();
    let mut list = String::new();
    let phrases = data["images"].as_array().unwrap();
    for entry in phrases
        .iter()
        .filter(|e| e["dataset_name"] == "tabletop-phrase")
    {
        let name = entry["id"].to_string();
        list += &format!("{name}\n");
        let words = entry["caption"].as_str().unwrap().trim_end_matches('.');
        let sentence = format!("[/EN#7/other {words}] on a table .\n");
        fs::write(root.join(format!("Sentences/{name}.txt")), sentence).unwrap();
        let boxes = data["annotations"].as_array().unwrap().iter();
        let objects: String = boxes
            .filter(|a| a["image_id"] == entry["id"])
            .map(|a| {
                let side = |i: usize| a["bbox"][i].as_u64().unwrap();
                let (x, y) = (side(0), side(1));
                format!(
                    "<object><name>7</name><bndbox><xmin>{x}</xmin><ymin>{y}</ymin>\
                     <xmax>{}</xmax><ymax>{}</ymax></bndbox></object>",
                    x + side(2),
                    y + side(3)
                )
            })
            .collect();
        let xml = format!("<annotation>{objects}</annotation>");
        fs::write(root.join(format!("Annotations/{name}.xml")), xml).unwrap();
        let file = entry["file_name"].as_str().unwrap();
        let picture = image::open(env.path().join("data/images").join(file)).unwrap();
        picture.save(images.join(format!("{name}.jpg"))).unwrap();
    }
    fs::write(root.join("test.txt"), list).unwrap();
    let args = [
        "flickr",
        "--entities",
        "entities",
        "--images",
        "pictures",
        "--predictions",
        "out.jsonl",
    ];
    let report = json_of(&env, &args);
    let recall = report["all"]["recall"]["1"].as_f64().unwrap();
    assert!(recall > 0.7, "{report}");
    assert_eq!(report["all"]["recall"], report["types"]["other"]["recall"]);
}

/// Small bundles with random weights: what they say is noise, but it is said.
#[test]
fn masks_and_answers_reach_their_evaluators() {
    let env = TestEnv::new();
    render(&env);
    let bundles = env.root().join("src/mdetr/tests/data/official");
    let with = |name: &str, args: &[&str]| {
        let model = bundles.join(name);
        let mut all: Vec<&str> = vec!["eval"];
        all.extend(args);
        all.extend(["--images", "data/images", "--json", "--model"]);
        all.push(model.to_str().unwrap());
        env.mdetr(all)
    };
    fs::rename(
        env.path().join("data/images/000003.png"),
        env.path().join("data/images/3.jpg"),
    )
    .unwrap();
    let refer = json!([{
        "task_id": "3__0", "image_id": 3, "phrase": "red cup",
        "Polygons": [[[[10, 10], [90, 10], [90, 80]]]], "instance_boxes": [[10, 10, 80, 70]],
    }]);
    fs::write(env.path().join("refer.json"), refer.to_string()).unwrap();
    let phrasecut = [
        "phrasecut",
        "--refer",
        "refer.json",
        "--boxes",
        "--score-threshold",
        "0.0",
        "--predictions",
        "masks.jsonl",
    ];
    let report: Value =
        serde_json::from_str(&with("resnet101_phrasecut", &phrasecut).success()).unwrap();
    assert_eq!(
        (&report["tasks"], &report["missing"]),
        (&json!(1), &json!(0))
    );
    let line = fs::read_to_string(env.path().join("masks.jsonl")).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(line["mask"]["size"], json!([240, 320]));
    assert_eq!(line["boxes"].as_array().unwrap().len(), 9);

    let refused = with("clevr", &phrasecut[..]);
    // Every sample has a prediction now.
    refused.success();
    fs::remove_file(env.path().join("masks.jsonl")).unwrap();
    let message = with("clevr", &phrasecut).failure();
    assert!(
        message.contains("expected \"segmentation\" among them"),
        "{message}"
    );

    fs::rename(
        env.path().join("data/images/000004.png"),
        env.path().join("data/images/CLEVR_val_000004.png"),
    )
    .unwrap();
    let questions = json!({"questions": [{
        "question_index": 0, "image_filename": "CLEVR_val_000004.png",
        "question": "How many things are there?", "answer": "3", "split": "val",
    }]});
    fs::write(env.path().join("questions.json"), questions.to_string()).unwrap();
    let clevr = [
        "clevr",
        "--questions",
        "questions.json",
        "--predictions",
        "answers.jsonl",
    ];
    with("clevr", &clevr).success();
    let line = fs::read_to_string(env.path().join("answers.jsonl")).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    for head in ["type", "binary", "attr", "reg"] {
        assert!(line["answer"][head].is_number(), "{line}");
    }
}
