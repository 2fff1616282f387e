//! Tensors in messages.

use bytemuck::pod_collect_to_vec;
use bytes::{BufMut, Bytes, BytesMut};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};

use crate::inference::model_infer_request::InferInputTensor;
use crate::inference::model_infer_response::InferOutputTensor;
use crate::inference::{InferTensorContents, ModelInferRequest, ModelInferResponse};

const _: () = assert!(
    cfg!(target_endian = "little"),
    "raw contents are little-endian, and are copied as they are"
);

/// Element types that are understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DataType {
    /// 16-bit floats.
    Fp16,
    /// 32-bit floats.
    Fp32,
    /// 64-bit integers.
    Int64,
    /// Bytes as numbers.
    Uint8,
    /// Strings of bytes.
    Bytes,
}

impl DataType {
    const ALL: [DataType; 5] = [
        DataType::Fp16,
        DataType::Fp32,
        DataType::Int64,
        DataType::Uint8,
        DataType::Bytes,
    ];

    /// Its name in the protocol.
    pub const fn name(self) -> &'static str {
        match self {
            DataType::Fp16 => "FP16",
            DataType::Fp32 => "FP32",
            DataType::Int64 => "INT64",
            DataType::Uint8 => "UINT8",
            DataType::Bytes => "BYTES",
        }
    }

    /// The type of this name, if it is understood.
    pub fn of(name: &str) -> Option<DataType> {
        DataType::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// Values, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Values {
    /// Of FP32 and FP16.
    F32(Vec<f32>),
    /// Of INT64.
    I64(Vec<i64>),
    /// Of UINT8.
    U8(Bytes),
    /// Of BYTES.
    Bytes(Vec<Bytes>),
}

/// A tensor with its name.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Its name.
    pub name: String,
    /// Size of each dimension; their product is the number of values.
    pub shape: Vec<usize>,
    /// Its values.
    pub values: Values,
}

/// Why a message's tensors cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("tensor {name}: {message}")]
pub struct TensorError {
    /// The tensor.
    pub name: String,
    /// What was expected and found.
    pub message: String,
}

/// The inputs of a request.
///
/// # Errors
/// A type is not understood, or a shape and its values do not belong together.
pub fn inputs(request: ModelInferRequest) -> Result<Vec<Tensor>, TensorError> {
    let fields = |tensor: InferInputTensor| Fields {
        name: tensor.name,
        datatype: tensor.datatype,
        shape: tensor.shape,
        contents: tensor.contents,
    };
    let tensors = request.inputs.into_iter().map(fields).collect();
    read_all(tensors, request.raw_input_contents)
}

/// The outputs of an answer.
///
/// # Errors
/// As [`inputs`].
pub fn outputs(response: ModelInferResponse) -> Result<Vec<Tensor>, TensorError> {
    let fields = |tensor: InferOutputTensor| Fields {
        name: tensor.name,
        datatype: tensor.datatype,
        shape: tensor.shape,
        contents: tensor.contents,
    };
    let tensors = response.outputs.into_iter().map(fields).collect();
    read_all(tensors, response.raw_output_contents)
}

/// What inputs and outputs have in common.
struct Fields {
    name: String,
    datatype: String,
    shape: Vec<i64>,
    contents: Option<InferTensorContents>,
}

/// Raw contents are of all tensors or of none.
fn read_all(tensors: Vec<Fields>, raw: Vec<Bytes>) -> Result<Vec<Tensor>, TensorError> {
    if !raw.is_empty() && raw.len() != tensors.len() {
        let names: Vec<String> = tensors.into_iter().map(|tensor| tensor.name).collect();
        let (found, expected) = (raw.len(), names.len());
        return Err(TensorError {
            name: names.join(", "),
            message: format!("expected raw contents of {expected} tensors, found those of {found}"),
        });
    }
    let mut raw = raw.into_iter();
    let read = |fields: Fields| {
        let Fields {
            name,
            datatype,
            shape,
            contents,
        } = fields;
        match read(&datatype, &shape, raw.next(), contents) {
            Ok((shape, values)) => Ok(Tensor {
                name,
                shape,
                values,
            }),
            Err(message) => Err(TensorError { name, message }),
        }
    };
    tensors.into_iter().map(read).collect()
}

