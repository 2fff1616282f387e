use std::fs;
use std::io::{Seek, SeekFrom, Write};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection};

use super::*;
use crate::store::{EventFilter, StoreError};

/// A store with 200 events, closed.
async fn filled() -> (TempDir, std::path::PathBuf) {
    let (directory, store) = fresh().await;
    for i in 0..200 {
        let event = begun(&format!("{i}"), hour(i));
        store
            .record(&step(&event), &["mqtt".to_owned()])
            .await
            .unwrap();
    }
    store
        .record(&pictured(&begun("pictured", hour(0)), 100), &[])
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let data = directory.path().join("data");
    settle(&data.join("events.db")).await;
    (directory, data)
}

/// Brings all of a database into its one file.
async fn settle(path: &Path) {
    let options = SqliteConnectOptions::new().filename(path);
    let mut connection = options.connect().await.unwrap();
    let checkpoint = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
    checkpoint.execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// Opens a damaged store, which must work, and have what was damaged beside.
async fn is_begun_anew(data: &Path, damaged: &[u8]) {
    let store = open(data).await;
    assert_eq!(ids(&store, &EventFilter::default()).await, [""; 0]);
    store
        .record(&step(&begun("new", hour(1))), &[])
        .await
        .unwrap();
    store.close().await;
    drop(store);
    let names: Vec<String> = fs::read_dir(data)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    let aside: Vec<_> = names
        .iter()
        .filter(|name| name.starts_with("events.db.damaged-"))
        .collect();
    assert_eq!(aside.len(), 1, "{names:?}");
    assert!(fs::read(data.join(aside[0])).unwrap() == damaged);
    let media = names
        .iter()
        .find(|name| name.starts_with("media.damaged-"))
        .unwrap();
    assert!(
        data.join(media)
            .join("2026-01-01/gate/pictured.jpg")
            .exists()
    );
    let store = open(data).await;
    assert_eq!(ids(&store, &EventFilter::default()).await, ["new"]);
    assert!(data.join(media).exists());
    // They go when they are as old as events may be, and where there is no room.
    let later = Timestamp::now() + SignedDuration::from_hours(25);
    let settings = config::Store {
        days: 1,
        ..endless()
    };
    store.sweep(&settings, later).await.unwrap();
    assert!(!data.join(media).exists());
}

#[tokio::test]
async fn a_file_that_is_no_database_is_put_aside() {
    let (_directory, data) = filled().await;
    let nonsense = b"this is no database ".repeat(500);
    fs::write(data.join("events.db"), &nonsense).unwrap();
    is_begun_anew(&data, &nonsense).await;
}

#[tokio::test]
async fn a_database_that_is_cut_off_is_put_aside() {
    let (_directory, data) = filled().await;
    let path = data.join("events.db");
    let bytes = fs::read(&path).unwrap();
    let cut = &bytes[..bytes.len() / 2];
    fs::write(&path, cut).unwrap();
    is_begun_anew(&data, cut).await;
}

#[tokio::test]
async fn a_database_with_holes_is_put_aside() {
    let (_directory, data) = filled().await;
    let path = data.join("events.db");
    let mut file = fs::File::options().write(true).open(&path).unwrap();
    for page in 3..20 {
        file.seek(SeekFrom::Start(page * 4096)).unwrap();
        file.write_all(&[0xa5; 512]).unwrap();
    }
    drop(file);
    let damaged = fs::read(&path).unwrap();
    is_begun_anew(&data, &damaged).await;
}

#[tokio::test]
async fn pictures_without_their_database_are_put_aside() {
    let (_directory, data) = filled().await;
    fs::remove_file(data.join("events.db")).unwrap();
    let store = open(&data).await;
    assert_eq!(count(&store, "events").await, 0);
    assert_eq!(fs::read_dir(store.media()).unwrap().count(), 0);
    let aside = fs::read_dir(&data).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name();
        name.to_str().unwrap().starts_with("media.damaged-")
    });
    assert_eq!(aside.count(), 1);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_refused_and_left_alone() {
    let (_directory, data) = filled().await;
    let store = open(&data).await;
    let mut transaction = store.inner.database.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO _sqlx_migrations (version, description, success, checksum, execution_time) \
         VALUES (99, 'tomorrow', TRUE, x'00', 0)",
    )
    .execute(transaction.connection())
    .await
    .unwrap();
    transaction.commit().await.unwrap();
    store.close().await;
    drop(store);
    let error = Store::open(&data, &endless()).await.unwrap_err();
    assert!(
        matches!(error, StoreError::Newer { found: 99, .. }),
        "{error}"
    );
    assert!(
        error
            .to_string()
            .contains("events.db is of a newer version"),
        "{error}"
    );
    let options = SqliteConnectOptions::new().filename(data.join("events.db"));
    let mut database = options.connect().await.unwrap();
    let events: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM events")
        .fetch_one(&mut database)
        .await
        .unwrap();
    assert_eq!(events, 201);
    database.close().await.unwrap();
    assert!(data.join("media/2026-01-01/gate/pictured.jpg").exists());
}

#[tokio::test]
async fn a_directory_that_cannot_be_is_named() {
    let directory = TempDir::new().unwrap();
    let file = directory.path().join("file");
    fs::write(&file, b"").unwrap();
    let error = Store::open(&file.join("data"), &endless())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("file/data"), "{error}");
}

#[tokio::test]
async fn a_database_of_another_program_is_named_and_left_alone() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("events.db");
    let options = SqliteConnectOptions::new().filename(&path);
    let mut other = options.create_if_missing(true).connect().await.unwrap();
    sqlx::query("CREATE TABLE events (title TEXT)")
        .execute(&mut other)
        .await
        .unwrap();
    other.close().await.unwrap();
    let error = Store::open(directory.path(), &endless()).await.unwrap_err();
    assert!(
        error.to_string().contains("/events.db cannot be opened: "),
        "{error}"
    );
    assert!(
        error.to_string().contains("table events already exists"),
        "{error}"
    );
}
