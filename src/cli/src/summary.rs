//! `mdetr summary`: what a file of mdetr/1 lines says, query by query.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Args;
use mdetr_grounding::lines::{Damage, JsonLines};
use serde::Deserialize;

use crate::output::say;
use crate::{picture, warning};

const SCHEMA: &str = "mdetr/1";
/// Longest line that is read, in bytes.
const MAX_LINE: u64 = 16 << 20;
/// Most damaged lines that are named.
const MAX_DAMAGED: usize = 10;

#[derive(Debug, Args)]
pub struct SummaryArgs {
    /// File of mdetr/1 lines, as `mdetr2json` and `mdetr detect --json` write them; "-" is standard input.
    /// A last line that was cut short is left out, with a warning; so are damaged lines, with exit code 1.
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
    /// Of several `mdetr` elements.
    element: Option<String>,
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
    element: Option<String>,
    text: String,
    frames: usize,
    present: usize,
    detections: usize,
    answers: usize,
    /// Ids that `mdetrtrack` gave.
    tracks: BTreeSet<u64>,
}

impl SummaryArgs {
    /// Exit code 0 if at most a last line was cut short, 1 if other lines were damaged.
    ///
    /// # Errors
    /// The file cannot be read, or no line of it is whole.
    pub fn run(&self) -> Result<ExitCode> {
        let name = picture::name(&self.file);
        let summed = match picture::is_standard_input(&self.file) {
            true => sum(io::stdin().lock()),
            false => File::open(&self.file)
                .map_err(anyhow::Error::from)
                .and_then(|file| sum(BufReader::new(file))),
        };
        let summed = summed.with_context(|| name.clone())?;
        say!("{}", for_people(&name, &summed).trim_end());
        warning::of_cut(&self.file, summed.cut);
        let Some(first) = summed.damaged.first() else {
            return Ok(ExitCode::SUCCESS);
        };
        let count = summed.damaged_count;
        warning::print(&format!(
            "{name}: {count} damaged lines are left out, the first is {first}"
        ));
        for damage in &summed.damaged[1..] {
            warning::print(&format!("{name}: {damage}"));
        }
        Ok(ExitCode::FAILURE)
    }
}

fn for_people(name: &str, summed: &Sum) -> String {
    let mut text = format!("{name}: {} frames\n", summed.frames);
    // Writing to a string cannot fail.
    for t in &summed.tallies {
        let share = 100.0 * t.present as f64 / t.frames as f64;
        let _ = write!(
            text,
            "  {:<10} {:?}: present in {} of {} frames ({share:.0} %), {:.2} boxes a frame",
            match &t.element {
                Some(element) => format!("{element}/{}", t.id),
                None => t.id.clone(),
            },
            t.text,
            t.present,
            t.frames,
            t.detections as f64 / t.frames as f64
        );
        if !t.tracks.is_empty() {
            let _ = write!(text, ", {} tracks", t.tracks.len());
        }
        if t.answers > 0 {
            let _ = write!(text, ", answered in {}", t.answers);
        }
        text.push('\n');
    }
    text
}

/// What the lines of a file say together.
#[derive(Debug, Default)]
struct Sum {
    frames: usize,
    tallies: Vec<Tally>,
    /// The first lines that were left out, at most [`MAX_DAMAGED`], and how many there are.
    damaged: Vec<Damage>,
    damaged_count: usize,
    /// Number of the last line if it was cut short.
    cut: Option<usize>,
}

impl Sum {
    fn leave_out(&mut self, damage: Damage) {
        self.damaged_count += 1;
        if self.damaged.len() < MAX_DAMAGED {
            self.damaged.push(damage);
        }
    }
}

fn sum(reader: impl BufRead) -> Result<Sum> {
    let mut lines = JsonLines::new(reader, MAX_LINE);
    let mut sum = Sum::default();
    while let Some(line) = lines.next_line::<Line>()? {
        match line {
            Ok(line) if line.schema == SCHEMA => {
                sum.frames += 1;
                for entry in line.queries {
                    count(&mut sum.tallies, entry);
                }
            }
            Ok(line) => sum.leave_out(Damage {
                line: lines.line(),
                place: None,
                message: format!("expected schema {SCHEMA}, found {:?}", line.schema),
            }),
            Err(damage) => sum.leave_out(damage),
        }
    }
    sum.cut = lines.cut();
    if let (0, Some(first)) = (sum.frames, sum.damaged.first()) {
        bail!("no line of schema {SCHEMA}; the first that is damaged is {first}");
    }
    Ok(sum)
}

