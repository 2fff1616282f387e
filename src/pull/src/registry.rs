//! Which models can be pulled.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use url::Url;

use crate::checksum::Checksum;
use crate::error::PullError;

/// What comes with this program.
const RELEASED: &str = include_str!("../../../configs/models.toml");
/// Name of that file.
const RELEASED_FILE: &str = "configs/models.toml";
/// Most bytes of a file of entries.
const MAX_BYTES: u64 = 1 << 20;
/// Most megabytes of a checkpoint or a bundle.
const MAX_MB: u64 = 100_000;
/// Most bytes of a name.
const MAX_NAME: usize = 64;
/// What a model can do.
const TASKS: [&str; 3] = ["grounding", "segmentation", "questions"];

/// The models that can be pulled, and their tokenizers.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    models: BTreeMap<String, Model>,
    tokenizers: BTreeMap<String, Tokenizer>,
}

/// A model that can be pulled.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(try_from = "Entry")]
#[non_exhaustive]
pub struct Model {
    /// What it is, in words.
    pub title: String,
    /// Some of `grounding`, `segmentation` and `questions`.
    pub tasks: Vec<String>,
    /// SPDX expression of the weights' licence.
    pub licence: String,
    /// File name of the checkpoint.
    pub file: String,
    /// Where the checkpoint is.
    pub(crate) place: Place,
    /// About how many megabytes the checkpoint has.
    pub download_mb: u64,
    /// About how many megabytes the bundle has, in fp32.
    pub model_mb: u64,
    /// Name of its tokenizer.
    pub tokenizer: String,
    /// Where the words of its answers are, if they are not in the checkpoint.
    pub answers: Option<Answers>,
}

/// Where a checkpoint is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Place {
    /// A record of Zenodo's API.
    Record(Url),
    /// The file itself.
    File(Url, Option<Checksum>),
}

/// Where the words of a model's answers are.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Answers {
    /// File name.
    pub file: String,
    /// The page that has it.
    pub page: String,
}

/// A tokenizer, in the format of Hugging Face's tokenizers.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Tokenizer {
    /// Where it is.
    #[serde(deserialize_with = "address")]
    pub url: Url,
    /// How many tokens it has.
    pub vocabulary: usize,
    /// Its checksum, if known.
    pub checksum: Option<Checksum>,
}