fn read(
    datatype: &str,
    shape: &[i64],
    raw: Option<Bytes>,
    contents: Option<InferTensorContents>,
) -> Result<(Vec<usize>, Values), String> {
    let Some(kind) = DataType::of(datatype) else {
        let known = DataType::ALL.map(DataType::name).join(", ");
        return Err(format!("expected a type of {known}, found {datatype:?}"));
    };
    let sizes: Result<Vec<usize>, _> = shape.iter().map(|&size| usize::try_from(size)).collect();
    let sizes = sizes.map_err(|_| format!("expected a shape of sizes from 0, found {shape:?}"))?;
    let count = sizes
        .iter()
        .try_fold(1, |all: usize, &size| all.checked_mul(size));
    let count = count.ok_or_else(|| format!("the shape {shape:?} is too large"))?;
    let values = match raw {
        Some(raw) => from_raw(kind, count, raw)?,
        None => from_contents(kind, contents.unwrap_or_default())?,
    };
    let found = match &values {
        Values::F32(values) => values.len(),
        Values::I64(values) => values.len(),
        Values::U8(values) => values.len(),
        Values::Bytes(values) => values.len(),
    };
    if found != count {
        return Err(format!(
            "expected {count} values for the shape {shape:?}, found {found}"
        ));
    }
    Ok((sizes, values))
}

fn from_raw(kind: DataType, count: usize, raw: Bytes) -> Result<Values, String> {
    let size = match kind {
        DataType::Fp16 => 2,
        DataType::Fp32 => 4,
        DataType::Int64 => 8,
        DataType::Uint8 => 1,
        DataType::Bytes => return strings(count, raw).map(Values::Bytes),
    };
    if count.checked_mul(size) != Some(raw.len()) {
        let (kind, found) = (kind.name(), raw.len());
        return Err(format!(
            "expected {count} values of {kind} in {size} bytes each, found {found} bytes"
        ));
    }
    Ok(match kind {
        DataType::Fp32 => Values::F32(pod_collect_to_vec(raw.as_ref())),
        DataType::Int64 => Values::I64(pod_collect_to_vec(raw.as_ref())),
        DataType::Fp16 => {
            let bits: Vec<u16> = pod_collect_to_vec(raw.as_ref());
            let mut values = vec![0.0; bits.len()];
            let halves: &[half::f16] = bits.reinterpret_cast();
            halves.convert_to_f32_slice(&mut values);
            Values::F32(values)
        }
        DataType::Uint8 | DataType::Bytes => Values::U8(raw),
    })
}

/// Each string follows its length.
fn strings(count: usize, mut raw: Bytes) -> Result<Vec<Bytes>, String> {
    const LENGTH: usize = 4;
    let mut strings = Vec::with_capacity(count.min(raw.len() / LENGTH));
    while !raw.is_empty() {
        let short = || format!("string {} goes beyond the contents", strings.len());
        let length = *raw.first_chunk::<LENGTH>().ok_or_else(short)?;
        let length = u32::from_le_bytes(length) as usize;
        if raw.len() - LENGTH < length {
            return Err(short());
        }
        let _ = raw.split_to(LENGTH);
        strings.push(raw.split_to(length));
        if strings.len() > count {
            return Err(format!("expected {count} strings, found more"));
        }
    }
    Ok(strings)
}

fn from_contents(kind: DataType, contents: InferTensorContents) -> Result<Values, String> {
    Ok(match kind {
        DataType::Fp32 => Values::F32(contents.fp32_contents),
        DataType::Int64 => Values::I64(contents.int64_contents),
        DataType::Bytes => Values::Bytes(contents.bytes_contents),
        DataType::Uint8 => {
            let bytes = contents.uint_contents.iter().map(|&n| u8::try_from(n));
            let bytes: Result<Vec<u8>, _> = bytes.collect();
            Values::U8(bytes.map_err(|_| "a number above 255 in UINT8")?.into())
        }
        DataType::Fp16 => return Err("FP16 can only be in raw contents".to_owned()),
    })
}

/// Raw contents of values.
pub mod raw {
    use super::*;

    /// Of FP32.
    pub fn fp32(values: &[f32]) -> Bytes {
        Bytes::copy_from_slice(bytemuck::cast_slice(values))
    }

    /// Of FP16, to the nearest; what is too large becomes infinite.
    pub fn fp16(values: &[f32]) -> Bytes {
        let mut bits = vec![0_u16; values.len()];
        let halves: &mut [half::f16] = bits.reinterpret_cast_mut();
        halves.convert_from_f32_slice(values);
        Bytes::copy_from_slice(bytemuck::cast_slice(&bits))
    }

    /// Of INT64.
    pub fn int64(values: &[i64]) -> Bytes {
        Bytes::copy_from_slice(bytemuck::cast_slice(values))
    }

