//! Polygons and rectangles in the plane.

/// A point or a way: x to the right, y down.
pub(crate) type Point = [f64; 2];

/// An upright rectangle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rect {
    pub x0: f64,
    pub y0: f64,
    pub x1: f64,
    pub y1: f64,
}

impl Rect {
    pub fn area(self) -> f64 {
        (self.x1 - self.x0) * (self.y1 - self.y0)
    }

    pub fn center(self) -> Point {
        [(self.x0 + self.x1) / 2.0, (self.y0 + self.y1) / 2.0]
    }

    /// The same rectangle, smaller by `part` of its size.
    fn shrunk(self, part: f64) -> Rect {
        let (dx, dy) = ((self.x1 - self.x0) * part, (self.y1 - self.y0) * part);
        Rect {
            x0: self.x0 + dx,
            y0: self.y0 + dy,
            x1: self.x1 - dx,
            y1: self.y1 - dy,
        }
    }

    /// Whether a segment has a point in it (Liang and Barsky).
    fn is_met_by(self, a: Point, b: Point) -> bool {
        let (dx, dy) = (b[0] - a[0], b[1] - a[1]);
        let sides = [
            (-dx, a[0] - self.x0),
            (dx, self.x1 - a[0]),
            (-dy, a[1] - self.y0),
            (dy, self.y1 - a[1]),
        ];
        let (mut enters, mut leaves) = (0.0_f64, 1.0_f64);
        for (towards, distance) in sides {
            if towards == 0.0 {
                if distance < 0.0 {
                    return false;
                }
            } else if towards < 0.0 {
                enters = enters.max(distance / towards);
            } else {
                leaves = leaves.min(distance / towards);
            }
        }
        enters <= leaves
    }
}

/// A polygon. It may be concave; where its edges cross each other, the even-odd rule says what is inside.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Polygon {
    points: Vec<Point>,
    /// Heights at which edges cross each other.
    knots: Vec<f64>,
}

impl Polygon {
    pub fn new(points: Vec<Point>) -> Polygon {
        let mut polygon = Polygon {
            points,
            knots: Vec::new(),
        };
        let edges: Vec<_> = polygon.edges().collect();
        for (index, &(a, b)) in edges.iter().enumerate() {
            for &(c, d) in &edges[index + 1..] {
                polygon
                    .knots
                    .extend(meeting(a, b, c, d).map(|(at, _)| a[1] + at * (b[1] - a[1])));
            }
        }
        polygon
    }

    fn edges(&self) -> impl Iterator<Item = (Point, Point)> {
        let next = self.points.iter().cycle().skip(1);
        self.points.iter().copied().zip(next.copied())
    }

    pub fn contains(&self, [x, y]: Point) -> bool {
        let crossed = |(a, b): &(Point, Point)| {
            (a[1] > y) != (b[1] > y) && x < a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0])
        };
        self.edges().filter(crossed).count() % 2 == 1
    }

    /// Whether it has a part of the rectangle.
    pub fn touches(&self, rect: Rect) -> bool {
        self.edges().any(|(a, b)| rect.is_met_by(a, b)) || self.contains(rect.center())
    }

    /// Whether it has the whole rectangle.
    pub fn covers(&self, rect: Rect) -> bool {
        // Edges that lie on each other, such as that of the picture, do not count as crossed.
        let rect = rect.shrunk(1e-6);
        !self.edges().any(|(a, b)| rect.is_met_by(a, b)) && self.contains(rect.center())
    }

    /// Area that it has in common with a rectangle.
    ///
    /// Between two heights where nothing begins, ends or crosses, the length of its cuts grows evenly.
    pub fn area_in(&self, rect: Rect) -> f64 {
        let mut heights = vec![rect.y0, rect.y1];
        heights.extend(&self.knots);
        for (a, b) in self.edges() {
            heights.push(a[1]);
            for x in [rect.x0, rect.x1] {
                let at = (x - a[0]) / (b[0] - a[0]);
                if at > 0.0 && at < 1.0 {
                    heights.push(a[1] + at * (b[1] - a[1]));
                }
            }
        }
        heights.retain(|y| (rect.y0..=rect.y1).contains(y));
        heights.sort_by(f64::total_cmp);
        let slab = |pair: &[f64]| {
            let middle = (pair[0] + pair[1]) / 2.0;
            (pair[1] - pair[0]) * self.length_at(middle, rect.x0, rect.x1)
        };
        heights.windows(2).map(slab).sum()
    }

    /// Length of its cut at the height `y` between two places.
    fn length_at(&self, y: f64, x0: f64, x1: f64) -> f64 {
        let cuts = cuts(self.edges(), y);
        let within = |pair: &[f64]| (pair[1].min(x1) - pair[0].max(x0)).max(0.0);
        cuts.chunks_exact(2).map(within).sum()
    }

    /// Where the vertical at `x` is inside: pairs of heights.
    pub fn column(&self, x: f64) -> Vec<f64> {
        let turned = |[x, y]: Point| [y, x];
        cuts(self.edges().map(|(a, b)| (turned(a), turned(b))), x)
    }
}

