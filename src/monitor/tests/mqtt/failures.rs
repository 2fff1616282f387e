//! What happens to brokers and connections.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::SignedDuration;
use mdetr_rules::EventKind;

use crate::peers::{Listener, Mosquitto, Proxy, begun, later, until};
use crate::telling::{Telling, settings, time};

/// The order of steps, each where it came first.
fn without_repetitions(steps: Vec<(String, String)>) -> Vec<(String, String)> {
    let mut seen = BTreeSet::new();
    steps
        .into_iter()
        .filter(|step| seen.insert(step.clone()))
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_broker_that_is_away_loses_nothing() {
    let mut broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    broker.stop();
    telling.refused().await;
    let mut expected = Vec::new();
    for number in 0..500 {
        let start = time() + SignedDuration::from_secs(number * 10);
        let new = begun(&format!("{number:04}"), start);
        let end = later(&new, EventKind::End, 3);
        for (step, kind) in [(new, "new"), (end, "end")] {
            expected.push((step.id.clone(), kind.to_owned()));
            telling.program.record(&step, None).await;
        }
    }
    assert_eq!(telling.program.store.waiting("mqtt").await.unwrap(), 1000);
    until("the hub knows", async || {
        telling.program.hub.broker().unwrap().waiting == 1000
    })
    .await;
    broker.restart();
    let back = std::time::Instant::now();
    until("no letter waits", async || {
        telling.program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
    until("all came", async || {
        listener.steps().len() >= expected.len()
    })
    .await;
    println!(
        "1000 steps within {:?} of the broker's return",
        back.elapsed()
    );
    assert_eq!(listener.steps(), expected);
    listener.wait("mdetr/available", "online").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_broker_that_is_killed_again_and_again_is_told_the_rest() {
    let mut broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    let mut expected = Vec::new();
    for round in 0..5 {
        for number in 0..40 {
            let event = begun(&format!("{round}-{number:02}"), time());
            expected.push((event.id.clone(), "new".to_owned()));
            telling.program.record(&event, None).await;
        }
        broker.kill();
        for number in 40..60 {
            let event = begun(&format!("{round}-{number:02}"), time());
            expected.push((event.id.clone(), "new".to_owned()));
            telling.program.record(&event, None).await;
        }
        broker.restart();
    }
    until("no letter waits", async || {
        telling.program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
    until("the last came", async || {
        listener.steps().iter().any(|(id, _)| id == "4-59")
    })
    .await;
    // What a broker acknowledged and lost when it was killed is its own matter.
    let came = without_repetitions(listener.steps());
    let known: BTreeSet<_> = expected.iter().cloned().collect();
    assert!(came.iter().all(|step| known.contains(step)));
    assert!(came.is_sorted(), "{came:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_broker_that_holds_still_goes_on_where_it_was() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    broker.pause();
    let mut expected = Vec::new();
    for number in 0..300 {
        let event = begun(&format!("{number:03}"), time());
        expected.push((event.id.clone(), "new".to_owned()));
        telling.program.record(&event, None).await;
    }
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(telling.program.store.waiting("mqtt").await.unwrap() > 0);
    broker.resume();
    until("all came", async || {
        without_repetitions(listener.steps()).len() == expected.len()
    })
    .await;
    assert_eq!(without_repetitions(listener.steps()), expected);
    // One that does not answer when the program stops holds it up for a moment only.
    broker.pause();
    telling.stop().await;
    broker.resume();
    listener.wait("mdetr/available", "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_connection_that_breaks_loses_nothing() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let proxy = Proxy::start(broker.port, None).await;
    let url = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", proxy.port);
    let telling = Telling::start(&url).await;
    telling.connected().await;
    let mut expected = Vec::new();
    for round in 0..6 {
        for number in 0..50 {
            let event = begun(&format!("{round}-{number:02}"), time());
            expected.push((event.id.clone(), "new".to_owned()));
            telling.program.record(&event, None).await;
        }
        proxy.cut();
    }
    until("all came", async || {
        without_repetitions(listener.steps()).len() == expected.len()
    })
    .await;
    assert_eq!(without_repetitions(listener.steps()), expected);
    until("no letter waits", async || {
        telling.program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
    listener.wait("mdetr/available", "online").await;
    let words: BTreeSet<_> = listener
        .on("mdetr/available")
        .iter()
        .map(|m| m.text().to_owned())
        .collect();
    assert!(words.contains("offline"), "the will said it: {words:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_slow_connection_gets_all_events_and_the_newest_picture() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let proxy = Proxy::start(broker.port, Some(300_000)).await;
    let url = format!("[mqtt]\nurl = \"mqtt://127.0.0.1:{}\"\n", proxy.port);
    let telling = Telling::start(&url).await;
    telling.connected().await;
    let mut expected = Vec::new();
    for number in 0..40 {
        let event = begun(&format!("{number:02}"), time());
        expected.push((event.id.clone(), "new".to_owned()));
        let picture = vec![number; 200_000];
        telling.program.record(&event, Some(&picture)).await;
    }
    until("all came", async || {
        listener.steps().len() == expected.len()
    })
    .await;
    assert_eq!(listener.steps(), expected);
    let pictures = || listener.on("mdetr/gate/helmet/snapshot");
    until("the newest picture came", async || {
        pictures()
            .last()
            .is_some_and(|picture| picture.payload == vec![39; 200_000])
    })
    .await;
    let count = pictures().len();
    assert!(
        count < 30,
        "{count} pictures of 40 were sent, although only the newest counts"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_wrong_password_is_told_and_can_be_mended() {
    let directory = tempfile::tempdir().unwrap();
    let users = directory.path().join("users");
    let made = std::process::Command::new("mosquitto_passwd")
        .args(["-b", "-c"])
        .arg(&users)
        .args(["monitor", "open sesame"])
        .status();
    assert!(made.unwrap().success());
    let broker = Mosquitto::start_with(&format!("password_file {}\n", users.display()));
    let password = directory.path().join("password");
    std::fs::write(&password, "open barley\n").unwrap();
    let user = format!(
        "username = \"monitor\"\npassword = {{ file = \"{}\" }}",
        password.display()
    );
    let telling = Telling::start(&settings(&broker, &user)).await;
    let message = telling.refused().await;
    assert!(message.contains("check username and password"), "{message}");
    assert!(!message.contains("barley"), "{message}");
    telling.program.record(&begun("1", time()), None).await;
    std::fs::remove_file(&password).unwrap();
    until("the missing file is told", async || {
        telling.refused().await.contains("mqtt.password")
    })
    .await;
    std::fs::write(&password, "open sesame\n").unwrap();
    telling.connected().await;
    until("the event is sent", async || {
        telling.program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn tls_connects_only_to_whom_it_trusts() {
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = write("certificate.pem", &made.cert.pem());
    let key = write("key.pem", &made.signing_key.serialize_pem());
    let other = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let ca = write("ca.pem", &other.cert.pem());
    let broker = Mosquitto::start_with(&format!(
        "allow_anonymous true\ncertfile {}\nkeyfile {}\n",
        certificate.display(),
        key.display()
    ));
    let text = format!(
        "[mqtt]\nurl = \"mqtts://127.0.0.1:{}\"\nca = \"{}\"\n",
        broker.port,
        ca.display()
    );
    let telling = Telling::start(&text).await;
    let message = telling.refused().await;
    assert!(message.contains("certificate"), "{message}");
    std::fs::copy(&certificate, &ca).unwrap();
    telling.connected().await;
    telling.program.record(&begun("1", time()), None).await;
    until("the event is sent", async || {
        telling.program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
    std::fs::write(&ca, "no certificate").unwrap();
    telling
        .program
        .change(|document| document.mqtt.as_mut().unwrap().client_id = "other".into());
    let message = telling.refused().await;
    assert!(
        message.contains("ca.pem") && message.contains("no certificate"),
        "{message}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn what_a_broker_does_not_take_is_told_and_waits() {
    let directory = tempfile::tempdir().unwrap();
    let rights = directory.path().join("rights");
    let allow = |topics: &str| std::fs::write(&rights, format!("topic read #\n{topics}")).unwrap();
    let states = ["available", "stats", "gate/#", "dock/#"];
    allow(
        &states
            .map(|topic| format!("topic write mdetr/{topic}\n"))
            .concat(),
    );
    let broker = Mosquitto::start_with(&format!(
        "allow_anonymous true\nmax_packet_size 20000\nacl_file {}\n",
        rights.display()
    ));
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    let program = &telling.program;
    let new = begun("1", time());
    program.record(&new, Some(b"small picture")).await;
    let message = telling.refused().await;
    // mosquitto 2.0.11 closes the connection behind its answer, which is lost with it now and then.
    let told = ["does not take messages on mdetr/events", "reset", "closed"];
    assert!(
        told.iter().any(|words| message.contains(words)),
        "{message}"
    );
    listener
        .wait("mdetr/gate/helmet/snapshot", "small picture")
        .await;
    assert_eq!(listener.steps(), []);
    allow("topic write mdetr/#\n");
    broker.reload();
    until("the event came", async || listener.steps().len() == 1).await;
    until("no letter waits", async || {
        program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
    // A picture that is too large is left out, and the connection lives on.
    let picture = vec![7; 30_000];
    program
        .record(&later(&new, EventKind::Update, 1), Some(&picture))
        .await;
    program.record(&later(&new, EventKind::End, 2), None).await;
    until("the end came", async || listener.steps().len() == 3).await;
    assert_eq!(
        listener.last("mdetr/gate/helmet/snapshot").unwrap(),
        "small picture"
    );
    let offline = listener.on("mdetr/available").len();
    telling.stop().await;
    listener.wait("mdetr/available", "stopped").await;
    assert_eq!(listener.on("mdetr/available").len(), offline + 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_broker_that_does_not_answer_is_noticed() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    broker.pause();
    let message = telling.refused().await;
    assert!(message.contains("does not answer any more"), "{message}");
    telling.program.record(&begun("1", time()), None).await;
    broker.resume();
    until("the event came", async || !listener.steps().is_empty()).await;
    telling.connected().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_broker_that_is_full_is_tried_again() {
    let broker = Mosquitto::start_with("allow_anonymous true\nmax_connections 1\n");
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    let message = telling.refused().await;
    assert!(message.contains("127.0.0.1"), "{message}");
    telling.program.record(&begun("1", time()), None).await;
    drop(listener);
    telling.connected().await;
    until("the event is sent", async || {
        telling.program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
}
