//! Frames that were kept, asked against the same frames live: on scenes that the bundled model has not seen.
//!
//! `MDETR_TEST_SCENES=500` asks more of them than the suite has time for.

use std::thread;

use mdetr::seen::TokenPrecision;
use mdetr::{BBox, Encoded, Frame, Grounder, GrounderOptions, Query, RawOutputs, Span};
use mdetr_eval::grounding::{hit_at, rank, tokens_of_spans};
use mdetr_scenes::dataset::{DatasetOptions, Sample, sample};
use mdetr_scenes::{GroundedPhrase, Mix, SceneOptions};

const SCENES: usize = 24;
const PRECISIONS: [TokenPrecision; 2] = [TokenPrecision::Fp16, TokenPrecision::Int8];
/// What stored frames differ by from live ones.
#[derive(Debug, Clone, Copy, Default)]
struct Difference {
    /// Of a detection's score.
    score: f32,
    /// Of a side of a detection's box, in pixels.
    pixels: f32,
    /// Of the score of any object query, most of which find nothing.
    any_score: f32,
    /// Object queries whose score differs by more than 0.005, and all of them.
    differ: usize,
    queries: usize,
    /// Object queries that are a detection live and not stored, or the reverse.
    changed: usize,
    detections: usize,
    /// Phrases whose first box hits.
    hits: usize,
    phrases: usize,
    bytes: usize,
}

impl Difference {
    fn add(&mut self, other: &Difference) {
        self.score = self.score.max(other.score);
        self.pixels = self.pixels.max(other.pixels);
        self.any_score = self.any_score.max(other.any_score);
        self.differ += other.differ;
        self.queries += other.queries;
        self.changed += other.changed;
        self.detections += other.detections;
        self.hits += other.hits;
        self.phrases += other.phrases;
        self.bytes += other.bytes;
    }

    fn recall(&self) -> f64 {
        self.hits as f64 / self.phrases as f64
    }
}

/// Live, then in each precision.
type Differences = [Difference; 1 + PRECISIONS.len()];

#[test]
fn stored_frames_are_answered_as_live_ones() {
    let scenes =
        std::env::var("MDETR_TEST_SCENES").map_or(SCENES, |n| n.parse().expect("a number"));
    let model = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/tabletop");
    // Boxes around masks, which are not kept, would be tighter live.
    let options = GrounderOptions {
        masks: false,
        ..GrounderOptions::default()
    };
    let grounder = Grounder::load(model, options).unwrap();
    let options = DatasetOptions {
        count: scenes,
        seed: 424_242,
        scene: SceneOptions::default(),
        captions: 4,
        mix: Mix::training(),
        masks: false,
        overwrite: false,
    };
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let mut all = Differences::default();
    thread::scope(|scope| {
        let (grounder, options) = (&grounder, &options);
        let work = |first| {
            let mut found = Differences::default();
            for index in (first..scenes).step_by(threads) {
                compare(grounder, &sample(options, index), &mut found);
            }
            found
        };
        let threads: Vec<_> = (0..threads)
            .map(|first| scope.spawn(move || work(first)))
            .collect();
        for thread in threads {
            let found = thread.join().expect("no thread panics");
            all.iter_mut()
                .zip(&found)
                .for_each(|(all, found)| all.add(found));
        }
    });
    let [live, fp16, int8] = all;
    for (name, found) in [("live", live), ("fp16", fp16), ("int8", int8)] {
        println!(
            "{name}: R@1 {:.2} % of {} phrases, {} bytes a frame; of {} detections {} came or went, \
             scores within {:.4}, boxes within {:.2} pixels; of {} object queries {} differ by more than \
             0.005, at most {:.4}",
            100.0 * found.recall(),
            found.phrases,
            found.bytes / scenes,
            found.detections,
            found.changed,
            found.score,
            found.pixels,
            found.queries,
            found.differ,
            found.any_score,
        );
    }
    assert!(live.phrases >= scenes && live.recall() > 0.85, "{live:?}");
    assert!(fp16.score <= 0.005 && fp16.pixels <= 0.5, "{fp16:?}");
    // A phrase more or less, where they are few.
    let slack = (0.003 * int8.phrases as f64).max(1.0);
    let lost = live.hits.abs_diff(int8.hits);
    assert!(lost as f64 <= slack, "{lost} of {}: {int8:?}", live.phrases);
    assert!(int8.bytes < fp16.bytes);
}

