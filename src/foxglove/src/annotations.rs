//! Boxes with their words.

use foxglove::messages::{
    Color, ImageAnnotations, KeyValuePair, Point2, PointsAnnotation, TextAnnotation, Timestamp,
    points_annotation,
};
use mdetr_grounding::{Detection, Grounding, QueryResult};
use mdetr_ros2_messages::std_msgs::Header;

/// Colours of queries, in their order: Okabe and Ito's, which people with any colour vision tell apart.
const COLOURS: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];
/// Pixels of a line, of a picture that is this wide; and of letters.
const WIDTH: f64 = 640.0;
const LINE: f64 = 2.0;
const LETTERS: f64 = 14.0;

/// What was found in a picture as outlines with words, a colour for each query. An outline has its query, score, phrases and
/// track as metadata. Without detections it is empty, which removes those of before.
pub fn annotations(header: &Header, grounding: &Grounding) -> ImageAnnotations {
    let timestamp = Timestamp::new(
        u32::try_from(header.stamp.sec).unwrap_or(0),
        header.stamp.nanosec.min(999_999_999),
    );
    let scale = (f64::from(grounding.width) / WIDTH).max(1.0);
    let mut annotations = ImageAnnotations {
        timestamp: Some(timestamp),
        ..ImageAnnotations::default()
    };
    for (result, rgb) in grounding.queries.iter().zip(COLOURS.iter().cycle()) {
        let colour = colour(*rgb);
        for detection in &result.detections {
            let [x0, y0, x1, y1] = detection.bbox.to_xyxy().map(f64::from);
            let corners = [[x0, y0], [x1, y0], [x1, y1], [x0, y1]];
            annotations.points.push(PointsAnnotation {
                timestamp: Some(timestamp),
                r#type: points_annotation::Type::LineLoop.into(),
                points: corners.map(|[x, y]| Point2 { x, y }).to_vec(),
                outline_color: Some(colour),
                thickness: LINE * scale,
                metadata: metadata(result, detection),
                ..PointsAnnotation::default()
            });
            annotations.texts.push(TextAnnotation {
                timestamp: Some(timestamp),
                position: Some(Point2 { x: x0, y: y0 }),
                text: words(result, detection),
                font_size: LETTERS * scale,
                text_color: Some(Color {
                    r: 0.0,
                    g: 0.0,
                    b: 0.0,
                    a: 1.0,
                }),
                background_color: Some(colour),
                ..TextAnnotation::default()
            });
        }
    }
    annotations
}

fn colour(rgb: [u8; 3]) -> Color {
    let [r, g, b] = rgb.map(|code| f64::from(code) / 255.0);
    Color { r, g, b, a: 1.0 }
}

fn words(result: &QueryResult, detection: &Detection) -> String {
    let phrases: Vec<&str> = detection
        .phrases
        .iter()
        .map(|phrase| phrase.text.as_str())
        .collect();
    let words = match phrases.as_slice() {
        [] => result.query.text().to_owned(),
        phrases => phrases.join(", "),
    };
    let track = detection
        .track
        .map_or_else(String::new, |track| format!(" #{track}"));
    let hidden = if detection.hidden_ms.is_some() {
        " (hidden)"
    } else {
        ""
    };
    format!("{words}{track} {:.2}{hidden}", detection.score)
}

fn metadata(result: &QueryResult, detection: &Detection) -> Vec<KeyValuePair> {
    let pair = |key: &str, value: String| KeyValuePair {
        key: key.to_owned(),
        value,
    };
    let mut pairs = vec![
        pair("query", result.query.id().to_owned()),
        pair("score", format!("{:.4}", detection.score)),
    ];
    pairs.extend(
        detection
            .track
            .map(|track| pair("track", track.to_string())),
    );
    let phrases = detection.phrases.iter().enumerate();
    pairs.extend(phrases.map(|(index, phrase)| {
        pair(
            &format!("phrase_{index}"),
            format!("{} ({:.4})", phrase.text, phrase.score),
        )
    }));
    pairs
}
