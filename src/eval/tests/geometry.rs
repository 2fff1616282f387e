//! Overlap of boxes.

use mdetr_eval::Bbox;
use proptest::prelude::*;

fn any_box() -> impl Strategy<Value = Bbox> {
    let coordinate = || -1000.0..1000.0;
    let side = || 0.0..500.0;
    (coordinate(), coordinate(), side(), side())
        .prop_map(|(x, y, w, h): (f64, f64, f64, f64)| Bbox::from_xywh([x, y, w, h]))
}

proptest! {
    #[test]
    fn overlap_is_symmetric(a in any_box(), b in any_box()) {
        prop_assert_eq!(a.iou(b), b.iou(a));
        prop_assert_eq!(a.giou(b), b.giou(a));
    }

    #[test]
    fn overlap_is_in_range(a in any_box(), b in any_box()) {
        prop_assert!((0.0..=1.0).contains(&a.iou(b)));
        prop_assert!((-1.0..=1.0).contains(&a.giou(b)));
        prop_assert!(a.giou(b) <= a.iou(b) + 1e-12);
    }

    #[test]
    fn a_box_overlaps_itself(a in any_box()) {
        prop_assume!(a.area() > 1e-6);
        prop_assert!((a.iou(a) - 1.0).abs() < 1e-9);
        prop_assert!((a.giou(a) - 1.0).abs() < 1e-9);
    }

    #[test]
    fn overlap_moves_along(a in any_box(), b in any_box(), dx in -64i32..64, scale in 1u32..5) {
        prop_assume!(a.area() > 1.0 && b.area() > 1.0);
        let moved = |b: Bbox| {
            let [x0, y0, x1, y1] = <[f64; 4]>::from(b).map(|v| v * f64::from(scale));
            let dx = f64::from(dx);
            Bbox::from([x0 + dx, y0, x1 + dx, y1])
        };
        prop_assert!((a.giou(b) - moved(a).giou(moved(b))).abs() < 1e-6);
        prop_assert!((a.iou(b) - moved(a).iou(moved(b))).abs() < 1e-6);
    }

    #[test]
    fn the_hull_holds_both(a in any_box(), b in any_box()) {
        let hull = a.hull(b);
        prop_assert!(hull.x0 <= a.x0.min(b.x0) && hull.y1 >= a.y1.max(b.y1));
        prop_assert!(hull.area() + 1e-9 >= a.area().max(b.area()));
    }
}

#[test]
fn by_hand() {
    let a = Bbox::from([0.0, 0.0, 2.0, 2.0]);
    let b = Bbox::from([1.0, 1.0, 3.0, 3.0]);
    assert_eq!(a.iou(b), 1.0 / 7.0);
    assert!((a.giou(b) - (1.0 / 7.0 - 2.0 / 9.0)).abs() < 1e-12);
    let apart = Bbox::from([2.0, 0.0, 4.0, 2.0]);
    assert_eq!(a.iou(apart), 0.0);
    assert_eq!(a.giou(apart), 0.0);
    let empty = Bbox::from([1.0, 1.0, 1.0, 1.0]);
    assert_eq!((empty.iou(empty), empty.giou(empty)), (0.0, 0.0));
    assert_eq!(
        Bbox::from_xywh([1.0, 2.0, 3.0, 4.0]),
        Bbox::from([1.0, 2.0, 4.0, 6.0])
    );
    assert_eq!(
        Bbox::from([1.0, 2.0, 4.0, 6.0]).to_xywh(),
        [1.0, 2.0, 3.0, 4.0]
    );
}
