//! Inputs and outputs of a plan.

use std::ffi::CStr;

use crate::ffi;

/// Element type of a tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Element {
    /// 32 bits, floating.
    Float,
    /// 16 bits, floating.
    Half,
    /// 32 bits.
    Int32,
    /// 64 bits.
    Int64,
    /// One byte, 0 or 1.
    Bool,
    /// Anything else.
    Other,
}

impl Element {
    fn new(code: i32) -> Element {
        match code {
            0 => Element::Float,
            1 => Element::Half,
            2 => Element::Int32,
            3 => Element::Int64,
            4 => Element::Bool,
            _ => Element::Other,
        }
    }

    /// Bytes of one element; 0 for [`Element::Other`].
    pub fn bytes(self) -> usize {
        match self {
            Element::Float | Element::Int32 => 4,
            Element::Half => 2,
            Element::Int64 => 8,
            Element::Bool => 1,
            Element::Other => 0,
        }
    }
}

/// An input or output of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IoTensor {
    /// Its name.
    pub name: String,
    /// Whether it is fed.
    pub is_input: bool,
    /// Its element type.
    pub element: Element,
    /// Size of each dimension; `None` where it is open.
    pub shape: Vec<Option<usize>>,
    /// Of an input the least sizes that the plan takes, else empty.
    pub min: Vec<usize>,
    /// Of an input the sizes it is fastest at, else empty.
    pub opt: Vec<usize>,
    /// Of an input the greatest sizes that the plan takes, else empty.
    pub max: Vec<usize>,
}

impl IoTensor {
    /// # Safety
    /// `tensor.name` is a C string.
    pub(crate) unsafe fn new(tensor: &ffi::Tensor) -> IoTensor {
        let rank = usize::try_from(tensor.rank).unwrap_or(0).min(ffi::MAX_RANK);
        let is_input = tensor.is_input != 0;
        let of_input = |sizes: &[i64]| -> Vec<usize> {
            let sizes = sizes[..if is_input { rank } else { 0 }].iter();
            sizes
                .map(|&size| usize::try_from(size).unwrap_or(0))
                .collect()
        };
        IoTensor {
            // SAFETY: promised by the caller.
            name: unsafe { CStr::from_ptr(tensor.name) }
                .to_string_lossy()
                .into_owned(),
            is_input,
            element: Element::new(tensor.element),
            shape: tensor.shape[..rank]
                .iter()
                .map(|&size| usize::try_from(size).ok())
                .collect(),
            min: of_input(&tensor.min),
            opt: of_input(&tensor.opt),
            max: of_input(&tensor.max),
        }
    }
}
