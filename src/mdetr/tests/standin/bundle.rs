//! A bundle whose graphs are simple enough to compute by hand.

use std::fs;
use std::path::Path;

use mdetr_tensorrt_standin::{Attribute, Model, Type};
use sha2::{Digest, Sha256};

const D: usize = 4;
const QUERIES: usize = 2;
const SLOTS: usize = 64;
const STRIDE: i64 = 16;
const FLOAT: i64 = 1;
const HALF: i64 = 10;

/// Multiples of 1/8 from -1 to 1, which fp16 has too.
fn weights(count: usize, step: usize) -> Vec<f32> {
    (0..count)
        .map(|i| ((i * step + 3) % 17) as f32 / 8.0 - 1.0)
        .collect()
}

fn half_bits(values: &[f32]) -> Vec<u16> {
    let bits = |&value: &f32| {
        let bits = value.to_bits();
        let sign = (bits >> 16 & 0x8000) as u16;
        match value {
            0.0 => sign,
            _ => {
                sign | ((((bits >> 23 & 0xFF) as i32 - 112) << 10) as u16
                    | (bits >> 13 & 0x3FF) as u16)
            }
        }
    };
    values.iter().map(bits).collect()
}

fn cast(to: i64) -> [(&'static str, Attribute); 1] {
    [("to", Attribute::Int(to))]
}

fn mean() -> [(&'static str, Attribute); 2] {
    [
        ("axes", Attribute::Ints(vec![1])),
        ("keepdims", Attribute::Int(1)),
    ]
}

/// Each token's memory is its id times a vector.
fn text() -> Vec<u8> {
    Model::new()
        .input("input_ids", Type::Int64, &["1", "length"])
        .input("attention_mask", Type::Int64, &["1", "length"])
        .floats("vector", &[1, 1, D], &[0.01, -0.02, 0.03, 0.04])
        .ints("column", &[1, -1, 1])
        .node("Mul", &["input_ids", "attention_mask"], "ids", &[])
        .node("Cast", &["ids"], "numbers", &cast(FLOAT))
        .node("Reshape", &["numbers", "column"], "columns", &[])
        .node("Mul", &["columns", "vector"], "text_memory", &[])
        .output("text_memory", Type::Float, &["1", "length", "4"])
        .finish()
}

/// Each token is the mean colour of its cell times a matrix.
fn vision() -> Vec<u8> {
    let cell = || Attribute::Ints(vec![STRIDE, STRIDE]);
    Model::new()
        .input("image", Type::Float, &["batch", "3", "height", "width"])
        .floats("matrix", &[3, D], &weights(3 * D, 5))
        .ints("rows", &[0, 3, -1])
        .node(
            "AveragePool",
            &["image"],
            "cells",
            &[("kernel_shape", cell()), ("strides", cell())],
        )
        .node("Reshape", &["cells", "rows"], "flat", &[])
        .node(
            "Transpose",
            &["flat"],
            "colours",
            &[("perm", Attribute::Ints(vec![0, 2, 1]))],
        )
        .node("MatMul", &["colours", "matrix"], "tokens", &[])
        .output("tokens", Type::Float, &["batch", "tokens", "4"])
        .finish()
}

/// The mean of the tokens times the mean of the words, through matrices; those of fp16 if `half`.
fn fusion(half: bool) -> Vec<u8> {
    let to_logits = weights(D * QUERIES * SLOTS, 7);
    let to_boxes = weights(D * QUERIES * 4, 3);
    let mut model = Model::new()
        .input("tokens", Type::Float, &["1", "tokens", "4"])
        .input("position", Type::Float, &["1", "tokens", "4"])
        .input("text_memory", Type::Float, &["batch", "length", "4"])
        .input("text_mask", Type::Int64, &["batch", "length"])
        .ints("column", &[0, -1, 1])
        .ints("logits_shape", &[-1, QUERIES as i64, SLOTS as i64])
        .ints("boxes_shape", &[-1, QUERIES as i64, 4])
        .node("Add", &["tokens", "position"], "placed", &[])
        .node("ReduceMean", &["placed"], "seen", &mean())
        .node("Cast", &["text_mask"], "mask", &cast(FLOAT))
        .node("Reshape", &["mask", "column"], "masks", &[])
        .node("Mul", &["text_memory", "masks"], "told", &[])
        .node("ReduceMean", &["told"], "words", &mean())
        .node("Mul", &["words", "seen"], "joint", &[]);
    for (name, columns, values) in [
        ("logits", QUERIES * SLOTS, to_logits),
        ("boxes", QUERIES * 4, to_boxes),
    ] {
        let named = |what: &str| format!("{name}_{what}");
        let (matrix, product) = (named("matrix"), named("product"));
        model = if half {
            let (narrow, narrow_product) = (named("half"), named("half_product"));
            model
                .halves(&matrix, &[D, columns], &half_bits(&values))
                .node("Cast", &["joint"], &narrow, &cast(HALF))
                .node("MatMul", &[&narrow, &matrix], &narrow_product, &[])
                .node("Cast", &[&narrow_product], &product, &cast(FLOAT))
        } else {
            model.floats(&matrix, &[D, columns], &values).node(
                "MatMul",
                &["joint", &matrix],
                &product,
                &[],
            )
        };
        model = model.node("Reshape", &[&product, &named("shape")], &named("flat"), &[]);
    }
    model
        .node("Identity", &["logits_flat"], "logits", &[])
        .node("Sigmoid", &["boxes_flat"], "boxes", &[])
        .output("logits", Type::Float, &["batch", "2", "64"])
        .output("boxes", Type::Float, &["batch", "2", "4"])
        .finish()
}

/// Writes it into a directory.
pub fn write(dir: &Path, half: bool) {
    let tokenizer =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop/tokenizer.json");
    let files = [
        ("tokenizer.json", fs::read(tokenizer).unwrap()),
        ("text.onnx", text()),
        ("vision.onnx", vision()),
        ("fusion.onnx", fusion(half)),
    ];
    let mut manifest = format!(
        "schema = 1\nname = \"means\"\nversion = \"1\"\nlicence = \"Apache-2.0\"\ntasks = [\"grounding\"]\n\
         precision = \"{}\"\n\
         [input]\nresize = \"none\"\nmean = [0.0, 0.0, 0.0]\nstd = [1.0, 1.0, 1.0]\n\
         [network]\nd_model = {D}\nqueries = {QUERIES}\nslots = {SLOTS}\nstride = {STRIDE}\nmax_tokens = 62\n\
         [thresholds]\nscore = 0.5\nphrase = 0.1\noverlap = 1.0\n\
         [files]\n",
        if half { "fp16" } else { "fp32" }
    );
    for (name, bytes) in files {
        let hash: String = Sha256::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        manifest += &format!(
            "\"{name}\" = {{ bytes = {}, sha256 = \"{hash}\" }}\n",
            bytes.len()
        );
        fs::write(dir.join(name), bytes).unwrap();
    }
    fs::write(dir.join("model.toml"), manifest).unwrap();
}
