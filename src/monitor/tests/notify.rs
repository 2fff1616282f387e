//! Webhooks and mail, sent to real servers.

mod peers;

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, StatusCode};
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::post;
use hmac::{Hmac, Mac as _};
use jiff::{SignedDuration, Timestamp};
use mdetr_monitor::notify::{self, Count, Counts};
use mdetr_rules::EventKind;
use peers::{Program, begun, later, until};
use sha2::Sha256;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// A request as it came.
#[derive(Debug, Clone)]
struct Call {
    path: String,
    headers: HeaderMap,
    body: String,
}

impl Call {
    fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }
}

/// A server that answers with the codes it was told, one after the other, and 204 then.
#[derive(Clone, Default)]
struct Server {
    calls: Arc<Mutex<Vec<Call>>>,
    answers: Arc<Mutex<Vec<u16>>>,
}

impl Server {
    async fn start(answers: &[u16]) -> (Server, u16) {
        let server = Server::default();
        server.answers.lock().unwrap().extend(answers.iter().rev());
        let routes = Router::new()
            .route("/hook", post(Server::take))
            .route("/moved", post(|| async { Redirect::temporary("/hook") }))
            .route(
                "/elsewhere",
                post(|| async { Redirect::temporary("http://127.0.0.2:9/hook") }),
            )
            .with_state(server.clone());
        let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = socket.local_addr().unwrap().port();
        tokio::spawn(async move { axum::serve(socket, routes).await });
        (server, port)
    }

    async fn take(State(server): State<Server>, headers: HeaderMap, body: Bytes) -> Response {
        server.calls.lock().unwrap().push(Call {
            path: "/hook".to_owned(),
            headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        });
        match server.answers.lock().unwrap().pop() {
            Some(429) => {
                let after = HeaderName::from_static("retry-after");
                (StatusCode::TOO_MANY_REQUESTS, [(after, "0")]).into_response()
            }
            Some(code) => StatusCode::from_u16(code).unwrap().into_response(),
            None => StatusCode::NO_CONTENT.into_response(),
        }
    }

    fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }
}

