//! Links between documents: files exist, anchors are headings, and the book needs nothing outside it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use mdetr_tests::TestEnv;

use crate::{BOOK, markdown_in};

/// The lines outside blocks of code.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        !fenced && !fence && !line.starts_with("    ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// Targets of `[text](target)` and `![text](target)`, but for those in code.
fn links(text: &str) -> Vec<String> {
    let prose = prose(text);
    let parts = prose.split('`').enumerate();
    let running: Vec<&str> = parts
        .map(|(i, part)| if i % 2 == 0 { part } else { "" })
        .collect();
    let running = running.concat();
    let targets = running.split("](").skip(1);
    let targets = targets.filter_map(|rest| rest.split_once(')').map(|(target, _)| target));
    targets.map(str::to_owned).collect()
}

/// What a heading is called in a link, on hosting sites as in the book.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().chars().flat_map(char::to_lowercase);
    kept.filter_map(|c| match c {
        ' ' => Some('-'),
        c if c.is_alphanumeric() || c == '-' || c == '_' => Some(c),
        _ => None,
    })
    .collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let prose = prose(text);
    let headings = prose.lines().filter(|line| line.starts_with('#'));
    headings
        .map(|heading| anchor(heading.trim_start_matches('#')))
        .collect()
}

/// `path` without `.` and `..`; `None` if it leads out of the repository.
fn normal(path: &Path) -> Option<PathBuf> {
    let mut kept = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir if !kept.pop() => return None,
            Component::Normal(name) => kept.push(name),
            _ => {}
        }
    }
    Some(kept)
}

/// What is wrong with a link of `document`, whose path is relative to `root`.
fn fault(
    root: &Path,
    document: &Path,
    target: &str,
    texts: &BTreeMap<PathBuf, String>,
) -> Option<String> {
    if target.starts_with("https://") || target.starts_with("http://") {
        return None;
    }
    let (path, heading) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() {
        document.to_owned()
    } else {
        let directory = document.parent().unwrap_or(Path::new(""));
        match normal(&directory.join(path)) {
            Some(path) => path,
            None => return Some("it leads out of the repository".to_owned()),
        }
    };
    if !root.join(&path).exists() {
        return Some(format!("{} does not exist", path.display()));
    }
    if document.starts_with(BOOK) && !path.starts_with(BOOK) {
        return Some("it leads out of the book: name the file as code instead".to_owned());
    }
    let known = texts.get(&path).map(|text| anchors(text));
    let found = heading.is_empty() || known.as_ref().is_some_and(|known| known.contains(heading));
    (!found).then(|| format!("no heading #{heading} among {known:?}"))
}

#[test]
fn links_lead_somewhere() {
    let root = TestEnv::new().root();
    let texts: BTreeMap<PathBuf, String> = markdown_in(root)
        .into_iter()
        .map(|path| {
            let text = fs::read_to_string(&path).unwrap();
            (path.strip_prefix(root).unwrap().to_owned(), text)
        })
        .collect();
    let (mut checked, mut faults) = (0, Vec::new());
    for (document, text) in &texts {
        for target in links(text) {
            checked += 1;
            if let Some(fault) = fault(root, document, &target, &texts) {
                faults.push(format!("{}: ({target}): {fault}", document.display()));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    assert!(checked > 50, "{checked} links in {} documents", texts.len());
}

/// Every page is in the table of contents: mdBook builds no other.
#[test]
fn the_table_of_contents_is_whole() {
    let root = TestEnv::new().root();
    let summary = fs::read_to_string(root.join(BOOK).join("SUMMARY.md")).unwrap();
    let listed: BTreeSet<String> = links(&summary.replace("    ", "")).into_iter().collect();
    let pages: BTreeSet<String> = markdown_in(&root.join(BOOK))
        .iter()
        .map(|page| page.file_name().unwrap().to_string_lossy().into_owned())
        .filter(|name| name != "SUMMARY.md")
        .collect();
    assert_eq!(listed, pages);
}

#[test]
fn faults_are_found() {
    let root = TestEnv::new().root();
    let document = Path::new("docs/src/start.md");
    let texts = BTreeMap::from([(document.to_owned(), "# One: `two`, three\n".to_owned())]);
    let fault = |target: &str| fault(root, document, target, &texts);
    for target in [
        "https://example.org",
        "#one-two-three",
        "start.md",
        "demo.png",
    ] {
        assert_eq!(fault(target), None, "{target}");
    }
    for target in ["#four", "nothing.md", "../../README.md", "../../../x"] {
        assert!(fault(target).is_some(), "{target}");
    }
    let text = "[a](b) `[c](d)`\n\n    [e](f)\n\n```\n[g](h)\n```\n![i](j#k)\n";
    assert_eq!(links(text), ["b", "j#k"]);
}
