//! Webhooks and mail over TLS. A program of its own, since what the system trusts is set for all of it.

mod peers;

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::routing::post;
use axum_server::tls_rustls::RustlsConfig;
use jiff::Timestamp;
use mdetr_monitor::notify::{self, Counts};
use peers::{Program, begun, until};
use tokio::sync::watch;

#[test]
fn servers_are_trusted_if_the_system_trusts_them() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: String| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names.clone()).unwrap();
    let certificate = write("certificate.pem", made.cert.pem());
    let key = write("key.pem", made.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(names).unwrap();
    let other_certificate = write("other.pem", other.cert.pem());
    let other_key = write("other-key.pem", other.signing_key.serialize_pem());
    // SAFETY: this is the only test of this program, and no thread reads the environment yet.
    unsafe { std::env::set_var("SSL_CERT_FILE", &certificate) };
    // Whoever builds a server's configuration without naming a provider takes this one.
    let provider = rustls::crypto::ring::default_provider();
    provider.install_default().expect("it is the first");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let bodies: Arc<Mutex<Vec<String>>> = Arc::default();
        let mut ports = Vec::new();
        for (certificate, key) in [(&certificate, &key), (&other_certificate, &other_key)] {
            let tls = RustlsConfig::from_pem_file(certificate, key).await.unwrap();
            let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
            socket.set_nonblocking(true).unwrap();
            ports.push(socket.local_addr().unwrap().port());
            let list = bodies.clone();
            let hook = post(async move |body: String| list.lock().unwrap().push(body));
            let routes = Router::new().route("/", hook).into_make_service();
            let server = axum_server::from_tcp_rustls(socket, tls).unwrap();
            tokio::spawn(server.serve(routes));
        }
        let mut mail_server = Command::new("python3")
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/smtp.py"))
            .args([&certificate, &key])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(mail_server.stdout.take().unwrap());
        let mut mail_port = String::new();
        said.read_line(&mut mail_port).unwrap();
        let password = write("password", "open sesame\n".to_owned());
        let more = format!(
            "[[webhook]]\nid = \"known\"\nurl = \"https://127.0.0.1:{}/\"\n\
             [[webhook]]\nid = \"unknown\"\nurl = \"https://127.0.0.1:{}/\"\n\
             [email]\nfrom = \"monitor@site.example\"\nto = [\"a@site.example\"]\n\
             [email.smtp]\nurl = \"smtp://localhost:{}?tls=required\"\nusername = \"monitor\"\n\
             password = {{ file = \"{}\" }}\n",
            ports[0],
            ports[1],
            mail_port.trim(),
            password.display()
        );
        let program = Program::start(&more).await;
        let (stop, stopped) = watch::channel(false);
        let counts = Arc::new(Counts::default());
        let (hub, store) = (program.hub.clone(), program.store.clone());
        let task = tokio::spawn(notify::run(hub, store, counts.clone(), stopped));
        program.record(&begun("1", Timestamp::now()), None).await;
        for receiver in ["webhook:known", "email"] {
            until(receiver, async || {
                program.store.waiting(receiver).await.unwrap() == 0
            })
            .await;
        }
        let mut mail = String::new();
        said.read_to_string(&mut mail).unwrap();
        assert!(mail_server.wait().unwrap().success());
        assert!(
            mail.contains("login ['', 'monitor', 'open sesame']"),
            "{mail}"
        );
        assert!(mail.contains("Subject: Alert: no-helmet at gate"), "{mail}");
        until("the unknown server is tried", async || {
            counts
                .all()
                .get("webhook:unknown")
                .is_some_and(|count| count.failed > 0)
        })
        .await;
        assert_eq!(bodies.lock().unwrap().len(), 1);
        assert_eq!(program.store.waiting("webhook:unknown").await.unwrap(), 1);
        stop.send_replace(true);
        task.await.unwrap();
    });
}
