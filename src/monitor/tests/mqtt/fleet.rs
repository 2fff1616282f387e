//! What a program of a fleet takes from its group's document, and how it keeps events until a hub has them.

use mdetr_monitor::config;
use mdetr_monitor::control::first;
use mdetr_monitor::fleet::operate::Operator;
use mdetr_monitor::fleet::{Change, FleetTopics, Watch};
use mdetr_rules::EventKind;
use serde_json::{Value, json};

use crate::peers::{Listener, Mosquitto, begun, later, until};
use crate::telling::{Telling, settings, time};

const WATCH: &str = "mdetr-fleet/gates/watch";
const RECEIPT: &str = "mdetr-fleet/gates/devices/site-1";

fn fleet(broker: &Mosquitto) -> String {
    settings(broker, "[fleet]\ndevice = \"site-1\"\ngroup = \"gates\"")
}

fn watch(text: &str) -> Value {
    json!([{
        "camera": "*",
        "query": [{ "id": "q", "text": text }],
        "rule": [{ "id": "seen", "when": { "is": "present", "query": "q" } }],
    }])
}

fn document(revision: u64, stable: (u64, &str)) -> Value {
    json!({
        "schema": "mdetr-fleet/1",
        "revision": revision,
        "stable": { "revision": stable.0, "watch": watch(stable.1) },
    })
}

/// Waits for a receipt in which something stands, and gives it.
async fn receipt(listener: &Listener, holds: impl Fn(&Value) -> bool) -> Value {
    let last = || listener.on(RECEIPT).last().map(|message| message.json());
    until("the receipt says so", async || {
        last().is_some_and(|receipt| holds(&receipt))
    })
    .await;
    last().unwrap()
}

