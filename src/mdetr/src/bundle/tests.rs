use std::fs;

use super::files::REQUIRED_FILES;
use super::interface::ToDimension;
use super::onnx::tests::encode;
use super::onnx::{Dimension, ElementType, TensorInfo};
use super::*;

/// A bundle whose graphs have interfaces but compute nothing.
struct Sketch {
    dir: tempfile::TempDir,
    manifest: String,
    graphs: Vec<(&'static str, Interface)>,
    /// `answers.json`, if there is one.
    answers: Option<&'static str>,
}

const MANIFEST_TEXT: &str = r#"
schema = 1
name = "sketch"
version = "0.1.0"
licence = "Apache-2.0"
tasks = ["grounding"]
precision = "fp32"
[input]
resize = "short-side"
short_side = 192
max_long_side = 341
mean = [0.485, 0.456, 0.406]
std = [0.229, 0.224, 0.225]
[network]
d_model = 128
queries = 20
slots = 256
stride = 16
max_tokens = 64
[thresholds]
score = 0.7
phrase = 0.1
[files]
"#;

impl Sketch {
    fn new() -> Sketch {
        let info = |name: &str, element, shape: &[&dyn ToDimension]| TensorInfo {
            name: name.to_owned(),
            element,
            shape: Some(shape.iter().map(|d| d.to_dimension()).collect()),
        };
        let (float, integer) = (ElementType::F32, ElementType::I64);
        let text = Interface {
            inputs: vec![
                info("input_ids", integer, &[&1, &"L"]),
                info("attention_mask", integer, &[&1, &"L"]),
            ],
            outputs: vec![info("text_memory", float, &[&1, &"L", &128])],
        };
        let vision = Interface {
            inputs: vec![info("image", float, &[&"B", &3, &"H", &"W"])],
            outputs: vec![info("tokens", float, &[&"B", &"N", &"d"])],
        };
        let fusion = Interface {
            inputs: vec![
                info("tokens", float, &[&"F", &"N", &128]),
                info("position", float, &[&1, &"N", &128]),
                info("text_memory", float, &[&"B", &"L", &128]),
                info("text_mask", integer, &[&"B", &"L"]),
            ],
            outputs: vec![
                info("logits", float, &[&"B", &"Q", &256]),
                info("boxes", float, &[&"B", &"Q", &4]),
            ],
        };
        Sketch {
            dir: tempfile::tempdir().unwrap(),
            manifest: MANIFEST_TEXT.to_owned(),
            graphs: vec![
                (TEXT_GRAPH, text),
                (VISION_GRAPH, vision),
                (FUSION_GRAPH, fusion),
            ],
            answers: None,
        }
    }

