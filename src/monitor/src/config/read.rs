//! Documents from files and from requests.

use std::io;
use std::path::{Path, PathBuf};

use gstmdetr::text_file;
use mdetr::bundle;
use sha2::{Digest, Sha256};

use super::Document;

/// Most bytes of a configuration.
pub const MAX_BYTES: u64 = 4 << 20;

/// Why a configuration was not read.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file cannot be opened or read.
    #[error("{}: cannot be read: {source}; name a TOML file such as configs/monitor.toml", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is too large.
    #[error("{}: more than {MAX_BYTES} bytes; this is no configuration", path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
    },
    /// It is not a document.
    #[error("{}: {message}", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
        /// Place, what was expected and found.
        message: String,
    },
}

/// A configuration as it was read from a file.
#[derive(Debug, Clone, PartialEq)]
pub struct ConfigFile {
    /// What it says. Relative paths in it are relative to the file's directory.
    pub document: Document,
    /// SHA-256 of the file in hexadecimal digits.
    pub sha256: String,
}

/// Reads the TOML file at `path`.
///
/// # Errors
/// It cannot be read, is larger than [`MAX_BYTES`], is no TOML, or has keys or values that a document has not.
pub fn read(path: &Path) -> Result<ConfigFile, ReadError> {
    let text = match text_file::read(path, MAX_BYTES) {
        Ok(Some(text)) => text,
        Ok(None) => {
            return Err(ReadError::TooLarge {
                path: path.to_owned(),
            });
        }
        Err(source) => {
            return Err(ReadError::File {
                path: path.to_owned(),
                source,
            });
        }
    };
    let mut document = parse_toml(&text).map_err(|message| ReadError::Syntax {
        path: path.to_owned(),
        message,
    })?;
    let directory = path.parent().unwrap_or(Path::new(""));
    document.resolve(directory);
    let digest = Sha256::digest(text.as_bytes());
    let sha256 = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(ConfigFile { document, sha256 })
}

/// A document from TOML.
///
/// # Errors
/// The place, what was expected and what was found.
pub fn parse_toml(text: &str) -> Result<Document, String> {
    toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())
}

/// A document from JSON.
///
/// # Errors
/// The place, what was expected and what was found.
pub fn parse_json(text: &[u8]) -> Result<Document, String> {
    let mut json = serde_json::Deserializer::from_slice(text);
    let document = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let place = error.path().to_string();
        format!("{place}: {}", error.into_inner())
    })?;
    json.end().map_err(|error| error.to_string())?;
    Ok(document)
}

impl Document {
    /// Makes relative paths absolute, or relative to where the program runs. A model's name stays what it is.
    fn resolve(&mut self, directory: &Path) {
        let resolve = |path: &mut PathBuf| *path = directory.join(&*path);
        resolve(&mut self.data);
        if let Some(key) = self.past.as_mut().and_then(|past| past.key.as_mut()) {
            resolve(key);
        }
        if let Some(model) = &mut self.model {
            let beside = directory.join(&*model);
            let named = model.to_str().is_some_and(bundle::is_name) && !beside.exists();
            if !named {
                *model = beside;
            }
        }
        for camera in &mut self.cameras {
            if let Some(path) = camera
                .url
                .strip_prefix("file:")
                .filter(|path| !path.starts_with('/'))
            {
                let path = std::path::absolute(directory.join(path));
                let url = path
                    .ok()
                    .and_then(|path| url::Url::from_file_path(path).ok());
                camera.url = url.map_or_else(|| camera.url.clone(), Into::into);
            }
        }
        if let Some(tls) = &mut self.http.tls {
            resolve(&mut tls.certificate);
            resolve(&mut tls.key);
        }
        if let Some(kserve) = &mut self.kserve {
            let files = [&mut kserve.token_file, &mut kserve.ca];
            files.into_iter().flatten().for_each(resolve);
        }
        if let Some(ca) = self.mqtt.as_mut().and_then(|broker| broker.ca.as_mut()) {
            resolve(ca);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: &str = "data = \"watched\"\n[[camera]]\nname = \"gate\"\nurl = \"tabletop://\"\n";

    #[test]
    fn paths_are_relative_to_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor.toml");
        std::fs::write(&path, SMALL).unwrap();
        let found = read(&path).unwrap();
        assert_eq!(found.document.data, directory.path().join("watched"));
        assert_eq!(found.document.cameras[0].fps, 15);

        std::fs::write(&path, SMALL.replace("tabletop://", "file:clips/a b.webm")).unwrap();
        let url = read(&path).unwrap().document.cameras[0].url.clone();
        let clip = directory.path().join("clips/a b.webm");
        assert_eq!(url::Url::parse(&url).unwrap().to_file_path().unwrap(), clip);
        assert_eq!(found.sha256.len(), 64);
    }

    #[test]
    fn a_model_is_a_name_unless_it_lies_beside_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor.toml");
        let model = |text: &str| {
            std::fs::write(&path, format!("model = \"{text}\"\n{SMALL}")).unwrap();
            read(&path).unwrap().document.model.unwrap()
        };
        assert_eq!(model("eb3"), Path::new("eb3"));
        assert_eq!(model("/opt/eb3"), Path::new("/opt/eb3"));
        assert_eq!(model("models/eb3"), directory.path().join("models/eb3"));
        std::fs::create_dir(directory.path().join("eb3")).unwrap();
        assert_eq!(model("eb3"), directory.path().join("eb3"));
    }

    #[test]
    fn faults_name_the_file_and_the_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("monitor.toml");
        let long = "#".repeat(MAX_BYTES as usize + 1);
        for (text, expected) in [
            ("", "data"),
            ("data = \"x\"\ncamra = 1\n", "camra"),
            ("data = \"x\"\n[[camera]]\nname = \"gate\"\n", "url"),
            ("data = 7\n", "line 1"),
            (
                "data = \"x\"\n[[camera]]\nname = \"a\"\nurl = \"b\"\n[[camera.rule]]\nid = \"r\"\nwhen = { is = \"prsent\" }\n",
                "prsent",
            ),
            (&long, "more than"),
        ] {
            std::fs::write(&path, text).unwrap();
            let error = read(&path).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(error.contains("monitor.toml"), "{error}");
        }
        let missing = read(Path::new("/no/such.toml")).unwrap_err().to_string();
        assert!(missing.contains("/no/such.toml"), "{missing}");
    }

    #[test]
    fn a_document_survives_json() {
        let document = parse_toml(SMALL).unwrap();
        let json = serde_json::to_vec(&document).unwrap();
        assert_eq!(parse_json(&json).unwrap(), document);
        let error = parse_json(br#"{"data":"x","camera":[{"name":"a","url":7}]}"#).unwrap_err();
        assert!(error.starts_with("camera[0].url"), "{error}");
    }
}
