//! Pictures: what is taken, and what is refused by name.

use mdetr_ros2_messages::image::{Encoding, FileFormat, ImageError, ImageView};
use mdetr_ros2_messages::sensor_msgs::{CompressedImage, Image};
use proptest::prelude::*;

/// Bytes of the rows of a 5x3 picture, by the book.
const FIVE_BY_THREE: [(&str, &[(usize, usize)]); 8] = [
    ("rgb8", &[(15, 3)]),
    ("bgr8", &[(15, 3)]),
    ("rgba8", &[(20, 3)]),
    ("bgra8", &[(20, 3)]),
    ("mono8", &[(5, 3)]),
    ("yuv422_yuy2", &[(12, 3)]),
    ("yuyv", &[(12, 3)]),
    ("nv12", &[(5, 3), (6, 2)]),
];

fn image(encoding: &str, width: u32, height: u32, step: u32, bytes: usize) -> Image {
    Image {
        encoding: encoding.to_owned(),
        width,
        height,
        step,
        data: (0..bytes).map(|at| at as u8).collect(),
        ..Image::default()
    }
}

#[test]
fn planes_lie_where_the_step_says() {
    for (encoding, sizes) in FIVE_BY_THREE {
        let step = 32;
        let needed: usize = match sizes {
            [(row, rows)] => step * (rows - 1) + row,
            [(_, rows), (row, half)] => step * rows + step * (half - 1) + row,
            _ => unreachable!("one plane or two"),
        };
        let image = image(encoding, 5, 3, 32, needed);
        let view = ImageView::new(&image).expect(encoding);
        assert_eq!((view.width(), view.height()), (5, 3));
        let mut start = 0;
        for (plane, (row, rows)) in view.planes().iter().zip(sizes) {
            assert_eq!(plane.stride, 32, "{encoding}");
            assert_eq!(plane.data.len(), step * (rows - 1) + row, "{encoding}");
            assert!(std::ptr::eq(&plane.data[0], &image.data[start]), "no copy");
            start += step * rows;
        }
        assert_eq!(view.planes().len(), sizes.len());
        let mut short = image.clone();
        short.data.pop();
        let error = ImageView::new(&short).expect_err("a byte is missing");
        assert!(matches!(error, ImageError::Short { .. }), "{error}");
        assert!(
            error.to_string().contains(&format!("{needed} bytes")),
            "{error}"
        );
    }
}

#[test]
fn claims_larger_than_the_data_are_refused_without_being_believed() {
    for (width, height, step) in [
        (u32::MAX, u32::MAX, u32::MAX),
        (1, u32::MAX, u32::MAX),
        (1 << 20, 1 << 20, 3 << 20),
    ] {
        for encoding in ["mono8", "nv12"] {
            let error = ImageView::new(&image(encoding, width, height, step, 64)).unwrap_err();
            let named = matches!(error, ImageError::Short { .. } | ImageError::Step { .. });
            assert!(named, "{error}");
        }
    }
    let wide = ImageView::new(&image("rgba8", u32::MAX, 2, 16, 64)).unwrap_err();
    assert!(wide.to_string().contains("17179869180"), "{wide}");
}

#[test]
fn what_cannot_be_read_is_refused_by_name() {
    let refused = |image: &Image| ImageView::new(image).expect_err("refused").to_string();
    let text = refused(&image("bayer_rggb8", 4, 4, 4, 16));
    assert!(
        text.contains("\"bayer_rggb8\"") && text.contains("rgb8, bgr8"),
        "{text}"
    );
    let long = refused(&image(&"é".repeat(10_000), 4, 4, 4, 16));
    assert!(long.len() < 400, "{long}");
    let empty = refused(&image("rgb8", 0, 4, 0, 0));
    assert!(empty.contains("0x4"), "{empty}");
    let mut big = image("rgb8", 4, 4, 12, 48);
    big.is_bigendian = 1;
    let text = refused(&big);
    assert!(
        text.contains("is_bigendian") && text.contains("rgb8"),
        "{text}"
    );
    let step = refused(&image("rgb8", 4, 4, 11, 48));
    assert!(
        step.contains("at least 12") && step.contains("found 11"),
        "{step}"
    );
    // The rows of chroma of an odd width are longer than those of luma.
    let odd = refused(&image("nv12", 5, 4, 5, 48));
    assert!(odd.contains("at least 6"), "{odd}");
}

