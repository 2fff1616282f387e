//! The manifest of an imported bundle.

use toml::{Table, Value};

use crate::options::Precision;
use crate::structure::Structure;

/// A file of the bundle.
#[derive(Debug)]
pub struct Written {
    pub name: String,
    pub bytes: u64,
    pub sha256: String,
}

/// The text of `model.toml`.
pub fn text(
    structure: &Structure,
    name: Option<&str>,
    version: &str,
    precision: Precision,
    queries: u64,
    files: &[Written],
) -> String {
    let mut table = structure.manifest.clone();
    let mut set = |key: &str, value: &str| table.insert(key.to_owned(), value.into());
    set("version", version);
    set("precision", precision.name());
    if let Some(name) = name {
        set("name", name);
    }
    if let Some(Value::Table(network)) = table.get_mut("network") {
        network.insert("queries".to_owned(), Value::Integer(queries as i64));
    }
    let files = files.iter().map(|file| {
        let mut entry = Table::new();
        entry.insert("bytes".to_owned(), Value::Integer(file.bytes as i64));
        entry.insert("sha256".to_owned(), file.sha256.as_str().into());
        (file.name.clone(), Value::Table(entry))
    });
    table.insert("files".to_owned(), Value::Table(files.collect()));
    table.to_string()
}
