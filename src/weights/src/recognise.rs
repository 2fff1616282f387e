//! Which structure a checkpoint has.

use std::collections::BTreeMap;
use std::path::Path;

use crate::entries::{DETECTOR, Entries};
use crate::error::{ImportError, UnknownStructure, listed};
use crate::structure::Structure;

/// Heads that training alone uses: a checkpoint may have them, of any size, or not.
const TRAINING_ONLY: [&str; 2] = [
    "contrastive_align_projection_image.",
    "contrastive_align_projection_text.",
];
/// Names of structures in an error.
const NAMED: usize = 20;

/// What keeps a checkpoint from being of a structure.
#[derive(Debug, Default)]
struct Misfit {
    missing: Vec<String>,
    unexpected: Vec<String>,
    /// Of another shape.
    wrong: Vec<String>,
}

impl Misfit {
    fn len(&self) -> usize {
        self.missing.len() + self.unexpected.len() + self.wrong.len()
    }
}

/// The structure whose entries these are, all of them and no others.
pub fn recognise<'a>(
    path: &Path,
    entries: &Entries,
    structures: &'a [Structure],
) -> Result<&'a Structure, ImportError> {
    let found: BTreeMap<&str, &[u64]> = entries.shapes().collect();
    let misfits = structures
        .iter()
        .map(|structure| (compare(&found, structure), structure));
    let best = misfits.min_by_key(|(misfit, _)| misfit.len());
    let names = structures.iter().map(Structure::name).take(NAMED);
    let known = names.collect::<Vec<_>>().join(", ");
    let Some((misfit, structure)) = best else {
        return Err(entries.wrong("no structures are known".to_owned()));
    };
    if misfit.len() == 0 {
        return Ok(structure);
    }
    Err(ImportError::Unknown(Box::new(UnknownStructure {
        path: path.to_owned(),
        known,
        nearest: structure.name().to_owned(),
        missing: listed(&misfit.missing),
        unexpected: listed(&misfit.unexpected),
        wrong: listed(&misfit.wrong),
    })))
}

fn compare(found: &BTreeMap<&str, &[u64]>, structure: &Structure) -> Misfit {
    let mut misfit = Misfit::default();
    let mut unexpected = found.clone();
    for entry in structure
        .entries
        .iter()
        .filter(|entry| !is_optional(&entry.name))
    {
        let Some(shape) = unexpected.remove(&*entry.name) else {
            misfit.missing.push(entry.name.clone());
            continue;
        };
        if !fits(shape, &entry.shape) {
            let sizes = |shape: &[u64]| {
                let sizes = shape.iter().map(|size| match size {
                    0 => "any".to_owned(),
                    size => size.to_string(),
                });
                sizes.collect::<Vec<_>>().join(", ")
            };
            misfit.wrong.push(format!(
                "{} (expected ({}), found ({}))",
                entry.name,
                sizes(&entry.shape),
                sizes(shape)
            ));
        }
    }
    let unexpected = unexpected.into_keys().filter(|name| !is_optional(name));
    misfit.unexpected = unexpected.map(str::to_owned).collect();
    misfit
}

fn is_optional(name: &str) -> bool {
    let name = name.strip_prefix(DETECTOR).unwrap_or(name);
    TRAINING_ONLY.iter().any(|start| name.starts_with(start))
}

/// Whether a shape is as expected, where 0 stands for any size above.
fn fits(found: &[u64], expected: &[u64]) -> bool {
    let mut sizes = found.iter().zip(expected);
    found.len() == expected.len()
        && sizes.all(|(found, expected)| match expected {
            0 => *found > 0,
            size => found == size,
        })
}
