//! Tensors of a file: where their values are.

use crate::error::Fault;

/// Types of values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DType {
    F64,
    F32,
    F16,
    BF16,
    I64,
    I32,
    I16,
    I8,
    U8,
    Bool,
}

impl DType {
    /// Bytes of a value.
    pub fn size(self) -> u64 {
        match self {
            DType::F64 | DType::I64 => 8,
            DType::F32 | DType::I32 => 4,
            DType::F16 | DType::BF16 | DType::I16 => 2,
            DType::I8 | DType::U8 | DType::Bool => 1,
        }
    }

    /// A value that is the first of these bytes, in little-endian order; those that 32 bits do not hold are rounded.
    fn to_f32(self, bytes: &[u8]) -> f32 {
        fn first<const N: usize>(bytes: &[u8]) -> [u8; N] {
            let mut value = [0; N];
            value.copy_from_slice(&bytes[..N]);
            value
        }
        match self {
            DType::F64 => f64::from_le_bytes(first(bytes)) as f32,
            DType::F32 => f32::from_le_bytes(first(bytes)),
            DType::F16 => half::f16::from_le_bytes(first(bytes)).to_f32(),
            DType::BF16 => half::bf16::from_le_bytes(first(bytes)).to_f32(),
            DType::I64 => i64::from_le_bytes(first(bytes)) as f32,
            DType::I32 => i32::from_le_bytes(first(bytes)) as f32,
            DType::I16 => f32::from(i16::from_le_bytes(first(bytes))),
            DType::I8 => f32::from(i8::from_le_bytes(first(bytes))),
            DType::U8 | DType::Bool => f32::from(bytes[0]),
        }
    }
}

/// Values that tensors share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Storage {
    /// Its name in the file.
    pub key: String,
    /// How many values it has.
    pub len: u64,
}

/// A tensor of a file, without its values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tensor {
    /// Type of its values in the file.
    pub dtype: DType,
    /// Sizes of its dimensions.
    pub shape: Vec<u64>,
    pub(crate) strides: Vec<u64>,
    pub(crate) offset: u64,
    pub(crate) storage: Storage,
}

impl Tensor {
    /// How many values it has.
    pub fn len(&self) -> u64 {
        // Checked when it was made.
        self.shape.iter().product()
    }

    /// Whether it has no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Checks that all values lie in the storage, and that there are no more of them than it has.
    pub(crate) fn new(
        dtype: DType,
        shape: Vec<u64>,
        strides: Vec<u64>,
        offset: u64,
        storage: Storage,
    ) -> Result<Tensor, Fault> {
        let wrong = |message: String| Fault::Tensor {
            name: format!("of storage {}", storage.key),
            message,
        };
        if shape.len() != strides.len() {
            let message = format!("{} sizes and {} strides", shape.len(), strides.len());
            return Err(wrong(message));
        }
        let product = shape
            .iter()
            .try_fold(1u64, |product, size| product.checked_mul(*size));
        let len = product
            .filter(|len| *len <= storage.len)
            .ok_or_else(|| wrong(format!("{shape:?} of a storage of {} values", storage.len)))?;
        let tensor = Tensor {
            dtype,
            shape,
            strides,
            offset,
            storage,
        };
        if len > 0 && tensor.end().is_none_or(|end| end > tensor.storage.len) {
            return Err(Fault::Tensor {
                name: format!("of storage {}", tensor.storage.key),
                message: format!(
                    "values from {} on with strides {:?} lie outside of its {} values",
                    tensor.offset, tensor.strides, tensor.storage.len
                ),
            });
        }
        Ok(tensor)
    }

    /// Behind the last value in the storage; `None` if there is no such number.
    fn end(&self) -> Option<u64> {
        let steps = self.shape.iter().zip(&self.strides);
        steps
            .into_iter()
            .try_fold(self.offset.checked_add(1)?, |end, (size, stride)| {
                end.checked_add((size - 1).checked_mul(*stride)?)
            })
    }

    /// The values of the storage that are needed: the first, and behind the last.
    pub(crate) fn range(&self) -> (u64, u64) {
        match self.is_empty() {
            true => (0, 0),
            false => (self.offset, self.end().unwrap_or(self.offset)),
        }
    }

