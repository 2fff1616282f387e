//! What goes wrong on the way: survived, or told in one sentence, and gone on with where it broke.

use std::fs;
use std::time::{Duration, Instant};

use crate::fixture::{CONTENT, FILE, Fixture, RECORD, SIZE, TOKENIZER, bytes, md5, tokenizer};
use crate::server::Fault;

fn told(status: u16) -> Fault {
    Fault::Status(status, Vec::new())
}

fn retry_after(status: u16, value: &str) -> Fault {
    Fault::Status(status, vec![("retry-after", value.to_owned())])
}

#[test]
fn a_model_is_pulled_once() {
    let fixture = Fixture::new();
    let pulled = fixture.pull().unwrap();
    assert!(!pulled.already && pulled.kept.is_none());
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None]);
    assert!(fixture.pull().unwrap().already);
    assert_eq!(fixture.server.seen(RECORD).len(), 1);
}

#[test]
fn cut_transfers_go_on_where_they_broke() {
    let fixture = Fixture::new();
    let cuts = [100_000, 50_000, 0, 1];
    fixture.server.faults(CONTENT, cuts.map(Fault::Cut));
    fixture.pull().unwrap();
    fixture.sound();
    let begins = [
        None,
        Some(100_000),
        Some(150_000),
        Some(150_000),
        Some(150_001),
    ];
    assert_eq!(fixture.server.begins(CONTENT), begins);
    let etag = fixture.published.lock().unwrap().etag.clone();
    for seen in &fixture.server.seen(CONTENT)[1..] {
        assert_eq!(seen.if_range, etag);
    }
    assert!(fixture.said("trying again"));
}

#[test]
fn another_run_goes_on_where_one_gave_up() {
    let mut fixture = Fixture::new();
    fixture.limits.attempts = 1;
    fixture
        .server
        .faults(CONTENT, [Fault::Cut(120_000), Fault::Cut(30_000)]);
    for _ in 0..2 {
        let error = fixture.refused(&fixture.request());
        assert!(error.contains("after 1 attempts"), "{error}");
        assert!(error.contains("run the same command again"), "{error}");
    }
    fixture.pull().unwrap();
    fixture.sound();
    let begins = [None, Some(120_000), Some(150_000)];
    assert_eq!(fixture.server.begins(CONTENT), begins);
}

#[test]
fn attempts_without_progress_end() {
    let fixture = Fixture::new();
    fixture
        .server
        .faults(CONTENT, (0..10).map(|_| Fault::Cut(10)));
    let error = fixture.refused(&fixture.request());
    assert!(error.contains("after 4 attempts"), "{error}");
    assert_eq!(fixture.server.seen(CONTENT).len(), 4);
    // However often a server is cut off that brings something, it is asked again.
    let fixture = Fixture::new();
    fixture
        .server
        .faults(CONTENT, (0..20).map(|_| Fault::Cut(14_000)));
    fixture.pull().unwrap();
    fixture.sound();
}

#[test]
fn a_server_without_ranges_begins_again() {
    let fixture = Fixture::new();
    let faults = [Fault::Cut(100_000), Fault::Whole];
    fixture.server.faults(CONTENT, faults);
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None, Some(100_000)]);
    assert!(fixture.said("the server begins again"));
}

#[test]
fn a_server_without_an_etag_goes_on_too() {
    let fixture = Fixture::new();
    for etag in [None, Some("W/\"weak\"".to_owned())] {
        fixture.published.lock().unwrap().etag = etag;
        fixture.server.faults(CONTENT, [Fault::Cut(100_000)]);
        let request = mdetr_pull::Request {
            replace: true,
            ..fixture.request()
        };
        fixture.pull_as(&request).unwrap();
        let seen = fixture.server.seen(CONTENT);
        let last = seen.last().unwrap();
        assert_eq!(last.range.as_deref(), Some("bytes=100000-"));
        assert_eq!(last.if_range, None);
    }
    fixture.sound();
}

#[test]
fn a_file_that_changes_between_runs_begins_again() {
    let mut fixture = Fixture::new();
    fixture.limits.attempts = 1;
    fixture.server.faults(CONTENT, [Fault::Cut(100_000)]);
    fixture.refused(&fixture.request());
    *fixture.published.lock().unwrap() = crate::fixture::Published::new(bytes(2, SIZE + 7));
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None, None]);
}

/// The record is of before, the file is not: what came of the one is never put before the other.
#[test]
fn a_file_that_changes_within_a_run_is_not_mixed() {
    let fixture = Fixture::new();
    fixture
        .server
        .faults(CONTENT, [Fault::Cut(100_000), Fault::Cut(50_000)]);
    let changed = bytes(2, SIZE);
    let etag = format!("\"{}\"", md5(&changed));
    let published = fixture.published.clone();
    let (server, of_thread) = (&fixture.server, changed.clone());
    let error = std::thread::scope(|scope| {
        scope.spawn(move || {
            while server.seen(CONTENT).is_empty() {
                std::thread::sleep(Duration::from_millis(1));
            }
            let mut published = published.lock().unwrap();
            published.checkpoint = of_thread;
            published.etag = Some(etag);
        });
        fixture.refused(&fixture.request())
    });
    assert!(error.contains(&format!("md5:{}", md5(&changed))), "{error}");
    assert!(error.contains("thrown away"), "{error}");
    fixture.published.lock().unwrap().md5 = md5(&changed);
    fixture.pull().unwrap();
    fixture.sound();
}