/// Where edges cross the height `y`, from left to right; always an even number.
fn cuts(edges: impl Iterator<Item = (Point, Point)>, y: f64) -> Vec<f64> {
    let mut cuts: Vec<f64> = edges
        .filter(|(a, b)| (a[1] > y) != (b[1] > y))
        .map(|(a, b)| a[0] + (y - a[1]) / (b[1] - a[1]) * (b[0] - a[0]))
        .collect();
    cuts.sort_by(f64::total_cmp);
    cuts
}

/// Where two segments meet, from 0 to 1 along each; none for parallels.
pub(crate) fn meeting(a: Point, b: Point, c: Point, d: Point) -> Option<(f64, f64)> {
    let (r, s) = ([b[0] - a[0], b[1] - a[1]], [d[0] - c[0], d[1] - c[1]]);
    let across = cross(r, s);
    if across == 0.0 {
        return None;
    }
    let way = [c[0] - a[0], c[1] - a[1]];
    let (t, u) = (cross(way, s) / across, cross(way, r) / across);
    let within = 0.0..=1.0;
    (within.contains(&t) && within.contains(&u)).then_some((t, u))
}

/// Above 0 if `b` is clockwise of `a` as seen in a picture, where y grows downwards.
pub(crate) fn cross(a: Point, b: Point) -> f64 {
    a[0] * b[1] - a[1] * b[0]
}

