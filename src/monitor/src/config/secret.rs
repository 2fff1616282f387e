//! Passwords and keys, which a configuration names and does not hold.

use std::path::PathBuf;

use gstmdetr::text_file;
use serde::{Deserialize, Serialize};

/// Most bytes of a secret.
const MAX_BYTES: u64 = 64 << 10;

/// Where a secret is: `{ env = "MQTT_PASSWORD" }` or `{ file = "/run/credentials/mqtt" }`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Secret {
    /// Name of an environment variable.
    Env(String),
    /// Path of a file; white space at its end is left out.
    File(PathBuf),
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// The environment has none.
    #[error(
        "the environment variable {0} is not set, or is not UTF-8: set it, or use {{ file = \"...\" }}"
    )]
    Env(String),
    /// The file has none.
    #[error("{}: {message}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        message: String,
    },
}

impl Secret {
    /// The secret itself.
    ///
    /// # Errors
    /// The variable is not set, or the file cannot be read, is not UTF-8, empty or larger than 64 KiB.
    pub fn read(&self) -> Result<String, SecretError> {
        let path = match self {
            Secret::Env(name) => {
                return std::env::var(name).map_err(|_| SecretError::Env(name.clone()));
            }
            Secret::File(path) => path,
        };
        let fault = |message: String| SecretError::File {
            path: path.clone(),
            message,
        };
        let text = text_file::read(path, MAX_BYTES)
            .map_err(|error| fault(format!("cannot be read: {error}")))?;
        let text =
            text.ok_or_else(|| fault(format!("more than {MAX_BYTES} bytes, expected a password")))?;
        match text.trim_end() {
            "" => Err(fault("empty, expected a password".to_owned())),
            secret => Ok(secret.to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_come_from_files_and_the_environment() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let secret = Secret::File(file.path().to_owned());
        assert!(secret.read().unwrap_err().to_string().contains("empty"));
        std::fs::write(file.path(), "open sesame\n").unwrap();
        assert_eq!(secret.read().unwrap(), "open sesame");
        let missing = Secret::Env("MDETR_NO_SUCH_VARIABLE".into()).read();
        assert!(
            missing
                .unwrap_err()
                .to_string()
                .contains("MDETR_NO_SUCH_VARIABLE")
        );
        assert!(Secret::Env("PATH".into()).read().is_ok());
    }
}