fn compare(grounder: &Grounder, sample: &Sample, found: &mut Differences) {
    let rendering = &sample.rendering;
    let (width, height) = (rendering.width, rendering.height);
    let frame = Frame::rgb(width, height, &rendering.rgb).unwrap();
    let texts = sample.captions.iter().enumerate();
    let queries = texts.map(|(i, caption)| Query::literal(i.to_string(), &caption.text).unwrap());
    let asked = grounder.encode(queries.collect()).unwrap();
    let seen = grounder.see(&frame).unwrap();
    let live = outputs(grounder, &seen, &asked);
    let threshold = grounder.settings().score_threshold;
    recall(sample, &live, &mut found[0]);
    for (precision, found) in PRECISIONS.into_iter().zip(&mut found[1..]) {
        let bytes = seen.to_bytes(precision).unwrap();
        let stored = grounder.restore(&bytes).unwrap();
        let stored = outputs(grounder, &stored, &asked);
        found.bytes += bytes.len();
        recall(sample, &stored, found);
        for (live, stored) in live.iter().zip(&stored) {
            let pairs = scores(live).into_iter().zip(scores(stored));
            let boxes = boxes(live, (width, height))
                .into_iter()
                .zip(boxes(stored, (width, height)));
            for ((live, stored), (live_box, stored_box)) in pairs.zip(boxes) {
                let difference = (live - stored).abs();
                found.any_score = found.any_score.max(difference);
                found.differ += usize::from(difference > 0.005);
                found.queries += 1;
                found.changed += usize::from((live > threshold) != (stored > threshold));
                if live > threshold {
                    found.detections += 1;
                    found.score = found.score.max(difference);
                    found.pixels = found.pixels.max(apart(live_box, stored_box));
                }
            }
        }
    }
}

fn outputs(grounder: &Grounder, seen: &mdetr::Seen, asked: &Encoded) -> Vec<RawOutputs> {
    let found = grounder.ask(seen, asked).unwrap();
    found.into_iter().map(|(_, outputs)| outputs).collect()
}

fn scores(outputs: &RawOutputs) -> Vec<f32> {
    let rows = outputs.probabilities();
    rows.iter()
        .map(|row| 1.0 - row.last().expect("slots"))
        .collect()
}

fn boxes(outputs: &RawOutputs, (width, height): (u32, u32)) -> Vec<BBox> {
    let (w, h) = (width as f32, height as f32);
    let pixels = |b: &[f32; 4]| BBox::from_cxcywh(b[0] * w, b[1] * h, b[2] * w, b[3] * h);
    outputs.boxes.iter().map(pixels).collect()
}

/// The largest distance of a side from the other box's.
fn apart(a: BBox, b: BBox) -> f32 {
    let sides = |b: BBox| [b.x, b.y, b.x + b.width, b.y + b.height];
    let pairs = sides(a).into_iter().zip(sides(b));
    pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn recall(sample: &Sample, outputs: &[RawOutputs], found: &mut Difference) {
    for (caption, outputs) in sample.captions.iter().zip(outputs) {
        let probabilities = outputs.probabilities();
        let boxes = boxes(outputs, (sample.truth.width, sample.truth.height));
        for GroundedPhrase { spans, objects } in &caption.phrases {
            let span = |&(start, end): &(u32, u32)| Span { start, end };
            let spans: Vec<Span> = spans.iter().map(span).collect();
            let tokens = tokens_of_spans(&outputs.tokens, &spans);
            let truth: Vec<BBox> = objects.iter().map(|&i| truth_box(sample, i)).collect();
            if truth.is_empty() {
                continue;
            }
            found.phrases += 1;
            let ranked = rank(&probabilities, &tokens);
            found.hits += usize::from(hit_at(&ranked, &boxes, &truth, 1));
        }
    }
}

fn truth_box(sample: &Sample, object: usize) -> BBox {
    let [x, y, width, height] = sample.truth.objects[object].bbox.map(|side| side as f32);
    BBox {
        x,
        y,
        width,
        height,
    }
}
