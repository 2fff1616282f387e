//! The messages on the page about troubleshooting are those of the programs.

use std::fs;
use std::path::Path;

use mdetr_tests::TestEnv;

const PAGE: &str = "docs/src/troubleshooting.md";
/// Parts of messages that are shorter than this could be anywhere.
const MIN_PART: usize = 8;

/// The code of a directory's Rust files, with literals as they are printed: quotes without backslashes, and
/// lines joined that a backslash continues.
fn printed(directory: &Path) -> String {
    let mut found = String::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found += &printed(&path);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            let mut joined = true;
            for line in text.lines() {
                let line = line.trim_start();
                let (line, continued) = match line.strip_suffix('\\') {
                    Some(line) => (line, true),
                    None => (line, false),
                };
                if !joined {
                    found.push('\n');
                }
                found += line;
                joined = continued;
            }
        }
    }
    found.replace("\\\"", "\"")
}

/// The first cells of the tables' rows, without the backticks around them.
fn messages(page: &str) -> Vec<&str> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
    let cells = rows.map(|row| row.split_once("` |").expect("a cell that is code").0);
    // Code that has backticks itself is between two of them.
    cells
        .map(|cell| match cell.strip_prefix('`') {
            Some(cell) => cell.trim_end_matches('`').trim(),
            None => cell,
        })
        .collect()
}

#[test]
fn messages_exist() {
    let root = TestEnv::new().root();
    let sources = printed(&root.join("src")) + &printed(&root.join("plugins"));
    let page = fs::read_to_string(root.join(PAGE)).unwrap();
    let messages = messages(&page);
    assert!(messages.len() > 50, "{} messages", messages.len());
    let mut missing = Vec::new();
    for message in messages {
        let parts = message.split('…').map(str::trim);
        let parts: Vec<&str> = parts.filter(|part| part.len() >= MIN_PART).collect();
        if parts.is_empty() {
            missing.push(format!("{message}: too short to be looked for"));
        }
        let lacking = parts.iter().filter(|part| !sources.contains(**part));
        missing.extend(lacking.map(|part| format!("{message}: {part:?}")));
    }
    assert!(missing.is_empty(), "{}", missing.join("\n"));
}
