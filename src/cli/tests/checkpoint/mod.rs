//! A checkpoint of a released structure at its own size, with weights that know nothing, and a tokenizer of as many
//! tokens as RoBERTa's.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

/// The half-precision float nearest to 0.01.
const HUNDREDTH: [u8; 2] = 0x211f_u16.to_le_bytes();
/// Object queries of released checkpoints for CLEVR, where a structure leaves their number open.
const QUERIES: usize = 25;

/// CLEVR's structure, the smallest, as safetensors in half precision; `root` is the repository.
pub fn clevr(root: &Path) -> Vec<u8> {
    let entries = root.join("src/weights/templates/clevr/entries.txt");
    let entries = fs::read_to_string(entries).unwrap();
    let mut header = Map::new();
    let mut end = 0;
    for line in entries.lines() {
        let mut words = line.split(' ');
        let name = words.next().unwrap();
        let size = |word: &str| match word.parse().unwrap() {
            0 => QUERIES,
            size => size,
        };
        let shape: Vec<usize> = words.map(size).collect();
        let begin = end;
        end += 2 * shape.iter().product::<usize>();
        let tensor = json!({"dtype": "F16", "shape": shape, "data_offsets": [begin, end]});
        header.insert(name.to_owned(), tensor);
    }
    let mut header = Value::Object(header).to_string();
    header.extend(std::iter::repeat_n(
        ' ',
        header.len().next_multiple_of(8) - header.len(),
    ));
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.into_bytes());
    file.extend(HUNDREDTH.iter().cycle().take(end));
    file
}

/// A tokenizer.json whose tokens are bytes, and others that no text has.
pub fn tokenizer() -> Vec<u8> {
    let special = ["<s>", "<pad>", "</s>", "<unk>"].map(str::to_owned);
    let printed = |byte: &u32| matches!(byte, 33..=126 | 161..=172 | 174..=255);
    let others = (0..256).filter(|byte| !printed(byte)).count() as u32;
    let bytes = (0..256).filter(printed).chain(256..256 + others);
    let bytes = bytes.map(|code| char::from_u32(code).unwrap().to_string());
    let fill = (0..50265 - 4 - 256 - 1).map(|number| format!("filler {number}"));
    let tokens = special.into_iter().chain(bytes).chain(fill);
    let tokens = tokens.chain(["<mask>".to_owned()]);
    let vocabulary: BTreeMap<String, usize> = tokens.zip(0..).collect();
    let file = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    });
    file.to_string().into_bytes()
}