/// A changed text under the same id is another query.
fn count(tallies: &mut Vec<Tally>, entry: Entry) {
    let known = tallies
        .iter()
        .position(|t| t.id == entry.id && t.element == entry.element && t.text == entry.text);
    let index = known.unwrap_or_else(|| {
        tallies.push(Tally {
            id: entry.id,
            element: entry.element,
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
        let sum = sum(FRAME.repeat(3).as_bytes()).unwrap();
        assert_eq!(sum.frames, 3);
        let rows: Vec<_> = sum
            .tallies
            .iter()
            .map(|t| (t.id.as_str(), t.frames, t.present, t.detections, t.answers))
            .collect();
        assert_eq!(
            rows,
            [("q1", 3, 3, 6, 0), ("q2", 3, 0, 0, 0), ("q3", 3, 0, 0, 3)]
        );
        let text = for_people("out.jsonl", &sum);
        assert_eq!(
            text,
            "out.jsonl: 3 frames\n  \
             q1         \"a cube\": present in 3 of 3 frames (100 %), 2.00 boxes a frame\n  \
             q2         \"a cone\": present in 0 of 3 frames (0 %), 0.00 boxes a frame\n  \
             q3         \"how many?\": present in 0 of 3 frames (0 %), 0.00 boxes a frame, answered in 3\n"
        );
    }

    #[test]
    fn elements_with_queries_of_the_same_id_are_told_apart() {
        let of = |element: &str| {
            let named = format!(r#""id":"q1","element":"{element}","revision":1,"#);
            FRAME.replace(r#""id":"q1","#, &named)
        };
        let lines = [of("near"), of("far"), of("near")].concat();
        let summed = sum(lines.as_bytes()).unwrap();
        let text = for_people("f", &summed);
        assert!(
            text.contains(r#"near/q1    "a cube": present in 2 of 2"#),
            "{text}"
        );
        assert!(
            text.contains(r#"far/q1     "a cube": present in 1 of 1"#),
            "{text}"
        );
    }

    #[test]
    fn objects_that_were_followed_are_counted_once() {
        let frame = |a, b| {
            let found = format!(r#"{{"track":{a}}},{{"track":{b},"score":0.5}},{{}}"#);
            FRAME.replace("{},{}", &found)
        };
        let lines = [frame(1, 2), frame(2, 1), frame(2, 5)].concat();
        let tallies = sum(lines.as_bytes()).unwrap().tallies;
        let counts: Vec<usize> = tallies.iter().map(|t| t.tracks.len()).collect();
        assert_eq!(counts, [3, 0, 0]);
        assert_eq!(tallies[0].detections, 9);
    }

    #[test]
    fn lines_that_are_whole_are_summed_up() {
        let whole = [
            FRAME.repeat(2),
            format!("\u{feff}{FRAME}\n\r\n{FRAME}"),
            FRAME.replace('\n', "\r\n").repeat(2),
            FRAME.repeat(2).trim_end().to_owned(),
        ];
        for text in whole {
            let sum = sum(text.as_bytes()).unwrap();
            assert_eq!(
                (sum.frames, sum.damaged_count, sum.cut),
                (2, 0, None),
                "{text:?}"
            );
        }
        let cut = &FRAME[..FRAME.len() / 2];
        let sum_of = |text: &str| sum(text.as_bytes()).unwrap();
        let found = sum_of(&format!("{FRAME}\n{cut}"));
        assert_eq!(
            (found.frames, found.damaged_count, found.cut),
            (1, 0, Some(3))
        );
        // A process that was killed, and one that goes on in the same file.
        let other = FRAME.replace("mdetr/1", "mdetr/9");
        let found = sum_of(&format!("{FRAME}{cut}{FRAME}{FRAME}{other}"));
        assert_eq!((found.frames, found.damaged_count, found.cut), (2, 2, None));
        let lines: Vec<usize> = found.damaged.iter().map(|damage| damage.line).collect();
        assert_eq!(lines, [2, 4]);
        assert_eq!(
            found.damaged[1].to_string(),
            "line 4: expected schema mdetr/1, found \"mdetr/9\""
        );
        assert_eq!(sum_of("").frames, 0);
        let error = sum("no\nlines\n".as_bytes()).unwrap_err().to_string();
        assert!(
            error.contains("no line of schema mdetr/1") && error.contains("line 1"),
            "{error}"
        );
    }
}
