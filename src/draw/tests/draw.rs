//! What is painted, where, and what is left alone.

use std::sync::Arc;

use mdetr_draw::{Drawing, Error, LegendLine, LineMark, MAX_SIZE, Mark, Style, ZoneMark};
use mdetr_grounding::{Answer, BBox, Detection, Grounding, Phrase, Query, QueryResult, Span};

fn mark(x: f64, y: f64, width: f64, height: f64, label: &str) -> Mark {
    Mark {
        key: "q1".into(),
        x,
        y,
        width,
        height,
        label: label.into(),
        score: None,
        track: None,
        mask: None,
    }
}

fn one(width: u32, height: u32, mark: Mark) -> Drawing {
    Drawing::new(f64::from(width), f64::from(height)).with_mark(mark)
}

/// Whether the pixel differs from black after drawing on black.
fn painted(
    drawing: &Drawing,
    width: u32,
    height: u32,
    style: &Style,
) -> impl Fn(u32, u32) -> bool + use<> {
    let mut rgb = vec![0; (width * height * 3) as usize];
    drawing
        .annotate_rgb(width, height, &mut rgb, style)
        .expect("a valid picture");
    move |x, y| {
        let start = ((y * width + x) * 3) as usize;
        rgb[start..start + 3] != [0, 0, 0]
    }
}

#[test]
fn a_box_is_its_outline_and_nothing_else() {
    let style = Style {
        line_width: 2.0,
        ..Style::default()
    };
    let drawing = one(200, 150, mark(50.0, 40.0, 80.0, 60.0, ""));
    let painted = painted(&drawing, 200, 150, &style);
    for (x, y) in [(50, 40), (51, 70), (129, 99), (128, 60), (90, 40), (90, 98)] {
        assert!(painted(x, y), "the outline is missing at {x},{y}");
    }
    for (x, y) in [
        (49, 39),
        (52, 42),
        (90, 70),
        (130, 100),
        (90, 101),
        (90, 38),
    ] {
        assert!(!painted(x, y), "paint outside the outline at {x},{y}");
    }
}

#[test]
fn boxes_scale_with_the_picture() {
    let drawing = one(100, 100, mark(10.0, 20.0, 50.0, 40.0, ""));
    let painted = painted(&drawing, 200, 400, &Style::default());
    assert!(painted(20, 80) && painted(119, 239));
    assert!(!painted(60, 160));
}

#[test]
fn a_label_stands_above_its_box_or_inside_at_the_top_of_the_frame() {
    let style = Style::default();
    let low = painted(
        &one(320, 240, mark(50.0, 100.0, 150.0, 80.0, "a red cube")),
        320,
        240,
        &style,
    );
    assert!(low(55, 92) && !low(70, 130));
    let high = painted(
        &one(320, 240, mark(50.0, 0.0, 150.0, 80.0, "a red cube")),
        320,
        240,
        &style,
    );
    assert!(high(60, 8));
}

#[test]
fn the_score_and_the_track_can_be_left_out() {
    let width_of = |style: &Style| {
        let drawing = one(
            640,
            480,
            Mark {
                score: Some(0.93),
                track: Some(41),
                ..mark(10.0, 200.0, 30.0, 30.0, "ball")
            },
        );
        let painted = painted(&drawing, 640, 480, style);
        (0..640).filter(|&x| painted(x, 190)).count()
    };
    let all = width_of(&Style::default());
    let no_score = width_of(&Style {
        show_scores: false,
        ..Style::default()
    });
    let bare = width_of(&Style {
        show_scores: false,
        show_tracks: false,
        ..Style::default()
    });
    assert!(
        all > no_score && no_score > bare && bare > 0,
        "{all} {no_score} {bare}"
    );
}

#[test]
fn masks_are_tinted_and_can_be_left_out() {
    let bits: Vec<u8> = (0..64 * 48)
        .map(|i| u8::from((10..40).contains(&(i % 64)) && (20..40).contains(&(i / 64))))
        .collect();
    let masked = Mark {
        mask: Some(mdetr_grounding::Rle::encode(&bits, 64, 48)),
        ..mark(100.0, 200.0, 300.0, 200.0, "")
    };
    let drawing = one(640, 480, masked);
    let middle_of = |style: &Style| painted(&drawing, 640, 480, style)(250, 300);
    assert!(middle_of(&Style::default()));
    let plain = Style {
        show_masks: false,
        ..Style::default()
    };
    assert!(!middle_of(&plain));
    let patches = drawing.patches(640, 480, &Style::default()).unwrap();
    let inside = |x: u32, y: u32| {
        patches.iter().any(|patch| {
            (patch.x..patch.x + patch.width).contains(&x)
                && (patch.y..patch.y + patch.height).contains(&y)
        })
    };
    assert!(inside(250, 300) && !inside(600, 20));
}

