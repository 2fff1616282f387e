//! Multiple object tracking: CLEAR-MOT (Bernardin and Stiefelhagen, 2008) and IDF1 (Ristani et al.,
//! 2016), at an intersection over union of at least 0.5.
//!
//! | number | is |
//! |---|---|
//! | MOTA | 1 - (misses + false positives + switches) / objects, summed over the frames |
//! | switches | times that an object is continued by another track than the one it was matched with last |
//! | IDF1 | F1 of boxes, where each object of the truth may be one track and each track one object, chosen such that most boxes agree |
//!
//! In a frame, matches of the frame before go on while they overlap enough; the others are assigned
//! such that the sum of the overlaps is greatest. Boxes without an identity do not count.
//!
//! The truth are the JSON lines of `mdetr scenes video --truth` (`frame`, `objects` with `object` and
//! `bbox`, x, y, width, height); the tracks are lines of the schema `mdetr/1`, the detections of all
//! queries together. Frames are matched by `frame`; those that have no tracks have none. A last line
//! that was cut short is left out ([`Tracks::cut`]); any other line that is damaged is an error.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use pathfinding::kuhn_munkres::kuhn_munkres;
use pathfinding::matrix::Matrix;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::geometry::Bbox;
use crate::table::{Table, percent};
use mdetr_grounding::lines::JsonLines;

/// Least overlap of a track with its object.
pub const IOU_THRESHOLD: f64 = 0.5;
/// Largest file that is read.
const MAX_BYTES: u64 = 1 << 30;
/// Longest line that is read.
const MAX_LINE: u64 = 64 << 20;
/// Weight of an overlap of 1 where overlaps are compared as whole numbers.
const WHOLE: f64 = 1e9;

/// The boxes of one frame, each with its identity.
pub type Frame = Vec<(u64, Bbox)>;

/// Boxes with identities by frame.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Tracks {
    /// By the number of the frame.
    pub frames: BTreeMap<u64, Frame>,
    /// Number of the file's last line if it was cut short; its frame is left out.
    pub cut: Option<usize>,
}

#[derive(Deserialize)]
struct TruthLine {
    frame: u64,
    objects: Vec<TruthObject>,
}

#[derive(Deserialize)]
struct TruthObject {
    object: u64,
    bbox: [f64; 4],
}

#[derive(Deserialize)]
struct FoundLine {
    frame: u64,
    queries: Vec<FoundQuery>,
}

#[derive(Deserialize)]
struct FoundQuery {
    #[serde(default)]
    detections: Vec<FoundDetection>,
}

#[derive(Deserialize)]
struct FoundDetection {
    #[serde(rename = "box")]
    bbox: [f64; 4],
    track: Option<u64>,
}

impl Tracks {
    /// Reads what `mdetr scenes video --truth` writes.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not of this form.
    pub fn read_truth(path: &Path) -> Result<Tracks, Error> {
        let frame = |line: TruthLine| {
            let objects = line.objects.into_iter();
            let boxes = objects.map(|o| (o.object, Bbox::from_xywh(o.bbox)));
            (line.frame, boxes.collect())
        };
        Tracks::read(path, frame)
    }

    /// Reads what `mdetr2json` writes; detections without a track are left out.
    ///
    /// # Errors
    /// The file cannot be read, or a line is not of this form.
    pub fn read_found(path: &Path) -> Result<Tracks, Error> {
        let frame = |line: FoundLine| {
            let detections = line.queries.into_iter().flat_map(|query| query.detections);
            let boxes = detections.filter_map(|d| Some((d.track?, Bbox::from_xywh(d.bbox))));
            (line.frame, boxes.collect())
        };
        Tracks::read(path, frame)
    }

    fn read<L: DeserializeOwned>(
        path: &Path,
        frame: impl Fn(L) -> (u64, Frame),
    ) -> Result<Tracks, Error> {
        let read = |source| Error::Read {
            path: path.to_owned(),
            source,
        };
        let format = |place: String, message: String| Error::Format {
            path: path.to_owned(),
            place,
            message,
        };
        let file = File::open(path).map_err(read)?;
        let mut lines = JsonLines::new(BufReader::new(file), MAX_LINE);
        let mut tracks = Tracks::default();
        while let Some(line) = lines.next_line().map_err(read)? {
            if lines.bytes() > MAX_BYTES {
                return Err(Error::TooLarge {
                    path: path.to_owned(),
                    limit: MAX_BYTES,
                });
            }
            let line = line.map_err(|damage| {
                let message = format!(
                    "{}; remove this line, or write the file again",
                    damage.message
                );
                format(damage.at(), message)
            })?;
            let (number, boxes) = frame(line);
            if tracks.frames.insert(number, boxes).is_some() {
                let place = format!("line {}", lines.line());
                return Err(format(place, format!("frame {number} comes twice")));
            }
        }
        tracks.cut = lines.cut();
        Ok(tracks)
    }
}