#[test]
fn a_range_that_was_not_asked_for_is_not_taken() {
    let fixture = Fixture::new();
    let faults = [Fault::Cut(100_000), Fault::WrongRange];
    fixture.server.faults(CONTENT, faults);
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None, Some(100_000), None]);
}

#[test]
fn a_server_that_has_less_than_before_is_asked_for_all() {
    let fixture = Fixture::new();
    let no_range = vec![("content-range", "bytes */5".to_owned())];
    let faults = [Fault::Cut(100_000), Fault::Status(416, no_range)];
    fixture.server.faults(CONTENT, faults);
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None, Some(100_000), None]);
}

#[test]
fn slow_and_silent_servers_are_asked_again() {
    let mut fixture = Fixture::new();
    fixture.limits.stall = Duration::from_millis(400);
    let drip = Fault::Drip(Duration::from_millis(5));
    fixture
        .server
        .faults(CONTENT, [Fault::Stall(100_000), drip, Fault::Silence]);
    let begun = Instant::now();
    fixture.pull().unwrap();
    fixture.sound();
    assert!(
        begun.elapsed() < Duration::from_secs(20),
        "{:?}",
        begun.elapsed()
    );
    let begins = fixture.server.begins(CONTENT);
    // A machine that is busy may be slow of itself.
    assert!(begins.len() >= 4, "{begins:?}");
    assert_eq!(begins[1], Some(100_000));
    // What dripped is kept.
    assert!(begins[2] > Some(100_000), "{begins:?}");
    assert!(fixture.said("bytes in 0.4 s"));
    assert!(fixture.said("no answer in 0.4 s"));
}

#[test]
fn busy_servers_are_left_alone_as_long_as_they_ask() {
    let fixture = Fixture::new();
    fixture.server.faults(RECORD, [retry_after(429, "1")]);
    fixture
        .server
        .faults(CONTENT, [retry_after(503, "1"), told(500), told(408)]);
    fixture.server.faults(TOKENIZER, [told(502)]);
    let begun = Instant::now();
    fixture.pull().unwrap();
    fixture.sound();
    assert!(begun.elapsed() >= Duration::from_secs(2));
    assert!(fixture.said("429 Too Many Requests; trying again in 1 s"));
    assert!(fixture.said("503 Service Unavailable; trying again in 1 s"));
}

#[test]
fn nobody_waits_for_a_server_that_wants_a_day() {
    let tomorrow = "Fri, 01 Jan 2100 00:00:00 GMT";
    for asked in ["86400", tomorrow] {
        let fixture = Fixture::new();
        fixture
            .server
            .faults(CONTENT, [Fault::Cut(1000), retry_after(429, asked)]);
        let error = fixture.refused(&fixture.request());
        assert!(error.contains("asks to come back in"), "{error}");
        assert_eq!(fixture.server.seen(CONTENT).len(), 2);
        fixture.pull().unwrap();
        assert_eq!(fixture.server.begins(CONTENT)[2], Some(1000));
    }
}

#[test]
fn redirections_are_followed_but_not_for_ever() {
    let fixture = Fixture::new();
    let to = |place: &str| {
        let location = format!("{}{place}", fixture.base);
        Fault::Status(302, vec![("location", location)])
    };
    let there = format!("/store/{CONTENT}");
    fixture
        .server
        .faults(CONTENT, [Fault::Cut(100_000), to(&there)]);
    fixture.pull().unwrap();
    fixture.sound();
    let seen = fixture.server.seen(&there);
    assert_eq!(seen[0].range.as_deref(), Some("bytes=100000-"));

    let fixture = Fixture::new();
    let again = format!("{}{RECORD}", fixture.base);
    let around = Fault::Status(302, vec![("location", again)]);
    fixture
        .server
        .faults(RECORD, (0..50).map(|_| around.clone()));
    let error = fixture.refused(&fixture.request());
    assert!(error.contains("more than 10 redirections"), "{error}");
    assert!(fixture.server.seen(RECORD).len() < 15);
}

