//! NumPy arrays as frames, where they lie.

use std::slice;

use mdetr::frame::MAX_SIDE;
use mdetr::{Frame, PixelFormat, Plane};
use numpy::ndarray::{ArrayView3, ArrayViewMut3};
use numpy::{
    PyArray3, PyArrayDescrMethods, PyArrayMethods, PyReadonlyArray3, PyUntypedArray,
    PyUntypedArrayMethods,
};
use pyo3::exceptions::PyMemoryError;
use pyo3::prelude::*;

use crate::errors::{Kind, exception, raise};

/// Channels of a pixel.
const CHANNELS: usize = 3;

/// An array of RGB pixels that is kept alive.
pub struct Picture<'py> {
    array: PyReadonlyArray3<'py, u8>,
}

impl<'py> Picture<'py> {
    /// # Errors
    /// It is no array of uint8 with the shape (height, width, 3), or Rust code of another package is writing to it.
    pub fn new(frame: &Bound<'py, PyAny>) -> PyResult<Picture<'py>> {
        let refused = |found: String| {
            let message = format!(
                "frame: expected a NumPy array of RGB pixels with the shape (height, width, 3) and the type uint8, found \
                 {found}"
            );
            exception(frame.py(), Kind::Frame, message)
        };
        let Ok(array) = frame.cast::<PyArray3<u8>>() else {
            return Err(refused(described(frame)?));
        };
        if array.shape()[2] != CHANNELS {
            return Err(refused(described(frame)?));
        }
        let array = array.try_readonly();
        let array = array.map_err(|error| refused(format!("one in use: {error}")))?;
        Ok(Picture { array })
    }

    /// The pixels as they lie, or a copy where their order in memory is none that frames have.
    pub fn pixels(&self) -> Pixels<'_> {
        let view = self.array.as_array();
        let place = Place::of(&view);
        Pixels { view, place }
    }
}

/// What an object is that is no picture, and what to do.
fn described(frame: &Bound<PyAny>) -> PyResult<String> {
    let Ok(array) = frame.cast::<PyUntypedArray>() else {
        let class = frame.get_type().fully_qualified_name()?;
        return Ok(format!("{class}: convert it with numpy.asarray"));
    };
    let shape: Vec<String> = array.shape().iter().map(usize::to_string).collect();
    let comma = if shape.len() == 1 { "," } else { "" };
    let kind = array.dtype().typeobj().name()?.to_string();
    Ok(format!(
        "the shape ({}{comma}) and the type {kind}",
        shape.join(", ")
    ))
}

/// The pixels of an array. Any thread may read them.
pub struct Pixels<'a> {
    view: ArrayView3<'a, u8>,
    place: Option<Place>,
}

/// Where the pixels of a frame begin, and how they lie.
struct Place {
    format: PixelFormat,
    /// Bytes from the array's first element to the frame's first byte: not positive.
    offset: isize,
    stride: usize,
}

impl Place {
    /// `None` if the pixels must be copied.
    fn of(view: &ArrayView3<u8>) -> Option<Place> {
        let (height, width, _) = view.dim();
        let &[row, pixel, channel] = view.strides() else {
            return None;
        };
        // NumPy gives axes of one element any stride.
        let packed = width == 1 || pixel == CHANNELS as isize;
        if height == 0 || width == 0 || !packed {
            return None;
        }
        let (format, offset) = match channel {
            1 => (PixelFormat::Rgb, 0),
            -1 => (PixelFormat::Bgr, -2),
            _ => return None,
        };
        let least = CHANNELS * width;
        let stride = if height == 1 {
            least
        } else {
            usize::try_from(row).ok().filter(|row| *row >= least)?
        };
        Some(Place {
            format,
            offset,
            stride,
        })
    }
}

impl Pixels<'_> {
    /// Calls `work` with the frame.
    ///
    /// # Errors
    /// Those of `work`; the frame has a side that frames cannot have, or there is no memory for a copy.
    pub fn with<T>(
        &self,
        work: impl FnOnce(&Frame) -> Result<T, mdetr::Error>,
    ) -> Result<T, Failure> {
        let (height, width, _) = self.view.dim();
        let side = |length| u32::try_from(length).unwrap_or(u32::MAX);
        let (w, h) = (side(width), side(height));
        let Some(place) = &self.place else {
            // Sides that frames cannot have are refused before the bytes are looked at.
            let copy = if w.max(h) > MAX_SIDE {
                Vec::new()
            } else {
                self.copied()?
            };
            let frame = Frame::rgb(w, h, &copy);
            return Ok(work(&frame.map_err(mdetr::Error::from)?)?);
        };
        let stride = place.stride;
        // SAFETY: these are the bytes from the first of the array's elements to the last in memory. The array has them
        // all, and what lies between its rows, as its rows are parts of one piece of memory; it is kept alive by the
        // picture. That no other thread writes to it meanwhile is the caller's promise, as with other libraries of
        // Python that release the lock.
        let data = unsafe {
            let first = self.view.as_ptr().offset(place.offset);
            slice::from_raw_parts(first, stride * (height - 1) + CHANNELS * width)
        };
        let frame = Frame::new(place.format, w, h, &[Plane { data, stride }]);
        Ok(work(&frame.map_err(mdetr::Error::from)?)?)
    }

    fn copied(&self) -> Result<Vec<u8>, Failure> {
        let mut copy = Vec::new();
        copy.try_reserve_exact(self.view.len())
            .map_err(|_| Failure::Memory)?;
        copy.resize(self.view.len(), 0);
        let mut pixels = ArrayViewMut3::from_shape(self.view.dim(), &mut copy)
            .expect("as many bytes as the view has");
        pixels.assign(&self.view);
        Ok(copy)
    }
}

/// Why a frame was not answered.
pub enum Failure {
    Library(mdetr::Error),
    /// There is no memory for a copy of the pixels.
    Memory,
}

impl From<mdetr::Error> for Failure {
    fn from(error: mdetr::Error) -> Failure {
        Failure::Library(error)
    }
}

impl Failure {
    pub fn raise(self, py: Python) -> PyErr {
        match self {
            Failure::Library(error) => raise(py, error),
            Failure::Memory => PyMemoryError::new_err("frame: no memory for a copy of its pixels"),
        }
    }
}