/// What the evaluation gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// Frames of the truth.
    pub frames: u64,
    /// Boxes of the truth.
    pub objects: u64,
    /// Boxes with an identity that were found.
    pub found: u64,
    /// Boxes of the truth that no track matched.
    pub misses: u64,
    /// Boxes found that match no object.
    pub false_positives: u64,
    /// Changes of an object's track.
    pub switches: u64,
    /// Multiple object tracking accuracy, at most 1, below 0 if most is wrong.
    pub mota: Option<f64>,
    /// F1 of identities.
    pub idf1: Option<f64>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new([
            "frames", "objects", "MOTA", "IDF1", "switches", "misses", "false",
        ]);
        table.row([
            self.frames.to_string(),
            self.objects.to_string(),
            percent(self.mota),
            percent(self.idf1),
            self.switches.to_string(),
            self.misses.to_string(),
            self.false_positives.to_string(),
        ]);
        table.fmt(f)
    }
}

/// Scores tracks. Frames that the truth does not have are ignored.
pub fn evaluate(truth: &Tracks, found: &Tracks) -> Report {
    let nothing = Frame::new();
    let mut report = Report {
        frames: 0,
        objects: 0,
        found: 0,
        misses: 0,
        false_positives: 0,
        switches: 0,
        mota: None,
        idf1: None,
    };
    // The track of each object where it was matched last, and whether that was in the frame before.
    let mut last: HashMap<u64, (u64, bool)> = HashMap::new();
    let mut together: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    for (number, objects) in &truth.frames {
        let tracks = found.frames.get(number).unwrap_or(&nothing);
        report.frames += 1;
        report.objects += objects.len() as u64;
        report.found += tracks.len() as u64;
        for (object, bbox) in objects {
            for (track, other) in tracks {
                if bbox.iou(*other) >= IOU_THRESHOLD {
                    *together.entry((*object, *track)).or_default() += 1;
                }
            }
        }
        let pairs = matches(objects, tracks, &last);
        last.values_mut().for_each(|(_, before)| *before = false);
        for &(object, track) in &pairs {
            if let Some((other, _)) = last.insert(object, (track, true)) {
                report.switches += u64::from(other != track);
            }
        }
        report.misses += (objects.len() - pairs.len()) as u64;
        report.false_positives += (tracks.len() - pairs.len()) as u64;
    }
    if report.objects > 0 {
        let wrong = report.misses + report.false_positives + report.switches;
        report.mota = Some(1.0 - wrong as f64 / report.objects as f64);
    }
    let boxes = report.objects + report.found;
    if boxes > 0 {
        report.idf1 = Some(2.0 * agreeing(&together) as f64 / boxes as f64);
    }
    report
}

/// Pairs of object and track in one frame.
fn matches(objects: &Frame, tracks: &Frame, last: &HashMap<u64, (u64, bool)>) -> Vec<(u64, u64)> {
    let mut pairs = Vec::new();
    let mut free_tracks: Vec<&(u64, Bbox)> = tracks.iter().collect();
    let mut free_objects = Vec::new();
    for object @ (id, bbox) in objects {
        let continued = last
            .get(id)
            .filter(|(_, before)| *before)
            .and_then(|(track, _)| {
                free_tracks
                    .iter()
                    .position(|(t, other)| t == track && bbox.iou(*other) >= IOU_THRESHOLD)
            });
        match continued {
            Some(at) => pairs.push((*id, free_tracks.remove(at).0)),
            None => free_objects.push(object),
        }
    }
    let overlap = |object: usize, track: usize| {
        let overlap = free_objects[object].1.iou(free_tracks[track].1);
        if overlap >= IOU_THRESHOLD {
            (overlap * WHOLE) as i64
        } else {
            0
        }
    };
    let chosen = assign(free_objects.len(), free_tracks.len(), overlap);
    pairs.extend(
        chosen
            .into_iter()
            .map(|(object, track)| (free_objects[object].0, free_tracks[track].0)),
    );
    pairs
}

