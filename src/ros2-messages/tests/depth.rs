//! Positions from depth images: by hand, and what is refused by name.

use std::sync::Arc;

use mdetr_grounding::{BBox, Detection, Grounding, Phrase, Query, QueryResult, Rle, Span};
use mdetr_ros2_messages::depth::{
    DepthError, DepthView, Intrinsics, box_in_space, detections_3d, middle_in_space,
};
use mdetr_ros2_messages::image::ImageError;
use mdetr_ros2_messages::sensor_msgs::{CameraInfo, Image, RegionOfInterest};
use mdetr_ros2_messages::std_msgs::Header;
use proptest::prelude::*;

const WIDTH: u32 = 8;
const HEIGHT: u32 = 6;

fn header(frame: &str) -> Header {
    Header {
        frame_id: frame.to_owned(),
        ..Header::default()
    }
}

/// A depth image of `WIDTH` x `HEIGHT` in metres, with padding after each row.
fn metres(values: &[f32]) -> Image {
    let rows = values.chunks(WIDTH as usize);
    let data = rows.flat_map(|row| {
        let bytes = row.iter().flat_map(|value| value.to_le_bytes());
        bytes.chain([0xff; 8])
    });
    Image {
        header: header("optical"),
        height: HEIGHT,
        width: WIDTH,
        encoding: "32FC1".to_owned(),
        is_bigendian: 0,
        step: 4 * WIDTH + 8,
        data: data.collect(),
    }
}

fn millimetres(values: &[u16]) -> Image {
    Image {
        encoding: "16UC1".to_owned(),
        step: 2 * WIDTH,
        data: values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect(),
        ..metres(&[])
    }
}

fn info() -> CameraInfo {
    CameraInfo {
        header: header("optical"),
        height: HEIGHT,
        width: WIDTH,
        distortion_model: "plumb_bob".to_owned(),
        d: vec![0.0; 5],
        k: [10.0, 0.0, 3.5, 0.0, 20.0, 2.5, 0.0, 0.0, 1.0],
        ..CameraInfo::default()
    }
}

fn camera() -> Intrinsics {
    Intrinsics::new(&info(), false).expect("it is calibrated")
}

fn detection(bbox: BBox, mask: Option<Rle>) -> Detection {
    let phrase = Phrase {
        text: "a mug".to_owned(),
        span: Span { start: 0, end: 5 },
        score: 0.75,
    };
    Detection {
        bbox,
        score: 0.5,
        phrases: vec![phrase],
        track: Some(4),
        hidden_ms: None,
        identity: None,
        mask,
    }
}

fn bbox(x: f32, y: f32, width: f32, height: f32) -> BBox {
    BBox {
        x,
        y,
        width,
        height,
    }
}

fn grounding(detections: Vec<Detection>) -> Grounding {
    let result = QueryResult {
        query: Arc::new(Query::parse("q", "a mug").expect("a query")),
        detections,
        answer: None,
    };
    Grounding {
        revision: 1,
        width: WIDTH,
        height: HEIGHT,
        queries: vec![result],
    }
}

#[test]
fn the_units_are_those_of_rep_118() {
    let nothing = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, 0.0, -1.0];
    let mut values = [2.5; (WIDTH * HEIGHT) as usize];
    values[..5].copy_from_slice(&nothing);
    values[9] = 0.75;
    let image = metres(&values);
    let view = DepthView::new(&image).expect("a depth image");
    assert!((0..5).all(|column| view.metres(column, 0).is_none()));
    assert_eq!(view.metres(5, 0), Some(2.5));
    assert_eq!(view.metres(1, 1), Some(0.75));
    assert_eq!(view.metres(WIDTH - 1, HEIGHT - 1), Some(2.5));
    assert_eq!(
        (view.metres(WIDTH, 0), view.metres(0, HEIGHT)),
        (None, None)
    );

    let mut values = [2500; (WIDTH * HEIGHT) as usize];
    (values[0], values[9]) = (0, u16::MAX);
    let image = millimetres(&values);
    let view = DepthView::new(&image).expect("a depth image");
    assert_eq!((view.metres(0, 0), view.metres(1, 0)), (None, Some(2.5)));
    assert_eq!(view.metres(1, 1), Some(65.535));
}

