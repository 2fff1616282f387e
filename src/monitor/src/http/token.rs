//! Tokens, which are known by their SHA-256 only.

use sha2::{Digest, Sha256};

/// SHA-256 of a token or of a session.
pub(super) type Hash = [u8; 32];

/// What a token begins with, so that tools which look for secrets know it.
const PREFIX: &str = "mdetr_";

/// A new token with 256 random bits, and its SHA-256 for `[[http.token]]`; both in hexadecimal digits.
pub fn generate() -> (String, String) {
    let token = format!("{PREFIX}{}", random());
    let sha256 = hex(&hash(&token));
    (token, sha256)
}

/// 256 random bits in hexadecimal digits.
pub(super) fn random() -> String {
    hex(&rand::random::<[u8; 32]>())
}

pub(super) fn hash(text: &str) -> Hash {
    Sha256::digest(text.as_bytes()).into()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes of 64 hexadecimal digits.
pub(super) fn unhex(text: &str) -> Option<Hash> {
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return None;
    }
    for (byte, digits) in bytes.iter_mut().zip(text.as_bytes().chunks(2)) {
        let digits = std::str::from_utf8(digits).ok()?;
        *byte = u8::from_str_radix(digits, 16).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_has_the_hash_that_is_told() {
        let (token, sha256) = generate();
        assert_ne!(token, generate().0);
        assert_eq!(unhex(&sha256), Some(hash(&token)));
        assert_eq!(unhex("zz"), None);
        assert_eq!(unhex(&"zz".repeat(32)), None);
        // From the standard: SHA-256 of "abc".
        let abc = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&hash("abc")), abc);
    }
}