fn texts(telling: &Telling) -> Vec<String> {
    let current = telling.program.hub.config();
    let cameras = current.document.cameras.iter();
    let queries = cameras.flat_map(|camera| camera.queries.iter());
    queries.map(|query| query.text.clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_document_is_taken_whole_or_refused_with_the_reason() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let said = document(3, (3, "a red forklift")).to_string();
    listener.say(WATCH, &said, true).await;
    let telling = Telling::start(&fleet(&broker)).await;
    let taken = receipt(&listener, |receipt| receipt["taken"]["document"] == 3).await;
    let configuration = telling.program.hub.config().revision;
    assert_eq!(
        taken["taken"],
        json!({ "document": 3, "revision": 3, "candidate": false, "configuration": configuration })
    );
    assert_eq!(texts(&telling), ["a red forklift", "a red forklift"]);
    // Which rule is wrong in which camera is said, and nothing of the rest is taken.
    let mut wrong = document(4, (4, "a dog"));
    wrong["stable"]["watch"][0]["rule"][0]["when"]["query"] = "other".into();
    listener.say(WATCH, &wrong.to_string(), true).await;
    let refused = receipt(&listener, |receipt| receipt["refused"]["document"] == 4).await;
    assert_eq!(refused["taken"], taken["taken"]);
    let error = refused["refused"]["error"].as_str().unwrap();
    assert!(
        error.contains("\"gate\"") && error.contains("other"),
        "{error}"
    );
    for (said, expected) in [
        ("{", "EOF"),
        (
            &*document(2, (2, "a cat")).to_string(),
            "expected a revision above 3",
        ),
        (
            &*document(3, (3, "a cat")).to_string(),
            "expected a revision above 3",
        ),
    ] {
        listener.say(WATCH, said, true).await;
        receipt(&listener, |receipt| {
            let error = receipt["refused"]["error"].as_str();
            error.is_some_and(|error| error.contains(expected))
        })
        .await;
    }
    listener.say(WATCH, "", true).await;
    assert_eq!(texts(&telling), ["a red forklift", "a red forklift"]);
    let said = document(5, (3, "a red forklift")).to_string();
    listener.say(WATCH, &said, true).await;
    let taken = receipt(&listener, |receipt| receipt["taken"]["document"] == 5).await;
    assert!(taken["refused"].is_null());
    // The same again is no change of the configuration.
    assert_eq!(taken["taken"]["configuration"], configuration);
    telling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn a_candidate_is_tried_and_rolled_back() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&fleet(&broker)).await;
    let steps = [
        (1, None, "a person", false),
        (2, Some((2, 0.0)), "a person", false),
        (3, Some((2, 1.0)), "a dog", true),
        (4, None, "a person", false),
    ];
    for (revision, candidate, text, tried) in steps {
        let mut document = document(revision, (1, "a person"));
        if let Some((revision, share)) = candidate {
            document["candidate"] =
                json!({ "revision": revision, "share": share, "watch": watch("a dog") });
        }
        listener.say(WATCH, &document.to_string(), true).await;
        let found = receipt(&listener, |found| found["taken"]["document"] == revision).await;
        assert_eq!(found["taken"]["candidate"], tried);
        assert_eq!(texts(&telling), [text, text]);
    }
    telling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn what_was_taken_stays_without_the_broker() {
    let mut broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let telling = Telling::start(&fleet(&broker)).await;
    let said = document(1, (1, "a dog")).to_string();
    listener.say(WATCH, &said, true).await;
    receipt(&listener, |receipt| receipt["taken"]["document"] == 1).await;
    broker.stop();
    // Others may not change what the fleet says, but may switch a camera.
    let control = &telling.control;
    let changed = control.edit("mqtt", |document| {
        document.cameras[0].queries[0].text = "a cat".to_owned();
        Ok(())
    });
    let error = changed.await.unwrap_err().to_string();
    assert!(
        error.contains("the fleet's group gates, revision 1"),
        "{error}"
    );
    let off = control.edit("mqtt", |document| {
        document.cameras[0].enabled = false;
        let mut camera = document.cameras[0].clone();
        camera.name = "new".to_owned();
        camera.queries.clear();
        camera.rules.clear();
        document.cameras.push(camera);
        Ok(())
    });
    off.await.unwrap();
    assert_eq!(texts(&telling), ["a dog", "a dog", "a dog"]);
    let program = telling.stop().await;
    let of_file = || config::read(&program.file).unwrap();
    // Whether the file is the same or another one.
    for more in ["", "\n# changed\n"] {
        let text = std::fs::read_to_string(&program.file).unwrap();
        std::fs::write(&program.file, text + more).unwrap();
        let current = first(&of_file(), &program.store).await.unwrap();
        let cameras = current.document.cameras.iter();
        let mut queries = cameras.flat_map(|camera| camera.queries.iter());
        assert!(queries.all(|query| query.text == "a dog"));
    }
    // Of another group it has taken nothing.
    let text = std::fs::read_to_string(&program.file).unwrap();
    std::fs::write(&program.file, text.replace("\"gates\"", "\"docks\"")).unwrap();
    let current = first(&of_file(), &program.store).await.unwrap();
    assert_eq!(current.document.cameras[1].queries[0].text, "a forklift");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn events_stay_until_a_hub_has_them() {
    let broker = Mosquitto::start();
    let listener = Listener::connect(&broker).await;
    let more = "[fleet]\ndevice = \"site-1\"\nhub = true";
    let telling = Telling::start(&settings(&broker, more)).await;
    telling.connected().await;
    let program = &telling.program;
    let new = begun("1.000-gate-no-helmet-1", time());
    program.record(&new, None).await;
    program.record(&later(&new, EventKind::End, 2), None).await;
    until("both came", async || listener.count("mdetr/events") == 2).await;
    let waiting = async || program.store.waiting("mqtt").await.unwrap();
    assert_eq!(waiting().await, 2);
    // Numbers of steps begin with 1; what is no list, or was not sent, says nothing.
    for said in ["x", "[77]", "[1]"] {
        listener.say("mdetr/stored", said, false).await;
    }
    until("one is gone", async || waiting().await == 1).await;
    until("the other one came again", async || {
        listener.count("mdetr/events") == 3
    })
    .await;
    let steps = listener.on("mdetr/events");
    assert_eq!(steps[1].payload, steps[2].payload);
    listener.say("mdetr/stored", "[2]", false).await;
    until("nothing waits", async || waiting().await == 0).await;
    telling.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto"]
async fn an_operator_rolls_out_and_back() {
    let broker = Mosquitto::start();
    let telling = Telling::start(&fleet(&broker)).await;
    telling.connected().await;
    let config = telling.program.hub.config();
    let settings = config.document.mqtt.as_ref().unwrap();
    let watch: fn(&str) -> Vec<Watch> = |text| serde_json::from_value(watch(text)).unwrap();
    let publish = |text, share| Change::Publish {
        watch: watch(text),
        share,
    };
    for (change, revision, text) in [
        (publish("a person", None), 1, "a person"),
        (publish("a dog", Some(0.0)), 2, "a person"),
        (Change::Share(1.0), 3, "a dog"),
        (Change::RollBack, 4, "a person"),
        (publish("a cat", None), 5, "a cat"),
        (Change::RollBack, 6, "a person"),
    ] {
        let topics = FleetTopics::new("mdetr-fleet", "gates");
        let mut operator = Operator::connect(settings, topics.clone()).await.unwrap();
        let document = operator.change(change).await.unwrap();
        assert_eq!(document.revision, revision);
        operator.close().await;
        until("it is taken", async || {
            let taken = telling.control.fleet().await;
            taken.is_some_and(|taken| taken.document == revision)
        })
        .await;
        assert_eq!(texts(&telling), [text, text]);
        until("it is said", async || {
            let mut operator = Operator::connect(settings, topics.clone()).await.unwrap();
            let group = operator.read().await.unwrap().to_string();
            group.contains(&format!("document {revision}\n"))
                && group.contains("1 programs: 1 have taken it")
        })
        .await;
    }
    telling.stop().await;
}