#[test]
fn a_mask_is_where_its_pixels_are_and_not_where_its_box_is() {
    // A ring 2 m away around a hole that shows a wall at 5 m; its box would read the wall.
    let ring = |at: usize| {
        let (x, y) = (at % WIDTH as usize, at / WIDTH as usize);
        (2..6).contains(&x) && (1..5).contains(&y) && !((3..5).contains(&x) && (2..4).contains(&y))
    };
    let pixels = (WIDTH * HEIGHT) as usize;
    let mask: Vec<u8> = (0..pixels).map(|at| ring(at).into()).collect();
    let values: Vec<f32> = (0..pixels)
        .map(|at| if ring(at) { 2.0 } else { 5.0 })
        .collect();
    let image = metres(&values);
    let view = DepthView::new(&image).expect("a depth image");
    let found = detection(
        bbox(2.0, 1.0, 4.0, 4.0),
        Some(Rle::encode(&mask, WIDTH, HEIGHT)),
    );
    let array = detections_3d(
        &header("optical"),
        &grounding(vec![found.clone()]),
        &view,
        &camera(),
    );
    let array = array.expect("the same frame and size");
    let [placed] = array.detections.as_slice() else {
        panic!("one object, not {}", array.detections.len());
    };
    let centre = placed.bbox.center.position;
    assert_eq!(centre.z, 2.0);
    // Twelve pixels: the middle ones are columns 3 and 4 and rows 2 and 3.
    assert!((centre.x.abs() - 0.1).abs() < 1e-9, "{centre:?}");
    assert!((centre.y.abs() - 0.05).abs() < 1e-9, "{centre:?}");
    let size = placed.bbox.size;
    // Columns 2 to 5, so three pixels of 2 m / 10.
    assert!(
        (size.x - 0.6).abs() < 1e-9 && (size.y - 0.3).abs() < 1e-9,
        "{size:?}"
    );
    assert_eq!(size.z, 0.0);
    assert_eq!(placed.id, "4");
    assert_eq!(placed.results[0].hypothesis.class_id, "a mug");
    assert_eq!(placed.results[0].pose.pose, placed.bbox.center);
    assert_eq!(placed.bbox.center.orientation.w, 1.0);
    let box_only = middle_in_space(found.bbox, &view, &camera()).expect("measured");
    assert_eq!(box_only.center.position.z, 5.0);
}

#[test]
fn a_box_without_a_mask_is_read_in_its_middle() {
    let image = metres(&[4.0; (WIDTH * HEIGHT) as usize]);
    let view = DepthView::new(&image).expect("a depth image");
    let found = detection(bbox(2.0, 1.0, 4.0, 4.0), None);
    let placed = box_in_space(&found, &view, &camera()).expect("measured");
    let (centre, size) = (placed.center.position, placed.size);
    assert_eq!((centre.x, centre.y, centre.z), (0.0, 0.0, 4.0));
    assert!(
        (size.x - 1.6).abs() < 1e-9 && (size.y - 0.8).abs() < 1e-9,
        "{size:?}"
    );
}

#[test]
fn what_is_not_measured_is_left_out() {
    let mut values = [f32::NAN; (WIDTH * HEIGHT) as usize];
    values[0] = 1.0;
    let image = metres(&values);
    let view = DepthView::new(&image).expect("a depth image");
    let unmeasured = detection(bbox(3.0, 2.0, 4.0, 3.0), None);
    let outside = detection(bbox(20.0, 20.0, 4.0, 3.0), None);
    let measured = detection(bbox(0.0, 0.0, 1.0, 1.0), None);
    let found = grounding(vec![unmeasured, outside, measured]);
    let array = detections_3d(&header("optical"), &found, &view, &camera()).expect("placed");
    assert_eq!(array.detections.len(), 1);
    assert_eq!(array.detections[0].bbox.center.position.z, 1.0);
}

#[test]
fn binning_and_regions_of_interest_move_the_principal_point() {
    let roi = RegionOfInterest {
        x_offset: 2,
        y_offset: 1,
        width: 4,
        height: 4,
        do_rectify: false,
    };
    let info = CameraInfo {
        binning_x: 2,
        binning_y: 2,
        roi,
        ..info()
    };
    let camera = Intrinsics::new(&info, false).expect("it is calibrated");
    let expected = Intrinsics {
        width: 2,
        height: 2,
        fx: 5.0,
        fy: 10.0,
        cx: 0.75,
        cy: 0.75,
    };
    assert_eq!(camera, expected);
}

