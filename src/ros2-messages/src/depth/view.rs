//! Depth images as values.

use super::error::DepthError;
use crate::image::planes;
use crate::sensor_msgs::Image;
use crate::std_msgs::Header;

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
    /// Its encoding is another one, or it is not what it claims to be: see [`ImageError`](crate::image::ImageError).
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

    /// The coordinate frame of the camera.
    pub fn frame_id(&self) -> &str {
        &self.header.frame_id
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
