//! Encryption and proxies.

use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;

use rustls::pki_types::PrivateKeyDer;

use crate::fixture::{CONTENT, Fixture};
use crate::server::{Fault, proxy};

const HOST: &str = "publisher.test";

/// A publisher with a certificate of its own, and the file of that certificate.
fn encrypted() -> (Fixture, PathBuf) {
    let names = vec!["127.0.0.1".to_owned(), HOST.to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let fixture = Fixture::encrypted("https", Some(Arc::new(config)));
    let path = fixture.dir.path().join("ca.pem");
    std::fs::write(&path, made.cert.pem()).unwrap();
    (fixture, path)
}

/// What another process printed that pulls with these variables.
fn pull(fixture: &Fixture, variables: &[(&str, &str)]) -> String {
    let mut child = fixture.child();
    child
        .env_remove("SSL_CERT_DIR")
        .envs(variables.iter().copied());
    let output = child.stdout(Stdio::piped()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_certificate_of_ones_own_is_trusted_if_it_is_named() {
    let (fixture, ca) = encrypted();
    let system = "/etc/ssl/certs/ca-certificates.crt";
    let said = pull(&fixture, &[("SSL_CERT_FILE", system)]);
    assert!(said.contains("error: https://127.0.0.1"), "{said}");
    assert!(
        said.contains("name your proxy's certificate with SSL_CERT_FILE"),
        "{said}"
    );
    // It is not tried again.
    assert!(!said.contains("trying again"), "{said}");
    fixture.no_model();
    fixture.server.faults(CONTENT, [Fault::Cut(100_000)]);
    let said = pull(&fixture, &[("SSL_CERT_FILE", ca.to_str().unwrap())]);
    assert!(said.contains("pulled: false"), "{said}");
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None, Some(100_000)]);
}

#[test]
fn no_redirection_leads_out_of_encryption() {
    let (fixture, ca) = encrypted();
    let plain = Fixture::new();
    let location = format!("{}/{CONTENT}", plain.base);
    fixture
        .server
        .faults(CONTENT, [Fault::Status(302, vec![("location", location)])]);
    let said = pull(&fixture, &[("SSL_CERT_FILE", ca.to_str().unwrap())]);
    assert!(said.contains("which is not encrypted"), "{said}");
    assert!(plain.server.seen("").is_empty());
    fixture.no_model();
}

#[test]
fn proxies_are_used_unless_they_are_not_to_be() {
    let (fixture, ca) = encrypted();
    let port = fixture.server.address.port();
    // A name that only the proxy knows.
    fixture.write_registry(&format!("https://{HOST}:{port}"), 1);
    let (proxy, hosts) = proxy(fixture.server.address);
    let proxy = format!("http://{proxy}");
    let ca = ca.to_str().unwrap();
    let none = pull(
        &fixture,
        &[
            ("SSL_CERT_FILE", ca),
            ("HTTPS_PROXY", &proxy),
            ("NO_PROXY", HOST),
        ],
    );
    assert!(none.contains("error: "), "{none}");
    assert!(hosts.lock().unwrap().is_empty());
    // The record's links are to 127.0.0.1, which goes through the proxy too.
    let said = pull(&fixture, &[("SSL_CERT_FILE", ca), ("HTTPS_PROXY", &proxy)]);
    assert!(said.contains("pulled: false"), "{said}");
    fixture.sound();
    let hosts = hosts.lock().unwrap();
    assert!(hosts.contains(&format!("{HOST}:{port}")), "{hosts:?}");
}