/// Beginnings and ends of files.
const JPEG: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 0, 16, 0xff, 0xd9];
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\0IEND\xae\x42\x60\x82";

fn format_of(format: &str, data: &[u8]) -> Result<FileFormat, ImageError> {
    FileFormat::of(&CompressedImage {
        format: format.to_owned(),
        data: data.to_vec(),
        ..CompressedImage::default()
    })
}

#[test]
fn formats_of_image_transports_are_known() {
    for format in [
        "jpeg",
        "jpg",
        "JPEG",
        "",
        "rgb8; jpeg compressed bgr8",
        "bgr8; jpeg compressed bgr8",
        "mono8; jpeg compressed ",
        "bgr8;jpeg compressed",
    ] {
        assert_eq!(format_of(format, JPEG), Ok(FileFormat::Jpeg), "{format:?}");
    }
    for format in [
        "png",
        "",
        "rgb8; png compressed bgr8",
        "16UC1; png compressed ",
    ] {
        assert_eq!(format_of(format, PNG), Ok(FileFormat::Png), "{format:?}");
    }
}

#[test]
fn other_formats_are_refused_by_name() {
    for format in ["tiff", "bgr8; tiff compressed bgr8", "h264", ";", "webp"] {
        let error = format_of(format, JPEG).expect_err(format);
        assert!(
            error.to_string().contains(&format!("{format:?}")),
            "{error}"
        );
    }
    let depth = format_of("16UC1; compressedDepth png", PNG).expect_err("depth");
    assert!(
        depth.to_string().contains("raw topic of the depth"),
        "{depth}"
    );
    for (format, data) in [("jpeg", PNG), ("png", JPEG), ("jpeg", &[]), ("", b"GIF89a")] {
        let error = format_of(format, data).expect_err(format);
        assert!(matches!(error, ImageError::Contents { .. }), "{error}");
    }
}

#[test]
fn files_without_an_end_are_refused() {
    for (format, file, end) in [("jpeg", JPEG, 2), ("png", PNG, 8)] {
        let mut padded = file.to_vec();
        padded.resize(file.len() + 64, 0);
        assert!(format_of(format, &padded).is_ok(), "{format}");
        padded.resize(file.len() + 1000, 0);
        for cut in [&file[..file.len() - end], &padded] {
            let error = format_of(format, cut).expect_err(format);
            let bytes = cut.len();
            let expected = format!("{} file of {bytes} bytes", format.to_uppercase());
            assert!(error.to_string().contains(&expected), "{error}");
        }
    }
}

proptest! {
    #[test]
    fn nothing_makes_it_panic(
        known in prop::sample::select(Encoding::ALL.to_vec()),
        width in prop_oneof![0u32..40, any::<u32>()],
        height in prop_oneof![0u32..40, any::<u32>()],
        step in prop_oneof![0u32..200, any::<u32>()],
        is_bigendian in 0u8..2,
        data in prop::collection::vec(any::<u8>(), 0..4000),
    ) {
        let encoding = known.name().to_owned();
        let image = Image { encoding, width, height, step, is_bigendian, data, ..Image::default() };
        if let Ok(view) = ImageView::new(&image) {
            let bytes: usize = view.planes().iter().map(|plane| plane.data.len()).sum();
            prop_assert!(bytes <= image.data.len());
            prop_assert!(view.planes().iter().all(|plane| !plane.data.is_empty()));
        }
    }
}
