//! Masks against pycocotools.

use mdetr_grounding::Rle;
use proptest::prelude::*;
use serde::Deserialize;

#[derive(Deserialize)]
struct Case {
    rows: Vec<String>,
    counts: String,
    area: u32,
    bbox: Option<[f32; 4]>,
}

/// `fixtures/rle.json` was written with pycocotools: masks, their code, area and box.
#[test]
fn masks_are_coded_as_pycocotools_does() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("fixtures/rle.json")).unwrap();
    assert!(cases.len() > 5);
    for case in cases {
        let (width, height) = (case.rows[0].len() as u32, case.rows.len() as u32);
        let mask: Vec<u8> = case.rows.concat().bytes().map(|b| b - b'0').collect();
        let rle = Rle::encode(&mask, width, height);
        assert_eq!(rle.to_coco_string(), case.counts);
        assert_eq!(rle.area(), case.area);
        let bounds = rle.bounds().map(|b| [b.x, b.y, b.width, b.height]);
        assert_eq!(bounds, case.bbox);
        let read = Rle::from_coco_string(&case.counts, width, height).unwrap();
        assert_eq!(read.decode(), mask);
    }
}

#[test]
fn damaged_codes_are_refused() {
    for code in ["", "0", "é", "oooooooooooooooo", "5\u{7f}", "09", "P"] {
        assert_eq!(Rle::from_coco_string(code, 3, 2), None, "'{code}'");
    }
    assert!(Rle::from_coco_string("6", 3, 2).is_some());
}

#[test]
fn pixels_under_the_centres_make_the_new_size() {
    let mask = Rle::encode(&[0, 1, 1, 0], 2, 2);
    let doubled = mask.resized(4, 4);
    let rows = [[0, 0, 1, 1], [0, 0, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]];
    assert_eq!(doubled.decode(), rows.concat());
    assert_eq!(doubled.resized(2, 2), mask);
    assert_eq!(mask.resized(1, 1).decode(), [0]);
    assert_eq!(mask.resized(3, 1).decode(), [1, 0, 0]);
}

#[test]
fn overlap_is_a_ratio_of_pixels() {
    let mask = |bits: &[u8]| Rle::encode(bits, 3, 1);
    assert_eq!(mask(&[1, 1, 0]).iou(&mask(&[0, 1, 1])), 1.0 / 3.0);
    assert_eq!(mask(&[1, 1, 0]).iou(&mask(&[1, 1, 0])), 1.0);
    assert_eq!(mask(&[0, 0, 0]).iou(&mask(&[0, 0, 0])), 0.0);
    assert_eq!(mask(&[1, 1, 1]).iou(&Rle::encode(&[1, 1, 1], 1, 3)), 0.0);
}

proptest! {
    #[test]
    fn a_mask_moves_by_whole_pixels(
        width in 1u32..12,
        height in 1u32..12,
        bits in prop::collection::vec(0u8..2, 144),
        dx in -14i32..14,
        dy in -14i32..14,
    ) {
        let bits = &bits[..(width * height) as usize];
        let moved = Rle::encode(bits, width, height).shifted(dx, dy);
        let at = |x: i32, y: i32| {
            let inside = (0..width as i32).contains(&x) && (0..height as i32).contains(&y);
            if inside { bits[(y * width as i32 + x) as usize] } else { 0 }
        };
        let pixels = (0..height as i32).flat_map(|y| (0..width as i32).map(move |x| (x, y)));
        let expected: Vec<u8> = pixels.map(|(x, y)| at(x - dx, y - dy)).collect();
        prop_assert_eq!(moved, Rle::encode(&expected, width, height));
    }

    #[test]
    fn masks_survive_coding(width in 1u32..40, height in 1u32..40, bits in prop::collection::vec(0u8..2, 1600)) {
        let mask = &bits[..(width * height) as usize];
        let rle = Rle::encode(mask, width, height);
        prop_assert_eq!(rle.counts.iter().sum::<u32>(), width * height);
        prop_assert!(rle.counts[1..].iter().all(|&n| n > 0));
        prop_assert_eq!(rle.decode(), mask);
        let read = Rle::from_coco_string(&rle.to_coco_string(), width, height);
        prop_assert_eq!(read, Some(rle));
    }

    #[test]
    fn bounds_touch_all_of_a_mask(width in 1u32..12, height in 1u32..12, inside in prop::collection::vec(0u32..144, 0..5)) {
        let mut mask = vec![0; (width * height) as usize];
        for place in inside {
            mask[(place % (width * height)) as usize] = 1;
        }
        let on = |p: &usize| mask[*p] == 1;
        let x = || (0..mask.len()).filter(on).map(|p| p as u32 % width);
        let y = || (0..mask.len()).filter(on).map(|p| p as u32 / width);
        let edges = (x().min(), y().min(), x().max(), y().max());
        let expected = match edges {
            (Some(x0), Some(y0), Some(x1), Some(y1)) => {
                Some([x0, y0, x1 - x0 + 1, y1 - y0 + 1].map(|edge| edge as f32))
            }
            _ => None,
        };
        let bounds = Rle::encode(&mask, width, height).bounds();
        prop_assert_eq!(bounds.map(|b| [b.x, b.y, b.width, b.height]), expected);
    }

    #[test]
    fn no_code_is_a_surprise(code in "[0-o]{0,12}", width in 1u32..20, height in 1u32..20) {
        if let Some(rle) = Rle::from_coco_string(&code, width, height) {
            prop_assert_eq!(rle.decode().len() as u32, width * height);
            rle.bounds();
        }
    }
}