impl Model {
    /// Where it comes from.
    pub fn source(&self) -> &Url {
        match &self.place {
            Place::Record(url) | Place::File(url, _) => url,
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<T> {
    #[serde(default = "BTreeMap::new")]
    models: BTreeMap<Name, T>,
    #[serde(default)]
    tokenizers: BTreeMap<Name, Tokenizer>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    title: String,
    tasks: Vec<Task>,
    licence: String,
    #[serde(deserialize_with = "file_name")]
    file: String,
    #[serde(default, deserialize_with = "optional_address")]
    record: Option<Url>,
    #[serde(default, deserialize_with = "optional_address")]
    url: Option<Url>,
    checksum: Option<Checksum>,
    download_mb: Megabytes,
    model_mb: Megabytes,
    tokenizer: String,
    answers: Option<Answers>,
}

impl TryFrom<Entry> for Model {
    type Error = String;

    fn try_from(entry: Entry) -> Result<Model, String> {
        let place = match (entry.record, entry.url, entry.checksum) {
            (Some(record), None, None) => Place::Record(record),
            (None, Some(url), checksum) => Place::File(url, checksum),
            (Some(_), None, Some(_)) => {
                return Err("checksum: the record has it; expected none beside `record`".to_owned());
            }
            _ => return Err("expected either `record` or `url`".to_owned()),
        };
        Ok(Model {
            title: entry.title,
            tasks: entry.tasks.into_iter().map(|task| task.0).collect(),
            licence: entry.licence,
            file: entry.file,
            place,
            download_mb: entry.download_mb.0,
            model_mb: entry.model_mb.0,
            tokenizer: entry.tokenizer,
            answers: entry.answers,
        })
    }
}

/// A name that is also the name of a directory.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(try_from = "String")]
struct Name(String);

impl TryFrom<String> for Name {
    type Error = String;

    fn try_from(name: String) -> Result<Name, String> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        let sound = (1..=MAX_NAME).contains(&name.len())
            && name.bytes().all(plain)
            && !name.starts_with('.');
        match sound {
            true => Ok(Name(name)),
            false => Err(format!(
                "expected a name of at most {MAX_NAME} letters, digits, \"-\", \"_\" and, but not first, \".\", found {name:?}"
            )),
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
struct Task(String);

impl TryFrom<String> for Task {
    type Error = String;

    fn try_from(task: String) -> Result<Task, String> {
        match TASKS.contains(&task.as_str()) {
            true => Ok(Task(task)),
            false => Err(format!("expected one of {TASKS:?}, found {task:?}")),
        }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "u64")]
struct Megabytes(u64);

impl TryFrom<u64> for Megabytes {
    type Error = String;

    fn try_from(mb: u64) -> Result<Megabytes, String> {
        match (1..=MAX_MB).contains(&mb) {
            true => Ok(Megabytes(mb)),
            false => Err(format!("expected 1 to {MAX_MB} megabytes, found {mb}")),
        }
    }
}

fn file_name<'de, D: serde::Deserializer<'de>>(source: D) -> Result<String, D::Error> {
    let name = String::deserialize(source)?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.+".contains(c);
    if name.is_empty() || name.len() > 255 || !name.chars().all(plain) || name.starts_with('.') {
        let message = format!("expected a plain file name, found {name:?}");
        return Err(serde::de::Error::custom(message));
    }
    Ok(name)
}

fn address<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Url, D::Error> {
    let text = String::deserialize(source)?;
    let url = Url::parse(&text).ok();
    let web = |url: &Url| ["http", "https"].contains(&url.scheme());
    url.filter(web).ok_or_else(|| {
        let message = format!("expected an address with https:// or http://, found {text:?}");
        serde::de::Error::custom(message)
    })
}

fn optional_address<'de, D: serde::Deserializer<'de>>(source: D) -> Result<Option<Url>, D::Error> {
    address(source).map(Some)
}

/// Where the user's own entries are: `mdetr/models.toml` in `$XDG_CONFIG_HOME` or `~/.config`; `None` if
/// neither is known.
pub fn own_registry() -> Option<PathBuf> {
    let named = |name| {
        let value = env::var_os(name).map(PathBuf::from);
        value.filter(|path| path.is_absolute())
    };
    let config = named("XDG_CONFIG_HOME").or_else(|| Some(named("HOME")?.join(".config")));
    Some(config?.join("mdetr/models.toml"))
}

impl Registry {
    /// What comes with this program, and the entries in the file `own`, if there is one.
    ///
    /// # Errors
    /// The file is not one of entries; the error has the line.
    pub fn load(own: Option<&Path>) -> Result<Registry, PullError> {
        let mut registry = Registry::default();
        registry.add(RELEASED_FILE, RELEASED)?;
        if let Some(path) = own
            && let Some(text) = read(path)?
        {
            registry.add(&path.display().to_string(), &text)?;
        }
        Ok(registry)
    }

    /// Adds the entries of a file; those of the same name are replaced.
    fn add(&mut self, file: &str, text: &str) -> Result<(), PullError> {
        let document: Document<toml::Spanned<Model>> = parse(file, text)?;
        let tokenizers = document.tokenizers.into_iter();
        self.tokenizers
            .extend(tokenizers.map(|(name, tokenizer)| (name.0, tokenizer)));
        for (Name(name), model) in document.models {
            let line = line(text, model.span().start);
            let model = model.into_inner();
            if !self.tokenizers.contains_key(&model.tokenizer) {
                let known: Vec<&String> = self.tokenizers.keys().collect();
                return Err(PullError::Registry {
                    file: format!("{file}, line {line}"),
                    message: format!(
                        "models.{name}: tokenizer: expected one of {known:?}, found {:?}",
                        model.tokenizer
                    ),
                });
            }
            self.models.insert(name, model);
        }
        Ok(())
    }

    /// The models by name.
    pub fn models(&self) -> &BTreeMap<String, Model> {
        &self.models
    }

    /// The model of this name.
    ///
    /// # Errors
    /// There is none; the error lists those that there are.
    pub fn model(&self, name: &str) -> Result<&Model, PullError> {
        self.models.get(name).ok_or_else(|| {
            let own = own_registry();
            let own = own.map(|path| path.display().to_string());
            PullError::UnknownModel {
                name: name.to_owned(),
                known: self.models.keys().cloned().collect(),
                own: own.unwrap_or_else(|| "~/.config/mdetr/models.toml".to_owned()),
            }
        })
    }

    /// The tokenizer of a model of this registry.
    pub(crate) fn tokenizer(&self, model: &Model) -> &Tokenizer {
        &self.tokenizers[&model.tokenizer]
    }
}

/// The text of a file; `None` if it does not exist.
fn read(path: &Path) -> Result<Option<String>, PullError> {
    let bad = |message: String| PullError::Registry {
        file: path.display().to_string(),
        message,
    };
    let file = match fs::File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        file => file.map_err(|error| bad(format!("cannot be read: {error}")))?,
    };
    let mut text = String::new();
    let read = file.take(MAX_BYTES + 1).read_to_string(&mut text);
    read.map_err(|error| bad(format!("cannot be read: {error}")))?;
    if text.len() as u64 > MAX_BYTES {
        return Err(bad(format!(
            "expected at most {MAX_BYTES} bytes, found more"
        )));
    }
    Ok(Some(text))
}

fn parse<T: DeserializeOwned>(file: &str, text: &str) -> Result<T, PullError> {
    toml::from_str(text).map_err(|error| {
        let place = error
            .span()
            .map(|span| format!(", line {}", line(text, span.start)));
        PullError::Registry {
            file: format!("{file}{}", place.unwrap_or_default()),
            message: error.message().replace('\n', ": "),
        }
    })
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENTRY: &str = r#"[models.mine]
title = "mine"
tasks = ["grounding"]
licence = "Apache-2.0"
file = "mine.pth"
url = "https://example.org/mine.pth"
download_mb = 10
model_mb = 5
tokenizer = "roberta-base"
"#;

    fn with(text: &str) -> Result<Registry, PullError> {
        let mut registry = Registry::load(None)?;
        registry.add("own.toml", text)?;
        Ok(registry)
    }

    #[test]
    fn the_released_models_are_there() {
        let registry = Registry::load(None).unwrap();
        let files: Vec<&str> = registry
            .models()
            .values()
            .map(|m| m.file.as_str())
            .collect();
        assert_eq!(files.len(), 20);
        for name in ["eb3", "resnet101", "refcocoplus-eb3", "gqa-eb5", "lvis100"] {
            let model = registry.model(name).unwrap();
            assert!(matches!(model.place, Place::Record(_)), "{name}");
            assert_eq!(registry.tokenizer(model).vocabulary, 50265);
        }
        let asks = |model: &&Model| model.answers.is_some();
        assert_eq!(registry.models().values().filter(asks).count(), 2);
        // Both are about megabytes, so a bundle of one precision is never larger than its checkpoint.
        for (name, model) in registry.models() {
            assert!(model.model_mb <= model.download_mb, "{name}");
            assert!(model.file.ends_with("_checkpoint.pth"), "{name}");
        }
    }

    #[test]
    fn own_entries_are_added_and_take_the_place_of_others() {
        let registry = with(ENTRY).unwrap();
        assert_eq!(registry.models().len(), 21);
        let renamed = ENTRY.replace("models.mine", "models.eb3");
        let registry = with(&renamed).unwrap();
        assert_eq!(registry.models().len(), 20);
        assert_eq!(registry.model("eb3").unwrap().title, "mine");
    }

    #[test]
    fn bad_entries_are_refused_with_their_line() {
        let cases = [
            ("models.mine", "models.\"../mine\"", 1, "expected a name"),
            ("models.mine", "models.\".mine\"", 1, "expected a name"),
            ("\"grounding\"", "\"walking\"", 3, "expected one of"),
            ("\"mine.pth\"", "\"a/mine.pth\"", 5, "plain file name"),
            ("\"mine.pth\"", "\"..\"", 5, "plain file name"),
            (
                "\"https://example.org/mine.pth\"",
                "\"ftp://example.org/m\"",
                6,
                "https://",
            ),
            ("url =", "rul =", 6, "unknown field `rul`"),
            (
                "url = \"https://example.org/mine.pth\"\n",
                "",
                1,
                "either `record` or `url`",
            ),
            ("download_mb = 10", "download_mb = 0", 7, "1 to 100000"),
            ("download_mb = 10", "download_mb = -1", 7, "expected u64"),
            ("roberta-base", "bert", 1, "tokenizer: expected one of"),
            (
                "model_mb = 5",
                "model_mb = 5\nchecksum = \"md5:12\"",
                9,
                "hexadecimal",
            ),
            ("title = \"mine\"", "title = ", 2, ""),
        ];
        for (good, bad, line, said) in cases {
            let text = ENTRY.replacen(good, bad, 1);
            let error = with(&text).unwrap_err().to_string();
            assert!(
                error.starts_with(&format!("own.toml, line {line}: ")),
                "{bad}: {error}"
            );
            assert!(error.contains(said), "{bad}: {error}");
            assert!(!error.contains('\n'), "{bad}: {error}");
        }
        let both = ENTRY.to_owned() + "record = \"https://zenodo.org/api/records/1\"\n";
        assert!(with(&both).is_err());
    }

    #[test]
    fn own_files_are_bounded_and_need_not_exist() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("models.toml");
        assert_eq!(Registry::load(Some(&path)).unwrap().models().len(), 20);
        fs::write(&path, ENTRY).unwrap();
        assert_eq!(Registry::load(Some(&path)).unwrap().models().len(), 21);
        fs::write(&path, "#".repeat(MAX_BYTES as usize + 1)).unwrap();
        let error = Registry::load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("at most"), "{error}");
        fs::write(&path, b"\xff").unwrap();
        let error = Registry::load(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
        let error = Registry::load(Some(dir.path())).unwrap_err().to_string();
        assert!(error.contains("cannot be read"), "{error}");
    }
}
