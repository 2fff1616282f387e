//! How a camera sees.

use super::error::DepthError;
use crate::sensor_msgs::CameraInfo;

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
