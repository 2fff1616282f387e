//! Results as messages.

use std::sync::Arc;

use mdetr_grounding::{BBox, Detection, Grounding, Phrase, Query, QueryResult, Rle, Span};
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::detections::{detections_2d, label_info, mask_image};
use mdetr_ros2_messages::image::ImageView;
use mdetr_ros2_messages::std_msgs::Header;
use mdetr_ros2_messages::{from_cdr, to_cdr};
use proptest::prelude::*;

fn header() -> Header {
    Header {
        stamp: Time::from_nanos(1_700_000_000_123_456_789),
        frame_id: "camera_color_optical_frame".to_owned(),
    }
}

fn phrase(text: &str, start: u32, score: f32) -> Phrase {
    let span = Span {
        start,
        end: start + text.chars().count() as u32,
    };
    Phrase {
        text: text.to_owned(),
        span,
        score,
    }
}

fn detection(score: f32, phrases: Vec<Phrase>, mask: Option<Rle>) -> Detection {
    Detection {
        bbox: BBox {
            x: 10.5,
            y: 20.0,
            width: 31.0,
            height: 4.5,
        },
        score,
        phrases,
        track: None,
        hidden_ms: None,
        identity: None,
        mask,
    }
}

fn result(id: &str, text: &str, detections: Vec<Detection>) -> QueryResult {
    QueryResult {
        query: Arc::new(Query::parse(id, text).expect("a query")),
        detections,
        answer: None,
    }
}

fn grounding(width: u32, height: u32, queries: Vec<QueryResult>) -> Grounding {
    Grounding {
        revision: 3,
        width,
        height,
        queries,
    }
}

#[test]
fn each_phrase_is_a_result_with_its_words_and_score() {
    let text = "[the red mug] left of the laptop";
    let phrases = vec![
        phrase("the red mug", 0, 0.75),
        phrase("the laptop", 20, 0.25),
    ];
    let mut tracked = detection(0.875, phrases, None);
    tracked.track = Some(12);
    let nameless = detection(0.5, Vec::new(), None);
    let found = grounding(
        640,
        480,
        vec![
            result("mug", text, vec![tracked, nameless]),
            result("none", "a forklift", Vec::new()),
        ],
    );
    let array = detections_2d(&header(), &found);
    assert_eq!(array.header, header());
    let [first, second] = array.detections.as_slice() else {
        panic!("two detections, not {}", array.detections.len());
    };
    assert_eq!(first.header, header());
    assert_eq!((first.id.as_str(), second.id.as_str()), ("12", ""));
    let words = |detection: &mdetr_ros2_messages::vision_msgs::Detection2D| {
        let results = detection.results.iter();
        let pairs = results.map(|each| (each.hypothesis.class_id.clone(), each.hypothesis.score));
        pairs.collect::<Vec<_>>()
    };
    let expected = [
        ("the red mug".to_owned(), 0.75),
        ("the laptop".to_owned(), 0.25),
    ];
    assert_eq!(words(first), expected);
    let whole = "the red mug left of the laptop".to_owned();
    assert_eq!(words(second), [(whole, 0.5)]);
    let (bbox, centre) = (first.bbox, first.bbox.center);
    assert_eq!((centre.position.x, centre.position.y), (26.0, 22.25));
    assert_eq!((bbox.size_x, bbox.size_y, centre.theta), (31.0, 4.5, 0.0));
    let read = from_cdr(&to_cdr(&array)).expect("it is CDR");
    assert_eq!(array, read);
}

#[test]
fn nothing_found_is_an_empty_array() {
    let array = detections_2d(&header(), &grounding(64, 48, Vec::new()));
    assert!(array.detections.is_empty());
    assert_eq!(array.header, header());
}

#[test]
fn masks_have_the_number_of_their_query_and_the_higher_score_shows() {
    let left = Rle::encode(&[1, 1, 0, 0, 1, 1, 0, 0], 4, 2);
    let middle = Rle::encode(&[0, 1, 1, 0, 0, 0, 0, 0], 4, 2);
    let found = grounding(
        4,
        2,
        vec![
            result("a", "a cube", vec![detection(0.5, Vec::new(), Some(left))]),
            result("b", "a cone", Vec::new()),
            result(
                "c",
                "a ball",
                vec![detection(0.75, Vec::new(), Some(middle))],
            ),
        ],
    );
    let image = mask_image(&header(), &found);
    assert_eq!(image.data, [1, 3, 3, 0, 1, 1, 0, 0]);
    assert_eq!((image.encoding.as_str(), image.step), ("mono8", 4));
    ImageView::new(&image).expect("it is an image");
    let queries: Vec<_> = found
        .queries
        .iter()
        .map(|each| each.query.clone())
        .collect();
    let labels = label_info(&header(), &queries, 0.5);
    let classes = labels.class_map.iter();
    let classes: Vec<_> = classes
        .map(|each| (each.class_id, each.class_name.as_str()))
        .collect();
    assert_eq!(classes, [(1, "a cube"), (2, "a cone"), (3, "a ball")]);
    assert_eq!(labels.threshold, 0.5);
}

#[test]
fn many_queries_have_masks_of_two_bytes() {
    let mask = Rle::encode(&[0, 1], 2, 1);
    let mut queries: Vec<QueryResult> = (0..300)
        .map(|index| result(&format!("q{index}"), "a cube", Vec::new()))
        .collect();
    queries[299].detections = vec![detection(0.5, Vec::new(), Some(mask))];
    let image = mask_image(&header(), &grounding(2, 1, queries));
    assert_eq!((image.encoding.as_str(), image.step), ("mono16", 4));
    assert_eq!(image.data, [0, 0, 44, 1]);
}

proptest! {
    #[test]
    fn a_mask_is_painted_where_it_is(
        width in 1u32..30,
        height in 1u32..30,
        bits in prop::collection::vec(0u8..2, 900),
    ) {
        let bits = &bits[..(width * height) as usize];
        let mask = Rle::encode(bits, width, height);
        let one = vec![detection(0.5, Vec::new(), Some(mask))];
        let image = mask_image(&header(), &grounding(width, height, vec![result("q", "a cube", one)]));
        prop_assert_eq!(image.data, bits);
    }
}
