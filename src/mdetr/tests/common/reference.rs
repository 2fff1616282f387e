//! Reference outputs in a safetensors file.

use std::path::Path;

use safetensors::SafeTensors;

pub struct Reference(Vec<u8>);

impl Reference {
    pub fn read(path: &Path) -> Reference {
        Reference(std::fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display())))
    }

    pub fn bytes(&self, name: &str) -> Vec<u8> {
        let tensors = SafeTensors::deserialize(&self.0).expect("a safetensors file");
        let tensor = tensors
            .tensor(name)
            .unwrap_or_else(|e| panic!("{name}: {e}"));
        tensor.data().to_vec()
    }

    pub fn floats(&self, name: &str) -> Vec<f32> {
        let bytes = self.bytes(name);
        let (words, _) = bytes.as_chunks();
        words.iter().map(|word| f32::from_le_bytes(*word)).collect()
    }
}

/// Largest absolute difference.
pub fn most(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}
