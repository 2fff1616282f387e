//! Which scenes to draw.

use crate::error::ScenesError;

/// Pixels of the pictures at which visibility is judged.
const REFERENCE_PIXELS: f32 = 256.0 * 192.0;

/// Which scenes to draw.
#[derive(Clone, Debug, PartialEq)]
pub struct SceneOptions {
    /// Least number of objects.
    pub min_objects: usize,
    /// Greatest number of objects.
    pub max_objects: usize,
    /// Width of the pictures to be made; with the height it gives their shape, nothing else.
    pub width: u32,
    /// Height of the pictures to be made.
    pub height: u32,
    /// Focal length of the camera in image widths; `None`: a random one of 1.0 to 1.2.
    pub focal: Option<f32>,
    /// Whether cameras, lights, surfaces and sensors differ widely: objects are cut by the picture's edges, scenes are dark,
    /// and shiny surfaces may not shine. The focal length is then a random one of 0.8 to 1.6, unless it is given.
    pub varied: bool,
}

impl Default for SceneOptions {
    fn default() -> Self {
        SceneOptions {
            min_objects: 2,
            max_objects: 8,
            width: 320,
            height: 240,
            focal: None,
            varied: false,
        }
    }
}

impl SceneOptions {
    /// Least and greatest focal length in image widths.
    pub const FOCAL_LENGTHS: (f32, f32) = (0.5, 3.0);
    /// Greatest number of objects a scene has room for.
    pub const MAX_OBJECTS: usize = 10;
    /// Least and greatest side of a picture in pixels.
    pub const SIDES: (u32, u32) = (64, 8192);

    /// Checks the numbers.
    ///
    /// # Errors
    /// [`ScenesError::Size`], [`ScenesError::ObjectCount`] or [`ScenesError::Focal`].
    pub fn check(&self) -> Result<(), ScenesError> {
        let (width, height) = (self.width, self.height);
        let (min, max) = Self::SIDES;
        let sides = (min..=max).contains(&width) && (min..=max).contains(&height);
        if !sides || height > 2 * width || width > 3 * height {
            return Err(ScenesError::Size {
                width,
                height,
                min,
                max,
            });
        }
        if self.min_objects == 0
            || self.min_objects > self.max_objects
            || self.max_objects > Self::MAX_OBJECTS
        {
            return Err(ScenesError::ObjectCount {
                min: self.min_objects,
                max: self.max_objects,
                limit: Self::MAX_OBJECTS,
            });
        }
        let (shortest, longest) = Self::FOCAL_LENGTHS;
        match self.focal {
            Some(focal) if !(shortest..=longest).contains(&focal) => Err(ScenesError::Focal {
                focal,
                shortest,
                longest,
            }),
            _ => Ok(()),
        }
    }

    /// Size with this shape and about as many pixels as 256 x 192, at which visibility is judged.
    pub fn reference_size(&self) -> (u32, u32) {
        let aspect = self.width as f32 / self.height as f32;
        let height = (REFERENCE_PIXELS / aspect).sqrt();
        ((height * aspect).round() as u32, height.round() as u32)
    }
}
