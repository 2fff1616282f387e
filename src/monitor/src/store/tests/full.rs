//! Disks that are full, and others that fail.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::Duration;

use super::kill::child;
use super::worker::{Bench, quick};
use super::*;
use crate::hub::Notice;
use crate::store::EventFilter;

const DATA: &str = "MDETR_TEST_FULL";
const STEPS: usize = 400;

/// Records steps, and prints what is told.
#[test]
fn child_that_must_not_write_much() {
    let Ok(data) = env::var(DATA) else {
        return;
    };
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let store = open(Path::new(&data)).await;
        let mut bench = Bench::new(&store, &endless(), quick());
        for i in 0..STEPS {
            bench.deliver(step(&begun(&format!("{i}"), hour(0) + seconds(i as i64))));
        }
        let mut left = STEPS;
        let mut writable = true;
        while left > 0 || !writable {
            match bench.notices.recv().await.unwrap() {
                Notice::Event(_) => left -= 1,
                Notice::Store(status) if status.writable != writable => {
                    writable = status.writable;
                    let message = status.message.as_deref().unwrap_or_default();
                    println!("\nwritable: {writable} {message}");
                }
                _ => {}
            }
        }
        bench.end().await;
        store.close().await;
    });
}

/// Files may grow to a megabyte for a while: writing fails with what is no full disk to SQLite.
#[tokio::test]
async fn a_disk_that_fails_for_a_while_costs_nothing() {
    let directory = TempDir::new().unwrap();
    let data = directory.path().join("data");
    let test = child("full::child_that_must_not_write_much");
    let mut child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; ulimit -S -f 2000; exec \"$0\" \"$@\""])
        .arg(test.get_program())
        .args(test.get_args())
        .env(DATA, &data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut said = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some((_, what)) = line.split_once("writable: ") {
            if what.starts_with("false") {
                let id = child.id().to_string();
                let limit = "--fsize=unlimited:unlimited";
                let lifted = Command::new("prlimit").args(["--pid", &id, limit]).status();
                assert!(lifted.unwrap().success());
            }
            said.push(what.to_owned());
        }
    }
    assert!(child.wait().unwrap().success());
    assert_eq!(said.len(), 2, "{said:?}");
    assert!(
        said[0].starts_with("false events cannot be written"),
        "{said:?}"
    );
    assert_eq!(said[1], "true ");
    let store = open(&data).await;
    let letters = store.letters("mqtt", 1000).await.unwrap();
    let found: Vec<_> = letters.into_iter().map(|letter| letter.event.id).collect();
    let expected: Vec<_> = (0..STEPS).map(|i| i.to_string()).collect();
    assert_eq!(found, expected);
}

/// A small file system of its own.
struct Disk {
    directory: TempDir,
}

impl Disk {
    fn new(megabytes: u64) -> Disk {
        let directory = TempDir::new().unwrap();
        let image = directory.path().join("image");
        fs::File::create(&image)
            .unwrap()
            .set_len(megabytes << 20)
            .unwrap();
        let place = directory.path().join("disk");
        fs::create_dir(&place).unwrap();
        let disk = Disk { directory };
        run(Command::new("mkfs.ext4")
            .args(["-q", "-F", "-m", "0"])
            .arg(&image));
        run(Command::new("mount")
            .args(["-o", "loop"])
            .arg(&image)
            .arg(&place));
        disk
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.directory.path().join("disk").join(name)
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path("")).status();
    }
}

fn run(command: &mut Command) {
    let done = command.output().unwrap();
    assert!(done.status.success(), "{command:?}: {done:?}");
}

/// Takes all that is left.
fn take_all(path: &Path) {
    use std::io::Write;
    let mut file = fs::File::create(path).unwrap();
    for size in [1 << 16, 1 << 12, 512, 1] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
    let _ = file.sync_all();
}

#[tokio::test]
#[ignore = "needs root, mkfs.ext4 and loop devices"]
async fn loop_disk_is_full_and_watching_goes_on() {
    let disk = Disk::new(24);
    let data = disk.path("data");
    let store = open(&data).await;
    let mut bench = Bench::new(&store, &endless(), quick());
    let event = |i: usize| begun(&format!("{i}"), hour(0) + seconds(i as i64));
    for i in 0..10 {
        bench.deliver(pictured(&event(i), 5000));
        assert_eq!(bench.event().await.id, i.to_string());
    }
    // Another program takes all; what goes on is not removed for it.
    take_all(&disk.path("filler"));
    for i in 10..500 {
        bench.deliver(pictured(&event(i), 5000));
    }
    let status = bench.state(false).await;
    assert!(status.message.is_some(), "{status:?}");
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert!(!bench.hub.store().writable);
    fs::remove_file(disk.path("filler")).unwrap();
    for i in 10..500 {
        assert_eq!(bench.event().await.id, i.to_string());
    }
    while !bench.hub.store().writable {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    bench.end().await;
    assert_eq!(count(&store, "steps").await, 500);
    store.close().await;
}

#[tokio::test]
#[ignore = "needs root, mkfs.ext4 and loop devices"]
async fn loop_disk_keeps_the_newest_pictures() {
    let disk = Disk::new(24);
    let store = open(&disk.path("data")).await;
    let settings = config::Store {
        free_bytes: 4 << 20,
        ..endless()
    };
    let mut bench = Bench::new(&store, &settings, quick());
    for i in 0..1000 {
        let begun = begun(&format!("{i}"), hour(0) + seconds(i));
        bench.deliver(pictured(&begun, 50_000));
        bench.deliver(step(&ended(&begun, 1)));
        assert_eq!(bench.event().await.kind, EventKind::New);
        assert_eq!(bench.event().await.kind, EventKind::End);
    }
    assert!(bench.hub.store().writable, "{:?}", bench.hub.store());
    bench.end().await;
    let filter = EventFilter {
        limit: Some(1000),
        ..EventFilter::default()
    };
    let left = store.events(&filter).await.unwrap();
    assert!(left.len() > 50 && left.len() < 500, "{}", left.len());
    assert_eq!(left[0].event.id, "999", "the newest stay");
    assert!(left.iter().all(|event| event.has_picture));
    store.close().await;
}

/// A start on a disk without any room.
#[tokio::test]
#[ignore = "needs root, mkfs.ext4 and loop devices"]
async fn loop_disk_is_full_and_the_program_starts() {
    let disk = Disk::new(24);
    let data = disk.path("data");
    let store = open(&data).await;
    for i in 0..50 {
        let event = begun(&format!("{i}"), hour(0) + seconds(i));
        store.record(&pictured(&event, 50_000), &[]).await.unwrap();
        store.record(&step(&ended(&event, 1)), &[]).await.unwrap();
    }
    store.close().await;
    drop(store);
    take_all(&disk.path("filler"));
    let settings = config::Store {
        free_bytes: 2 << 20,
        ..endless()
    };
    let store = Store::open(&data, &settings).await.unwrap();
    store
        .record(&pictured(&begun("new", hour(1)), 50_000), &[])
        .await
        .unwrap();
    let left = ids(&store, &EventFilter::default()).await;
    assert!(left.len() > 2 && left.len() < 45, "{left:?}");
    assert_eq!(left[0], "new");
    store.close().await;
}
