//! The database of hubs.

use jiff::{SignedDuration, Timestamp};
use mdetr_monitor::central::{Arrival, Central, SiteName, of_site};
use mdetr_monitor::store::{EventFilter, StoreError};
use mdetr_rules::{Event, EventKind};
use sqlx::{Connection, PgConnection};

use crate::peers::{begun, later, until};
use crate::postgres::{Postgres, hub_document};

fn time() -> Timestamp {
    "2026-01-05T10:15:03Z".parse().unwrap()
}

fn central(server: &Postgres) -> Central {
    let document = hub_document("/x".as_ref(), "mqtt://127.0.0.1:1", &server.url());
    Central::new(document.hub.as_ref().unwrap()).unwrap()
}

fn arrival(site: &str, event: &Event) -> Arrival {
    let site = SiteName::new(site).unwrap();
    Arrival {
        event: of_site(&site, event.clone()).unwrap(),
        received: time(),
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn steps_are_kept_once_in_whatever_order_they_come() {
    let server = Postgres::start();
    let (one, two) = (central(&server), central(&server));
    // Two hubs that begin at once.
    let (first, second) = tokio::join!(one.migrate(), two.migrate());
    first.unwrap();
    second.unwrap();
    let new = begun("1.000-gate-no-helmet-1", time());
    let steps: Vec<Event> = [
        new.clone(),
        later(&new, EventKind::Update, 1),
        later(&new, EventKind::Update, 2),
        later(&new, EventKind::End, 3),
    ]
    .into();
    let of = |site: &str, steps: &[Event]| -> Vec<Arrival> {
        steps.iter().map(|step| arrival(site, step)).collect()
    };
    let mut back = of("south", &steps);
    back.reverse();
    assert_eq!(one.record(&back[..2]).await.unwrap(), 2);
    assert_eq!(two.record(&back).await.unwrap(), 2);
    assert_eq!(one.record(&back).await.unwrap(), 0);
    // The same id of another site is another event.
    assert_eq!(one.record(&of("north", &steps[..2])).await.unwrap(), 2);
    let all = two.events(&EventFilter::default()).await.unwrap();
    let ids: Vec<&str> = all.iter().map(|found| found.event.id.as_str()).collect();
    assert_eq!(
        ids,
        [
            "south.1.000-gate-no-helmet-1",
            "north.1.000-gate-no-helmet-1"
        ]
    );
    assert_eq!(
        (all[0].event.kind, all[1].event.kind),
        (EventKind::End, EventKind::Update)
    );
    assert_eq!(all[0].event.camera, "south.gate");
    let found = async |filter: EventFilter| one.events(&filter).await.unwrap().len();
    let filter = EventFilter::default;
    assert_eq!(
        found(EventFilter {
            open: Some(true),
            ..filter()
        })
        .await,
        1
    );
    assert_eq!(
        found(EventFilter {
            camera: Some("north.gate".into()),
            ..filter()
        })
        .await,
        1
    );
    assert_eq!(
        found(EventFilter {
            rule: Some("no-helmet".into()),
            ..filter()
        })
        .await,
        2
    );
    assert_eq!(
        found(EventFilter {
            words: Some("Helmet person".into()),
            ..filter()
        })
        .await,
        2
    );
    assert_eq!(
        found(EventFilter {
            words: Some("forklift".into()),
            ..filter()
        })
        .await,
        0
    );
    assert_eq!(
        found(EventFilter {
            to: Some(time()),
            ..filter()
        })
        .await,
        0
    );
    assert_eq!(
        found(EventFilter {
            limit: Some(1),
            ..filter()
        })
        .await,
        1
    );
    assert_eq!(
        found(EventFilter {
            after: Some(ids[0].into()),
            ..filter()
        })
        .await,
        1
    );
    for wrong in [
        EventFilter {
            limit: Some(0),
            ..filter()
        },
        EventFilter {
            after: Some("no".into()),
            ..filter()
        },
    ] {
        assert!(one.events(&wrong).await.unwrap_err().is_refusal());
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn hubs_that_write_the_same_at_once_do_not_wait_for_each_other_for_ever() {
    let server = Postgres::start();
    let one = central(&server);
    one.migrate().await.unwrap();
    let steps: Vec<Arrival> = (0..300)
        .map(|number| arrival("a", &begun(&format!("{number}.000-gate-r-1"), time())))
        .collect();
    let mut back = steps.clone();
    back.reverse();
    let two = central(&server);
    let mut new = 0;
    for _ in 0..5 {
        let (first, second) = tokio::join!(one.record(&steps), two.record(&back));
        new += first.unwrap() + second.unwrap();
    }
    assert_eq!(new, 300);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn what_is_removed_stays_removed_and_what_is_old_goes() {
    let server = Postgres::start();
    let central = central(&server);
    central.migrate().await.unwrap();
    let ids = ["old", "kept", "young", "gone"];
    let steps: Vec<Event> = ids
        .iter()
        .zip([0, 0, 20, 20])
        .map(|(id, days)| {
            let start = time() + SignedDuration::from_hours(24 * days);
            later(&begun(id, start), EventKind::End, 1)
        })
        .collect();
    let steps: Vec<Arrival> = steps.iter().map(|step| arrival("a", step)).collect();
    for id in ids {
        central
            .keep_picture(&format!("a.{id}"), b"\xff\xd8jpeg")
            .await
            .unwrap();
    }
    central.record(&steps).await.unwrap();
    let gone = "a.gone";
    assert!(central.event(gone).await.unwrap().unwrap().has_picture);
    assert_eq!(
        central.picture(gone).await.unwrap().unwrap(),
        b"\xff\xd8jpeg"
    );
    assert!(central.remove(gone).await.unwrap());
    assert!(!central.remove(gone).await.unwrap());
    assert!(central.set_kept("a.kept", true).await.unwrap());
    assert!(!central.set_kept(gone, true).await.unwrap());
    central.record(&steps).await.unwrap();
    assert_eq!(central.event(gone).await.unwrap(), None);
    assert_eq!(central.picture(gone).await.unwrap(), None);
    let now = time() + SignedDuration::from_hours(24 * 21);
    assert_eq!(central.sweep(14, now).await.unwrap(), 1);
    let left = central.events(&EventFilter::default()).await.unwrap();
    let left: Vec<&str> = left.iter().map(|found| found.event.id.as_str()).collect();
    assert_eq!(left, ["a.young", "a.kept"]);
    // Its step is gone too: nothing but what is there, and what was removed lately, is remembered.
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    let steps: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM steps")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(steps, 3);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs PostgreSQL"]
async fn a_newer_schema_is_refused_and_a_database_that_is_away_is_named() {
    let server = Postgres::start();
    let central = central(&server);
    central.migrate().await.unwrap();
    central.migrate().await.unwrap();
    let mut connection = PgConnection::connect(&server.url()).await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'later', true, '', 0)",
    )
    .execute(&mut connection)
    .await
    .unwrap();
    let error = central.migrate().await.unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { found: 99, .. }),
        "{error}"
    );
    server.kill();
    let error = central.events(&EventFilter::default()).await.unwrap_err();
    assert!(
        error.to_string().starts_with("the database of events: "),
        "{error}"
    );
    server.restart();
    until("it is back", async || {
        central.events(&EventFilter::default()).await.is_ok()
    })
    .await;
}

#[test]
fn what_cannot_be_a_name_is_refused() {
    let site = SiteName::new("a").unwrap();
    assert!(SiteName::new("a.b").is_none() && SiteName::new("").is_none());
    let event = begun("1-gate-r-1", time());
    let with = |change: fn(&mut Event)| {
        let mut event = event.clone();
        change(&mut event);
        of_site(&site, event).unwrap_err()
    };
    assert!(with(|event| event.id = "../x".into()).starts_with("id: "));
    assert!(with(|event| event.camera = "a.b".into()).starts_with("camera: "));
    assert!(with(|event| event.text = "a\0".into()).contains("NUL"));
}
