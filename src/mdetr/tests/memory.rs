//! What a frame may cost: said before anything runs, about as much as it takes.

mod common;

use common::{picture, queries, sized};
use mdetr::frame::FrameError;
use mdetr::{Error, Frame, PixelFormat, Plane};

/// What a refused frame would have needed, and how that is said.
fn refused<T: std::fmt::Debug>(result: Result<T, Error>) -> (u64, u64, String) {
    let error = result.unwrap_err();
    let message = error.to_string();
    match error {
        Error::Frame(FrameError::Memory { needed, limit, .. }) => (needed, limit, message),
        other => panic!("{other}"),
    }
}

/// Attention over 83,500 tokens: 111 GB for the scores of one layer.
#[test]
fn an_absurd_short_side_is_refused_before_anything_runs() {
    let grounder = sized(Some(4000), Some(16 << 30));
    let rgb = picture(640, 480);
    let frame = Frame::rgb(640, 480, &rgb).unwrap();
    let found = [
        refused(grounder.ground(&frame)),
        refused(common::outputs(&grounder, &frame)),
        refused(grounder.prepare(640, 480)),
        refused(grounder.rehearse(640, 480)),
    ];
    let (needed, limit, message) = &found[0];
    assert!(*needed > 200 << 30 && *limit == 16 << 30);
    for part in [
        "640x480",
        "5333x4000",
        "83500",
        "GiB",
        "16.0 GiB",
        "a smaller short-side",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    assert!(found.iter().all(|refused| refused == &found[0]));
    assert_eq!(grounder.stats().vision_runs, 0);
    let small = picture(1, 1);
    let thin = grounder.ground(&Frame::rgb(1, 1, &small).unwrap());
    refused(thin);
}

#[test]
fn a_machine_without_so_much_memory_refuses_by_itself() {
    let (needed, limit, _) = refused(sized(Some(16000), None).prepare(640, 480));
    assert!(needed > limit && limit > 1 << 28, "{needed} {limit}");
}

#[test]
fn queries_change_after_a_refusal_and_other_sizes_are_answered() {
    let grounder = sized(None, Some(100 << 20));
    let huge = vec![90; 16384 * 4096];
    let gray = |width: u32, height: u32| {
        let plane = Plane {
            data: &huge,
            stride: width as usize,
        };
        Frame::new(PixelFormat::Gray8, width, height, &[plane]).unwrap()
    };
    let small = grounder.ground(&gray(320, 240)).unwrap();
    assert_eq!(small.queries.len(), 1);
    // The network is fed 341 x 85 pixels of it, but a mask has the size of the frame.
    let (needed, ..) = refused(grounder.ground(&gray(16384, 4096)));
    assert!(needed >= 4 * 16384 * 4096);
    grounder.set_queries(queries(&["a ball"])).unwrap();
    assert_eq!(grounder.ground(&gray(320, 240)).unwrap().revision, 2);
    grounder.change_settings(|settings| settings.masks = false);
    assert_eq!(
        grounder.ground(&gray(16384, 4096)).unwrap().queries.len(),
        1
    );
}
