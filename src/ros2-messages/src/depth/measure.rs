//! Boxes in space from the pixels of a detection.

use mdetr_grounding::{BBox, Detection, Rle};

use super::camera::Intrinsics;
use super::view::DepthView;
use crate::geometry_msgs::{Point, Pose, Quaternion, Vector3};
use crate::vision_msgs::BoundingBox3D;

/// Pixels of a detection that are looked at; of larger ones each n-th.
const MAX_PIXELS: usize = 1 << 16;
/// The part of measured values that an extent leaves out at each end.
const TAIL: f64 = 0.1;

/// Where an object is: the pixels of its mask, or [the middle of its box](middle_in_space) if it has none. `None` if
/// nothing was measured there, or if it is hidden: what is measured there is in front of it.
///
/// The centre has the median of each coordinate of the visible surface, so a few pixels of something else change little.
/// The sides go from the 10th to the 90th percentile. The far side of an object is not seen, and not guessed.
pub fn box_in_space(
    detection: &Detection,
    depth: &DepthView,
    camera: &Intrinsics,
) -> Option<BoundingBox3D> {
    if detection.hidden_ms.is_some() {
        return None;
    }
    let (width, height) = depth.size();
    match &detection.mask {
        Some(mask) if mask.area() > 0 => {
            let mask = mask.resized(width, height);
            let pixels = pixels_of(&mask, mask.area() as usize);
            let mut points = Points::measured(pixels, depth, camera);
            Some(bounding_box(points.centre()?, points.extent()?))
        }
        _ => middle_in_space(detection.bbox, depth, camera),
    }
}

/// Where an object of this box in the picture is, from the depth in the middle: half the width and half the height. Its
/// sides across and down are those of the box at the median depth.
pub fn middle_in_space(
    bbox: BBox,
    depth: &DepthView,
    camera: &Intrinsics,
) -> Option<BoundingBox3D> {
    let [x, y, width, height] = [bbox.x, bbox.y, bbox.width, bbox.height].map(f64::from);
    let (columns, rows) = depth.size();
    let columns = middle(x, width, columns)?;
    let rows = middle(y, height, rows)?;
    let (wide, high) = (columns.len(), rows.len());
    let step = (wide * high).div_ceil(MAX_PIXELS);
    let pixels = (0..wide * high).step_by(step).map(|at| {
        let (column, row) = (at % wide, at / wide);
        (columns.start + column as u32, rows.start + row as u32)
    });
    let mut points = Points::measured(pixels, depth, camera);
    let z = median(&mut points.z)?;
    let centre = Point {
        x: (x + width / 2.0 - 0.5 - camera.cx) * z / camera.fx,
        y: (y + height / 2.0 - 0.5 - camera.cy) * z / camera.fy,
        z,
    };
    let extent = Vector3 {
        x: width * z / camera.fx,
        y: height * z / camera.fy,
        z: extent(&mut points.z)?,
    };
    Some(bounding_box(centre, extent))
}

/// The pixels in the middle half of a side, at least one; `None` if they are outside.
fn middle(start: f64, length: f64, pixels: u32) -> Option<std::ops::Range<u32>> {
    let (low, high) = (start + length / 4.0, start + length * 3.0 / 4.0);
    // Pixel i reaches from i to i + 1.
    let first = low.round().max(0.0) as u32;
    let end = high.round().min(f64::from(pixels)) as u32;
    if first < end {
        return Some(first..end);
    }
    let centre = start + length / 2.0;
    let inside = (0.0..f64::from(pixels)).contains(&centre);
    inside.then(|| centre as u32..centre as u32 + 1)
}

fn pixels_of(mask: &Rle, area: usize) -> impl Iterator<Item = (u32, u32)> {
    let height = mask.height;
    let positions = mask.runs().flat_map(|(start, count)| start..start + count);
    let positions = positions.step_by(area.div_ceil(MAX_PIXELS));
    positions.map(move |at| (at / height, at % height))
}

/// Coordinates of measured points, each by itself.
#[derive(Default)]
struct Points {
    x: Vec<f64>,
    y: Vec<f64>,
    z: Vec<f64>,
}

impl Points {
    fn measured(
        pixels: impl Iterator<Item = (u32, u32)>,
        depth: &DepthView,
        camera: &Intrinsics,
    ) -> Points {
        let mut points = Points::default();
        for (column, row) in pixels {
            if let Some(z) = depth.metres(column, row).map(f64::from) {
                points
                    .x
                    .push((f64::from(column) - camera.cx) * z / camera.fx);
                points.y.push((f64::from(row) - camera.cy) * z / camera.fy);
                points.z.push(z);
            }
        }
        points
    }

    fn centre(&mut self) -> Option<Point> {
        Some(Point {
            x: median(&mut self.x)?,
            y: median(&mut self.y)?,
            z: median(&mut self.z)?,
        })
    }

    fn extent(&mut self) -> Option<Vector3> {
        Some(Vector3 {
            x: extent(&mut self.x)?,
            y: extent(&mut self.y)?,
            z: extent(&mut self.z)?,
        })
    }
}

fn bounding_box(position: Point, size: Vector3) -> BoundingBox3D {
    let orientation = Quaternion::default();
    let center = Pose {
        position,
        orientation,
    };
    BoundingBox3D { center, size }
}

fn median(values: &mut [f64]) -> Option<f64> {
    quantile(values, 0.5)
}

fn extent(values: &mut [f64]) -> Option<f64> {
    Some(quantile(values, 1.0 - TAIL)? - quantile(values, TAIL)?)
}

/// The value below which `part` of the values lie; changes their order.
fn quantile(values: &mut [f64], part: f64) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    let rank = (part * last as f64).round() as usize;
    let (_, value, _) = values.select_nth_unstable_by(rank, f64::total_cmp);
    Some(*value)
}
