//! Streams of models that remember: what sentences say about time.

use std::time::Duration;

use gst::prelude::*;
use mdetr::{BBox, Detection, Frame, Grounder, GrounderOptions, Past, Query, QueryResult};
use mdetr_scenes::SceneOptions;
use mdetr_scenes::story::{Act, Story, Watch};

use crate::common::{harness, init, model};

const QUERY: &str = "all moving objects";
const CAPS: &str = "video/x-raw,format=RGB,width=320,height=240,framerate=5/1";
const FPS: u64 = 5;
const FRAMES: usize = 15;

fn element() -> gst::Element {
    init();
    gst::ElementFactory::make("mdetr")
        .property("model", model().display().to_string())
        .property("query", QUERY)
        .property("workers", 1u32)
        .build()
        .expect("the plugin is registered")
}

/// A story in which something moves all the time from the fourth frame on.
fn watch() -> Watch {
    let options = SceneOptions::default();
    let seconds: Vec<f64> = (0..FRAMES).map(|n| n as f64 / FPS as f64).collect();
    let watches =
        (0..).map(|seed| Watch::new(Story::new(seed, &options), &seconds, 320, 240, seed));
    let moves = |watch: &Watch| {
        let mover = |i: usize| {
            (3..FRAMES).all(|n| watch.sees(i, n) && watch.holds(Act::Moves, i, n) == Some(true))
        };
        (0..watch.story.objects().len()).any(mover)
    };
    let mut watches = watches.filter(moves);
    watches.next().expect("there is always another seed")
}

fn time(n: usize) -> gst::ClockTime {
    gst::ClockTime::from_seconds(n as u64) / FPS
}

fn buffer(watch: &Watch, n: usize, at: gst::ClockTime) -> gst::Buffer {
    let mut buffer = gst::Buffer::from_slice(watch.instants[n].rendering.rgb.clone());
    let shared = buffer.get_mut().expect("a new buffer");
    shared.set_pts(at);
    shared.set_duration(time(1));
    buffer
}

fn found(harness: &mut gst_check::Harness, buffer: gst::Buffer) -> QueryResult {
    let buffer = harness.push_and_pull(buffer).expect("passes");
    let found = gstmdetr::meta::read(&buffer);
    found[0].grounding.queries[0].clone()
}

fn grounder() -> Grounder {
    let grounder = Grounder::load(model(), GrounderOptions::default()).expect("the bundle");
    let query = Query::parse("q1", QUERY).expect("a valid query");
    grounder.set_queries(vec![query]).expect("encodes");
    grounder
}

#[test]
fn the_element_remembers_as_the_library_does() {
    let (watch, grounder, past) = (watch(), grounder(), Past::new());
    assert!(grounder.remembers());
    let element = element();
    let mut harness = harness(&element, CAPS);
    let mut seen = Vec::new();
    for (n, instant) in watch.instants.iter().enumerate() {
        let frame = Frame::rgb(320, 240, &instant.rendering.rgb).expect("a valid frame");
        let at = Duration::from_nanos(time(n).nseconds());
        let expected = grounder
            .ground_in(&past, at, &frame)
            .expect("the engine runs");
        let result = found(&mut harness, buffer(&watch, n, time(n)));
        assert_eq!(result, expected.queries[0], "frame {n}");
        seen.push(result.detections.len());
    }
    assert_eq!(seen[0], 0, "nothing is known to move in the first frame");
    let later = seen[5..].iter().filter(|&&count| count > 0).count();
    assert!(
        later >= 8,
        "moving objects in {later} of 10 frames: {seen:?}"
    );
}

#[test]
fn a_frame_by_itself_has_no_past() {
    let (watch, grounder) = (watch(), grounder());
    for instant in &watch.instants[5..8] {
        let frame = Frame::rgb(320, 240, &instant.rendering.rgb).expect("a valid frame");
        let alone = grounder.ground(&frame).expect("the engine runs");
        assert_eq!(alone.queries[0].detections, []);
    }
}

