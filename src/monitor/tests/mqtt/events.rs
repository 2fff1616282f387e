//! Events and their forms.

use std::time::Duration;

use mdetr_rules::EventKind;

use crate::peers::{Listener, Mosquitto, Program, begun, later, until};
use crate::telling::{Telling, settings, time};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn events_have_a_life() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    let program = &telling.program;
    let new = begun("1.000-gate-no-helmet-1", time());
    program.record(&new, Some(b"first picture")).await;
    listener.wait("mdetr/gate/rule/no-helmet/state", "ON").await;
    listener
        .wait("mdetr/gate/helmet/snapshot", "first picture")
        .await;
    program
        .record(&later(&new, EventKind::Update, 1), Some(b"second picture"))
        .await;
    listener
        .wait("mdetr/gate/helmet/snapshot", "second picture")
        .await;
    program.record(&later(&new, EventKind::End, 2), None).await;
    listener
        .wait("mdetr/gate/rule/no-helmet/state", "OFF")
        .await;
    until("three steps came", async || listener.steps().len() == 3).await;
    let messages = listener.on("mdetr/events");
    let steps: Vec<_> = messages.iter().map(|message| message.json()).collect();
    assert!(steps[0]["before"].is_null());
    assert_eq!(steps[1]["before"], steps[0]["after"]);
    assert_eq!(steps[2]["before"], steps[1]["after"]);
    assert_eq!(steps[2]["after"]["reason"], "cleared");
    let types: Vec<_> = steps
        .iter()
        .map(|step| step["type"].as_str().unwrap())
        .collect();
    assert_eq!(types, ["new", "update", "end"]);
    assert!(messages.iter().all(|message| !message.retained));
    until("no letter waits", async || {
        program.store.waiting("mqtt").await.unwrap() == 0
    })
    .await;
    until("the hub knows", async || {
        program.hub.broker().unwrap().waiting == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn the_newest_picture_of_events_that_began_before_is_told() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let program = Program::start(&settings(&broker, "")).await;
    for (number, picture) in [(1, "older picture"), (2, "newer picture")] {
        let new = begun(&format!("{number}.000-gate-no-helmet-1"), time());
        program.record(&new, Some(picture.as_bytes())).await;
    }
    let _telling = Telling::of(program).await;
    listener
        .wait("mdetr/gate/helmet/snapshot", "newer picture")
        .await;
    listener.wait("mdetr/gate/rule/no-helmet/state", "ON").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn events_come_as_cloudevents_and_as_onvif_wants_them() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let more = "cloudevents = true\n[mqtt.onvif]\ntopic_prefix = \"site/cam\"";
    let telling = Telling::start(&settings(&broker, more)).await;
    telling.connected().await;
    let new = begun("1.000-gate-no-helmet-1", time());
    telling.program.record(&new, None).await;
    telling
        .program
        .record(&later(&new, EventKind::End, 2), None)
        .await;
    until("both came", async || listener.on("mdetr/events").len() == 2).await;
    let wrapped = listener.on("mdetr/events")[1].json();
    assert_eq!(wrapped["specversion"], "1.0");
    assert_eq!(wrapped["type"], "mdetr.event.end");
    assert_eq!(
        wrapped["id"],
        "1.000-gate-no-helmet-1/end/2026-01-05T10:15:05Z"
    );
    assert_eq!(wrapped["data"]["before"]["kind"], "new");
    let onvif = listener
        .on("site/cam/onvif-ej/RuleEngine/FieldDetector/ObjectsInside/&gate/mdetr/no-helmet");
    let inside: Vec<_> = onvif
        .iter()
        .map(|m| m.json()["Data"]["IsInside"].clone())
        .collect();
    assert_eq!(inside, [true, false]);
    // When the rule is gone, its events end in ONVIF's way too.
    let other = begun("1.000-gate-no-helmet-2", time());
    telling.program.record(&other, None).await;
    until("it began", async || listener.on("mdetr/events").len() == 3).await;
    let with_rules = telling.program.hub.config().document.clone();
    telling
        .program
        .change(|document| document.cameras[0].rules.clear());
    telling
        .program
        .record(&later(&other, EventKind::End, 1), None)
        .await;
    until("it ended", async || listener.on("mdetr/events").len() == 4).await;
    let topic = &onvif[0].topic;
    let last = listener.on(topic).pop().unwrap().json();
    assert_eq!(last["Data"]["IsInside"], false);
    assert_eq!(listener.count(topic), 4);
    telling.program.change(|document| *document = with_rules);
    // The content type stands in the message's properties.
    let hears = std::process::Command::new("mosquitto_sub")
        .args([
            "-V",
            "5",
            "-h",
            "127.0.0.1",
            "-p",
            &broker.port.to_string(),
            "-t",
            "mdetr/events",
        ])
        .args(["-C", "1", "-W", "30"])
        .args(["-F", "%C"])
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    tokio::time::sleep(Duration::from_millis(500)).await;
    telling.program.record(&begun("2", time()), None).await;
    let heard = tokio::task::spawn_blocking(|| hears.wait_with_output())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        String::from_utf8_lossy(&heard.stdout).trim(),
        "application/cloudevents+json"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn an_event_reaches_a_listener_soon() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    let mut waits = Vec::new();
    for number in 0..200 {
        let begun_at = std::time::Instant::now();
        telling
            .program
            .record(&begun(&format!("{number:03}"), time()), None)
            .await;
        while listener.count("mdetr/events") <= number {
            assert!(
                begun_at.elapsed() < Duration::from_secs(30),
                "event {number} does not come"
            );
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        waits.push(begun_at.elapsed());
    }
    waits.sort();
    println!(
        "from the store's being asked to a listener: median {:?}, p95 {:?}",
        waits[100], waits[190]
    );
}