#[test]
fn patches_show_what_drawing_the_whole_frame_shows() {
    let (width, height) = (333, 251);
    let mut drawing = Drawing::new(f64::from(width), f64::from(height));
    for (i, text) in ["a small blue ball", "кубик", "كرة", "球"]
        .iter()
        .enumerate()
    {
        let at = 60.0 * i as f64;
        drawing = drawing.with_mark(Mark {
            key: format!("q{i}"),
            score: Some(0.5),
            ..mark(at, at, 90.0, 70.0, text)
        });
    }
    let style = Style::default();
    let mut whole = cairo::ImageSurface::create(cairo::Format::ARgb32, width as i32, height as i32)
        .expect("a small surface");
    {
        let cr = cairo::Context::new(&whole).expect("a context");
        drawing
            .draw(&cr, f64::from(width), f64::from(height), &style)
            .expect("drawing works");
    }
    let stride = whole.stride() as usize;
    let expected = whole.data().expect("no other user").to_vec();

    let mut actual = vec![0u8; expected.len()];
    let mut area = 0;
    for patch in drawing
        .patches(width, height, &style)
        .expect("drawing works")
    {
        area += patch.width * patch.height;
        for (row, source) in patch.pixels.chunks_exact(patch.stride()).enumerate() {
            let start = (patch.y as usize + row) * stride + patch.x as usize * 4;
            actual[start..start + source.len()].copy_from_slice(source);
        }
    }
    let differing = actual
        .iter()
        .zip(&expected)
        .filter(|(a, b)| a.abs_diff(**b) > 1)
        .count();
    assert_eq!(differing, 0, "bytes differ between patches and the whole");
    assert!(area < width * height, "patches cover the whole frame");
}

/// A zone in the left half, and a line through the middle that runs to the right.
fn camera(active: bool) -> Drawing {
    let zone = ZoneMark {
        label: String::new(),
        points: vec![[0.1, 0.1], [0.4, 0.1], [0.4, 0.9], [0.1, 0.9]],
        active,
    };
    let line = LineMark {
        label: String::new(),
        from: [0.5, 0.5],
        to: [0.9, 0.5],
        active,
    };
    Drawing::new(1.0, 1.0).with_zone(zone).with_line(line)
}

#[test]
fn zones_are_filled_and_lines_point_forward() {
    let style = Style {
        line_width: 2.0,
        ..Style::default()
    };
    let quiet = painted(&camera(false), 200, 100, &style);
    for (x, y) in [(20, 50), (50, 10), (50, 50), (120, 50), (140, 66)] {
        assert!(quiet(x, y), "nothing at {x},{y}");
    }
    for (x, y) in [(5, 50), (90, 50), (140, 34), (190, 50)] {
        assert!(!quiet(x, y), "something at {x},{y}");
    }
    let fill = |active| {
        let mut rgb = vec![0; 200 * 100 * 3];
        camera(active)
            .annotate_rgb(200, 100, &mut rgb, &style)
            .unwrap();
        rgb[(50 * 200 + 50) * 3]
    };
    assert!(fill(true) > fill(false), "brighter while something happens");
}

#[test]
fn patches_have_zones_and_lines_whole() {
    let mut drawing = camera(true);
    drawing = drawing.with_zone(ZoneMark {
        label: "yard".into(),
        points: vec![[0.6, 0.95], [0.75, 0.6], [0.7, 0.99], [f64::NAN, 2.0]],
        active: false,
    });
    drawing = drawing.with_zone(ZoneMark {
        label: "yard".into(),
        points: vec![[0.6, 0.95], [0.61, 0.6], [0.62, 0.95], [1.0, 7.0]],
        active: false,
    });
    let (width, height, style) = (200, 100, Style::default());
    let mut whole = vec![0; 200 * 100 * 3];
    drawing
        .annotate_rgb(width, height, &mut whole, &style)
        .unwrap();
    let patches = drawing.patches(width, height, &style).unwrap();
    let in_patch = |x: u32, y: u32| {
        patches
            .iter()
            .any(|p| (p.x..p.x + p.width).contains(&x) && (p.y..p.y + p.height).contains(&y))
    };
    for (index, pixel) in whole.chunks_exact(3).enumerate() {
        let (x, y) = (index as u32 % width, index as u32 / width);
        assert!(pixel == [0, 0, 0] || in_patch(x, y), "{x},{y} is left out");
    }
}

#[test]
fn nothing_is_painted_for_nothing() {
    let drawing = Drawing::new(640.0, 480.0);
    assert!(drawing.is_empty());
    assert_eq!(drawing.patches(640, 480, &Style::default()), Ok(vec![]));
}

