//! What tells an object from others.

use std::sync::Arc;

/// What an object looks like to a model, so that it is known again in later frames.
#[derive(Debug, Clone, PartialEq)]
pub struct Identity {
    vector: Arc<[f32]>,
    /// Of the model.
    of: u64,
}

impl Identity {
    /// A vector of length 1, and a number of the model that gave it: those of other models mean something else.
    pub fn new(vector: &[f32], of: u64) -> Identity {
        Identity {
            vector: vector.into(),
            of,
        }
    }

    /// How alike two objects look, -1 to 1: the cosine between their vectors. `None` if they are not of one model.
    pub fn likeness(&self, other: &Identity) -> Option<f32> {
        let comparable = self.of == other.of && self.vector.len() == other.vector.len();
        let products = self.vector.iter().zip(&*other.vector).map(|(a, b)| a * b);
        let likeness: f32 = products.sum();
        (comparable && likeness.is_finite()).then(|| likeness.clamp(-1.0, 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_one_model_are_compared() {
        let (a, b) = (Identity::new(&[0.6, 0.8], 1), Identity::new(&[0.8, 0.6], 1));
        assert!((a.likeness(&b).unwrap() - 0.96).abs() < 1e-6);
        assert_eq!(a.likeness(&Identity::new(&[0.6, 0.8], 2)), None);
        assert_eq!(a.likeness(&Identity::new(&[1.0], 1)), None);
        assert_eq!(a.likeness(&Identity::new(&[f32::NAN, 1.0], 1)), None);
    }
}