pub(crate) fn distance(a: Point, b: Point) -> f64 {
    (a[0] - b[0]).hypot(a[1] - b[1])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point() -> impl Strategy<Value = Point> {
        [0.0..1.0, 0.0..1.0].prop_map(|p: [f64; 2]| p)
    }

    fn rect() -> impl Strategy<Value = Rect> {
        (point(), 0.01..0.5, 0.01..0.5).prop_map(|([x0, y0], w, h)| Rect {
            x0,
            y0,
            x1: x0 + w,
            y1: y0 + h,
        })
    }

    /// How often the polygon turns round a point, by angles.
    fn turns(points: &[Point], [x, y]: Point) -> f64 {
        let next = points.iter().cycle().skip(1);
        let angle = |(a, b): (&Point, &Point)| {
            let (a, b) = ([a[0] - x, a[1] - y], [b[0] - x, b[1] - y]);
            cross(a, b).atan2(a[0] * b[0] + a[1] * b[1])
        };
        points.iter().zip(next).map(angle).sum::<f64>() / std::f64::consts::TAU
    }

    /// Part of a rectangle inside, by a grid of points.
    fn sampled(polygon: &Polygon, rect: Rect) -> f64 {
        const SIDE: usize = 150;
        let at = |from: f64, to: f64, i: usize| from + (to - from) * (i as f64 + 0.5) / SIDE as f64;
        let inside = (0..SIDE * SIDE)
            .filter(|i| {
                let p = [
                    at(rect.x0, rect.x1, i % SIDE),
                    at(rect.y0, rect.y1, i / SIDE),
                ];
                polygon.contains(p)
            })
            .count();
        inside as f64 / (SIDE * SIDE) as f64
    }

    proptest! {
        #[test]
        fn inside_is_where_the_polygon_turns_an_odd_number_of_times(
            points in prop::collection::vec(point(), 3..9), p in point(),
        ) {
            let odd = turns(&points, p).round().rem_euclid(2.0) == 1.0;
            prop_assert_eq!(Polygon::new(points).contains(p), odd);
        }

        #[test]
        fn areas_are_those_of_samples(points in prop::collection::vec(point(), 3..8), rect in rect()) {
            let polygon = Polygon::new(points);
            let share = polygon.area_in(rect) / rect.area();
            let expected = sampled(&polygon, rect);
            prop_assert!((share - expected).abs() < 0.03, "{} for {}", share, expected);
            if share > 1e-9 {
                prop_assert!(polygon.touches(rect));
            }
            if polygon.covers(rect) {
                prop_assert!(share > 0.999);
            } else {
                prop_assert!(share < 1.0 + 1e-9);
            }
        }

        #[test]
        fn scaling_changes_nothing(
            points in prop::collection::vec(point(), 3..8), rect in rect(), sx in 0.2..50.0, sy in 0.2..50.0,
        ) {
            let scaled = Polygon::new(points.iter().map(|p| [p[0] * sx, p[1] * sy]).collect());
            let polygon = Polygon::new(points);
            let larger = Rect { x0: rect.x0 * sx, y0: rect.y0 * sy, x1: rect.x1 * sx, y1: rect.y1 * sy };
            prop_assert_eq!(polygon.touches(rect), scaled.touches(larger));
            prop_assert_eq!(polygon.covers(rect), scaled.covers(larger));
            let (a, b) = (polygon.area_in(rect) / rect.area(), scaled.area_in(larger) / larger.area());
            prop_assert!((a - b).abs() < 1e-6, "{} and {}", a, b);
        }

        #[test]
        fn columns_are_inside(points in prop::collection::vec(point(), 3..8), [x, y] in point()) {
            let polygon = Polygon::new(points);
            let inside = polygon.column(x).chunks_exact(2).any(|pair| pair[0] <= y && y < pair[1]);
            prop_assert_eq!(inside, polygon.contains([x, y]));
        }
    }

    #[test]
    fn a_star_is_hollow_and_a_bay_is_outside() {
        let star = [0, 2, 4, 1, 3].map(|i| {
            let angle = f64::from(i) / 5.0 * std::f64::consts::TAU;
            [0.5 + 0.5 * angle.sin(), 0.5 - 0.5 * angle.cos()]
        });
        let star = Polygon::new(star.to_vec());
        assert!(!star.contains([0.5, 0.5]), "the middle is crossed twice");
        assert!(star.contains([0.5, 0.1]));
        let bay = vec![
            [0.0, 0.0],
            [1.0, 0.0],
            [1.0, 1.0],
            [0.6, 1.0],
            [0.6, 0.2],
            [0.4, 0.2],
            [0.4, 1.0],
            [0.0, 1.0],
        ];
        let bay = Polygon::new(bay);
        let rect = Rect {
            x0: 0.3,
            y0: 0.4,
            x1: 0.7,
            y1: 0.8,
        };
        assert!(bay.touches(rect) && !bay.covers(rect));
        assert!((bay.area_in(rect) / rect.area() - 0.5).abs() < 1e-9);
        let whole = Polygon::new(vec![[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]]);
        assert!(whole.covers(Rect {
            x0: 0.0,
            y0: 0.0,
            x1: 1.0,
            y1: 1.0
        }));
    }
}