    /// One that draws masks and answers GQA's questions too.
    fn of_all_tasks() -> Sketch {
        let mut sketch = Sketch::new();
        sketch.manifest = sketch
            .manifest
            .replace(
                "[\"grounding\"]",
                "[\"grounding\", \"segmentation\", \"questions\"]",
            )
            .replace("[files]", "[answers]\nkind = \"gqa\"\n[files]");
        let info = |name: &str, shape: &[&dyn ToDimension]| TensorInfo {
            name: name.to_owned(),
            element: ElementType::F32,
            shape: Some(shape.iter().map(|d| d.to_dimension()).collect()),
        };
        let pyramid = |batch: &dyn ToDimension| {
            ["pyramid_8", "pyramid_4"].map(|name| info(name, &[batch, &"C", &"h", &"w"]))
        };
        sketch.graph(VISION_GRAPH).outputs.extend(pyramid(&"B"));
        let fusion = &mut sketch.graph(FUSION_GRAPH).outputs;
        fusion.push(info("hidden", &[&"B", &20, &128]));
        fusion.push(info("memory", &[&"B", &"N", &128]));
        for head in ["type", "obj", "rel", "attr", "cat", "global"] {
            fusion.push(info(&format!("answer_{head}"), &[&"B", &7]));
        }
        let mut inputs = vec![
            info("hidden", &[&1, &"K", &128]),
            info("memory", &[&1, &"N", &128]),
            info("tokens", &[&1, &"N", &128]),
        ];
        inputs.extend(pyramid(&1));
        let mask = Interface {
            inputs,
            outputs: vec![info("masks", &[&1, &"K", &"h", &"w"])],
        };
        sketch.graphs.push((MASK_GRAPH, mask));
        sketch.answers = Some(r#"{"answer_obj": ["a", "b"]}"#);
        sketch
    }

    fn graph(&mut self, name: &str) -> &mut Interface {
        &mut self
            .graphs
            .iter_mut()
            .find(|(graph, _)| *graph == name)
            .unwrap()
            .1
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes every file, lists it in the manifest, and writes that.
    fn write(&self) {
        let mut manifest = self.manifest.clone();
        let tokenizer = (TOKENIZER, b"{}".to_vec());
        let graphs = self
            .graphs
            .iter()
            .map(|(name, interface)| (*name, encode(interface)));
        let answers = self.answers.map(|text| (ANSWERS, text.as_bytes().to_vec()));
        for (name, bytes) in graphs.chain([tokenizer]).chain(answers) {
            let sha256 = hex(&Sha256::digest(&bytes));
            let length = bytes.len();
            manifest += &format!("{name:?} = {{ bytes = {length}, sha256 = {sha256:?} }}\n");
            fs::write(self.path(name), bytes).unwrap();
        }
        fs::write(self.path(MANIFEST), manifest).unwrap();
    }

    fn open(&self) -> Result<Bundle, BundleError> {
        Bundle::open(self.dir.path())
    }

    fn refusal(&self) -> BundleError {
        self.open().map(drop).unwrap_err()
    }

    /// The refusal after `change` to the text of the manifest.
    fn refusal_of(change: impl FnOnce(&str) -> String) -> String {
        let mut sketch = Sketch::new();
        sketch.manifest = change(MANIFEST_TEXT);
        assert_ne!(sketch.manifest, MANIFEST_TEXT, "the change changes nothing");
        sketch.write();
        let message = sketch.refusal().to_string();
        assert!(message.contains("model.toml"), "no path in: {message}");
        message
    }
}

#[test]
fn a_sound_bundle_opens() {
    let sketch = Sketch::new();
    sketch.write();
    let bundle = sketch.open().unwrap();
    assert_eq!(bundle.dir(), sketch.dir.path());
    assert_eq!(bundle.manifest().name, "sketch");
    assert_eq!(bundle.manifest().max_tokens(), 64);
    assert_eq!(bundle.manifest().case, Case::Preserved);
}

#[test]
fn a_bundle_says_in_which_case_captions_are() {
    for (name, case) in [("preserved", Case::Preserved), ("lower", Case::Lower)] {
        let mut sketch = Sketch::new();
        let said = format!("\"fp32\"\ncase = {name:?}");
        sketch.manifest = sketch.manifest.replace("\"fp32\"", &said);
        sketch.write();
        assert_eq!(sketch.open().unwrap().manifest().case, case);
    }
}

#[test]
fn a_bundle_of_all_tasks_opens() {
    let sketch = Sketch::of_all_tasks();
    sketch.write();
    let bundle = sketch.open().unwrap();
    assert!(bundle.manifest().segments());
    assert_eq!(
        bundle.pyramid().unwrap(),
        [("pyramid_8", 8), ("pyramid_4", 4)]
    );
    let answers = bundle.manifest().answers.as_ref().unwrap();
    assert_eq!(answers.kind, AnswerKind::Gqa);
    assert!(bundle.answer_words().unwrap().contains_key("answer_obj"));
}

/// Each change to a bundle of all tasks, and what the message must say.
#[test]
fn masks_and_answers_need_their_graphs_outputs() {
    type Change = fn(&mut Sketch);
    let cases: [(Change, &str); 7] = [
        (
            |s| s.graph(VISION_GRAPH).outputs.truncate(2),
            "output pyramid_4: expected f32 [B, C, h4, w4], found nothing",
        ),
        (
            |s| drop(s.graph(FUSION_GRAPH).outputs.remove(2)),
            "output hidden: expected f32 [B, 20, 128], found nothing",
        ),
        (
            |s| drop(s.graph(FUSION_GRAPH).outputs.pop()),
            "output answer_global: expected f32 [B, K], found nothing",
        ),
        (
            |s| drop(s.graph(MASK_GRAPH).inputs.remove(1)),
            "input memory: expected f32 [1, N, 128], found nothing",
        ),
        (
            |s| drop(s.graphs.pop()),
            "files: expected \"mask.onnx\" among them",
        ),
        (
            |s| s.answers = Some(r#"{"answer_obj": 3}"#),
            "answers.json: not lists of answers by head: invalid type",
        ),
        (
            |s| s.manifest = s.manifest.replace("kind = \"gqa\"", "kind = \"vqa\""),
            "unknown variant `vqa`",
        ),
    ];
    for (change, expected) in cases {
        let mut sketch = Sketch::of_all_tasks();
        change(&mut sketch);
        sketch.write();
        let message = sketch.refusal().to_string();
        assert!(message.contains(expected), "{message}");
    }
}

#[test]
fn no_directory() {
    let sketch = Sketch::new();
    let missing = sketch.path("nowhere");
    let error = Bundle::open(&missing).unwrap_err();
    assert!(
        matches!(&error, BundleError::NotADirectory { dir } if *dir == missing),
        "{error}"
    );
    assert!(matches!(sketch.refusal(), BundleError::Missing { path } if path.ends_with(MANIFEST)));
}

#[test]
fn a_missing_file_is_named() {
    for name in REQUIRED_FILES {
        let sketch = Sketch::new();
        sketch.write();
        fs::remove_file(sketch.path(name)).unwrap();
        let error = sketch.refusal();
        let named = matches!(&error, BundleError::Missing { path } if path.ends_with(name));
        assert!(named, "{error}");
    }
}

#[test]
fn a_file_of_another_length_is_named_with_both_lengths() {
    let sketch = Sketch::new();
    sketch.write();
    let path = sketch.path(VISION_GRAPH);
    let mut bytes = fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 7);
    fs::write(&path, &bytes).unwrap();
    match sketch.refusal() {
        BundleError::Size {
            path: named,
            expected,
            found,
        } => {
            assert_eq!(
                (named, expected - found, found),
                (path, 7, bytes.len() as u64)
            );
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_flipped_bit_is_a_wrong_hash() {
    let sketch = Sketch::new();
    sketch.write();
    let path = sketch.path(FUSION_GRAPH);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x10;
    fs::write(&path, &bytes).unwrap();
    match sketch.refusal() {
        BundleError::Hash {
            path: named,
            expected,
            found,
        } => {
            assert_eq!(named, path);
            assert_ne!(expected, found);
            assert_eq!(found, hex(&Sha256::digest(&bytes)));
        }
        other => panic!("{other}"),
    }
}

#[test]
fn a_file_that_is_no_graph() {
    let sketch = Sketch::new();
    sketch.write();
    let not_a_graph = b"\x7fELF and so on".to_vec();
    let manifest = fs::read_to_string(sketch.path(MANIFEST)).unwrap();
    let lines = manifest.lines().map(|line| {
        if line.starts_with("\"text.onnx\"") {
            let sha256 = hex(&Sha256::digest(&not_a_graph));
            format!(
                "\"text.onnx\" = {{ bytes = {}, sha256 = {sha256:?} }}\n",
                not_a_graph.len()
            )
        } else {
            format!("{line}\n")
        }
    });
    fs::write(sketch.path(MANIFEST), lines.collect::<String>()).unwrap();
    fs::write(sketch.path(TEXT_GRAPH), not_a_graph).unwrap();
    let error = sketch.refusal();
    assert!(
        matches!(&error, BundleError::Onnx { path, .. } if path.ends_with(TEXT_GRAPH)),
        "{error}"
    );
}

/// Each change to an interface, and what the message must say.
#[test]
fn graphs_with_other_inputs_and_outputs_are_refused() {
    type Change = fn(&mut Interface);
    let cases: [(&str, Change, &str); 7] = [
        (
            VISION_GRAPH,
            |i| i.inputs[0].name = "pixels".into(),
            "input image: expected f32 [B, 3, H, W], found nothing",
        ),
        (
            VISION_GRAPH,
            |i| i.inputs[0].element = ElementType(10),
            "input image: expected f32 [B, 3, H, W], found f16 [B, 3, H, W]",
        ),
        (
            VISION_GRAPH,
            |i| i.outputs[0].shape = Some(vec![Dimension::Open("B".into())]),
            "output tokens: expected f32 [B, N, 128], found f32 [B]",
        ),
        (
            FUSION_GRAPH,
            |i| {
                i.inputs.push(TensorInfo {
                    name: "extra".into(),
                    ..i.inputs[0].clone()
                })
            },
            "input extra: expected nothing, found f32 [F, N, 128]",
        ),
        (
            FUSION_GRAPH,
            |i| drop(i.outputs.pop()),
            "output boxes: expected f32 [B, 20, 4], found nothing",
        ),
        (
            FUSION_GRAPH,
            |i| i.inputs[0].shape.as_mut().unwrap()[2] = Dimension::Fixed(256),
            "input tokens: expected f32 [F, N, 128], found f32 [F, N, 256]",
        ),
        (
            TEXT_GRAPH,
            |i| i.inputs[0].element = ElementType(6),
            "input input_ids: expected i64 [1, L], found i32 [1, L]",
        ),
    ];
    for (name, change, expected) in cases {
        let mut sketch = Sketch::new();
        change(sketch.graph(name));
        sketch.write();
        let message = sketch.refusal().to_string();
        assert!(
            message.contains(name) && message.contains(expected),
            "{message}"
        );
    }
}

#[test]
fn an_unknown_shape_or_another_output_is_no_fault() {
    let mut sketch = Sketch::new();
    sketch.graph(VISION_GRAPH).outputs[0].shape = None;
    let pyramid = TensorInfo {
        name: "pyramid".into(),
        ..sketch.graph(VISION_GRAPH).outputs[0].clone()
    };
    sketch.graph(VISION_GRAPH).outputs.push(pyramid);
    sketch.write();
    sketch.open().unwrap();
}

#[test]
fn manifests_that_cannot_be() {
    let cases = [
        ("schema = 1", "schema = 2", "schema: expected 1"),
        ("name = \"sketch\"", "name = \"\"", "name: expected a name"),
        (
            "[\"grounding\"]",
            "[\"masks\"]",
            "tasks: expected \"grounding\"",
        ),
        (
            "[\"grounding\"]",
            "[\"grounding\", \"masks\"]",
            "tasks: expected some of",
        ),
        (
            "[\"grounding\"]",
            "[\"grounding\", \"questions\"]",
            "answers: expected a table if, and only if,",
        ),
        (
            "[files]",
            "[answers]\nkind = \"clevr\"\n[files]",
            "answers: expected a table if, and only if,",
        ),
        ("\"fp32\"", "\"int4\"", "precision: expected"),
        (
            "\"fp32\"",
            "\"fp32\"\ncaptions = \"verse\"",
            "expected `sentences` or `list`",
        ),
        (
            "\"fp32\"",
            "\"fp32\"\ncase = \"upper\"",
            "expected `preserved` or `lower`",
        ),
        (
            "short_side = 192",
            "short_side = 0",
            "input.short_side: expected 1",
        ),
        ("short_side = 192\n", "", "input.short_side: expected 1"),
        (
            "max_long_side = 341",
            "max_long_side = 100",
            "input.max_long_side: expected short_side",
        ),
        ("std = [0.229", "std = [0.0", "input.std: expected positive"),
        (
            "mean = [0.485",
            "mean = [nan",
            "input.mean: expected finite",
        ),
        (
            "d_model = 128",
            "d_model = 126",
            "network.d_model: expected a multiple of 4",
        ),
        ("queries = 20", "queries = 0", "network.queries: expected 1"),
        (
            "queries = 20",
            "queries = 20\npast = 3\nlost = 65",
            "network.lost: expected 0 to 64 of a network with past = 3, found 65",
        ),
        (
            "queries = 20",
            "queries = 20\nlost = 4",
            "network.lost: expected 0 to 0 of a network with past = 0, found 4",
        ),
        (
            "slots = 256",
            "slots = 9999999",
            "network.slots: expected 2 to 65536",
        ),
        (
            "score = 0.7",
            "score = 70.0",
            "thresholds.score: expected 0 to 1",
        ),
        (
            "phrase = 0.1",
            "phrase = 0.1\noverlap = 1.5",
            "thresholds.overlap: expected 0 to 1",
        ),
        (
            "phrase = 0.1",
            "phrase = 0.1\ntight = nan",
            "thresholds.tight: expected 0 to 1",
        ),
        (
            "resize = \"short-side\"",
            "resize = \"squash\"",
            "unknown variant `squash`",
        ),
        ("stride = 16", "strides = 16", "unknown field `strides`"),
        ("[network]", "[network", "line"),
        (
            "[files]",
            "[files]\n\"../x\" = { bytes = 1, sha256 = \"00\" }",
            "plain file names",
        ),
        (
            "[files]",
            "[files]\n\"a/b\" = { bytes = 1, sha256 = \"00\" }",
            "plain file names",
        ),
        (
            "[files]",
            "[files]\n\"x\" = { bytes = 1, sha256 = \"00\" }",
            "64 lower-case",
        ),
    ];
    for (from, to, expected) in cases {
        let message = Sketch::refusal_of(|text| text.replace(from, to));
        assert!(message.contains(expected), "{from} -> {to}: {message}");
    }
}

#[test]
fn a_required_file_must_be_listed() {
    let sketch = Sketch::new();
    sketch.write();
    let manifest = fs::read_to_string(sketch.path(MANIFEST)).unwrap();
    let without: Vec<&str> = manifest
        .lines()
        .filter(|l| !l.contains("fusion.onnx"))
        .collect();
    fs::write(sketch.path(MANIFEST), without.join("\n")).unwrap();
    let message = sketch.refusal().to_string();
    assert!(
        message.contains("files: expected \"fusion.onnx\" among them"),
        "{message}"
    );
}

#[test]
fn an_absurdly_large_manifest_is_not_read() {
    let sketch = Sketch::new();
    sketch.write();
    let file = File::options()
        .append(true)
        .open(sketch.path(MANIFEST))
        .unwrap();
    file.set_len(MAX_MANIFEST + 1).unwrap();
    assert!(matches!(
        sketch.refusal(),
        BundleError::TooLarge {
            limit: MAX_MANIFEST,
            ..
        }
    ));
}
