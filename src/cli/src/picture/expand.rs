//! Which pictures the arguments of a command name.

use std::ffi::OsStr;
use std::fs;
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, ensure};
use glob::Pattern;

/// Files that a directory's listing counts as pictures.
const EXTENSIONS: [&str; 3] = ["png", "jpg", "jpeg"];
/// Extensions of pictures that cannot be read.
const OTHERS: [&str; 11] = [
    "avif", "bmp", "gif", "heic", "heif", "hif", "jp2", "jxl", "tif", "tiff", "webp",
];

/// What an argument names.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Named {
    /// The pictures, in order.
    pub pictures: Vec<PathBuf>,
    /// Says which pictures of a directory were left out, if any.
    pub left_out: Option<String>,
}

/// The pictures that `argument` names: a file, `-` for standard input, the PNG and JPEG files of a
/// directory by name, or those that a pattern matches.
///
/// # Errors
/// A directory cannot be listed, or nothing is there.
pub fn expand(argument: &Path) -> Result<Named> {
    if argument.is_dir() {
        return directory(argument);
    }
    let is_there = argument.symlink_metadata().is_ok();
    let pictures = match is_there || !has_wildcard(argument.as_os_str()) {
        true => vec![argument.to_owned()],
        false => {
            let found = matching(argument)?;
            let none = || format!("{}: nothing matches this pattern", argument.display());
            ensure!(!found.is_empty(), none());
            found
        }
    };
    Ok(Named {
        pictures,
        left_out: None,
    })
}

fn directory(path: &Path) -> Result<Named> {
    let mut files = list(path)?;
    files.retain(|file| file.is_file());
    let others: Vec<String> = files
        .iter()
        .filter_map(|file| extension(file, &OTHERS))
        .collect();
    files.retain(|file| extension(file, &EXTENSIONS).is_some());
    let left_out = (!others.is_empty()).then(|| {
        let mut kinds = others.clone();
        kinds.sort();
        kinds.dedup();
        format!(
            "{}: {} files are left out ({}); convert them to PNG or JPEG to have them read",
            path.display(),
            others.len(),
            kinds.join(", ")
        )
    });
    let nothing = || {
        let known = left_out.as_ref().map(|why| format!("; {why}"));
        format!(
            "{}: no PNG or JPEG file in this directory{}",
            path.display(),
            known.unwrap_or_default()
        )
    };
    ensure!(!files.is_empty(), nothing());
    Ok(Named {
        pictures: files,
        left_out,
    })
}

/// A file's extension in lower case, if it is one of these.
fn extension(path: &Path, these: &[&str]) -> Option<String> {
    let extension = path.extension()?.to_str()?.to_lowercase();
    these.contains(&extension.as_str()).then_some(extension)
}

/// The entries of a directory, by name.
fn list(path: &Path) -> Result<Vec<PathBuf>> {
    let here = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let entries = fs::read_dir(here).and_then(|entries| {
        entries
            .map(|entry| Ok(path.join(entry?.file_name())))
            .collect::<std::io::Result<Vec<PathBuf>>>()
    });
    let mut entries = entries.with_context(|| format!("{}: cannot be listed", here.display()))?;
    entries.sort();
    Ok(entries)
}

fn has_wildcard(name: &OsStr) -> bool {
    name.as_encoded_bytes()
        .iter()
        .any(|byte| b"*?[".contains(byte))
}