#[test]
fn odd_boxes_and_texts_neither_panic_nor_paint_outside() {
    let texts = [
        "",
        "nul\0inside",
        "two\nlines\r\nand\ttabs",
        "<b>not markup</b> & more",
        &"long ".repeat(2000),
        "\u{202e}right to left\u{0}",
    ];
    let boxes = [
        (f64::NAN, 0.0, 10.0, 10.0),
        (0.0, 0.0, f64::INFINITY, 10.0),
        (-1e30, -1e30, 2e30, 2e30),
        (5.0, 5.0, 0.0, 0.0),
        (5.0, 5.0, -3.0, -3.0),
        (0.2, 0.2, 0.5, 0.5),
    ];
    for (width, height) in [(1, 1), (7, 3), (64, 48), (2, 2000)] {
        for text in texts {
            for (x, y, w, h) in boxes {
                let drawing = one(width, height, mark(x, y, w, h, text)).with_legend(LegendLine {
                    key: "q2".into(),
                    text: text.into(),
                    absent: false,
                });
                for patch in drawing
                    .patches(width, height, &Style::default())
                    .expect("valid size")
                {
                    assert!(patch.x + patch.width <= width && patch.y + patch.height <= height);
                    assert_eq!(patch.pixels.len(), patch.stride() * patch.height as usize);
                }
            }
        }
    }
}

#[test]
fn a_bad_font_falls_back() {
    let style = Style {
        font: "No Such Font At All 1e9 ,,,".into(),
        ..Style::default()
    };
    let drawing = one(320, 240, mark(50.0, 100.0, 150.0, 80.0, "a red cube"));
    drawing.patches(320, 240, &style).expect("pango falls back");
}

#[test]
fn impossible_sizes_are_named() {
    let drawing = one(10, 10, mark(1.0, 1.0, 5.0, 5.0, ""));
    for (width, height) in [(0, 10), (10, 0), (MAX_SIZE + 1, 10)] {
        let error = drawing
            .patches(width, height, &Style::default())
            .expect_err("refused");
        assert_eq!(error, Error::Size { width, height });
        assert!(error.to_string().contains(&format!("{width}x{height}")));
    }
    let error = drawing
        .annotate_rgb(10, 10, &mut [0; 299], &Style::default())
        .expect_err("refused");
    assert!(error.to_string().contains("300") && error.to_string().contains("299"));
}

fn grounding(results: Vec<QueryResult>) -> Grounding {
    Grounding {
        revision: 1,
        width: 320,
        height: 240,
        queries: results,
    }
}

fn result(id: &str, text: &str, detections: Vec<Detection>, answer: Option<Answer>) -> QueryResult {
    QueryResult {
        query: Arc::new(Query::parse(id, text).expect("a valid query")),
        detections,
        answer,
    }
}

#[test]
fn a_grounding_is_drawn_with_its_absent_queries_on_request() {
    let found = Detection {
        bbox: BBox {
            x: 100.0,
            y: 100.0,
            width: 80.0,
            height: 60.0,
        },
        score: 0.9,
        phrases: vec![Phrase {
            text: "a red cube".into(),
            span: Span { start: 0, end: 10 },
            score: 0.8,
        }],
        track: None,
        hidden_ms: None,
        identity: None,
        mask: None,
    };
    let grounding = grounding(vec![
        result("q1", "a red cube", vec![found], None),
        result("q2", "a purple cone", vec![], None),
    ]);
    let corner = |style: &Style| {
        let mut rgb = vec![0; 320 * 240 * 3];
        mdetr_draw::annotate_rgb(320, 240, &mut rgb, &grounding, style).expect("valid");
        assert_ne!(
            rgb[(100 * 320 + 100) * 3..][..3],
            [0, 0, 0],
            "the box is missing"
        );
        rgb[(236 * 320 + 2) * 3..][..3] != [0, 0, 0]
    };
    assert!(!corner(&Style::default()));
    assert!(corner(&Style {
        show_absent: true,
        ..Style::default()
    }));
}

#[test]
fn an_answer_is_always_in_the_corner() {
    let answer = Answer {
        text: "3".into(),
        score: 0.9,
    };
    let grounding = grounding(vec![result(
        "q1",
        "how many cubes are there?",
        vec![],
        Some(answer),
    )]);
    let mut rgb = vec![0; 320 * 240 * 3];
    mdetr_draw::annotate_rgb(320, 240, &mut rgb, &grounding, &Style::default()).expect("valid");
    assert_ne!(rgb[(236 * 320 + 2) * 3..][..3], [0, 0, 0]);
}
