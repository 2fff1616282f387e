//! What does not fit of depth images and camera infos.

use crate::image::ImageError;

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
