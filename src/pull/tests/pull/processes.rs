//! Several processes, and processes that end early.

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::fixture::{CONTENT, FILE, Fixture, NAME, Published, SIZE, bytes};
use crate::server::Fault;

fn start(command: &mut Command) -> Child {
    command.stdout(Stdio::piped()).spawn().unwrap()
}

/// What a process printed until it ended.
fn output(child: &mut Child) -> String {
    let mut text = String::new();
    child
        .stdout
        .take()
        .unwrap()
        .read_to_string(&mut text)
        .unwrap();
    child.wait().unwrap();
    text
}

/// Waits for a line that has this in it.
fn line(child: &mut Child, part: &str) -> BufReader<std::process::ChildStdout> {
    let mut reader = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains(part) {
        line.clear();
        assert_ne!(reader.read_line(&mut line).unwrap(), 0, "{part}");
    }
    reader
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn two_that_pull_the_same_download_it_once() {
    let fixture = Fixture::new();
    fixture.server.faults(CONTENT, [Fault::Stall(1000)]);
    let mut first = start(&mut fixture.child());
    until("the first downloads", || {
        fixture.server.seen(CONTENT).len() == 1
    });
    let mut second = start(&mut fixture.child());
    let waits = format!(
        "said: {NAME} is being pulled by process {}: waiting",
        first.id()
    );
    let mut rest_of_second = line(&mut second, &waits);
    let first = output(&mut first);
    assert!(first.contains("pulled: false"), "{first}");
    let mut rest = String::new();
    rest_of_second.read_to_string(&mut rest).unwrap();
    second.wait().unwrap();
    assert!(rest.contains("pulled: true"), "{rest}");
    fixture.sound();
    // One, and what was left of it after the stall.
    assert_eq!(fixture.server.begins(CONTENT), [None, Some(1000)]);
}

#[test]
fn an_interrupted_download_goes_on() {
    for signal in ["INT", "KILL"] {
        let fixture = Fixture::new();
        fixture.server.faults(CONTENT, [Fault::Stall(100_000)]);
        let mut child = start(&mut fixture.child());
        let partial = fixture.downloads().join(format!("{FILE}.part"));
        until("something is downloaded", || {
            std::fs::metadata(&partial).is_ok_and(|metadata| metadata.len() == 100_000)
        });
        let killed = Command::new("kill")
            .args(["-s", signal, &child.id().to_string()])
            .status();
        assert!(killed.unwrap().success());
        assert!(child.wait().unwrap().signal().is_some());
        fixture.no_model();
        assert_eq!(fixture.home().unfinished()[0].name, NAME);
        let again = output(&mut start(&mut fixture.child()));
        assert!(again.contains("begin: downloading from 100000"), "{again}");
        fixture.sound();
        assert_eq!(fixture.server.begins(CONTENT), [None, Some(100_000)]);
    }
}

/// The limit on a file's size stands for a disk that is full, which no test may fill.
#[test]
fn a_download_that_no_longer_fits_goes_on_when_it_does() {
    let fixture = Fixture::new();
    *fixture.published.lock().unwrap() = Published::new(bytes(1, 3_000_000));
    let child = fixture.child();
    let mut limited = Command::new("bash");
    // In blocks of 1024 bytes; without the signal that would end the process.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 2000; exec \"$0\" \"$@\""]);
    limited.arg(child.get_program()).args(child.get_args());
    for (name, value) in child.get_envs() {
        match value {
            Some(value) => limited.env(name, value),
            None => limited.env_remove(name),
        };
    }
    let full = output(&mut start(&mut limited));
    assert!(full.contains("error: "), "{full}");
    assert!(
        full.contains("checkpoint.pth.part: File too large"),
        "{full}"
    );
    assert!(full.contains("it goes on where it stopped"), "{full}");
    fixture.no_model();
    let again = output(&mut start(&mut fixture.child()));
    assert!(again.contains("pulled: false"), "{again}");
    fixture.sound();
    let begins = fixture.server.begins(CONTENT);
    assert_eq!(begins[0], None);
    let written = begins[1].unwrap();
    assert!((1_000_000..3_000_000).contains(&written), "{begins:?}");
}

#[test]
fn a_mirror_can_be_set_for_all() {
    let fixture = Fixture::new();
    let dir = fixture.dir.path().join("mirror");
    std::fs::create_dir(&dir).unwrap();
    let set = |value: &str| {
        let mut child = fixture.child();
        output(&mut start(child.env("MDETR_MIRROR", value)))
    };
    let missing = set(dir.to_str().unwrap());
    assert!(
        missing.contains(&format!("expected the file {FILE} in it")),
        "{missing}"
    );
    std::fs::write(dir.join(FILE), bytes(1, SIZE)).unwrap();
    let pulled = set(dir.to_str().unwrap());
    assert!(pulled.contains("pulled: false"), "{pulled}");
    assert!(fixture.server.seen(CONTENT).is_empty());
    assert!(set("").contains("pulled: true"));
}
