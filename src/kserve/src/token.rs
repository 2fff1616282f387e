//! The token that a server asks for.

use std::env;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use tonic::metadata::{Ascii, MetadataValue};

/// Where the bearer token is. It is read for each use, as tokens are renewed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// In a file.
    File(PathBuf),
    /// In an environment variable, if it is set.
    Variable(&'static str),
}

/// Why there is no token. It is never repeated.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// The file cannot be read.
    #[error("token {}: {source}; name a file that can be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is no token.
    #[error(
        "token in {place}: expected 1 to 65536 printable characters without spaces, found something else"
    )]
    Malformed {
        /// The file or the variable.
        place: String,
    },
}

impl Token {
    /// The header `authorization`, which is kept out of logs; `None` where no token is given.
    ///
    /// # Errors
    /// The file cannot be read, or what is there is no token.
    pub fn header(&self) -> Result<Option<MetadataValue<Ascii>>, TokenError> {
        let Some(token) = self.read()? else {
            return Ok(None);
        };
        let malformed = || TokenError::Malformed {
            place: match self {
                Token::File(path) => path.display().to_string(),
                Token::Variable(name) => (*name).to_owned(),
            },
        };
        let token = token.trim();
        let printable = token.bytes().all(|byte| byte.is_ascii_graphic());
        if token.is_empty() || token.len() > MOST || !printable {
            return Err(malformed());
        }
        let mut header: MetadataValue<Ascii> =
            format!("Bearer {token}").parse().map_err(|_| malformed())?;
        header.set_sensitive(true);
        Ok(Some(header))
    }

    fn read(&self) -> Result<Option<String>, TokenError> {
        match self {
            Token::File(path) => {
                let token = read_some(path).map_err(|source| TokenError::Read {
                    path: path.clone(),
                    source,
                })?;
                Ok(Some(String::from_utf8_lossy(&token).into_owned()))
            }
            Token::Variable(name) => {
                let token = env::var_os(name).filter(|token| !token.is_empty());
                Ok(token.map(|token| token.to_string_lossy().into_owned()))
            }
        }
    }
}

const MOST: usize = 1 << 16;

fn read_some(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // With an end of line, and one more to tell that it is too long.
    let most = MOST as u64 + 3;
    File::open(path)?.take(most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(contents: &[u8]) -> Result<Option<MetadataValue<Ascii>>, TokenError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), contents).unwrap();
        Token::File(file.path().to_owned()).header()
    }

    #[test]
    fn a_token_is_sent_and_not_shown() {
        let header = of(b"abc.def\n").unwrap().unwrap();
        assert_eq!(header.as_encoded_bytes(), b"Bearer abc.def");
        assert!(!format!("{header:?}").contains("abc"));
    }

    #[test]
    fn what_is_no_token_is_refused_without_being_repeated() {
        let long = vec![b'a'; MOST + 1];
        for contents in [
            &b"\n"[..],
            b"a secret",
            b"secret\r\nx: y",
            b"\xffsecret",
            &long,
        ] {
            let message = of(contents).unwrap_err().to_string();
            assert!(message.contains("printable characters"), "{message}");
            assert!(!message.contains("secret"), "{message}");
        }
        let missing = Token::File("/nowhere/token".into()).header();
        let message = missing.unwrap_err().to_string();
        assert!(message.starts_with("token /nowhere/token: "), "{message}");
        assert!(
            Token::Variable("MDETR_NO_SUCH_TOKEN")
                .header()
                .unwrap()
                .is_none()
        );
    }
}