/// What a pattern matches, in the order of names. The crate glob passes over names that are not UTF-8,
/// so it only compares single names here, in which U+FFFD stands for what is not.
fn matching(pattern: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::new()];
    for component in pattern.components() {
        let Component::Normal(name) = component else {
            found.iter_mut().for_each(|path| path.push(component));
            continue;
        };
        if !has_wildcard(name) {
            found.iter_mut().for_each(|path| path.push(name));
            found.retain(|path| path.symlink_metadata().is_ok());
            continue;
        }
        let mut next = Vec::new();
        if name == "**" {
            for path in found {
                descend(path, &mut next)?;
            }
        } else {
            let name = Pattern::new(&name.to_string_lossy())
                .with_context(|| format!("{}: not a pattern", pattern.display()))?;
            for path in found {
                if path.as_os_str().is_empty() || path.is_dir() {
                    let fits = |entry: &PathBuf| {
                        let entry = entry.file_name().unwrap_or_default();
                        name.matches(&entry.to_string_lossy())
                    };
                    next.extend(list(&path)?.into_iter().filter(fits));
                }
            }
        }
        found = next;
    }
    Ok(found)
}

/// A directory and all directories below it; links are not followed.
fn descend(path: PathBuf, into: &mut Vec<PathBuf>) -> Result<()> {
    let below = list(&path)?;
    into.push(path);
    for entry in below {
        let entry_type = entry.symlink_metadata().map(|data| data.file_type());
        if entry_type.is_ok_and(|entry_type| entry_type.is_dir()) {
            descend(entry, into)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    fn names(dir: &Path, argument: &[u8]) -> Vec<Vec<u8>> {
        let argument = dir.join(OsStr::from_bytes(argument));
        let found = expand(&argument).unwrap().pictures;
        let relative = found.iter().map(|path| path.strip_prefix(dir).unwrap());
        relative
            .map(|p| p.as_os_str().as_bytes().to_vec())
            .collect()
    }

    #[test]
    fn names_of_any_bytes_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        fs::create_dir_all(dir.join("sub/deep")).unwrap();
        let files: [&[u8]; 6] = [
            b"a.png",
            b"caf\xe9.png",
            b"[x].jpg",
            b"notes.txt",
            b"sub/b.PNG",
            b"sub/deep/\xff\xfe.jpeg",
        ];
        for file in files {
            fs::write(dir.join(OsStr::from_bytes(file)), "").unwrap();
        }
        let expect = |argument: &[u8], files: &[&[u8]]| {
            assert_eq!(names(dir, argument), files, "{}", argument.escape_ascii());
        };
        expect(b"", &[b"[x].jpg", b"a.png", b"caf\xe9.png"]);
        expect(b"*.png", &[b"a.png", b"caf\xe9.png"]);
        expect(b"caf?.png", &[b"caf\xe9.png"]);
        expect(b"c*\xe9.p[a-z]g", &[b"caf\xe9.png"]);
        expect(b"caf\xe9.png", &[b"caf\xe9.png"]);
        expect(b"[x].jpg", &[b"[x].jpg"]);
        expect(b"sub/*/*", &[b"sub/deep/\xff\xfe.jpeg"]);
        expect(b"s?b/*.PNG", &[b"sub/b.PNG"]);
        expect(b"**/*.jp*", &[b"[x].jpg", b"sub/deep/\xff\xfe.jpeg"]);
        expect(b"nowhere.png", &[b"nowhere.png"]);
        let refused = |argument: &str| expand(&dir.join(argument)).unwrap_err().to_string();
        assert!(refused("*.gif").contains("*.gif: nothing matches this pattern"));
        assert!(refused("a**/x").contains("not a pattern"));
    }

    #[test]
    fn pictures_of_other_kinds_in_a_directory_are_mentioned() {
        let dir = tempfile::tempdir().unwrap();
        for file in ["1.HEIC", "2.heic", "3.webp"] {
            fs::write(dir.path().join(file), "").unwrap();
        }
        let expected = "3 files are left out (heic, webp); convert them";
        let nothing = expand(dir.path()).unwrap_err().to_string();
        assert!(nothing.contains("no PNG or JPEG file"), "{nothing}");
        assert!(nothing.contains(expected), "{nothing}");
        fs::write(dir.path().join("4.jpg"), "").unwrap();
        let named = expand(dir.path()).unwrap();
        assert_eq!(named.pictures, [dir.path().join("4.jpg")]);
        assert!(named.left_out.unwrap().contains(expected));
    }
}
