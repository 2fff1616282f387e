//! States that the broker keeps, and commands.

use std::sync::Arc;
use std::time::Duration;

use mdetr_monitor::hub::{CameraState, Notice};

use crate::peers::{Listener, Mosquitto, report, until};
use crate::telling::{Telling, settings, status};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn states_are_retained_and_change() {
    let broker = Mosquitto::start();
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    let hub = &telling.program.hub;
    let early = Listener::connect_as(&broker, "early", None).await;
    early.wait("mdetr/dock/forklift/text", "a forklift").await;
    // Who comes late finds everything.
    let listener = Listener::connect(&broker).await;
    listener.wait("mdetr/available", "online").await;
    listener.wait("mdetr/gate/status", "offline").await;
    listener.wait("mdetr/gate/enabled", "ON").await;
    listener
        .wait("mdetr/gate/helmet/text", "[a person] without a helmet")
        .await;
    listener
        .wait("mdetr/gate/how%20many%3F/text", "how many cones are there?")
        .await;
    listener
        .wait("mdetr/gate/rule/no-helmet/enabled", "ON")
        .await;
    listener
        .wait("mdetr/gate/rule/no-helmet/state", "OFF")
        .await;
    // What is not retained may come at any time.
    let mut states = listener.all();
    states.retain(|message| message.topic != "mdetr/stats");
    assert!(states.iter().all(|message| message.retained), "{states:?}");

    hub.set_camera(status("gate", CameraState::Online));
    listener.wait("mdetr/gate/status", "online").await;
    hub.set_camera(status("gate", CameraState::Stalled));
    listener.wait("mdetr/gate/status", "stalled").await;

    let mut frame = 0;
    let mut see = |boxes: &[f32]| {
        frame += 1;
        hub.tell(Notice::Report(Arc::new(report(frame, boxes, Some("3")))));
    };
    see(&[]);
    see(&[]);
    listener.wait("mdetr/gate/helmet/state", "OFF").await;
    listener.wait("mdetr/gate/helmet/count", "0").await;
    listener.wait("mdetr/gate/how%20many%3F/answer", "3").await;
    // One result is a flicker, two are not.
    see(&[320.0]);
    listener.wait("mdetr/gate/helmet/count", "1").await;
    see(&[]);
    listener.wait("mdetr/gate/helmet/count", "0").await;
    see(&[320.0]);
    see(&[320.0, 640.0]);
    listener.wait("mdetr/gate/helmet/state", "ON").await;
    listener.wait("mdetr/gate/helmet/count", "2").await;
    let states = listener.on("mdetr/gate/helmet/state");
    assert_eq!(states.len(), 2, "{states:?}");
    let attributes = || {
        let newest = listener.on("mdetr/gate/helmet/attributes").pop();
        newest.map_or(serde_json::Value::Null, |message| message.json())
    };
    until("both are in the attributes", async || {
        attributes()["objects"]
            .as_array()
            .is_some_and(|objects| objects.len() == 2)
    })
    .await;
    let attributes = attributes();
    assert_eq!(
        attributes["objects"][0]["box"],
        serde_json::json!([0.25, 0.1, 0.1, 0.5])
    );
    assert_eq!(
        attributes["objects"][1]["phrases"][0]["span"],
        serde_json::json!([0, 8])
    );
    assert_eq!(attributes["revision"], 1);
    // A question without boxes says nothing of presence.
    assert_eq!(listener.last("mdetr/gate/how%20many%3F/state"), None);

    // At most twice a second.
    let before = listener.on("mdetr/gate/helmet/attributes").len();
    let started = std::time::Instant::now();
    for place in 0..100 {
        see(&[place as f32 * 10.0]);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    listener.wait("mdetr/gate/helmet/count", "1").await;
    let most = started.elapsed().as_millis() as usize / 500 + 2;
    let published = listener.on("mdetr/gate/helmet/attributes").len() - before;
    assert!(
        (1..=most).contains(&published),
        "{published} of at most {most}"
    );

    telling.stop().await;
    listener.wait("mdetr/available", "stopped").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn commands_change_the_configuration() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    // What the broker has kept is no command.
    listener.say("mdetr/gate/enabled/set", "OFF", true).await;
    let telling = Telling::start(&settings(&broker, "")).await;
    telling.connected().await;
    let config = || telling.program.hub.config();
    listener.wait("mdetr/gate/enabled", "ON").await;
    listener
        .say("mdetr/gate/helmet/text/set", "[a dog] on a leash", false)
        .await;
    listener
        .wait("mdetr/gate/helmet/text", "[a dog] on a leash")
        .await;
    assert_eq!(
        config().document.cameras[0].queries[0].text,
        "[a dog] on a leash"
    );
    listener
        .say(
            "mdetr/gate/how%20many%3F/text/set",
            "how many dogs are there?",
            false,
        )
        .await;
    listener
        .wait("mdetr/gate/how%20many%3F/text", "how many dogs are there?")
        .await;
    listener
        .say("mdetr/gate/rule/no-helmet/enabled/set", "OFF", false)
        .await;
    listener
        .wait("mdetr/gate/rule/no-helmet/enabled", "OFF")
        .await;
    assert!(!config().document.cameras[0].rules[0].enabled);
    assert!(config().document.cameras[0].enabled);
    // A retained command that comes while we listen is a command.
    listener.say("mdetr/dock/enabled/set", "OFF", true).await;
    listener.wait("mdetr/dock/enabled", "OFF").await;
    listener.wait("mdetr/dock/status", "disabled").await;
    let revision = config().revision;
    let kept = telling.program.store.configs(1).await.unwrap().remove(0);
    assert_eq!((kept.revision, kept.origin.as_str()), (revision, "mqtt"));

    for (topic, payload, expected) in [
        ("mdetr/attic/enabled/set", "ON", "no camera \"attic\""),
        ("mdetr/gate/dog/text/set", "a dog", "no query \"dog\""),
        ("mdetr/gate/rule/day/enabled/set", "ON", "no rule \"day\""),
        (
            "mdetr/gate/enabled/set",
            "maybe",
            "expected ON or OFF, found \"maybe\"",
        ),
        ("mdetr/gate/helmet/text/set", "", "empty"),
        ("mdetr/gate/helmet/text/set", "[an open bracket", "bracket"),
        (
            "mdetr/gate/helmet/text/set",
            &"x ".repeat(4000),
            "at most 4096 bytes",
        ),
    ] {
        let before = listener.on("mdetr/error").len();
        listener.say(topic, payload, false).await;
        until(expected, async || listener.on("mdetr/error").len() > before).await;
        let error = listener.on("mdetr/error").pop().unwrap().json();
        assert_eq!(error["topic"], topic);
        let error = error["error"].as_str().unwrap();
        assert!(error.contains(expected), "{error} says {expected}");
    }
    assert_eq!(config().revision, revision);
    drop(telling.control.clone());
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn what_is_gone_is_gone_at_the_broker_and_in_home_assistant() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let more = settings(&broker, "home_assistant = \"homeassistant\"");
    let telling = Telling::start(&more).await;
    telling.connected().await;
    let gate = "homeassistant/device/mdetr-monitor_gate/config";
    let dock = "homeassistant/device/mdetr-monitor_dock/config";
    until("the devices came", async || {
        !listener.on(dock).is_empty() && !listener.on(gate).is_empty()
    })
    .await;
    let device = || listener.on(gate).pop().unwrap().json();
    assert_eq!(
        device()["cmps"]["query_helmet_text"]["command_topic"],
        "mdetr/gate/helmet/text/set"
    );
    // Home Assistant starts: it is told again.
    let before = listener.on(gate).len();
    listener.say("homeassistant/status", "online", false).await;
    until("the device came again", async || {
        listener.on(gate).len() > before
    })
    .await;

    telling.program.change(|document| {
        document.cameras[0]
            .queries
            .retain(|query| query.id != "helmet");
        document.cameras[0].rules.clear();
        document.cameras.retain(|camera| camera.name == "gate");
    });
    let gone = [
        "mdetr/dock/status",
        "mdetr/dock/forklift/text",
        "mdetr/gate/helmet/text",
        "mdetr/gate/rule/no-helmet/enabled",
        dock,
    ];
    for topic in gone {
        listener.wait(topic, "").await;
    }
    until("the component is removed", async || {
        device()["cmps"]["query_helmet_state"] == serde_json::json!({ "p": "binary_sensor" })
    })
    .await;
    assert_eq!(
        device()["cmps"]["rule_no-helmet_enabled"],
        serde_json::json!({ "p": "switch" })
    );

    // The next run says nothing of it any more.
    let program = telling.stop().await;
    let telling = Telling::of(program).await;
    telling.connected().await;
    until("the component is forgotten", async || {
        device()["cmps"]["query_helmet_state"].is_null()
    })
    .await;
    // Other programs' devices are left alone, and what changed while we were away is removed.
    let theirs = "homeassistant/device/other_gate/config";
    listener
        .say(
            theirs,
            "{\"o\":{\"name\":\"mdetr-monitor\"},\"cmps\":{}}",
            true,
        )
        .await;
    until("it came back", async || listener.count(theirs) == 1).await;
    let program = telling.stop().await;
    program.change(|document| {
        document.cameras[0].queries[0].id = "cones".into();
        document.cameras[0].name = "gate2".into();
    });
    let telling = Telling::of(program).await;
    telling.connected().await;
    listener.wait(gate, "").await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(listener.count(theirs), 1);
    // Another prefix begins anew.
    telling
        .program
        .change(|document| document.mqtt.as_mut().unwrap().topic_prefix = "site/two".into());
    listener.wait("site/two/available", "online").await;
    listener
        .wait("site/two/gate2/cones/text", "how many cones are there?")
        .await;
    listener.wait("mdetr/available", "stopped").await;
    telling.program.change(|document| document.mqtt = None);
    listener.wait("site/two/available", "stopped").await;
    until("there is no broker", async || {
        telling.program.hub.broker().is_none()
    })
    .await;
}