    /// The values in the order of the shape, of the bytes of [`Tensor::range`].
    pub(crate) fn gather(&self, bytes: &[u8]) -> Vec<f32> {
        let size = self.dtype.size() as usize;
        if self.is_contiguous() {
            let values = bytes.chunks_exact(size);
            return values.map(|value| self.dtype.to_f32(value)).collect();
        }
        let mut values = Vec::with_capacity(self.len() as usize);
        let mut index = vec![0; self.shape.len()];
        for _ in 0..self.len() {
            let steps = index.iter().zip(&self.strides);
            let at: u64 = steps.map(|(index, stride)| index * stride).sum();
            values.push(self.dtype.to_f32(&bytes[at as usize * size..]));
            for (index, size) in index.iter_mut().zip(&self.shape).rev() {
                *index += 1;
                if *index < *size {
                    break;
                }
                *index = 0;
            }
        }
        values
    }

    fn is_contiguous(&self) -> bool {
        let mut wanted = 1;
        self.shape
            .iter()
            .zip(&self.strides)
            .rev()
            .all(|(size, stride)| {
                let fits = *size == 1 || *stride == wanted;
                wanted *= size;
                fits
            })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn storage(len: u64) -> Storage {
        Storage {
            key: "0".to_owned(),
            len,
        }
    }

    fn bytes(len: u64) -> Vec<u8> {
        (0..len)
            .flat_map(|value| (value as f32).to_le_bytes())
            .collect()
    }

    #[test]
    fn transposed_values_come_in_the_order_of_the_shape() {
        let tensor = Tensor::new(DType::F32, vec![2, 3], vec![1, 2], 4, storage(10)).unwrap();
        assert_eq!(tensor.range(), (4, 10));
        let found = tensor.gather(&bytes(10)[16..]);
        assert_eq!(found, [4.0, 6.0, 8.0, 5.0, 7.0, 9.0]);
    }

    #[test]
    fn types_are_read() {
        let read = |dtype: DType, bytes: &[u8]| {
            Tensor::new(dtype, vec![1], vec![1], 0, storage(1))
                .unwrap()
                .gather(bytes)[0]
        };
        assert_eq!(read(DType::F64, &(-0.5f64).to_le_bytes()), -0.5);
        assert_eq!(read(DType::F16, &[0x00, 0x3e]), 1.5);
        assert_eq!(read(DType::BF16, &[0xc0, 0x3f]), 1.5);
        assert_eq!(read(DType::I64, &(-7i64).to_le_bytes()), -7.0);
        assert_eq!(read(DType::I32, &(-7i32).to_le_bytes()), -7.0);
        assert_eq!(read(DType::I16, &(-7i16).to_le_bytes()), -7.0);
        assert_eq!(read(DType::I8, &(-7i8).to_le_bytes()), -7.0);
        assert_eq!(read(DType::U8, &[200]), 200.0);
        assert_eq!(read(DType::Bool, &[1]), 1.0);
    }

    #[test]
    fn what_lies_outside_is_refused() {
        let make = |shape: &[u64], strides: &[u64], offset| {
            Tensor::new(
                DType::F32,
                shape.to_vec(),
                strides.to_vec(),
                offset,
                storage(10),
            )
        };
        assert!(make(&[10], &[1], 0).is_ok());
        assert!(make(&[0, 5], &[1, 1], 99).is_ok());
        assert!(make(&[10], &[1], 1).is_err());
        assert!(make(&[2], &[10], 0).is_err());
        assert!(make(&[2], &[u64::MAX], 0).is_err());
        assert!(make(&[1], &[1], u64::MAX).is_err());
        assert!(make(&[u64::MAX, 3], &[0, 0], 0).is_err());
        // More values than there are, by a stride of 0.
        assert!(make(&[11], &[0], 0).is_err());
        assert!(make(&[2], &[], 0).is_err());
    }

    proptest! {
        #[test]
        fn any_view_is_refused_or_read(
            shape in proptest::collection::vec(0u64..5, 0..4),
            strides in proptest::collection::vec(0u64..9, 0..4),
            offset in 0u64..20,
        ) {
            if let Ok(tensor) = Tensor::new(DType::F32, shape, strides, offset, storage(30)) {
                let (first, end) = tensor.range();
                let all = bytes(30);
                let found = tensor.gather(&all[first as usize * 4..end as usize * 4]);
                prop_assert_eq!(found.len() as u64, tensor.len());
            }
        }
    }
}
