//! What was found, as the package's classes.

use std::borrow::Cow;

use mdetr::frame::MAX_SIDE;
use mdetr::{Detection, Grounding, QueryResult, Rle};
use mdetr_grounding::Carried;
use numpy::{PyArray1, PyArray2, PyArrayMethods};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyTuple, PyType};

use crate::errors::{Kind, exception};

/// The classes of `mdetr.results`, whose fields are given in their order.
struct Classes<'py> {
    answer: &'py Bound<'py, PyType>,
    bbox: &'py Bound<'py, PyType>,
    detection: &'py Bound<'py, PyType>,
    grounding: &'py Bound<'py, PyType>,
    mask: &'py Bound<'py, PyType>,
    phrase: &'py Bound<'py, PyType>,
    result: &'py Bound<'py, PyType>,
    span: &'py Bound<'py, PyType>,
}

impl<'py> Classes<'py> {
    fn import(py: Python<'py>) -> PyResult<Classes<'py>> {
        macro_rules! class {
            ($name:literal) => {{
                static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
                CLASS.import(py, "mdetr.results", $name)?
            }};
        }
        Ok(Classes {
            answer: class!("Answer"),
            bbox: class!("Box"),
            detection: class!("Detection"),
            grounding: class!("Grounding"),
            mask: class!("Mask"),
            phrase: class!("Phrase"),
            result: class!("QueryResult"),
            span: class!("Span"),
        })
    }

    fn detection(&self, py: Python<'py>, detection: &Detection) -> PyResult<Bound<'py, PyAny>> {
        let bbox = detection.bbox;
        let bbox = (bbox.x, bbox.y, bbox.width, bbox.height);
        let phrases = detection.phrases.iter().map(|phrase| {
            let span = self.span.call1((phrase.span.start, phrase.span.end))?;
            self.phrase.call1((&phrase.text, span, phrase.score))
        });
        let phrases: Vec<_> = phrases.collect::<PyResult<_>>()?;
        let mask = detection.mask.as_ref().map(|mask| {
            let size = (mask.height, mask.width);
            self.mask.call1((size, mask.to_coco_string()))
        });
        self.detection.call1((
            self.bbox.call1(bbox)?,
            detection.score,
            PyTuple::new(py, phrases)?,
            detection.track,
            mask.transpose()?,
            detection.hidden_ms,
        ))
    }

    fn result(&self, py: Python<'py>, result: &QueryResult) -> PyResult<Bound<'py, PyAny>> {
        let detections = result.detections.iter();
        let detections = detections.map(|detection| self.detection(py, detection));
        let detections: Vec<_> = detections.collect::<PyResult<_>>()?;
        let answer = result.answer.as_ref();
        let answer = answer.map(|answer| self.answer.call1((&answer.text, answer.score)));
        self.result.call1((
            result.query.id(),
            result.query.text(),
            PyTuple::new(py, detections)?,
            answer.transpose()?,
        ))
    }
}

/// A `mdetr.Grounding`; `carrier` is the element that found it and the age of the result in milliseconds, if it comes
/// from GStreamer.
pub fn to_python<'py>(
    py: Python<'py>,
    grounding: &Grounding,
    carrier: Option<(&str, f64)>,
) -> PyResult<Bound<'py, PyAny>> {
    let classes = Classes::import(py)?;
    let queries = grounding.queries.iter();
    let queries = queries.map(|result| classes.result(py, result));
    let queries: Vec<_> = queries.collect::<PyResult<_>>()?;
    let (element, age_ms) = carrier.unzip();
    classes.grounding.call1((
        (grounding.width, grounding.height),
        grounding.revision,
        PyTuple::new(py, queries)?,
        element,
        age_ms,
    ))
}

/// Reads a result as it travels with GStreamer's buffers, in pixels of a frame of `size` (width and height) if that is
/// given.
#[pyfunction]
#[pyo3(signature = (json, size = None))]
pub fn read_carried<'py>(
    py: Python<'py>,
    json: &[u8],
    size: Option<(u32, u32)>,
) -> PyResult<Bound<'py, PyAny>> {
    let carried: Carried = serde_json::from_slice(json).map_err(|error| {
        let message = format!(
            "metadata of the plugin mdetr: expected that of version {}: {error}; install the package and the plugin from \
             the same version",
            env!("CARGO_PKG_VERSION")
        );
        exception(py, Kind::Any, message)
    })?;
    let sides = |(width, height)| {
        [width, height]
            .iter()
            .all(|side| (1..=MAX_SIDE).contains(side))
    };
    if let Some((width, height)) = size.filter(|size| !sides(*size)) {
        return Err(PyValueError::new_err(format!(
            "size: expected sides of 1 to {MAX_SIDE} pixels, found {width}x{height}"
        )));
    }
    let grounding = match size {
        Some((width, height)) => Cow::Owned(carried.grounding.scaled(width, height)),
        None => carried.grounding,
    };
    let age_ms = carried.age_ns as f64 / 1e6;
    to_python(py, &grounding, Some((&carried.element, age_ms)))
}

/// The mask of `height` x `width` pixels in COCO's compressed run lengths, as an array of bool.
#[pyfunction]
pub fn decode_mask<'py>(
    py: Python<'py>,
    counts: &str,
    height: u32,
    width: u32,
) -> PyResult<Bound<'py, PyArray2<bool>>> {
    let small = height.max(width) <= MAX_SIDE;
    let mask = Some(counts).filter(|_| small);
    let mask = mask.and_then(|counts| Rle::from_coco_string(counts, width, height));
    let mask = mask.ok_or_else(|| {
        PyValueError::new_err(format!(
            "mask: expected COCO's compressed run lengths that fill {height}x{width} pixels, at most {MAX_SIDE} a side"
        ))
    })?;
    let pixels = py.detach(|| mask.decode().into_iter().map(|pixel| pixel != 0).collect());
    PyArray1::from_vec(py, pixels).reshape([height as usize, width as usize])
}