/// Frames of before would make standing objects move.
#[test]
fn a_break_is_not_bridged() {
    let watch = watch();
    let begin = |harness: &mut gst_check::Harness| {
        (0..8)
            .map(|n| found(harness, buffer(&watch, n, time(n))))
            .last()
            .expect("eight frames")
    };
    type Break = fn(&mut gst_check::Harness);
    let breaks: [(&str, Break); 3] = [
        ("a flush", |harness| {
            harness.push_event(gst::event::FlushStart::new());
            harness.push_event(gst::event::FlushStop::new(true));
            let segment = gst::FormattedSegment::<gst::ClockTime>::new();
            harness.push_event(gst::event::Segment::new(&segment));
        }),
        ("another segment", |harness| {
            let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
            segment.set_time(gst::ClockTime::from_seconds(100));
            harness.push_event(gst::event::Segment::new(&segment));
        }),
        ("other caps", |harness| {
            harness.set_src_caps_str(&CAPS.replace("5/1", "6/1"))
        }),
    ];
    for (name, interrupt) in breaks {
        let element = element();
        let mut harness = harness(&element, CAPS);
        assert!(
            !begin(&mut harness).detections.is_empty(),
            "something moves"
        );
        interrupt(&mut harness);
        let after = found(&mut harness, buffer(&watch, 8, time(8)));
        assert_eq!(after.detections, [], "after {name}");
    }
}

/// Half of the speed of playback is half of the frames a second, not half of the speed of things.
#[test]
fn time_is_the_streams() {
    let watch = watch();
    let answers = |rate: f64, base: u64| {
        let element = element();
        let mut harness = harness(&element, CAPS);
        let mut segment = gst::FormattedSegment::<gst::ClockTime>::new();
        segment.set_rate(rate);
        segment.set_time(gst::ClockTime::from_seconds(base));
        harness.push_event(gst::event::Segment::new(&segment));
        let frames = 0..FRAMES;
        frames
            .map(|n| found(&mut harness, buffer(&watch, n, time(n))))
            .collect::<Vec<_>>()
    };
    assert_eq!(answers(1.0, 0), answers(0.5, 1000));
}

/// What is out of sight has a box where it was last, and is marked; what is seen is not.
#[test]
fn what_went_behind_something_is_marked_while_it_is_hidden() {
    let seconds: Vec<f64> = (0..40).map(|n| n as f64 / FPS as f64).collect();
    let options = SceneOptions::default();
    let (mut hidden, mut told, mut others, mut wrong) = (0, 0, 0, 0);
    for seed in 0..6 {
        let watch = Watch::new(Story::hiding(seed, &options), &seconds, 320, 240, seed);
        // The first object hides the second.
        let hides = watch.story.objects()[0].words();
        let element = element();
        element.set_property(
            "query",
            format!("[the object] that went behind the {hides}"),
        );
        let mut harness = harness(&element, CAPS);
        let mut boxes: Vec<BBox> = Vec::new();
        for n in 0..watch.instants.len() {
            let result = found(&mut harness, buffer(&watch, n, time(n)));
            let marked = result.detections.iter().filter(|d| d.hidden_ms.is_some());
            let marked: Vec<&Detection> = marked.collect();
            assert!(marked.iter().all(|d| d.mask.is_none()), "it is not seen");
            if watch.sees(1, n) {
                let [x, y, w, h] = watch.instants[n].truth.objects[1].bbox.map(|v| v as f32);
                boxes.push(BBox::from_xyxy(x, y, x + w, y + h));
            }
            match watch.holds(Act::WentBehind(0), 1, n) {
                Some(true) => {
                    hidden += 1;
                    let last = boxes.iter().rev().take(5);
                    let there = last
                        .copied()
                        .any(|b| marked.iter().any(|d| d.bbox.iou(b) > 0.4));
                    told += usize::from(there);
                }
                Some(false) if watch.sees(1, n) => {
                    others += 1;
                    wrong += usize::from(!marked.is_empty());
                }
                _ => {}
            }
        }
    }
    println!("{told} of {hidden} told, {wrong} of {others} wrong");
    assert!(
        hidden > 20 && 10 * told >= 6 * hidden,
        "{told} of {hidden} told"
    );
    assert!(
        10 * wrong <= others,
        "{wrong} of {others} told where it is seen"
    );
}

/// That something has stopped is seen on frames that show what the one before showed.
#[test]
fn a_still_scene_is_inferred_as_often_as_it_is_remembered() {
    let watch = watch();
    let element = element();
    element.set_property("change-threshold", 0.05f32);
    let mut harness = harness(&element, CAPS);
    let mut age = |n: usize| {
        let same = buffer(&watch, 0, time(n));
        let frame = harness.push_and_pull(same).expect("passes");
        gstmdetr::meta::read(&frame)[0].age / time(1)
    };
    let ages: Vec<u64> = (0..7).map(&mut age).collect();
    // Every 0.4 seconds, which are two frames.
    assert_eq!(ages, [0, 1, 0, 1, 0, 1, 0]);
    let stats = element.property::<gst::Structure>("stats");
    let counted = |name| stats.get::<u64>(name).expect("counted");
    assert_eq!((counted("inferred"), counted("unchanged")), (4, 3));
}
