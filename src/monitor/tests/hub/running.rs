//! Hubs at work.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use mdetr_monitor::central::Central;
use mdetr_monitor::hub::{CameraState, Current, Hub, Notice};
use mdetr_monitor::sites::{self, Counts, Outcome, Sites};
use mdetr_monitor::store::EventFilter;
use mdetr_rules::EventKind;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::peers::{Listener, Mosquitto, begun, later, until};
use crate::postgres::{Postgres, hub_document};
use crate::telling::{Telling, settings};

/// What is old is removed.
fn time() -> Timestamp {
    Timestamp::now()
}

/// A hub at work, without its page.
struct Running {
    hub: Arc<Hub>,
    central: Central,
    counts: Arc<Counts>,
    task: JoinHandle<()>,
    _stop: watch::Sender<bool>,
}

impl Running {
    fn start(broker: &Mosquitto, database: &Postgres) -> Running {
        let document = hub_document("/x".as_ref(), &broker.url(), &database.url());
        let central = Central::new(document.hub.as_ref().unwrap()).unwrap();
        let (hub, _) = Hub::new(Current {
            revision: 1,
            document,
        });
        let counts = Arc::new(Counts::default());
        let (stop, stopped) = watch::channel(false);
        let sites = Sites::new(hub.clone(), central.clone(), counts.clone());
        Running {
            task: tokio::spawn(sites::run(sites, stopped)),
            hub,
            central,
            counts,
            _stop: stop,
        }
    }

    async fn ready(&self) {
        until("the hub is connected", async || {
            self.hub.broker().is_some_and(|broker| broker.connected) && self.hub.store().writable
        })
        .await;
        // What it asked for is on its way.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Ends it without a word, as a crash does.
    fn kill(&self) {
        self.task.abort();
    }
}

/// A site whose program tells the broker.
async fn site(broker: &Mosquitto, name: &str) -> Telling {
    let more = format!(
        "client_id = \"{name}\"\ntopic_prefix = \"mdetr/{name}\"\n\
         [fleet]\ndevice = \"{name}\"\nhub = true\n"
    );
    Telling::start(&settings(broker, &more)).await
}

async fn events(site: &Telling, from: usize, count: usize) {
    for number in from..from + count {
        let new = begun(&format!("{number}.000-gate-no-helmet-1"), time());
        site.program.record(&new, None).await;
        let end = later(&new, EventKind::End, 2);
        site.program.record(&end, None).await;
    }
}

async fn waiting(site: &Telling) -> u64 {
    site.program.store.waiting("mqtt").await.unwrap()
}

async fn kept(central: &Central) -> usize {
    let filter = EventFilter {
        open: Some(false),
        limit: Some(1000),
        ..EventFilter::default()
    };
    central
        .events(&filter)
        .await
        .map_or(0, |events| events.len())
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto and PostgreSQL"]
async fn broker_hub_and_database_die_in_turn_and_nothing_is_lost_or_doubled() {
    let (mut broker, database) = (Mosquitto::start(), Postgres::start());
    let (one, two) = (
        Running::start(&broker, &database),
        Running::start(&broker, &database),
    );
    one.ready().await;
    two.ready().await;
    let sites = [site(&broker, "north").await, site(&broker, "south").await];
    let record = async |from: usize| {
        for site in &sites {
            events(site, from, 10).await;
        }
    };
    record(0).await;
    until("all are kept", async || kept(&two.central).await == 20).await;
    // Hubs share the work.
    let new = |hub: &Running| hub.counts.get(Outcome::New);
    assert!(
        new(&one) > 0 && new(&two) > 0,
        "{} {}",
        new(&one),
        new(&two)
    );
    broker.kill();
    record(10).await;
    broker.restart();
    one.kill();
    record(20).await;
    database.kill();
    record(30).await;
    until("the hub says so", async || !two.hub.store().writable).await;
    database.restart();
    let three = Running::start(&broker, &database);
    record(40).await;
    until("all are kept", async || kept(&three.central).await == 100).await;
    until("no site has one left", async || {
        waiting(&sites[0]).await + waiting(&sites[1]).await == 0
    })
    .await;
    assert_eq!(kept(&three.central).await, 100);
    // What was sent twice was kept once.
    let all: u64 = [&one, &two, &three].map(new).iter().sum();
    assert!(all <= 200, "{all}");
    for site in sites {
        site.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mosquitto and PostgreSQL"]
async fn the_page_sees_cameras_and_events_of_all_sites() {
    let (broker, database) = (Mosquitto::start(), Postgres::start());
    let listener = Listener::connect(&broker).await;
    let (one, two) = (
        Running::start(&broker, &database),
        Running::start(&broker, &database),
    );
    one.ready().await;
    two.ready().await;
    let mut heard = [one.hub.listen(), two.hub.listen()];
    let site = site(&broker, "north").await;
    let new = begun("1.000-gate-no-helmet-1", time());
    site.program.record(&new, Some(b"\xff\xd8picture")).await;
    for notices in &mut heard {
        loop {
            if let Notice::Event(event) = notices.recv().await.unwrap() {
                assert_eq!(event.id, "north.1.000-gate-no-helmet-1");
                break;
            }
        }
    }
    let picture = async || one.central.picture("north.1.000-gate-no-helmet-1").await;
    until("its picture came", async || {
        picture().await.unwrap().as_deref() == Some(b"\xff\xd8picture")
    })
    .await;
    // Each hub knows what is watched for, whichever of them was told.
    for hub in [&one.hub, &two.hub] {
        until("cameras are known", async || {
            !hub.config().document.cameras.is_empty()
        })
        .await;
        let config = hub.config();
        let camera = &config.document.cameras[0];
        assert_eq!(camera.name, "north.gate");
        assert_eq!(camera.queries[0].text, "[a person] without a helmet");
        assert_eq!(camera.rules[0].id, "no-helmet");
    }
    for (topic, payload) in [
        ("mdetr/north/events", "{}"),
        ("mdetr/a b/events", "x"),
        ("mdetr/north/stats", "{\"cameras\":7}"),
        ("mdetr/north/gate/q/snapshot", "no picture"),
    ] {
        listener.say(topic, payload, false).await;
    }
    let refused = || one.counts.get(Outcome::Refused) + two.counts.get(Outcome::Refused);
    until("what is no event is counted", async || refused() == 1).await;
    site.stop().await;
    listener.say("mdetr/north/available", "offline", true).await;
    let gone = |hub: &Hub| {
        let cameras = hub.cameras();
        cameras
            .iter()
            .all(|camera| camera.state == CameraState::Offline)
    };
    until("its cameras are gone", async || {
        gone(&one.hub) && gone(&two.hub)
    })
    .await;
}
