//! Where a server is, and how it is reached.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use url::{Host, Url};

/// Address of a server: `grpc://HOST:PORT`, or `grpcs://HOST:PORT` with TLS. Without a port it is 8001.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Endpoint {
    host: String,
    port: u16,
    tls: bool,
}

/// Why there can be no connection to an endpoint.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// It is none. What was given is not repeated: there may be a password in it.
    #[error("endpoint: expected grpc://HOST:PORT or grpcs://HOST:PORT, found {found}")]
    Malformed {
        /// What is wrong.
        found: &'static str,
    },
    /// The certificates cannot be read.
    #[error("certificates {}: {source}; name a file in PEM that can be read", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// They are not what they should be.
    #[error("certificates {}: expected some in PEM, in at most 1 MiB, found none", path.display())]
    NoCertificates {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("{endpoint}: TLS cannot be set up: {message}; name the certificates of its authority")]
    Tls {
        /// The endpoint.
        endpoint: Endpoint,
        /// What the library said.
        message: String,
    },
}

impl FromStr for Endpoint {
    type Err = EndpointError;

    fn from_str(text: &str) -> Result<Endpoint, EndpointError> {
        let wrong = |found| EndpointError::Malformed { found };
        let url = Url::parse(text).map_err(|_| wrong("no address"))?;
        let tls = match url.scheme() {
            "grpc" => false,
            "grpcs" => true,
            _ => return Err(wrong("another scheme")),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("a name of a user, which belongs into the token"));
        }
        if !matches!(url.path(), "" | "/") || url.query().is_some() || url.fragment().is_some() {
            return Err(wrong("something behind the port"));
        }
        let host = url.host_str().filter(|host| !host.is_empty());
        Ok(Endpoint {
            host: host.ok_or_else(|| wrong("no host"))?.to_owned(),
            port: url.port().unwrap_or(Endpoint::PORT),
            tls,
        })
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "grpcs" } else { "grpc" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

impl Endpoint {
    /// Where servers listen that are not told otherwise.
    pub const PORT: u16 = 8001;

    /// Whether a secret that is sent there can be read on the way.
    pub fn is_exposed(&self) -> bool {
        let own = match Host::parse(&self.host) {
            Ok(Host::Domain(name)) => name == "localhost",
            Ok(Host::Ipv4(address)) => IpAddr::from(address).is_loopback(),
            Ok(Host::Ipv6(address)) => IpAddr::from(address).is_loopback(),
            Err(_) => false,
        };
        !self.tls && !own
    }

    /// A connection, which is made when it is used first, and anew whenever it is lost. To be called within a runtime
    /// of tokio. `certificates`: of the authorities that are trusted, in PEM; else those of the system.
    ///
    /// # Errors
    /// TLS cannot be set up.
    pub fn channel(
        &self,
        certificates: Option<&[u8]>,
        connect: Duration,
    ) -> Result<Channel, EndpointError> {
        /// Bytes that may be on the way: a frame's tensors without waiting.
        const WINDOW: u32 = 8 << 20;
        let scheme = if self.tls { "https" } else { "http" };
        let fault = |error: tonic::transport::Error| EndpointError::Tls {
            endpoint: self.clone(),
            message: chain(&error),
        };
        let address = format!("{scheme}://{}:{}", self.host, self.port);
        let mut endpoint = Channel::from_shared(address)
            .map_err(|_| EndpointError::Malformed {
                found: "no address",
            })?
            .connect_timeout(connect)
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(2 * WINDOW);
        if self.tls {
            let tls = match certificates {
                Some(pem) => ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem)),
                None => ClientTlsConfig::new().with_native_roots(),
            };
            endpoint = endpoint.tls_config(tls).map_err(fault)?;
        }
        Ok(endpoint.connect_lazy())
    }
}

/// An error with its causes, which tonic leaves out.
fn chain(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        words += &format!(": {error}");
        cause = error.source();
    }
    words
}

/// Certificates in PEM.
///
/// # Errors
/// The file cannot be read, has more than 1 MiB, or there is no certificate in it.
pub fn read_certificates(path: &Path) -> Result<Vec<u8>, EndpointError> {
    const MOST: u64 = 1 << 20;
    let read = || {
        let mut pem = Vec::new();
        File::open(path)?.take(MOST + 1).read_to_end(&mut pem)?;
        Ok(pem)
    };
    let pem: Vec<u8> = read().map_err(|source| EndpointError::Read {
        path: path.to_owned(),
        source,
    })?;
    let begin = b"-----BEGIN CERTIFICATE-----";
    if pem.len() as u64 > MOST || !pem.windows(begin.len()).any(|part| part == begin) {
        return Err(EndpointError::NoCertificates {
            path: path.to_owned(),
        });
    }
    Ok(pem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_written() {
        for (text, written, exposed) in [
            ("grpc://gpu.local:9001", "grpc://gpu.local:9001", true),
            ("grpcs://gpu.local", "grpcs://gpu.local:8001", false),
            ("grpc://127.0.0.1:8001", "grpc://127.0.0.1:8001", false),
            ("grpc://[::1]:8001", "grpc://[::1]:8001", false),
            ("grpc://localhost", "grpc://localhost:8001", false),
            ("grpc://10.0.0.7/", "grpc://10.0.0.7:8001", true),
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), written);
            assert_eq!(endpoint.is_exposed(), exposed, "{text}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused_without_being_repeated() {
        for (text, found) in [
            ("http://host:1", "another scheme"),
            ("gpu:8001", "another scheme"),
            ("grpc://", "no host"),
            ("grpc://me:secret@host:1", "a name of a user"),
            ("grpc://host:1/v2", "something behind the port"),
            ("grpc://host:99999", "no address"),
        ] {
            let message = text.parse::<Endpoint>().unwrap_err().to_string();
            assert!(message.contains(found), "{text}: {message}");
            assert!(!message.contains("secret"), "{message}");
        }
    }
}
