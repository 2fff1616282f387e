//! Standing queries from a TOML file.

use std::io;
use std::path::{Path, PathBuf};

use mdetr::Query;
use mdetr::query::{QueryEntry, QueryError};
use serde::Deserialize;

use crate::text_file;

/// Most bytes of a configuration file; thousands of queries fit.
const MAX_BYTES: u64 = 1 << 20;

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum ConfigError {
    #[error("config {}: cannot be read: {source}; set `config` to a TOML file with [[query]] tables", path.display())]
    Read { path: PathBuf, source: io::Error },
    #[error("config {}: more than {MAX_BYTES} bytes; this is not a list of queries", path.display())]
    TooLarge { path: PathBuf },
    #[error("config {}: {message}", path.display())]
    Syntax { path: PathBuf, message: String },
    #[error("config {}: no [[query]] table; add one with `id` and `text`", path.display())]
    Empty { path: PathBuf },
    #[error("config {}: {source}", path.display())]
    Query { path: PathBuf, source: QueryError },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    #[serde(default)]
    query: Vec<QueryEntry>,
}

/// Reads the queries of the file at `path`.
pub(super) fn read(path: &Path) -> Result<Vec<Query>, ConfigError> {
    let text = match text_file::read(path, MAX_BYTES) {
        Ok(Some(text)) => text,
        Ok(None) => {
            return Err(ConfigError::TooLarge {
                path: path.to_owned(),
            });
        }
        Err(source) => {
            return Err(ConfigError::Read {
                path: path.to_owned(),
                source,
            });
        }
    };
    let document: Document = toml::from_str(&text).map_err(|error| ConfigError::Syntax {
        path: path.to_owned(),
        message: error.to_string(),
    })?;
    if document.query.is_empty() {
        return Err(ConfigError::Empty {
            path: path.to_owned(),
        });
    }
    let parsed = document.query.iter().map(Query::from_entry);
    parsed
        .collect::<Result<_, _>>()
        .map_err(|source| ConfigError::Query {
            path: path.to_owned(),
            source,
        })
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn written(text: &[u8]) -> tempfile::NamedTempFile {
        let mut file = tempfile::NamedTempFile::new().expect("a writable temporary directory");
        file.write_all(text)
            .expect("a writable temporary directory");
        file
    }

    #[test]
    fn queries_come_with_their_thresholds() {
        let file = written(
            b"[[query]]\nid = \"a\"\ntext = \"[a cube] left of a ball\"\nscore_threshold = 0.5\n\
              [[query]]\nid = \"b\"\ntext = \"all cones\"\n",
        );
        let queries = read(file.path()).expect("a valid file");
        assert_eq!(queries.len(), 2);
        assert_eq!(queries[0].text(), "a cube left of a ball");
        assert_eq!(queries[0].score_threshold(), Some(0.5));
        assert_eq!(queries[1].id(), "b");
        assert_eq!(queries[1].score_threshold(), None);
    }

    #[test]
    fn the_example_is_valid() {
        let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/tabletop.toml");
        assert!(!read(&example).expect("a valid file").is_empty());
    }

    #[test]
    fn faults_name_the_file_and_the_place() {
        let long = vec![b'#'; MAX_BYTES as usize + 1];
        let cases: [(&[u8], &str); 8] = [
            (b"", "no [[query]]"),
            (b"[[query]]\nid = \"a\"\n", "text"),
            (
                b"[[query]]\nid = \"a\"\ntext = \"x\"\ntreshold = 1\n",
                "treshold",
            ),
            (b"[[query]]\nid = \"a\"\ntext = \"[x\"\n", "'['"),
            (
                b"[[query]]\nid = \"a\"\ntext = \"x\"\nscore_threshold = 7\n",
                "threshold",
            ),
            (b"\x00\x01 rubbish", "line 1"),
            (b"\xff\xfe", "UTF-8"),
            (&long, "more than"),
        ];
        for (text, expected) in cases {
            let file = written(text);
            let error = read(file.path()).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error}");
            assert!(
                error.contains(&file.path().display().to_string()),
                "{error}"
            );
        }
        let missing = read(Path::new("/no/such/file.toml")).expect_err("missing");
        assert!(
            missing.to_string().contains("/no/such/file.toml"),
            "{missing}"
        );
    }
}
