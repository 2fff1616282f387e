//! RoBERTa's tokenizer, as its publisher has it, to the one file of a bundle.

use std::path::{Path, PathBuf};

use tokenizers::decoders::byte_level::ByteLevel;
use tokenizers::models::ModelWrapper;
use tokenizers::models::bpe::BPE;
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, NormalizerWrapper, Tokenizer};

use crate::bounded;
use crate::error::ImportError;

const WHOLE: &str = "tokenizer.json";
const VOCABULARY: &str = "vocab.json";
const MERGES: &str = "merges.txt";
/// The first tokens, in the order of their ids.
const FIRST: [&str; 4] = ["<s>", "<pad>", "</s>", "<unk>"];
const MASK: &str = "<mask>";
/// Most bytes of a file.
const MAX_FILE: u64 = 64 << 20;

/// The tokenizer.json of a bundle, from one, from a vocab.json with merges.txt beside it, or from a directory with either;
/// in RoBERTa's conventions whatever the file says: byte-level BPE, no space put before the first word, offsets without
/// spaces, `<s>` ... `</s>`. It has to have as many tokens as the weights were trained with.
pub fn roberta(path: &Path, tokens: u64) -> Result<Vec<u8>, ImportError> {
    let (file, mut tokenizer) = read(path)?;
    let wrong = |message: String| ImportError::Tokenizer {
        path: file.clone(),
        message,
    };
    if !matches!(tokenizer.get_model(), ModelWrapper::BPE(_)) {
        let message = "expected byte-level BPE, found another model; use roberta-base's";
        return Err(wrong(message.to_owned()));
    }
    for (id, token) in FIRST.iter().enumerate() {
        let found = tokenizer.token_to_id(token);
        if found != Some(id as u32) {
            let found = found.map_or("none".to_owned(), |id| id.to_string());
            let message = format!("{token}: expected id {id}, found {found}; use roberta-base's");
            return Err(wrong(message));
        }
    }
    let refused = |error: tokenizers::Error| wrong(error.to_string());
    let conventions = ByteLevel::default().add_prefix_space(false);
    tokenizer.with_padding(None);
    tokenizer.with_truncation(None).map_err(refused)?;
    tokenizer
        .with_normalizer(None::<NormalizerWrapper>)
        .map_err(refused)?
        .with_pre_tokenizer(Some(conventions))
        .with_decoder(Some(ByteLevel::default()));
    let ends = RobertaProcessing::new(("</s>".to_owned(), 2), ("<s>".to_owned(), 0));
    let ends = ends.trim_offsets(true).add_prefix_space(false);
    tokenizer.with_post_processor(Some(ends));
    let special = FIRST.map(|token| AddedToken::from(token, true));
    let mask = AddedToken::from(MASK, true).lstrip(true);
    let special: Vec<AddedToken> = special.into_iter().chain([mask]).collect();
    let added = tokenizer.add_special_tokens(special);
    added.map_err(refused)?;
    let found = tokenizer.get_vocab_size(true) as u64;
    if found != tokens {
        return Err(wrong(format!(
            "expected the {tokens} tokens that the weights were trained with, found {found}; use roberta-base's"
        )));
    }
    let json = tokenizer.to_string(true).map_err(refused)?;
    Ok(json.into_bytes())
}

/// The file that was read, and what it holds.
fn read(path: &Path) -> Result<(PathBuf, Tokenizer), ImportError> {
    let folder = match path.is_dir() {
        true => path,
        false => path.parent().unwrap_or(Path::new("")),
    };
    let parts = [folder.join(VOCABULARY), folder.join(MERGES)];
    let is_part = path
        .file_name()
        .is_some_and(|name| name == VOCABULARY || name == MERGES);
    let whole = match path.is_file() && !is_part {
        true => path.to_owned(),
        false => folder.join(WHOLE),
    };
    let wrong = |path: &Path, error: String| ImportError::Tokenizer {
        path: path.to_owned(),
        message: format!("expected a tokenizer, found: {error}"),
    };
    if whole.is_file() && !is_part {
        let bytes = bytes_of(&whole)?;
        let tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|error| wrong(&whole, error.to_string()))?;
        return Ok((whole, tokenizer));
    }
    if !parts.iter().all(|part| part.is_file()) {
        return Err(ImportError::Tokenizer {
            path: path.to_owned(),
            message: format!(
                "expected {WHOLE}, or {VOCABULARY} and {MERGES}; they come with roberta-base"
            ),
        });
    }
    for part in &parts {
        bytes_of(part)?;
    }
    let [vocabulary, merges] = parts.each_ref().map(|part| part.to_str());
    let (Some(vocabulary), Some(merges)) = (vocabulary, merges) else {
        let message = "expected a path in UTF-8; copy the files to one".to_owned();
        return Err(wrong(path, message));
    };
    let model = BPE::from_file(vocabulary, merges).build();
    let model = model.map_err(|error| wrong(&parts[0], error.to_string()))?;
    Ok((parts[0].clone(), Tokenizer::new(model)))
}

fn bytes_of(path: &Path) -> Result<Vec<u8>, ImportError> {
    bounded::read(path, MAX_FILE, |message| ImportError::Tokenizer {
        path: path.to_owned(),
        message,
    })
}
