//! What a bundle's graphs are called on servers.

use crate::choice::GraphRole;

/// Name of a served model's parameter, or property, that holds the SHA-256 of its graph.
pub const MODEL_HASH: &str = "mdetr_sha256";
/// Versions from here on are made of hashes.
const FIRST_VERSION: u64 = 1 << 31;

/// Name of a bundle's graph as a model.
pub fn model_name(bundle: &str, role: GraphRole) -> String {
    format!("{bundle}-{role}")
}

/// Version of a graph as a model, by its hash: 2147483648 to 4294967295, so that servers whose versions are numbers can
/// tell one graph from another.
pub fn model_version(sha256: &str) -> u64 {
    let digits = sha256.get(..8).unwrap_or_default();
    FIRST_VERSION | u64::from_str_radix(digits, 16).unwrap_or_default()
}

/// Whether a version is that of some graph's hash.
#[cfg(any(feature = "kserve", test))]
pub(crate) fn is_of_hash(version: u64) -> bool {
    (FIRST_VERSION..FIRST_VERSION * 2).contains(&version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_of_hashes() {
        for hash in ["00000000ab", "7fffffff00", "ffffffffff", "9682e2401e"] {
            assert!(is_of_hash(model_version(hash)), "{hash}");
        }
        assert_ne!(model_version("12345678"), model_version("12345679"));
        assert!(!is_of_hash(1));
    }
}
