//! What may be chosen, and what is told.

/// How a bundle computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Precision {
    /// 32 bit: for CPUs.
    #[default]
    Fp32,
    /// 16 bit, softmax and norms in 32: for TensorRT.
    Fp16,
    /// Weights of transformer layers in 8 bit: for ONNX Runtime on CPUs that multiply in 8 bit.
    Int8,
}

impl Precision {
    /// Its name: `fp32`, `fp16`, `int8`.
    pub fn name(self) -> &'static str {
        match self {
            Precision::Fp32 => "fp32",
            Precision::Fp16 => "fp16",
            Precision::Int8 => "int8",
        }
    }
}

/// Which of a checkpoint's weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Averaged {
    /// Averaged over the last steps of training: `model_ema`. MDETR's published figures were measured with them.
    Ema,
    /// Those of the last step: `model`.
    Model,
}

/// How far an import is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Bytes of the checkpoint that were verified, and bytes of the bundle that were written.
    pub done: u64,
    /// How many there will be.
    pub total: u64,
}
