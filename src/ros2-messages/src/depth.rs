//! Depth images: where in space what was found is.
//!
//! Depth is that of REP 118: `32FC1` in metres, or `16UC1` in millimetres; NaN, infinities and what is not above 0 are
//! pixels without a measurement. It has to be registered to the camera of the picture: same frame, same size. Positions
//! are in the optical frame: x to the right, y down, z forward, in metres.

mod measure;

use mdetr_grounding::Grounding;

pub use crate::depth::measure::{box_in_space, middle_in_space};
use crate::detections::{found, hypotheses, id};
use crate::image::{ImageError, planes};
use crate::sensor_msgs::{CameraInfo, Image};
use crate::std_msgs::Header;
use crate::vision_msgs::{Detection3D, Detection3DArray};

/// Why there are no positions.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum DepthError {
    /// The image is no depth image.
    #[error(
        "depth image: expected the encoding 32FC1 or 16UC1, found {found:?}; take the raw topic of the depth image"
    )]
    Encoding {
        /// The encoding found, shortened.
        found: String,
    },
    /// The image is not what it claims to be.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// It is of another camera.
    #[error(
        "depth image: expected the frame {picture:?} of the picture, found {depth:?}; take the depth that is registered to the colour camera (aligned_depth_to_color, depth_registered)"
    )]
    Frame {
        /// `frame_id` of the picture.
        picture: String,
        /// `frame_id` of the depth image.
        depth: String,
    },
    /// It has another size than the picture.
    #[error(
        "depth image of {}x{}: expected {}x{}, the size of the picture; take the depth that is registered to the colour camera (aligned_depth_to_color, depth_registered)",
        depth.0, depth.1, picture.0, picture.1
    )]
    PictureSize {
        /// Width and height of the picture.
        picture: (u32, u32),
        /// Width and height of the depth image.
        depth: (u32, u32),
    },
    /// The camera info is of pictures of another size.
    #[error(
        "camera info of {}x{}: expected {}x{}, the size of the depth image; take the camera_info beside the picture",
        info.0, info.1, depth.0, depth.1
    )]
    InfoSize {
        /// Width and height after region of interest and binning.
        info: (u32, u32),
        /// Width and height of the depth image.
        depth: (u32, u32),
    },
    /// The pictures are distorted.
    #[error(
        "camera info: expected pictures without distortion, found the {model:?} parameters {d:?}; rectify the pictures (image_proc gives image_rect), and say that they are"
    )]
    Unrectified {
        /// The model of the distortion.
        model: String,
        /// Its first parameters.
        d: Vec<f64>,
    },
    /// There is no focal length.
    #[error(
        "camera info: expected focal lengths above 0, found {fx} and {fy}; calibrate the camera"
    )]
    Uncalibrated {
        /// The focal length across, in pixels.
        fx: f64,
        /// The focal length down, in pixels.
        fy: f64,
    },
}

/// A pinhole camera: focal lengths and the principal point in pixels. The centre of the top left pixel is (0, 0).
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Intrinsics {
    /// Width of its pictures in pixels.
    pub width: u32,
    /// Height of its pictures in pixels.
    pub height: u32,
    /// Focal length across.
    pub fx: f64,
    /// Focal length down.
    pub fy: f64,
    /// Column of the principal point.
    pub cx: f64,
    /// Row of the principal point.
    pub cy: f64,
}

impl Intrinsics {
    /// Reads a camera info. `rectified` says that the pictures were rectified, whatever distortion the camera has; the
    /// projection matrix `p` holds then, and the matrix `k` otherwise.
    ///
    /// # Errors
    /// The pictures are distorted, or the camera is not calibrated.
    pub fn new(info: &CameraInfo, rectified: bool) -> Result<Intrinsics, DepthError> {
        if !rectified && info.d.iter().any(|parameter| *parameter != 0.0) {
            return Err(DepthError::Unrectified {
                model: info.distortion_model.chars().take(40).collect(),
                d: info.d.iter().copied().take(8).collect(),
            });
        }
        let [fx, cx, fy, cy] = match rectified {
            true => [info.p[0], info.p[2], info.p[5], info.p[6]],
            false => [info.k[0], info.k[2], info.k[4], info.k[5]],
        };
        let focal = |length: f64| length.is_finite() && length > 0.0;
        if !(focal(fx) && focal(fy) && cx.is_finite() && cy.is_finite()) {
            return Err(DepthError::Uncalibrated { fx, fy });
        }
        // The matrices are those of the whole sensor: REP 104.
        let roi = info.roi;
        let (width, height) = match (roi.width, roi.height) {
            (0, _) | (_, 0) => (info.width, info.height),
            part => part,
        };
        let [across, down] = [info.binning_x, info.binning_y].map(|binning| binning.max(1));
        let [scale_x, scale_y] = [across, down].map(f64::from);
        Ok(Intrinsics {
            width: width / across,
            height: height / down,
            fx: fx / scale_x,
            fy: fy / scale_y,
            cx: (cx - f64::from(roi.x_offset)) / scale_x,
            cy: (cy - f64::from(roi.y_offset)) / scale_y,
        })
    }
}

/// The unit of a depth image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Unit {
    /// Metres, 4 bytes.
    Metres,
    /// Millimetres, 2 bytes.
    Millimetres,
}

/// A depth image that is known to be as large as it says. Nothing is copied.
#[derive(Debug, Clone)]
pub struct DepthView<'a> {
    header: &'a Header,
    width: u32,
    height: u32,
    unit: Unit,
    data: &'a [u8],
    stride: usize,
}

impl<'a> DepthView<'a> {
    /// Checks a depth image.
    ///
    /// # Errors
    /// Its encoding is another one, or it is not what it claims to be: see [`ImageError`].
    pub fn new(image: &'a Image) -> Result<DepthView<'a>, DepthError> {
        let (unit, bytes) = match image.encoding.as_str() {
            "32FC1" => (Unit::Metres, 4),
            "16UC1" => (Unit::Millimetres, 2),
            other => {
                let found = other.chars().take(40).collect();
                return Err(DepthError::Encoding { found });
            }
        };
        let size = (bytes * u64::from(image.width), u64::from(image.height));
        let plane = planes(image, std::iter::once(size))?[0];
        Ok(DepthView {
            header: &image.header,
            width: image.width,
            height: image.height,
            unit,
            data: plane.data,
            stride: plane.stride,
        })
    }

    /// Width and height in pixels.
    pub fn size(&self) -> (u32, u32) {
        (self.width, self.height)
    }

    /// Metres at a pixel; `None` outside the image and where nothing was measured.
    pub fn metres(&self, column: u32, row: u32) -> Option<f32> {
        if column >= self.width || row >= self.height {
            return None;
        }
        let row = &self.data[row as usize * self.stride..];
        let metres = match self.unit {
            Unit::Metres => {
                let at = 4 * column as usize;
                f32::from_le_bytes(*row[at..].first_chunk()?)
            }
            Unit::Millimetres => {
                let at = 2 * column as usize;
                f32::from(u16::from_le_bytes(*row[at..].first_chunk()?)) / 1000.0
            }
        };
        (metres.is_finite() && metres > 0.0).then_some(metres)
    }
}

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
    if depth.header.frame_id != header.frame_id {
        return Err(DepthError::Frame {
            picture: header.frame_id.clone(),
            depth: depth.header.frame_id.clone(),
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
