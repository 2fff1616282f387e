//! Drawing on a machine without fonts; a process of its own, as fonts are looked for once.

use std::fs;

use mdetr_draw::{Drawing, Mark, Style, has_fonts};

#[test]
fn boxes_are_drawn_and_words_are_not() {
    let directory = tempfile::tempdir().expect("a writable temporary directory");
    let file = directory.path().join("fonts.conf");
    fs::write(&file, "<?xml version=\"1.0\"?><fontconfig/>").expect("written");
    // SAFETY: the only test of this process, which has read no environment variable yet.
    unsafe { std::env::set_var("FONTCONFIG_FILE", &file) };
    assert!(!has_fonts());

    let (width, height) = (64, 48);
    let drawing = Drawing::new(64.0, 48.0).with_mark(Mark {
        key: "q1".into(),
        x: 8.0,
        y: 24.0,
        width: 40.0,
        height: 20.0,
        label: "a red cube".into(),
        score: Some(0.9),
        track: Some(1),
        mask: None,
    });
    let mut rgb = vec![0; width * height * 3];
    let style = Style::default();
    drawing
        .annotate_rgb(width as u32, height as u32, &mut rgb, &style)
        .expect("drawn");
    let painted = |x: usize, y: usize| rgb[(y * width + x) * 3..][..3] != [0, 0, 0];
    assert!(painted(20, 24) && painted(8, 30), "no box");
    let above = (0..width).any(|x| (0..22).any(|y| painted(x, y)));
    assert!(!above, "a label without letters");
}