#[test]
fn a_file_of_another_length_is_refused() {
    // Of the one the server says so, the other turns out to be longer.
    let login = b"<html>Log in</html>".to_vec();
    let long = bytes(1, SIZE + 1);
    for (fault, found) in [
        (
            Fault::Other(login.clone()),
            "expected 300000 bytes, found 19 of",
        ),
        (
            Fault::Other(long.clone()),
            "expected 300000 bytes, found 300001",
        ),
        (Fault::Unmeasured(long), "expected 300000 bytes, found more"),
    ] {
        let fixture = Fixture::new();
        fixture.server.faults(CONTENT, [fault]);
        let error = fixture.refused(&fixture.request());
        assert!(error.contains(found), "{error}");
        assert!(error.contains("--from"), "{error}");
        fixture.pull().unwrap();
        fixture.sound();
        assert_eq!(fixture.server.begins(CONTENT), [None, None]);
    }
    // Shorter, without saying so: as if cut off.
    let fixture = Fixture::new();
    fixture
        .server
        .faults(CONTENT, [Fault::Unmeasured(bytes(1, 70_000))]);
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None, Some(70_000)]);
}

#[test]
fn a_file_of_another_checksum_is_thrown_away() {
    let fixture = Fixture::new();
    fixture
        .server
        .faults(CONTENT, [Fault::Other(bytes(3, SIZE))]);
    let error = fixture.refused(&fixture.request());
    let (good, bad) = (md5(&bytes(1, SIZE)), md5(&bytes(3, SIZE)));
    assert!(
        error.contains(&format!("expected md5:{good}, found md5:{bad}")),
        "{error}"
    );
    assert!(!fixture.downloads().join(FILE).exists());
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [None, None]);
}

#[test]
fn records_that_are_none_are_told() {
    let refused = |change: &dyn Fn(&Fixture)| {
        let fixture = Fixture::new();
        change(&fixture);
        let error = fixture.refused(&fixture.request());
        assert!(fixture.server.seen(CONTENT).is_empty());
        error
    };
    let html = refused(&|fixture| {
        let page = Fault::Other(b"<html>Log in</html>".to_vec());
        fixture.server.faults(RECORD, [page]);
    });
    assert!(html.contains("not a record of Zenodo"), "{html}");
    let renamed = refused(&|fixture| fixture.published.lock().unwrap().key = "new.pth".to_owned());
    assert!(
        renamed.contains(&format!(
            "expected the file {FILE}, found other.pth, new.pth"
        )),
        "{renamed}"
    );
    let unknown = refused(&|fixture| fixture.published.lock().unwrap().md5 = "sha9".to_owned());
    assert!(unknown.contains("hexadecimal"), "{unknown}");
    let endless = refused(&|fixture| {
        let spaces = Fault::Unmeasured(vec![b' '; 5 << 20]);
        fixture.server.faults(RECORD, [spaces]);
    });
    assert!(endless.contains("at most"), "{endless}");
    let gone = refused(&|fixture| fixture.server.faults(RECORD, [told(404)]));
    assert!(gone.contains("may have moved"), "{gone}");
    let forbidden = refused(&|fixture| fixture.server.faults(RECORD, [told(403)]));
    assert!(forbidden.contains("403 Forbidden"), "{forbidden}");
}

#[test]
fn a_file_that_is_gone_is_told() {
    let fixture = Fixture::new();
    fixture.server.faults(CONTENT, [told(404)]);
    let error = fixture.refused(&fixture.request());
    assert!(error.contains("may have moved"), "{error}");
}

#[test]
fn a_tokenizer_of_another_model_is_refused() {
    let fixture = Fixture::new();
    let others = [
        (tokenizer(50264), "expected 50265 tokens, found 50264"),
        (b"<html>".to_vec(), "not a tokenizer.json"),
    ];
    for (other, found) in others {
        fixture.server.faults(TOKENIZER, [Fault::Other(other)]);
        let error = fixture.refused(&fixture.request());
        assert!(error.contains(found), "{error}");
        assert!(error.contains("--tokenizer"), "{error}");
    }
    // Nothing was downloaded for nothing.
    assert!(fixture.server.seen(CONTENT).is_empty());
    fixture.pull().unwrap();
    fixture.sound();
}

#[test]
fn nobody_there_is_told() {
    let mut fixture = Fixture::new();
    fixture.limits.attempts = 2;
    // Nothing listens where nothing may.
    fixture.write_registry("http://127.0.0.1:1", 1);
    let error = fixture.refused(&fixture.request());
    assert!(error.contains("Connection refused"), "{error}");
    assert!(error.contains("HTTPS_PROXY"), "{error}");
}

#[test]
fn too_little_space_is_told_before_anything_is_downloaded() {
    let fixture = Fixture::new();
    fixture.published.lock().unwrap().size = 1 << 60;
    let error = fixture.refused(&fixture.request());
    assert!(error.contains("MB are needed"), "{error}");
    assert!(error.contains("XDG_DATA_HOME"), "{error}");
    assert!(fixture.server.seen(CONTENT).is_empty());
}

#[test]
fn a_directory_that_cannot_be_written_is_told() {
    let fixture = Fixture::new();
    fs::write(fixture.dir.path().join("data"), "no directory").unwrap();
    let error = fixture.pull().unwrap_err().to_string();
    assert!(error.contains("data/models"), "{error}");
}
