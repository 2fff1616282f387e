//! Frames that are seen once, kept and asked later.

mod common;

use common::{grounder, picture, queries};
use mdetr::seen::{SeenError, SeenHeader, TokenPrecision};
use mdetr::{Error, Frame, Grounder, GrounderOptions};

const TEXTS: [&str; 3] = [
    "a red cube",
    "[a ball] left of a cone",
    "how many cones are there?",
];

#[test]
fn what_is_asked_later_is_answered_as_now() {
    let grounder = grounder();
    grounder.change_settings(|settings| settings.score_threshold = 0.0);
    let asked = grounder.encode(queries(&TEXTS)).unwrap();
    let rgb = picture(320, 240);
    let frame = Frame::rgb(320, 240, &rgb).unwrap();
    let live = grounder.ground_encoded(&frame, &asked).unwrap();
    let seen = grounder.see(&frame).unwrap();
    assert_eq!(seen.frame_size(), (320, 240));
    let runs = grounder.stats().vision_runs;
    for _ in 0..2 {
        assert_eq!(grounder.ask(&seen, &asked).unwrap(), live);
    }
    assert!(live[0].0.detections[0].mask.is_some());
    assert_eq!(grounder.stats().vision_runs, runs, "it is seen once");
    assert_eq!(grounder.stats().frames, 2);
}

/// Masks are drawn of feature maps, which are not stored.
#[test]
fn a_stored_frame_has_boxes_and_answers_and_no_masks() {
    let grounder = grounder();
    grounder.change_settings(|settings| settings.score_threshold = 0.0);
    let asked = grounder.encode(queries(&TEXTS)).unwrap();
    let rgb = picture(320, 240);
    let frame = Frame::rgb(320, 240, &rgb).unwrap();
    let seen = grounder.see(&frame).unwrap();
    let bytes = seen.to_bytes(TokenPrecision::Fp16).unwrap();
    assert_eq!(SeenHeader::read(&bytes).unwrap().frame_size(), (320, 240));
    let stored = grounder.restore(&bytes).unwrap();
    assert_eq!(stored.frame_size(), (320, 240));
    let found = grounder.ask(&stored, &asked).unwrap();
    assert!(!found[0].0.detections.is_empty());
    assert!(found[0].0.detections.iter().all(|d| d.mask.is_none()));
    assert!(found[2].0.answer.is_some());
    assert_eq!(stored.to_bytes(TokenPrecision::Fp16).unwrap(), bytes);
    // No vision plan is made where nothing is seen.
    let other = common::grounder();
    let elsewhere = other.restore(&bytes).unwrap();
    let other_asked = other.encode(queries(&TEXTS)).unwrap();
    other.change_settings(|settings| settings.score_threshold = 0.0);
    assert_eq!(other.ask(&elsewhere, &other_asked).unwrap(), found);
    assert_eq!(other.stats().vision_runs, 0);
}

#[test]
fn a_frame_that_another_bundle_saw_is_refused_with_both_named() {
    let own = grounder();
    let dir = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/official/clevr");
    let other = Grounder::load(dir, GrounderOptions::default()).unwrap();
    let rgb = picture(64, 48);
    let frame = Frame::rgb(64, 48, &rgb).unwrap();
    let seen = other.see(&frame).unwrap();
    let asked = own.encode(queries(&TEXTS)).unwrap();
    let bytes = seen.to_bytes(TokenPrecision::Int8).unwrap();
    let errors = [
        own.ask(&seen, &asked).map(drop),
        own.restore(&bytes).map(drop),
    ];
    let hashes = [&own, &other].map(|g| g.manifest().files["vision.onnx"].sha256.clone());
    for error in errors {
        let error = error.unwrap_err();
        assert!(
            matches!(error, Error::Seen(SeenError::OtherBundle { .. })),
            "{error}"
        );
        let text = error.to_string();
        assert!(hashes.iter().all(|hash| text.contains(hash)), "{text}");
        assert!(text.contains("ask with the bundle that saw it"), "{text}");
    }
    assert!(other.restore(&bytes).is_ok());
}

#[test]
fn bytes_that_are_no_seen_frame_are_refused() {
    let grounder = grounder();
    for bytes in [&b""[..], b"MDETRSEE", b"\x89PNG\r\n\x1a\n and more"] {
        let error = grounder.restore(bytes).unwrap_err();
        assert!(matches!(error, Error::Seen(_)), "{error}");
    }
}

/// What is kept in memory does not keep others waiting for theirs.
#[test]
fn seen_frames_hold_no_share_of_the_memory_that_frames_take() {
    let grounder = common::sized(None, Some(1 << 30));
    let rgb = picture(320, 240);
    let frame = Frame::rgb(320, 240, &rgb).unwrap();
    let held: Vec<_> = (0..40).map(|_| grounder.see(&frame).unwrap()).collect();
    let asked = grounder.standing();
    for seen in &held {
        grounder.ask(seen, &asked).unwrap();
    }
}
