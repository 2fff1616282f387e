//! Addresses and certificates.

use std::net::TcpListener;
use std::time::Instant;

use super::*;
use crate::config::{Http, Tls};
use crate::events::Events;
use crate::hub::Current;
use crate::past;

/// Changes `http` of the configuration in force.
fn change(bench: &Bench, change: impl FnOnce(&mut Http)) {
    let mut current = (*bench.hub.config()).clone();
    change(&mut current.document.http);
    current.revision += 1;
    bench.hub.set_config(current);
}

fn free() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// Waits until the answer is as expected.
async fn wait(what: &str, mut expected: impl AsyncFnMut() -> bool) {
    let begin = Instant::now();
    while !expected().await {
        assert!(begin.elapsed() < LONG, "{what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// A certificate for 127.0.0.1 with its key in files of the bench.
fn certificate(bench: &Bench, name: &str) -> (Tls, String) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let files = Tls {
        certificate: bench.directory.path().join(format!("{name}.pem")),
        key: bench.directory.path().join(format!("{name}.key")),
    };
    let pem = made.cert.pem();
    std::fs::write(&files.certificate, &pem).unwrap();
    std::fs::write(&files.key, made.signing_key.serialize_pem()).unwrap();
    (files, pem)
}

fn trusting(pem: &str) -> reqwest::Client {
    let root = reqwest::Certificate::from_pem(pem.as_bytes()).unwrap();
    reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([root])
        .timeout(LONG)
        .build()
        .unwrap()
}

#[tokio::test]
async fn the_address_changes_while_it_runs() {
    let bench = Bench::new().await;
    bench.json("/api/status").await;
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    change(&bench, |http| http.listen = taken.local_addr().unwrap());
    // That one cannot be had: the old one stays.
    tokio::time::sleep(Duration::from_millis(300)).await;
    bench.json("/api/status").await;

    let free = free();
    change(&bench, |http| http.listen = free);
    let client = bench.client.clone();
    wait("the new address answers", async || {
        let answer = client.get(format!("http://{free}/healthz")).send().await;
        answer.is_ok_and(|answer| answer.status() == 200)
    })
    .await;
    wait("the old address is closed", async || {
        TcpStream::connect(bench.address).await.is_err()
    })
    .await;
}

#[tokio::test]
async fn tokens_change_while_it_runs() {
    let bench = Bench::new().await;
    bench.json("/api/status").await;
    let (token, sha256) = token::generate();
    change(&bench, |http| {
        http.tokens = vec![config::Token {
            name: "new".to_owned(),
            role: config::Role::Viewer,
            sha256: sha256.to_uppercase(),
        }]
    });
    told(bench.get("/api/status"), 401).await;
    told(bench.get("/api/status").bearer_auth(token), 200).await;
}

#[tokio::test]
async fn it_speaks_tls_from_the_start_and_later() {
    let (tables, viewer, _) = tokens();
    let bench = Bench::with(&tables, Limits::default()).await;
    let (files, pem) = certificate(&bench, "first");
    let address = bench.address;
    let plain = bench.url("/healthz");
    let client = bench.client.clone();
    assert_eq!(client.get(&plain).send().await.unwrap().status(), 200);
    change(&bench, |http| http.tls = Some(files.clone()));
    let secure = trusting(&pem);
    let url = format!("https://{address}");
    wait("it speaks TLS", async || {
        secure.get(format!("{url}/healthz")).send().await.is_ok()
    })
    .await;
    let login = secure
        .post(format!("{url}/api/login"))
        .json(&serde_json::json!({ "token": viewer }))
        .send()
        .await
        .unwrap();
    let cookie = login.headers()["set-cookie"].to_str().unwrap();
    assert!(cookie.contains("; Secure"), "{cookie}");
    // Another certificate, at the same address.
    let (other, other_pem) = certificate(&bench, "second");
    change(&bench, |http| http.tls = Some(other));
    let other = trusting(&other_pem);
    wait("the other certificate is used", async || {
        other.get(format!("{url}/healthz")).send().await.is_ok()
    })
    .await;
    // Files that are none: what was stays.
    let broken = Tls {
        certificate: "/no/such.pem".into(),
        ..files
    };
    change(&bench, |http| http.tls = Some(broken));
    tokio::time::sleep(Duration::from_millis(300)).await;
    let fresh = trusting(&other_pem);
    assert_eq!(
        fresh
            .get(format!("{url}/healthz"))
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
    // What is no TLS is no matter.
    let answer = bench.raw("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn faults_of_places_name_them() {
    let bench = Bench::new().await;
    let state = async |http: Http| {
        let mut document = bench.hub.config().document.clone();
        document.http = http;
        let (hub, _) = Hub::new(Current {
            revision: 1,
            document,
        });
        let file = ConfigFile {
            document: hub.config().document.clone(),
            sha256: String::new(),
        };
        let metrics = Arc::new(Metrics::default());
        HttpState {
            past: Some(past::Archive::start(hub.clone(), metrics.clone(), Models::new()).unwrap()),
            control: Arc::new(Control::new(hub.clone(), bench.store.clone(), &file).await),
            hub,
            events: Events::Own(bench.store.clone()),
            store: bench.store.clone(),
            counts: None,
            metrics,
            about: About {
                started: Timestamp::now(),
                model: String::new(),
                engine: String::new(),
            },
            limits: Limits::default(),
        }
    };
    let fault = async |http: Http| {
        let bound = Server::bind(state(http).await);
        format!("{:#}", bound.unwrap_err())
    };
    let taken = Http {
        listen: bench.address,
        ..Http::default()
    };
    let found = fault(taken).await;
    assert!(
        found.contains(&bench.address.to_string()) && found.contains("http.listen"),
        "{found}"
    );
    let (files, _) = certificate(&bench, "one");
    let (others, _) = certificate(&bench, "two");
    let http = |certificate: &std::path::Path, key: &std::path::Path| Http {
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: Some(Tls {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
        }),
        ..Http::default()
    };
    for (http, word) in [
        (http("/no/such.pem".as_ref(), &files.key), "/no/such.pem"),
        (
            http(&files.certificate, "/no/such.key".as_ref()),
            "/no/such.key",
        ),
        (http(&files.key, &files.key), "one.key"),
        (http(&files.certificate, &files.certificate), "one.pem"),
        (http(&files.certificate, &others.key), "two.key"),
    ] {
        let found = fault(http).await;
        assert!(found.contains(word), "{found}");
    }
}
