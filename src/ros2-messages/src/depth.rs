//! Depth images: where in space what was found is.
//!
//! Depth is that of REP 118: `32FC1` in metres, or `16UC1` in millimetres; NaN, infinities and what is not above 0 are
//! pixels without a measurement. It has to be registered to the camera of the picture: same frame, same size. Positions
//! are in the optical frame: x to the right, y down, z forward, in metres.

mod camera;
mod error;
mod measure;
mod view;

use mdetr_grounding::Grounding;

pub use camera::Intrinsics;
pub use error::DepthError;
pub use measure::{box_in_space, middle_in_space};
pub use view::DepthView;

use crate::detections::{found, hypotheses, id};
use crate::std_msgs::Header;
use crate::vision_msgs::{Detection3D, Detection3DArray};

/// The boxes in space of all queries, in their order; `header` is that of the picture. What has no measured pixel in it is
/// left out. See [`box_in_space`] for the boxes, and [`detections_2d`](crate::detections::detections_2d) for the rest; each
/// result has the centre of the box as its pose.
///
/// # Errors
/// Picture, depth image and camera info are not of the same frame and size.
pub fn detections_3d(
    header: &Header,
    grounding: &Grounding,
    depth: &DepthView,
    camera: &Intrinsics,
) -> Result<Detection3DArray, DepthError> {
    if depth.frame_id() != header.frame_id {
        return Err(DepthError::Frame {
            picture: header.frame_id.clone(),
            depth: depth.frame_id().to_owned(),
        });
    }
    let picture = (grounding.width, grounding.height);
    if depth.size() != picture {
        return Err(DepthError::PictureSize {
            picture,
            depth: depth.size(),
        });
    }
    let info = (camera.width, camera.height);
    if depth.size() != info {
        return Err(DepthError::InfoSize {
            info,
            depth: depth.size(),
        });
    }
    let detections = found(grounding).filter_map(|(_, result, detection)| {
        let bbox = box_in_space(detection, depth, camera)?;
        let results = hypotheses(&result.query, detection).map(|mut result| {
            result.pose.pose = bbox.center;
            result
        });
        Some(Detection3D {
            header: header.clone(),
            results: results.collect(),
            bbox,
            id: id(detection),
        })
    });
    Ok(Detection3DArray {
        header: header.clone(),
        detections: detections.collect(),
    })
}
