//! Keys, and what is encrypted with them.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};

use crate::error::PastError;

/// Bytes of a key.
const KEY: usize = 32;
/// Bytes of a nonce of XChaCha20: enough of them that random ones do not meet.
pub(crate) const NONCE: usize = 24;
/// Bytes of a tag of Poly1305.
pub(crate) const TAG: usize = 16;

/// What segments are encrypted with: XChaCha20-Poly1305, a random nonce for each part of a record.
#[derive(Clone)]
pub struct Key(XChaCha20Poly1305);

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl Key {
    /// Of these bytes, which should be random.
    pub fn new(bytes: &[u8; KEY]) -> Key {
        Key(XChaCha20Poly1305::new(bytes.into()))
    }

    /// Reads a file of 32 bytes, or of 64 hexadecimal digits, that its owner alone may read.
    ///
    /// # Errors
    /// It cannot be read, others may read it, or it holds something else.
    pub fn read(path: &Path) -> Result<Key, PastError> {
        let fault = |message: String| PastError::Key {
            path: path.to_owned(),
            message,
        };
        let io = |error: std::io::Error| fault(format!("cannot be read: {error}"));
        let file = File::open(path).map_err(io)?;
        check_mode(&file).map_err(fault)?;
        let mut bytes = Vec::new();
        file.take(2 * KEY as u64 + 2)
            .read_to_end(&mut bytes)
            .map_err(io)?;
        let key = match bytes.as_slice().try_into() {
            Ok(key) => Some(key),
            Err(_) => hexadecimal(bytes.trim_ascii_end()),
        };
        let key = key.ok_or_else(|| {
            fault(format!(
                "expected 32 bytes or 64 hexadecimal digits, found {} bytes; make one with \
                 `head -c 32 /dev/urandom`",
                bytes.len()
            ))
        })?;
        Ok(Key::new(&key))
    }

    /// Nonce, then the encrypted text and its tag. `context` is not in it, but has to be the same to open it.
    pub(crate) fn seal(&self, text: &[u8], context: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut nonce = [0; NONCE];
        getrandom::fill(&mut nonce).map_err(std::io::Error::other)?;
        let payload = Payload {
            msg: text,
            aad: context,
        };
        let sealed = self.0.encrypt(&XNonce::from(nonce), payload);
        let sealed =
            sealed.map_err(|_| std::io::Error::other("the text is too long to encrypt"))?;
        Ok([&nonce[..], &sealed].concat())
    }

    /// What was sealed; nothing if it was with another key or context, or was changed.
    pub(crate) fn open(&self, sealed: &[u8], context: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_first_chunk::<NONCE>()?;
        let payload = Payload {
            msg: text,
            aad: context,
        };
        self.0.decrypt(&XNonce::from(*nonce), payload).ok()
    }
}

#[cfg(unix)]
fn check_mode(file: &File) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let metadata = file
        .metadata()
        .map_err(|error| format!("cannot be read: {error}"))?;
    match metadata.permissions().mode() & 0o777 {
        mode if mode & 0o077 == 0 => Ok(()),
        mode => Err(format!(
            "expected a file that its owner alone may read, found mode {mode:03o}: `chmod 600` it"
        )),
    }
}

#[cfg(not(unix))]
fn check_mode(_file: &File) -> Result<(), String> {
    Ok(())
}

fn hexadecimal(text: &[u8]) -> Option<[u8; KEY]> {
    let mut key = [0; KEY];
    if text.len() != 2 * KEY {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(text.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16);
        *byte = (digit(pair[0])? << 4 | digit(pair[1])?) as u8;
    }
    Some(key)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn what_is_sealed_opens_with_the_same_key_and_context_alone() {
        let key = Key::new(&[7; KEY]);
        let sealed = key.seal(b"a red cube", b"here").unwrap();
        assert_eq!(sealed.len(), NONCE + 10 + TAG);
        assert!(!sealed.windows(3).any(|part| part == b"red"));
        assert_eq!(key.open(&sealed, b"here").unwrap(), b"a red cube");
        assert_eq!(key.open(&sealed, b"there"), None);
        assert_eq!(Key::new(&[8; KEY]).open(&sealed, b"here"), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(key.open(&changed, b"here"), None, "byte {at}");
        }
        assert_ne!(key.seal(b"a red cube", b"here").unwrap(), sealed);
        assert_eq!(key.open(b"short", b"here"), None);
    }

    #[test]
    fn keys_come_from_files_that_others_may_not_read() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mode = |mode| {
            let permissions = fs::Permissions::from_mode(mode);
            fs::set_permissions(file.path(), permissions).unwrap();
        };
        let error = || Key::read(file.path()).unwrap_err().to_string();
        assert!(error().contains("expected 32 bytes or 64 hexadecimal digits, found 0 bytes"));
        let sealed = Key::new(&[0xab; KEY]).seal(b"text", b"").unwrap();
        for content in [
            vec![0xab; KEY],
            format!("{}\n", "aB".repeat(KEY)).into_bytes(),
        ] {
            fs::write(file.path(), content).unwrap();
            let key = Key::read(file.path()).unwrap();
            assert_eq!(key.open(&sealed, b"").unwrap(), b"text");
        }
        mode(0o640);
        assert!(error().contains("found mode 640: `chmod 600` it"));
        mode(0o600);
        for content in [&"g".repeat(64), &"a".repeat(65), "password"] {
            fs::write(file.path(), content).unwrap();
            assert!(error().contains("hexadecimal"), "{content}");
        }
        assert!(Key::read(Path::new("/no/such/key")).is_err());
        assert_eq!(format!("{:?}", Key::new(&[1; KEY])), "Key(..)");
    }
}