    /// Of BYTES.
    ///
    /// # Panics
    /// A string has 4 GiB.
    pub fn bytes<S: AsRef<[u8]>>(strings: impl IntoIterator<Item = S>) -> Bytes {
        let mut raw = BytesMut::new();
        for string in strings {
            let string = string.as_ref();
            raw.put_u32_le(u32::try_from(string.len()).expect("strings are below 4 GiB"));
            raw.put_slice(string);
        }
        raw.freeze()
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn answer(datatype: &str, shape: &[i64], raw: Vec<Bytes>) -> ModelInferResponse {
        ModelInferResponse {
            outputs: vec![InferOutputTensor {
                name: "boxes".to_owned(),
                datatype: datatype.to_owned(),
                shape: shape.to_vec(),
                ..InferOutputTensor::default()
            }],
            raw_output_contents: raw,
            ..ModelInferResponse::default()
        }
    }

    fn read_raw(kind: DataType, count: usize, raw: Bytes) -> Result<Values, TensorError> {
        let tensors = outputs(answer(kind.name(), &[count as i64], vec![raw]));
        tensors.map(|mut tensors| tensors.remove(0).values)
    }

    proptest! {
        #[test]
        fn values_come_back(
            floats in vec(-1e4_f32..1e4, 0..40),
            integers in vec(any::<i64>(), 0..40),
            texts in vec(".{0,12}", 0..10),
        ) {
            let read = read_raw(DataType::Fp32, floats.len(), raw::fp32(&floats));
            prop_assert_eq!(read, Ok(Values::F32(floats.clone())));
            let read = read_raw(DataType::Int64, integers.len(), raw::int64(&integers));
            prop_assert_eq!(read, Ok(Values::I64(integers)));
            let read = read_raw(DataType::Bytes, texts.len(), raw::bytes(&texts));
            let texts = texts.into_iter().map(Bytes::from).collect();
            prop_assert_eq!(read, Ok(Values::Bytes(texts)));
            let read = read_raw(DataType::Fp16, floats.len(), raw::fp16(&floats));
            let Ok(Values::F32(halves)) = read else { panic!("{read:?}") };
            for (float, half) in floats.iter().zip(halves) {
                prop_assert!((float - half).abs() <= float.abs() / 2048.0 + 1e-7);
            }
        }

        #[test]
        fn no_bytes_are_read_as_more_than_they_are(
            kind in 0..5_usize, shape in vec(-2..1_i64 << 40, 0..4), bytes in vec(any::<u8>(), 0..64),
        ) {
            let kind = DataType::ALL[kind];
            let count = shape.iter().try_fold(1, |all: i64, &n| all.checked_mul(n));
            if let Ok(tensors) = outputs(answer(kind.name(), &shape, vec![bytes.into()])) {
                let found: usize = tensors[0].shape.iter().product();
                prop_assert_eq!(count, Some(found as i64));
                prop_assert!(found <= 64);
            }
        }
    }

    #[test]
    fn typed_contents_are_read_too() {
        let mut response = answer("FP32", &[1, 2], vec![]);
        response.outputs[0].contents = Some(InferTensorContents {
            fp32_contents: vec![0.5, 2.0],
            ..InferTensorContents::default()
        });
        let tensor = outputs(response).unwrap().remove(0);
        assert_eq!(tensor.shape, [1, 2]);
        assert_eq!(tensor.values, Values::F32(vec![0.5, 2.0]));
    }

    #[test]
    fn what_does_not_belong_together_is_named() {
        let eight = Bytes::from_static(&[0; 8]);
        for (response, expected) in [
            (
                answer("FP32", &[3], vec![eight.clone()]),
                "tensor boxes: expected 3 values of FP32 in 4 bytes each, found 8 bytes",
            ),
            (
                answer("FP64", &[1], vec![eight.clone()]),
                "tensor boxes: expected a type of FP16, FP32, INT64, UINT8, BYTES, found \"FP64\"",
            ),
            (
                answer("FP32", &[-1, 2], vec![eight.clone()]),
                "tensor boxes: expected a shape of sizes from 0, found [-1, 2]",
            ),
            (
                answer("FP32", &[i64::MAX, 8], vec![eight.clone()]),
                "tensor boxes: the shape [9223372036854775807, 8] is too large",
            ),
            (
                answer("FP32", &[2], vec![eight.clone(), eight]),
                "tensor boxes: expected raw contents of 1 tensors, found those of 2",
            ),
            (
                answer("INT64", &[1], vec![]),
                "tensor boxes: expected 1 values for the shape [1], found 0",
            ),
            (
                answer("BYTES", &[1], vec![Bytes::from_static(&[9, 0, 0, 0, 1])]),
                "tensor boxes: string 0 goes beyond the contents",
            ),
        ] {
            assert_eq!(outputs(response).unwrap_err().to_string(), expected);
        }
    }
}
