//! Many streams in one process: one model, and turns for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use gst::prelude::*;

use crate::common::{PATIENCE, model, pipeline, stat};

const STREAMS: usize = 16;

/// The time that each frame took from the element's sink pad to its source pad.
fn passages(element: &gst::Element) -> Arc<Mutex<Vec<Duration>>> {
    let entered = Arc::new(Mutex::new(HashMap::new()));
    let passed = Arc::new(Mutex::new(Vec::new()));
    let probe = |pad: &str, note: Box<dyn Fn(gst::ClockTime) + Send + Sync>| {
        let pad = element.static_pad(pad).expect("an always pad");
        pad.add_probe(gst::PadProbeType::BUFFER, move |_, info| {
            let pts = info.buffer().and_then(|buffer| buffer.pts());
            note(pts.expect("a live source stamps its frames"));
            gst::PadProbeReturn::Ok
        });
    };
    let at = entered.clone();
    probe(
        "sink",
        Box::new(move |pts| {
            at.lock().expect("sound").insert(pts, Instant::now());
        }),
    );
    let out = passed.clone();
    probe(
        "src",
        Box::new(move |pts| {
            let entered = entered.lock().expect("sound").remove(&pts);
            let took = entered.expect("each frame came in").elapsed();
            out.lock().expect("sound").push(took);
        }),
    );
    passed
}

#[test]
fn sixteen_live_streams_share_a_model_and_the_processors() {
    let model = model();
    // With an option that no other test has, the model is shared with no other test.
    let own = tempfile::tempdir().expect("a writable temporary directory");
    let streams: String = (0..STREAMS)
        .map(|n| {
            format!(
                "tabletopsrc is-live=true seed={n} ! video/x-raw,width=96,height=72,framerate=15/1
                 ! mdetr name=stream{n} model=\"{}\" plan-cache-dir=\"{}\" mode=live query=\"a red cube\"
                 ! fakesink sync=false ",
                model.display(),
                own.path().display()
            )
        })
        .collect();
    let pipeline = pipeline(&streams);
    let elements: Vec<gst::Element> = (0..STREAMS)
        .map(|n| pipeline.by_name(&format!("stream{n}")).expect("named"))
        .collect();
    let passed: Vec<_> = elements.iter().map(passages).collect();
    pipeline.set_state(gst::State::Playing).expect("plays");
    let inferred = || -> Vec<u64> {
        let count = |element| stat::<u64>(element, "inferred");
        elements.iter().map(count).collect()
    };
    let begun = Instant::now();
    let wait_until = |enough: &dyn Fn(&[u64]) -> bool| loop {
        let counts = inferred();
        if enough(&counts) {
            break counts;
        }
        assert!(begun.elapsed().as_secs() < PATIENCE.seconds(), "{counts:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    // Once all are under way.
    let before = wait_until(&|counts| counts.iter().all(|&count| count >= 3));
    let total: u64 = before.iter().sum();
    let after = wait_until(&|counts| counts.iter().sum::<u64>() >= total + 20 * STREAMS as u64);
    let users: Vec<u64> = elements.iter().map(|e| stat(e, "model-users")).collect();
    let skipped: u64 = elements.iter().map(|e| stat::<u64>(e, "skipped")).sum();
    pipeline.set_state(gst::State::Null).expect("stops");

    assert_eq!(users, vec![STREAMS as u64; STREAMS]);
    assert!(skipped > 0, "not the overload this is about");
    let shares: Vec<u64> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
    let (least, most) = (shares.iter().min(), shares.iter().max());
    let (least, most) = (least.expect("sixteen"), most.expect("sixteen"));
    // A tenth, and the inference that has just ended or not.
    assert!(most - least <= most / 10 + 1, "{shares:?}");
    for (element, passed) in elements.iter().zip(&passed) {
        let passed = passed.lock().expect("sound").len() as u64;
        assert_eq!(passed, stat::<u64>(element, "frames"), "a frame was held");
    }
    let mut passed: Vec<Duration> = passed
        .iter()
        .flat_map(|passed| passed.lock().expect("sound").clone())
        .collect();
    passed.sort_unstable();
    println!(
        "shares {shares:?}; through the element: median {:?}, p99 {:?}, longest {:?} of {} frames",
        passed[passed.len() / 2],
        passed[passed.len() * 99 / 100],
        passed[passed.len() - 1],
        passed.len()
    );
}
