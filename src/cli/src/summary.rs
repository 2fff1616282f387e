//! `mdetr summary`: what a file of mdetr/1 lines says, query by query.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde::Deserialize;

/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 16 << 20;

#[derive(Debug, Args)]
pub struct SummaryArgs {
    /// File of mdetr/1 lines, as `mdetr2json` and `mdetr detect --json` write them.
    #[arg(value_name = "FILE.jsonl")]
    file: PathBuf,
}

#[derive(Debug, Deserialize)]
struct Line {
    schema: String,
    queries: Vec<Entry>,
}

#[derive(Debug, Deserialize)]
struct Entry {
    id: String,
    text: String,
    #[serde(default)]
    detections: Vec<Detection>,
    answer: Option<serde::de::IgnoredAny>,
}

#[derive(Debug, Deserialize)]
struct Detection {
    track: Option<u64>,
}

/// One query over all frames.
#[derive(Debug, Default, PartialEq)]
struct Tally {
    id: String,
    text: String,
    frames: usize,
    present: usize,
    detections: usize,
    answers: usize,
    /// Ids that `mdetrtrack` gave.
    tracks: BTreeSet<u64>,
}

pub fn run(args: &SummaryArgs) -> Result<()> {
    let (frames, tallies) = read(&args.file)?;
    println!("{}: {frames} frames", args.file.display());
    for t in &tallies {
        let share = 100.0 * t.present as f64 / t.frames as f64;
        print!("  {:<10} {:?}: ", t.id, t.text);
        print!(
            "present in {} of {} frames ({share:.0} %)",
            t.present, t.frames
        );
        print!(
            ", {:.2} boxes a frame",
            t.detections as f64 / t.frames as f64
        );
        if !t.tracks.is_empty() {
            print!(", {} tracks", t.tracks.len());
        }
        match t.answers {
            0 => println!(),
            n => println!(", answered in {n}"),
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<(usize, Vec<Tally>)> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    tally(BufReader::new(file)).with_context(|| path.display().to_string())
}

fn tally(mut reader: impl BufRead) -> Result<(usize, Vec<Tally>)> {
    let mut tallies: Vec<Tally> = Vec::new();
    let mut buffer = Vec::new();
    for number in 1.. {
        buffer.clear();
        let read = reader
            .by_ref()
            .take(MAX_LINE + 1)
            .read_until(b'\n', &mut buffer)?;
        if read == 0 {
            return Ok((number - 1, tallies));
        }
        if read as u64 > MAX_LINE {
            bail!("line {number}: longer than {MAX_LINE} bytes; this is no file of mdetr/1 lines");
        }
        let line: Line = serde_json::from_slice(&buffer)
            .with_context(|| format!("line {number} is not an mdetr/1 line"))?;
        if line.schema != "mdetr/1" {
            bail!(
                "line {number}: expected schema mdetr/1, found {:?}",
                line.schema
            );
        }
        for entry in line.queries {
            count(&mut tallies, entry);
        }
    }
    unreachable!("the line number has no end")
}

/// A changed text under the same id is another query.
fn count(tallies: &mut Vec<Tally>, entry: Entry) {
    let known = tallies
        .iter()
        .position(|t| t.id == entry.id && t.text == entry.text);
    let index = known.unwrap_or_else(|| {
        tallies.push(Tally {
            id: entry.id,
            text: entry.text,
            ..Tally::default()
        });
        tallies.len() - 1
    });
    let tally = &mut tallies[index];
    tally.frames += 1;
    tally.present += usize::from(!entry.detections.is_empty());
    tally.detections += entry.detections.len();
    tally.answers += usize::from(entry.answer.is_some());
    tally
        .tracks
        .extend(entry.detections.iter().filter_map(|found| found.track));
}

#[cfg(test)]
mod tests {
    use super::*;

    const FRAME: &str = concat!(
        r#"{"schema":"mdetr/1","source":"","frame":0,"size":[4,4],"revision":1,"queries":["#,
        r#"{"id":"q1","text":"a cube","present":true,"detections":[{},{}]},"#,
        r#"{"id":"q2","text":"a cone","present":false,"detections":[]},"#,
        r#"{"id":"q3","text":"how many?","answer":{"text":"3","score":1.0}}]}"#,
        "\n"
    );

    #[test]
    fn counts_per_query() {
        let (frames, tallies) = tally(FRAME.repeat(3).as_bytes()).unwrap();
        assert_eq!(frames, 3);
        let rows: Vec<_> = tallies
            .iter()
            .map(|t| (t.id.as_str(), t.frames, t.present, t.detections, t.answers))
            .collect();
        assert_eq!(
            rows,
            [("q1", 3, 3, 6, 0), ("q2", 3, 0, 0, 0), ("q3", 3, 0, 0, 3)]
        );
    }

    #[test]
    fn objects_that_were_followed_are_counted_once() {
        let frame = |a, b| {
            let found = format!(r#"{{"track":{a}}},{{"track":{b},"score":0.5}},{{}}"#);
            FRAME.replace("{},{}", &found)
        };
        let lines = [frame(1, 2), frame(2, 1), frame(2, 5)].concat();
        let (_, tallies) = tally(lines.as_bytes()).unwrap();
        let counts: Vec<usize> = tallies.iter().map(|t| t.tracks.len()).collect();
        assert_eq!(counts, [3, 0, 0]);
        assert_eq!(tallies[0].detections, 9);
    }

    #[test]
    fn a_damaged_line_is_named() {
        let error = tally(format!("{FRAME}{{\"schema\"").as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "line 2 is not an mdetr/1 line");
        let error = tally(FRAME.replace("mdetr/1", "mdetr/9").as_bytes()).unwrap_err();
        assert!(error.to_string().contains("found \"mdetr/9\""), "{error}");
    }
}
