//! What is to be drawn, free of where it came from.

use mdetr_grounding::{Detection, Grounding, QueryResult, Rle};

use crate::shapes::{LineMark, ZoneMark};

/// One box with its words.
#[derive(Debug, Clone, PartialEq)]
pub struct Mark {
    /// Marks with the same key have the same colour; for a detection, the query's id.
    pub key: String,
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// The words, plain text in any script; may be empty.
    pub label: String,
    /// How sure, 0 to 1.
    pub score: Option<f32>,
    /// Identity over time.
    pub track: Option<u64>,
    /// Its pixels: a mask that covers the whole frame, at any resolution.
    pub mask: Option<Rle>,
}

/// A line in the corner of the picture.
#[derive(Debug, Clone, PartialEq)]
pub struct LegendLine {
    /// Gives the colour, as in [`Mark::key`].
    pub key: String,
    /// The words.
    pub text: String,
    /// The line says that something was not found; drawn only if the style asks for it.
    pub absent: bool,
}

/// Marks and legend of one frame, in the coordinates of a frame of a given size.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Drawing {
    pub(crate) width: f64,
    pub(crate) height: f64,
    pub(crate) keys: Vec<String>,
    pub(crate) marks: Vec<Mark>,
    pub(crate) legend: Vec<LegendLine>,
    pub(crate) zones: Vec<ZoneMark>,
    pub(crate) lines: Vec<LineMark>,
}

impl Drawing {
    /// Nothing yet, on a frame of `width` x `height`. Other picture sizes are reached by scaling.
    pub fn new(width: f64, height: f64) -> Drawing {
        Drawing {
            width,
            height,
            ..Drawing::default()
        }
    }

    /// Adds a box.
    pub fn with_mark(mut self, mark: Mark) -> Drawing {
        self.add_key(&mark.key);
        self.marks.push(mark);
        self
    }

    /// Adds a legend line.
    pub fn with_legend(mut self, line: LegendLine) -> Drawing {
        self.add_key(&line.key);
        self.legend.push(line);
        self
    }

    /// Adds a zone.
    pub fn with_zone(mut self, zone: ZoneMark) -> Drawing {
        self.zones.push(zone);
        self
    }

    /// Adds a line across which things go.
    pub fn with_line(mut self, line: LineMark) -> Drawing {
        self.lines.push(line);
        self
    }

    /// The same with keys of its own, other than those of any other `group`: queries of several detectors may
    /// have the same ids.
    pub fn in_group(mut self, group: &str) -> Drawing {
        let marks = self.marks.iter_mut().map(|mark| &mut mark.key);
        let legend = self.legend.iter_mut().map(|line| &mut line.key);
        for key in self.keys.iter_mut().chain(marks).chain(legend) {
            *key = format!("{group}/{key}");
        }
        self
    }

    /// Whether there is nothing to draw.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
            && self.legend.is_empty()
            && self.zones.is_empty()
            && self.lines.is_empty()
    }

    /// Adds everything of `other`, scaled to this drawing's frame.
    pub fn append(&mut self, other: Drawing) {
        let (sx, sy) = (self.width / other.width, self.height / other.height);
        for key in &other.keys {
            self.add_key(key);
        }
        self.marks.extend(other.marks.into_iter().map(|mark| Mark {
            x: mark.x * sx,
            y: mark.y * sy,
            width: mark.width * sx,
            height: mark.height * sy,
            ..mark
        }));
        self.legend.extend(other.legend);
        self.zones.extend(other.zones);
        self.lines.extend(other.lines);
    }

    fn add_key(&mut self, key: &str) {
        if !self.keys.iter().any(|k| k == key) {
            self.keys.push(key.to_owned());
        }
    }
}

impl From<&Grounding> for Drawing {
    fn from(grounding: &Grounding) -> Drawing {
        let mut drawing = Drawing::new(f64::from(grounding.width), f64::from(grounding.height));
        for result in &grounding.queries {
            let id = result.query.id();
            // Every query takes a colour, found or not, so that colours do not change as objects come and go.
            drawing.add_key(id);
            drawing
                .marks
                .extend(result.detections.iter().map(|found| mark(result, found)));
            drawing.legend.extend(legend_line(result));
        }
        drawing
    }
}

fn mark(result: &QueryResult, found: &Detection) -> Mark {
    let label = if found.phrases.is_empty() {
        result.query.text().to_owned()
    } else {
        let phrases: Vec<&str> = found.phrases.iter().map(|p| p.text.as_str()).collect();
        phrases.join(", ")
    };
    let label = match found.hidden_ms {
        Some(_) => format!("{label} (hidden)"),
        None => label,
    };
    Mark {
        key: result.query.id().to_owned(),
        x: f64::from(found.bbox.x),
        y: f64::from(found.bbox.y),
        width: f64::from(found.bbox.width),
        height: f64::from(found.bbox.height),
        label,
        score: Some(found.score),
        track: found.track,
        mask: found.mask.clone(),
    }
}

fn legend_line(result: &QueryResult) -> Option<LegendLine> {
    let query = &result.query;
    match &result.answer {
        Some(answer) => Some(LegendLine {
            key: query.id().to_owned(),
            text: format!("{} {}", query.text(), answer.text),
            absent: false,
        }),
        None if !result.present() => Some(LegendLine {
            key: query.id().to_owned(),
            text: format!("not seen: {}", query.text()),
            absent: true,
        }),
        None => None,
    }
}