/// Boxes that agree under the best one-to-one choice of track and object.
fn agreeing(together: &BTreeMap<(u64, u64), u64>) -> u64 {
    let ids = |id: fn(&(u64, u64)) -> u64| {
        let mut ids: Vec<u64> = together.keys().map(id).collect();
        ids.sort_unstable();
        ids.dedup();
        ids
    };
    let (objects, tracks) = (ids(|key| key.0), ids(|key| key.1));
    let count = |object: usize, track: usize| {
        let key = (objects[object], tracks[track]);
        together.get(&key).map_or(0, |&count| count as i64)
    };
    assign(objects.len(), tracks.len(), count)
        .into_iter()
        .map(|(object, track)| count(object, track) as u64)
        .sum()
}

/// Pairs of row and column, each once, with the greatest sum of weights, none of which is 0.
fn assign(
    rows: usize,
    columns: usize,
    weight: impl Fn(usize, usize) -> i64,
) -> Vec<(usize, usize)> {
    if rows == 0 || columns == 0 {
        return Vec::new();
    }
    let weights = Matrix::from_fn(rows, columns.max(rows), |(row, column)| {
        if column < columns {
            weight(row, column)
        } else {
            0
        }
    });
    let (_, chosen) = kuhn_munkres(&weights);
    let pairs = chosen.into_iter().enumerate();
    pairs.filter(|&pair| weights[pair] > 0).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tracks(frames: &[&[(u64, f64)]]) -> Tracks {
        let bbox = |&(id, x): &(u64, f64)| (id, Bbox::from_xywh([x, 0.0, 10.0, 10.0]));
        let frames = frames.iter().enumerate();
        Tracks {
            frames: frames
                .map(|(n, boxes)| (n as u64, boxes.iter().map(bbox).collect()))
                .collect(),
            cut: None,
        }
    }

    #[test]
    fn perfect_tracks() {
        let truth = tracks(&[&[(0, 0.0), (1, 50.0)], &[(0, 2.0)], &[(0, 4.0), (1, 50.0)]]);
        let report = evaluate(&truth, &truth);
        assert_eq!((report.mota, report.idf1), (Some(1.0), Some(1.0)));
        assert_eq!((report.frames, report.objects, report.switches), (3, 5, 0));
    }

    #[test]
    fn a_switch_a_miss_and_a_false_positive() {
        let truth = tracks(&[&[(0, 0.0)], &[(0, 0.0)], &[(0, 0.0)], &[(0, 0.0)]]);
        // Found; found by another track; missed, and something that is not there; found again.
        let found = tracks(&[&[(7, 0.0)], &[(8, 1.0)], &[(8, 90.0)], &[(8, 0.0)]]);
        let report = evaluate(&truth, &found);
        assert_eq!(
            (report.switches, report.misses, report.false_positives),
            (1, 1, 1)
        );
        assert_eq!(report.mota, Some(1.0 - 3.0 / 4.0));
        // Track 8 agrees in two of four boxes each.
        assert_eq!(report.idf1, Some(2.0 * 2.0 / 8.0));
    }

    #[test]
    fn a_match_goes_on_though_another_fits_better() {
        let truth = tracks(&[&[(0, 0.0)], &[(0, 0.0)]]);
        let found = tracks(&[&[(7, 0.0)], &[(7, 3.0), (8, 0.0)]]);
        let report = evaluate(&truth, &found);
        assert_eq!((report.switches, report.false_positives), (0, 1));
    }

    #[test]
    fn crossing_identities() {
        let truth = tracks(&[&[(0, 0.0), (1, 50.0)], &[(0, 50.0), (1, 0.0)]]);
        let found = tracks(&[&[(7, 0.0), (8, 50.0)], &[(7, 0.0), (8, 50.0)]]);
        let report = evaluate(&truth, &found);
        assert_eq!((report.switches, report.misses), (2, 0));
        assert_eq!(report.mota, Some(0.5));
        assert_eq!(report.idf1, Some(0.5));
    }

    #[test]
    fn nothing_is_no_number() {
        let report = evaluate(&Tracks::default(), &Tracks::default());
        assert_eq!((report.mota, report.idf1), (None, None));
        let truth = tracks(&[&[(0, 0.0)]]);
        let report = evaluate(&truth, &Tracks::default());
        assert_eq!((report.mota, report.idf1), (Some(0.0), Some(0.0)));
    }
}
