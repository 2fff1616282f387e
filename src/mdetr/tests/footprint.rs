//! What a frame takes, against the estimate of it: one test, as the peak is that of the process.

mod common;

use std::fs;

use common::{picture, sized};
use mdetr::frame::FrameError;
use mdetr::{Error, Frame};

/// Most bytes that this process has had in memory so far.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kibibytes << 10
}

#[test]
fn the_estimate_is_about_what_a_frame_takes() {
    let rgb = picture(640, 480);
    let frame = Frame::rgb(640, 480, &rgb).unwrap();
    sized(None, None).ground(&frame).unwrap();
    let before = peak();
    let needed = match sized(Some(640), Some(1)).ground(&frame).unwrap_err() {
        Error::Frame(FrameError::Memory { needed, .. }) => needed,
        other => panic!("{other}"),
    };
    sized(Some(640), Some(needed)).ground(&frame).unwrap();
    let taken = peak() - before;
    println!("estimated {} MiB, taken {} MiB", needed >> 20, taken >> 20);
    assert!(taken <= needed + needed / 4 && needed <= 2 * taken);
}
