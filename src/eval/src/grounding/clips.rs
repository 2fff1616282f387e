//! Data sets of clips, as `mdetr scenes clips` writes them: `clips.jsonl` beside a directory of frames.

use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use mdetr_grounding::{BBox, Span};
use serde::Deserialize;

use super::dataset::{self, DatasetError, Example, Object};

/// What a directory of clips holds.
const CLIPS: &str = "clips.jsonl";
/// Latest time of a frame, in seconds: a day.
const LATEST: f64 = 86_400.0;

/// A clip: captions, and frames in order of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    /// All captions; they stand for the whole clip.
    pub captions: Vec<String>,
    /// Its frames.
    pub frames: Vec<ClipFrame>,
}

/// A frame of a clip.
#[derive(Debug, Clone, PartialEq)]
pub struct ClipFrame {
    /// The image file.
    pub path: PathBuf,
    /// When it was taken.
    pub time: Duration,
    /// The captions of which it is certain what they refer to here, by their place in the clip's.
    pub examples: Vec<(usize, Example)>,
}

#[derive(Deserialize)]
struct Line {
    frames: Vec<Frame>,
    captions: Vec<Caption>,
}

#[derive(Deserialize)]
struct Frame {
    file: PathBuf,
    time: f64,
    boxes: Vec<Option<[f32; 4]>>,
    #[serde(default)]
    last_boxes: Vec<Vec<[f32; 4]>>,
}

#[derive(Deserialize)]
struct Caption {
    text: String,
    kind: String,
    phrases: Vec<Phrase>,
    known: Vec<bool>,
    answer: Option<Vec<Option<String>>>,
}

#[derive(Deserialize)]
struct Phrase {
    spans: Vec<Span>,
    objects: Vec<Vec<usize>>,
}

/// Whether a directory holds clips.
pub fn has_clips(dir: &Path) -> bool {
    dir.join(CLIPS).is_file()
}

/// Reads the clips in `dir`, at most `limit` of them.
///
/// # Errors
/// The file cannot be read, is too large, or is not in this format.
pub fn read_clips(dir: &Path, limit: Option<usize>) -> Result<Vec<Clip>, DatasetError> {
    let path = dir.join(CLIPS);
    let bytes = dataset::read_bounded(&path)?;
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let lines = lines.filter(|(_, line)| !line.is_empty());
    lines
        .take(limit.unwrap_or(usize::MAX))
        .map(|(number, line)| {
            parse(line, dir).map_err(|message| DatasetError::Format {
                path: path.clone(),
                message: format!("line {}: {message}", number + 1),
            })
        })
        .collect()
}

pub(super) fn parse(line: &[u8], dir: &Path) -> Result<Clip, String> {
    let line: Line = serde_json::from_slice(line).map_err(|e| e.to_string())?;
    let count = line.frames.len();
    for (c, caption) in line.captions.iter().enumerate() {
        let lists = caption.phrases.iter().map(|p| p.objects.len());
        let answers = caption.answer.iter().map(Vec::len);
        let lengths = lists.chain(answers).chain([caption.known.len()]);
        if let Some(found) = lengths.into_iter().find(|&length| length != count) {
            return Err(format!(
                "captions[{c}]: expected a value for each of {count} frames, found {found}"
            ));
        }
    }
    let mut frames: Vec<ClipFrame> = Vec::with_capacity(count);
    for (f, frame) in line.frames.iter().enumerate() {
        let plain = |part: Component| matches!(part, Component::Normal(_));
        if !frame.file.components().all(plain) {
            return Err(format!(
                "frames[{f}].file: expected a path below the data set, found {:?}",
                frame.file
            ));
        }
        let least = frames.last().map_or(0.0, |last| last.time.as_secs_f64());
        if !(least..=LATEST).contains(&frame.time) {
            return Err(format!(
                "frames[{f}].time: expected seconds from {least} to {LATEST}, found {}",
                frame.time
            ));
        }
        let known = line.captions.iter().enumerate().filter(|(_, c)| c.known[f]);
        let examples = known.map(|(c, caption)| Ok((c, caption.at(f, frame)?)));
        frames.push(ClipFrame {
            path: dir.join(&frame.file),
            time: Duration::from_secs_f64(frame.time),
            examples: examples.collect::<Result<_, String>>()?,
        });
    }
    Ok(Clip {
        captions: line.captions.into_iter().map(|c| c.text).collect(),
        frames,
    })
}