#[test]
fn distorted_pictures_are_refused_unless_they_were_rectified() {
    let mut info = info();
    info.d = vec![0.1, -0.2, 0.0, 0.0, 0.0];
    info.p = [12.0, 0.0, 4.5, 0.0, 0.0, 24.0, 3.0, 0.0, 0.0, 0.0, 1.0, 0.0];
    let error = Intrinsics::new(&info, false).expect_err("distorted");
    let text = error.to_string();
    assert!(
        text.contains("plumb_bob") && text.contains("image_rect"),
        "{text}"
    );
    let camera = Intrinsics::new(&info, true).expect("rectified");
    assert_eq!(
        (camera.fx, camera.cx, camera.fy, camera.cy),
        (12.0, 4.5, 24.0, 3.0)
    );
    info.d[0] = f64::NAN;
    assert!(Intrinsics::new(&info, false).is_err());
}

#[test]
fn what_does_not_belong_together_is_refused_by_name() {
    let image = metres(&[1.0; (WIDTH * HEIGHT) as usize]);
    let view = DepthView::new(&image).expect("a depth image");
    let found = grounding(Vec::new());
    let error = detections_3d(&header("infra"), &found, &view, &camera()).expect_err("frames");
    let text = error.to_string();
    assert!(
        text.contains("\"infra\"") && text.contains("\"optical\""),
        "{text}"
    );
    let mut larger = found.clone();
    larger.width = 2 * WIDTH;
    let error = detections_3d(&header("optical"), &larger, &view, &camera()).expect_err("sizes");
    assert!(error.to_string().contains("8x6: expected 16x6"), "{error}");
    let mut other = info();
    other.height = 2 * HEIGHT;
    let other = Intrinsics::new(&other, false).expect("it is calibrated");
    let error = detections_3d(&header("optical"), &found, &view, &other).expect_err("sizes");
    assert!(error.to_string().contains("camera info of 8x12"), "{error}");
    let error = Intrinsics::new(&CameraInfo::default(), false).expect_err("no focal length");
    assert!(matches!(error, DepthError::Uncalibrated { .. }), "{error}");
}

#[test]
fn other_images_are_no_depth_images() {
    let colour = Image {
        encoding: "rgb8".to_owned(),
        ..metres(&[])
    };
    let error = DepthView::new(&colour).expect_err("a picture");
    assert!(error.to_string().contains("\"rgb8\""), "{error}");
    let mut image = metres(&[1.0; (WIDTH * HEIGHT) as usize]);
    image.is_bigendian = 1;
    let error = DepthView::new(&image).expect_err("the other byte order");
    assert!(error.to_string().contains("is_bigendian"), "{error}");
    image.is_bigendian = 0;
    image.height = u32::MAX;
    let error = DepthView::new(&image).expect_err("more than there is");
    assert!(
        matches!(error, DepthError::Image(ImageError::Short { .. })),
        "{error}"
    );
}

proptest! {
    #[test]
    fn a_flat_wall_is_where_it_is(
        z in 0.1f32..50.0,
        x in -4.0f32..10.0,
        y in -4.0f32..8.0,
        width in 0.0f32..12.0,
        height in 0.0f32..12.0,
        bits in prop::collection::vec(0u8..2, (WIDTH * HEIGHT) as usize),
    ) {
        let image = metres(&[z; (WIDTH * HEIGHT) as usize]);
        let view = DepthView::new(&image).expect("a depth image");
        let mask = Rle::encode(&bits, WIDTH, HEIGHT);
        let boxed = box_in_space(&detection(bbox(x, y, width, height), None), &view, &camera());
        let masked = box_in_space(&detection(bbox(x, y, width, height), Some(mask)), &view, &camera());
        for placed in [boxed, masked].into_iter().flatten() {
            prop_assert!((placed.center.position.z - f64::from(z)).abs() < 1e-6);
            prop_assert_eq!(placed.size.z, 0.0);
            prop_assert!(placed.size.x >= 0.0 && placed.size.y >= 0.0);
        }
    }

    #[test]
    fn no_bytes_and_no_box_make_it_panic(
        data in prop::collection::vec(any::<u8>(), 0..1000),
        width in 0u32..20,
        height in 0u32..20,
        step in 0u32..100,
        numbers in prop::array::uniform4(any::<f32>()),
        k in prop::array::uniform9(any::<f64>()),
    ) {
        let [x, y, wide, high] = numbers;
        for encoding in ["32FC1", "16UC1"] {
            let encoding = encoding.to_owned();
            let image = Image { width, height, step, encoding, data: data.clone(), ..Image::default() };
            let Ok(view) = DepthView::new(&image) else { continue };
            let info = CameraInfo { width, height, k, ..CameraInfo::default() };
            let Ok(camera) = Intrinsics::new(&info, false) else { continue };
            let found = detection(bbox(x, y, wide, high), None);
            if let Some(placed) = box_in_space(&found, &view, &camera) {
                prop_assert!(placed.center.position.z > 0.0);
            }
        }
    }
}
