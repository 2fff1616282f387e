//! A record of Zenodo: which files it has, with their sizes and checksums.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use url::Url;

use crate::checksum::Checksum;
use crate::client::{Client, answer, missing, shown};
use crate::download::Remote;
use crate::error::PullError;
use crate::watch::Watch;

/// Most bytes of a record.
const MAX_BYTES: usize = 4 << 20;

#[derive(Deserialize)]
struct Record {
    files: Vec<Entry>,
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Entry {
    key: String,
    size: u64,
    checksum: Checksum,
    links: Links,
}

#[derive(Deserialize)]
struct Links {
    #[serde(rename = "self")]
    content: String,
}

#[derive(Deserialize, Default)]
struct Metadata {
    license: Option<License>,
}

#[derive(Deserialize)]
struct License {
    id: String,
}

/// A file of a record, and the licence that the record states.
pub(crate) struct Found {
    pub remote: Remote,
    pub licence: Option<String>,
}

/// Looks for a file in a record.
///
/// # Errors
/// The record cannot be read, or has no such file.
pub(crate) async fn find(
    client: &Client,
    record: &Url,
    file: &str,
    watch: &dyn Watch,
) -> Result<Found, PullError> {
    let document = client.document(record, MAX_BYTES, watch).await?;
    let document = document.ok_or_else(|| missing(record))?;
    let other = "the publisher may have changed it: look at its page, and give the file's address with --from";
    let parsed: Record = serde_json::from_slice(&document)
        .map_err(|error| answer(record, format!("not a record of Zenodo: {error}"), other))?;
    let decoded = |name: &str| percent_decode_str(name).decode_utf8_lossy().into_owned();
    let names: Vec<String> = parsed
        .files
        .iter()
        .map(|entry| decoded(&entry.key))
        .collect();
    let Some(index) = names.iter().position(|name| name == file) else {
        let found = format!("expected the file {file}, found {}", names.join(", "));
        return Err(answer(record, found, other));
    };
    let entry = parsed.files.into_iter().nth(index).expect("found above");
    let url = record.join(&entry.links.content).map_err(|error| {
        let found = format!("the address of {file} is none: {error}");
        answer(record, found, other)
    })?;
    if url.scheme() != "https" && url.scheme() != record.scheme() {
        let found = format!("expected an address with https, found {}", shown(&url));
        return Err(answer(record, found, other));
    }
    Ok(Found {
        remote: Remote {
            url,
            size: Some(entry.size),
            checksum: Some(entry.checksum),
        },
        licence: parsed.metadata.license.map(|license| license.id),
    })
}