/// The part of the program that notifies, running.
struct Notifying {
    program: Program,
    counts: Arc<Counts>,
    _stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Drop for Notifying {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Notifying {
    async fn start(more: &str) -> Notifying {
        let program = Program::start(more).await;
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = watch::channel(false);
        let (hub, store) = (program.hub.clone(), program.store.clone());
        let task = tokio::spawn(notify::run(hub, store, counts.clone(), stopped));
        Notifying {
            program,
            counts,
            _stop: stop,
            task,
        }
    }

    fn count(&self, receiver: &str) -> Count {
        self.counts.all().get(receiver).copied().unwrap_or_default()
    }

    async fn sent(&self, receiver: &str) {
        until("no letter waits", async || {
            self.program.store.waiting(receiver).await.unwrap() == 0
        })
        .await;
    }
}

fn now() -> Timestamp {
    Timestamp::now()
}

#[tokio::test(flavor = "multi_thread")]
async fn webhooks_get_signed_events_in_order() {
    let (server, port) = Server::start(&[500, 429, 408]).await;
    let directory = tempfile::tempdir().unwrap();
    let secret = directory.path().join("secret");
    std::fs::write(&secret, "hush\n").unwrap();
    let more = format!(
        "[[webhook]]\nid = \"home\"\nurl = \"http://127.0.0.1:{port}/hook\"\nsecret = {{ file = \"{}\" }}\n\
         headers = {{ X-Site = \"north\" }}\n",
        secret.display()
    );
    let notifying = Notifying::start(&more).await;
    let new = begun("1", now());
    notifying.program.record(&new, None).await;
    notifying
        .program
        .record(&later(&new, EventKind::Update, 1), None)
        .await;
    notifying
        .program
        .record(&later(&new, EventKind::End, 2), None)
        .await;
    notifying.sent("webhook:home").await;
    let calls = server.calls();
    // The first was sent until it was taken: nothing overtook it. Updates are not sent unless they are asked for.
    let kinds: Vec<_> = calls
        .iter()
        .map(|call| {
            let event: serde_json::Value = serde_json::from_str(&call.body).unwrap();
            event["kind"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(kinds, ["new", "new", "new", "new", "end"]);
    let keys: BTreeSet<_> = calls
        .iter()
        .map(|call| call.header("idempotency-key"))
        .collect();
    assert_eq!(keys.len(), 2, "{keys:?}");
    for call in &calls {
        let mut mac = Hmac::<Sha256>::new_from_slice(b"hush").unwrap();
        mac.update(call.header("x-mdetr-timestamp").as_bytes());
        mac.update(b".");
        mac.update(call.body.as_bytes());
        let digits: String = mac
            .finalize()
            .into_bytes()
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect();
        assert_eq!(call.header("x-mdetr-signature"), format!("sha256={digits}"));
        assert_eq!(call.header("x-site"), "north");
        assert_eq!(call.header("content-type"), "application/json");
    }
    assert_eq!(
        notifying.count("webhook:home"),
        Count {
            delivered: 2,
            failed: 3,
            dropped: 0
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_too_old_is_given_up() {
    let (server, port) = Server::start(&[404]).await;
    let more = format!(
        "[[webhook]]\nid = \"home\"\nurl = \"http://127.0.0.1:{port}/hook\"\nkinds = [\"new\"]\n"
    );
    let notifying = Notifying::start(&more).await;
    notifying
        .program
        .record(&begun("refused", now()), None)
        .await;
    notifying
        .program
        .record(&begun("old", now() - SignedDuration::from_hours(25)), None)
        .await;
    notifying.program.record(&begun("good", now()), None).await;
    notifying.sent("webhook:home").await;
    let bodies: Vec<_> = server
        .calls()
        .iter()
        .map(|call| call.body.clone())
        .collect();
    assert_eq!(bodies.len(), 2, "{bodies:?}");
    assert!(bodies[1].contains("\"good\""));
    assert_eq!(
        notifying.count("webhook:home"),
        Count {
            delivered: 1,
            failed: 0,
            dropped: 2
        }
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn redirections_are_followed_within_the_host_only() {
    let (server, port) = Server::start(&[]).await;
    let hook =
        |id: &str| format!("[[webhook]]\nid = \"{id}\"\nurl = \"http://127.0.0.1:{port}/{id}\"\n");
    let notifying = Notifying::start(&(hook("moved") + &hook("elsewhere"))).await;
    notifying.program.record(&begun("1", now()), None).await;
    notifying.sent("webhook:moved").await;
    notifying.sent("webhook:elsewhere").await;
    let calls = server.calls();
    assert_eq!(calls.len(), 1);
    assert!(calls[0].path == "/hook" && calls[0].body.contains("\"new\""));
    assert_eq!(notifying.count("webhook:elsewhere").dropped, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn templates_are_filled_with_escaped_fields() {
    let (server, port) = Server::start(&[]).await;
    let more = format!(
        "[[webhook]]\nid = \"chat\"\nurl = \"http://127.0.0.1:{port}/hook\"\nkinds = [\"new\"]\n\
         template = '{{\"text\": {{{{ camera ~ \": \" ~ text }}}}, \"score\": {{{{ score }}}}, \"line\": {{{{ line }}}}}}'\n\
         [[webhook]]\nid = \"plain\"\nurl = \"http://127.0.0.1:{port}/hook\"\nkinds = [\"end\"]\n\
         content_type = \"text/plain\"\n\
         template = '{{{{ rule }}}} is over: {{{{ reason }}}}{{% for p in phrases %}} {{{{ p.text }}}}{{% endfor %}}'\n\
         [[webhook]]\nid = \"wrong\"\nurl = \"http://127.0.0.1:{port}/hook\"\ntemplate = '{{{{ colour }}}}'\n"
    );
    let notifying = Notifying::start(&more).await;
    let mut new = begun("1", now());
    new.text = "a \"red\" <hat>".to_owned();
    notifying.program.record(&new, None).await;
    notifying.sent("webhook:chat").await;
    notifying
        .program
        .record(&later(&new, EventKind::End, 1), None)
        .await;
    notifying.sent("webhook:plain").await;
    notifying.sent("webhook:wrong").await;
    let calls = server.calls();
    let chat: serde_json::Value = serde_json::from_str(&calls[0].body).unwrap();
    let expected =
        serde_json::json!({ "text": "gate: a \"red\" <hat>", "score": 0.875, "line": null });
    assert_eq!(chat, expected);
    assert_eq!(calls[1].body, "no-helmet is over: cleared a person");
    assert_eq!(notifying.count("webhook:wrong").dropped, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_is_away_gets_its_events_later_and_one_that_is_gone_none() {
    let port = peers::free_port();
    let more = format!("[[webhook]]\nid = \"home\"\nurl = \"http://127.0.0.1:{port}/hook\"\n");
    let notifying = Notifying::start(&more).await;
    for number in 0..20 {
        notifying
            .program
            .record(&begun(&number.to_string(), now()), None)
            .await;
    }
    until("it was tried", async || {
        notifying.count("webhook:home").failed > 0
    })
    .await;
    assert_eq!(
        notifying
            .program
            .store
            .waiting("webhook:home")
            .await
            .unwrap(),
        20
    );
    // Another address takes effect at once.
    let (server, port) = Server::start(&[]).await;
    notifying.program.change(|document| {
        document.webhooks[0].url = format!("http://127.0.0.1:{port}/hook");
    });
    notifying.sent("webhook:home").await;
    let ids: Vec<String> = server
        .calls()
        .iter()
        .map(|call| {
            let event: serde_json::Value = serde_json::from_str(&call.body).unwrap();
            event["id"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(
        ids,
        (0..20).map(|number| number.to_string()).collect::<Vec<_>>()
    );
    notifying.program.change(|document| {
        document.webhooks[0].url = "http://127.0.0.1:9/hook".to_owned();
    });
    notifying.program.record(&begun("late", now()), None).await;
    notifying
        .program
        .change(|document| document.webhooks.clear());
    notifying.sent("webhook:home").await;
    assert_eq!(server.calls().len(), 20);
}

/// A mail server that takes everything, but for receivers at `nowhere`, and keeps the messages.
async fn mail_server() -> (Arc<Mutex<Vec<String>>>, u16) {
    let messages: Arc<Mutex<Vec<String>>> = Arc::default();
    let list = messages.clone();
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = socket.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = socket.accept().await {
            let list = list.clone();
            tokio::spawn(async move {
                let mut stream = BufReader::new(stream);
                let _ = stream.write_all(b"220 test ESMTP\r\n").await;
                loop {
                    let mut line = String::new();
                    if stream.read_line(&mut line).await.unwrap_or(0) == 0 {
                        return;
                    }
                    let line = line.to_ascii_uppercase();
                    let answer: &[u8] = if line.starts_with("EHLO") {
                        b"250-test\r\n250 8BITMIME\r\n"
                    } else if line.starts_with("RCPT") && line.contains("NOWHERE") {
                        b"550 nobody there\r\n"
                    } else if line.starts_with("DATA") {
                        let _ = stream.write_all(b"354 go on\r\n").await;
                        let mut data = Vec::new();
                        while !data.ends_with(b"\r\n.\r\n") {
                            data.push(stream.read_u8().await.unwrap());
                        }
                        list.lock().unwrap().push(String::from_utf8(data).unwrap());
                        b"250 taken\r\n"
                    } else if line.starts_with("QUIT") {
                        let _ = stream.write_all(b"221 bye\r\n").await;
                        return;
                    } else {
                        b"250 fine\r\n"
                    };
                    let _ = stream.write_all(answer).await;
                }
            });
        }
    });
    (messages, port)
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_tells_of_events_and_of_those_left_out() {
    let (messages, port) = mail_server().await;
    let more = format!(
        "[email]\nfrom = \"monitor@site.example\"\nto = [\"a@site.example\", \"Bea <b@site.example>\"]\nevery = \"2s\"\n\
         [email.smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n"
    );
    let notifying = Notifying::start(&more).await;
    let new = begun("1.000-gate-no-helmet-1", now());
    notifying
        .program
        .record(&new, Some(b"\xff\xd8picture"))
        .await;
    notifying
        .program
        .record(&later(&new, EventKind::End, 1), None)
        .await;
    notifying.sent("email").await;
    for number in 2..5 {
        notifying
            .program
            .record(&begun(&number.to_string(), now()), None)
            .await;
    }
    notifying.sent("email").await;
    assert_eq!(messages.lock().unwrap().len(), 1);
    tokio::time::sleep(Duration::from_millis(2100)).await;
    notifying.program.record(&begun("5", now()), None).await;
    notifying.sent("email").await;
    let messages = messages.lock().unwrap().clone();
    assert_eq!(messages.len(), 2);
    let first = &messages[0];
    for expected in [
        "Subject: Alert: no-helmet at gate (a person without a helmet)\r\n",
        "To: a@site.example, Bea <b@site.example>\r\n",
        "Message-ID: <1.000-gate-no-helmet-1@mdetr-monitor>\r\n",
        "Watched for: a person without a helmet\r\n",
        "Seen: a person (75 %)\r\n",
        "filename=\"event.jpg\"",
    ] {
        assert!(first.contains(expected), "{expected:?} is not in {first}");
    }
    assert!(!first.contains("more events"));
    assert!(messages[1].contains("3 more events of this rule came since the last message."));
    assert!(!messages[1].contains("event.jpg"));
}

#[tokio::test(flavor = "multi_thread")]
async fn mail_that_nobody_takes_is_given_up_and_a_server_that_is_away_is_waited_for() {
    let (messages, port) = mail_server().await;
    let away = peers::free_port();
    let more = |port| {
        format!(
            "[email]\nfrom = \"monitor@site.example\"\nto = [\"a@nowhere.example\"]\nevery = \"0s\"\n\
             [email.smtp]\nurl = \"smtp://127.0.0.1:{port}\"\n"
        )
    };
    let notifying = Notifying::start(&more(away)).await;
    notifying.program.record(&begun("1", now()), None).await;
    until("it was tried", async || notifying.count("email").failed > 0).await;
    assert_eq!(notifying.program.store.waiting("email").await.unwrap(), 1);
    notifying.program.change(|document| {
        document.email.as_mut().unwrap().smtp.url = format!("smtp://127.0.0.1:{port}");
    });
    notifying.sent("email").await;
    assert_eq!(notifying.count("email").dropped, 1);
    assert_eq!(messages.lock().unwrap().len(), 0);
}