impl Caption {
    /// What it refers to in a frame. Of what is hidden there, every box that it had last is an object.
    fn at(&self, f: usize, frame: &Frame) -> Result<Example, String> {
        let mut objects: Vec<(usize, Object)> = Vec::new();
        for phrase in &self.phrases {
            for &object in &phrase.objects[f] {
                let known = objects.iter_mut().filter(|(number, _)| *number == object);
                let mut known = known.peekable();
                if known.peek().is_some() {
                    known.for_each(|(_, object)| object.spans.extend(&phrase.spans));
                    continue;
                }
                let seen = frame.boxes.get(object).copied().flatten();
                let last = frame.last_boxes.get(object).map_or(&[][..], Vec::as_slice);
                let boxes = match &seen {
                    Some(seen) => std::slice::from_ref(seen),
                    None => last,
                };
                if boxes.is_empty() {
                    return Err(format!(
                        "frames[{f}].boxes: expected one of object {object}, or last_boxes, as {:?} refers to it",
                        self.text
                    ));
                }
                objects.extend(boxes.iter().map(|&[x, y, width, height]| {
                    let bbox = BBox {
                        x,
                        y,
                        width,
                        height,
                    };
                    let object_at = Object {
                        bbox,
                        spans: phrase.spans.clone(),
                        mask: None,
                        hidden: seen.is_none(),
                    };
                    (object, object_at)
                }));
            }
        }
        let refers = self.phrases.iter().filter(|p| !p.objects[f].is_empty());
        Ok(Example {
            caption: self.text.clone(),
            kind: self.kind.clone(),
            answer: self.answer.as_ref().and_then(|answers| answers[f].clone()),
            phrases: refers.map(|p| p.spans.clone()).collect(),
            objects: objects.into_iter().map(|(_, object)| object).collect(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"clip": "000000", "size": [8, 8], "objects": [],
        "frames": [{"file": "frames/000000/000.png", "time": 0.5, "boxes": [[1, 2, 3, 4], null]},
                   {"file": "frames/000000/001.png", "time": 0.75, "boxes": [[1, 2, 3, 4], [0, 0, 2, 2]]}],
        "captions": [{"text": "the ball that rolls", "kind": "moves", "known": [true, false],
            "phrases": [{"spans": [[0, 8]], "objects": [[], []]}]},
           {"text": "is the ball moving?", "kind": "ask-moves", "known": [true, true],
            "phrases": [{"spans": [[3, 11]], "objects": [[0], [0, 1]]}], "answer": [null, "yes"]}]}"#;

    fn line() -> String {
        LINE.replace('\n', " ")
    }

    #[test]
    fn what_is_certain_is_an_example() {
        let clip = parse(line().as_bytes(), Path::new("clips")).unwrap();
        assert_eq!(
            clip.captions,
            ["the ball that rolls", "is the ball moving?"]
        );
        let [first, second] = &clip.frames[..] else {
            panic!("two frames, found {}", clip.frames.len())
        };
        assert_eq!(first.path, Path::new("clips/frames/000000/000.png"));
        assert_eq!(second.time, Duration::from_millis(750));
        let numbers = |frame: &ClipFrame| frame.examples.iter().map(|e| e.0).collect::<Vec<_>>();
        assert_eq!((numbers(first), numbers(second)), (vec![0, 1], vec![1]));
        let (_, absent) = &first.examples[0];
        assert!(absent.phrases.is_empty() && absent.objects.is_empty());
        let (_, asked) = &second.examples[0];
        assert_eq!(asked.answer.as_deref(), Some("yes"));
        assert_eq!(asked.objects.len(), 2);
        assert_eq!(asked.objects[1].spans, [Span { start: 3, end: 11 }]);
    }

    #[test]
    fn what_is_hidden_has_the_boxes_that_it_had_last() {
        let hidden = line()
            .replace(
                "[[1, 2, 3, 4], [0, 0, 2, 2]]",
                "[null, [0, 0, 2, 2]], \"last_boxes\": [[[1, 2, 3, 4], [1, 2, 5, 4]], []]",
            )
            .replace("[true, false]", "[true, true]")
            .replace("[[], []]", "[[], [0]]");
        let clip = parse(hidden.as_bytes(), Path::new("clips")).unwrap();
        let (_, example) = &clip.frames[1].examples[0];
        let boxes: Vec<f32> = example.objects.iter().map(|o| o.bbox.width).collect();
        assert_eq!(boxes, [3.0, 5.0], "{example:?}");
        assert!(example.objects.iter().all(|object| object.hidden));
    }

    #[test]
    fn what_is_no_clip_is_refused() {
        let cases = [
            ("frames/000000/001.png", "../../etc/passwd", "a path below"),
            ("frames/000000/001.png", "/etc/passwd", "a path below"),
            ("0.75", "0.25", "frames[1].time"),
            ("0.75", "1e300", "frames[1].time"),
            ("[true, false]", "[true]", "captions[0]"),
            ("[null, \"yes\"]", "[null]", "captions[1]"),
            ("[[0], [0, 1]]", "[[1], [0, 1]]", "frames[0].boxes"),
            ("[[0], [0, 1]]", "[[0], [0, 9]]", "frames[1].boxes"),
        ];
        for (from, to, expected) in cases {
            let broken = line().replace(from, to);
            let message = parse(broken.as_bytes(), Path::new("clips")).unwrap_err();
            assert!(message.contains(expected), "{message}");
        }
        let dir = tempfile::tempdir().unwrap();
        assert!(!has_clips(dir.path()));
        assert!(matches!(
            read_clips(dir.path(), None),
            Err(DatasetError::Read { .. })
        ));
        std::fs::write(dir.path().join(CLIPS), format!("{}\n{{}}\n", line())).unwrap();
        assert!(has_clips(dir.path()));
        let message = read_clips(dir.path(), None).unwrap_err().to_string();
        assert!(message.contains("line 2"), "{message}");
        assert_eq!(read_clips(dir.path(), Some(1)).unwrap().len(), 1);
    }
}
