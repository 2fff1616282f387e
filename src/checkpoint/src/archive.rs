//! The format of `torch.save` since PyTorch 1.6: a zip archive with a pickle and a file for each storage.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Read};

use zip::{CompressionMethod, ZipArchive};

use crate::contents::{Contents, Place, limited};
use crate::error::Fault;
use crate::machine;
use crate::node::Nodes;

const PICKLE: &str = "data.pkl";

/// What an archive holds.
pub(crate) fn contents(file: &File, length: u64) -> Result<Contents, Fault> {
    let damaged = |error: zip::result::ZipError| Fault::Archive(error.to_string());
    let mut archive = ZipArchive::new(BufReader::new(file)).map_err(damaged)?;
    // The folder has the name of the file that was saved.
    let folder = archive.file_names().find_map(|name| {
        let name = name.ok()?;
        let folder = name.strip_suffix(PICKLE)?.strip_suffix('/')?;
        (!folder.contains('/')).then(|| format!("{folder}/"))
    });
    let folder = folder.ok_or_else(|| Fault::Missing(PICKLE.to_owned()))?;
    if let Ok(mut order) = archive.by_name(&format!("{folder}byteorder")) {
        let mut text = String::new();
        (&mut order).take(64).read_to_string(&mut text)?;
        if text != "little" {
            return Err(Fault::Archive(format!(
                "its values are in the byte order {:?}, expected little",
                text
            )));
        }
    }
    let mut places = HashMap::new();
    let data = format!("{folder}data/");
    for index in 0..archive.len() {
        let entry = archive.by_index_raw(index).map_err(damaged)?;
        let name = entry.name().map_err(damaged)?;
        let Some(key) = name.strip_prefix(&data) else {
            continue;
        };
        let (start, bytes) = (entry.data_start(), entry.size());
        if entry.compression() != CompressionMethod::Stored || entry.encrypted() {
            return Err(Fault::Archive(format!(
                "{} is compressed: torch.save compresses nothing",
                name.escape_debug()
            )));
        }
        let start = start.ok_or_else(|| Fault::Archive(format!("storage {key} is nowhere")))?;
        if start.checked_add(bytes).is_none_or(|end| end > length) {
            return Err(Fault::Archive(format!(
                "storage {key} lies outside of the file"
            )));
        }
        let place = Place {
            offset: start,
            bytes,
            crc32: Some(entry.crc32()),
        };
        places.insert(key.to_owned(), place);
    }
    let mut nodes = Nodes::default();
    let pickle = archive
        .by_name(&format!("{folder}{PICKLE}"))
        .map_err(damaged)?;
    if pickle.compression() != CompressionMethod::Stored {
        return Err(Fault::Archive(format!(
            "{PICKLE} is compressed: torch.save compresses nothing"
        )));
    }
    let root = machine::read(BufReader::new(limited(pickle)), &mut nodes)?;
    Ok(Contents {
        nodes,
        root,
        places,
    })
}
