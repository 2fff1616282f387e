//! Encrypted connections to others.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

/// For a client that trusts the certificates in the PEM file `ca`, or those of the system.
///
/// # Errors
/// In words: the file cannot be read, or there is no certificate.
pub fn client(ca: Option<&Path>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(path) => {
            let fault = |error: String| format!("{}: {error}", path.display());
            let certificates = CertificateDer::pem_file_iter(path)
                .map_err(|error| fault(format!("cannot be read: {error}")))?;
            for certificate in certificates {
                let certificate = certificate.map_err(|error| fault(error.to_string()))?;
                roots
                    .add(certificate)
                    .map_err(|error| fault(error.to_string()))?;
            }
            if roots.is_empty() {
                let none = "no certificate in it, expected some in PEM";
                return Err(fault(none.to_owned()));
            }
        }
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if roots.is_empty() {
                let none = "this system has no certificates to trust: install ca-certificates";
                return Err(none.to_owned());
            }
        }
    }
    Ok(trusting(roots))
}

/// For a client that connects without encryption, and would trust nobody with it.
pub fn unused() -> ClientConfig {
    trusting(RootCertStore::empty())
}

fn trusting(roots: RootCertStore) -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has what the default versions need")
        .with_root_certificates(roots)
        .with_no_client_auth()
}
