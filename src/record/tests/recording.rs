//! Recording on a thread of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use mdetr_record::{RecordOptions, Recorder, Recording, Topic, recover};
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::std_msgs::{Header, String as Text};
use mdetr_ros2_messages::{Message, to_cdr};

fn text(number: usize) -> Vec<u8> {
    to_cdr(&Text {
        data: format!("frame {number}"),
    })
}

fn start(path: &Path, options: RecordOptions, max_waiting: usize) -> (Recording, Topic) {
    let mut recorder = Recorder::create(path, options).expect("it is new");
    let topic = recorder.topic("/result", Text::DEFINITION).expect("a name");
    (
        Recording::start(recorder, max_waiting).expect("a thread"),
        topic,
    )
}

fn offer(recording: &Recording, topic: Topic, number: usize) -> bool {
    let time = Time::from_nanos(number as i64);
    recording.offer(topic, time, time, text(number))
}

/// Waits for what another thread does.
fn wait_for(mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "it takes more than ten seconds");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn all_that_is_taken_is_recorded_in_order() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.mcap");
    let (recording, topic) = start(&path, RecordOptions::default(), 1 << 20);
    let taken: Vec<usize> = (0..20_000)
        .filter(|n| offer(&recording, topic, *n))
        .collect();
    assert_eq!(recording.left_out() as usize, 20_000 - taken.len());
    assert!(taken.len() > 5000, "{} were taken", taken.len());
    recording.finish().expect("it ends");
    let bytes = std::fs::read(&path).expect("it is there");
    let messages = mcap::MessageStream::new(&bytes).expect("it is MCAP");
    let read = messages.map(|message| message.expect("it is whole").data.into_owned());
    let read: Vec<Vec<u8>> = read.collect();
    let expected: Vec<Vec<u8>> = taken.into_iter().map(text).collect();
    assert!(read == expected);
}

#[test]
fn what_does_not_fit_is_left_out_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.mcap");
    // Room for one message.
    let (recording, topic) = start(&path, RecordOptions::default(), 100);
    let large = vec![0; 101];
    assert!(!recording.offer(topic, Time::default(), Time::default(), large));
    assert_eq!(recording.left_out(), 1);
    // When the first is written, there is room again.
    wait_for(|| offer(&recording, topic, 1));
    wait_for(|| offer(&recording, topic, 2));
    recording.finish().expect("it ends");
    let found = recover(&path, folder.path().join("out.mcap")).expect("a recording");
    assert_eq!((found.messages, found.damage), (2, None));
}

#[test]
fn a_message_is_written_soon_though_none_follows() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.mcap");
    let options = RecordOptions {
        flush_interval: Duration::from_millis(20),
        ..RecordOptions::default()
    };
    let (recording, topic) = start(&path, options, 1 << 20);
    assert!(offer(&recording, topic, 1));
    let out = folder.path().join("out.mcap");
    wait_for(|| {
        let _ = std::fs::remove_file(&out);
        recover(&path, &out).is_ok_and(|found| found.messages == 1)
    });
    assert_eq!(recording.error(), None);
}

#[test]
fn a_recording_that_failed_says_why_and_takes_nothing_more() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("run_1.mcap"), "mine").expect("written");
    let options = RecordOptions {
        max_bytes: 1,
        ..RecordOptions::default()
    };
    let (recording, topic) = start(&folder.path().join("run.mcap"), options, 1 << 20);
    offer(&recording, topic, 1);
    offer(&recording, topic, 2);
    wait_for(|| recording.error().is_some());
    let error = recording.error().expect("it failed");
    assert!(error.contains("run_1.mcap"), "{error}");
    let before = recording.left_out();
    assert!(!offer(&recording, topic, 3));
    assert_eq!(recording.left_out(), before + 1);
    assert_eq!(
        recording.finish().expect_err("it failed").to_string(),
        error
    );
}

#[test]
fn topics_may_come_while_it_records() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.mcap");
    let (recording, first) = start(&path, RecordOptions::default(), 1 << 20);
    assert_eq!(
        recording.topic("/result", Text::DEFINITION).ok(),
        Some(first)
    );
    assert!(offer(&recording, first, 0));
    let second = recording.topic("/other", Text::DEFINITION).expect("a name");
    assert_eq!(
        recording.topic("/other", Text::DEFINITION).ok(),
        Some(second)
    );
    assert!(offer(&recording, second, 1));
    assert!(offer(&recording, first, 2));
    let error = recording
        .topic("/other", Header::DEFINITION)
        .expect_err("two types");
    assert!(error.to_string().contains("/other"), "{error}");
    let error = recording
        .topic("other", Text::DEFINITION)
        .expect_err("no full name");
    assert!(error.to_string().contains("\"other\""), "{error}");
    recording.finish().expect("it ends");
    recording.finish().expect("it has ended");
    assert_eq!(recording.recorded(), 3);
    let bytes = std::fs::read(&path).expect("it is there");
    let messages = mcap::MessageStream::new(&bytes).expect("it is MCAP");
    let read = messages.map(|message| {
        let message = message.expect("it is whole");
        (message.channel.topic.clone(), message.data.into_owned())
    });
    let expected = [("/result", 0), ("/other", 1), ("/result", 2)];
    let expected = expected.map(|(topic, number)| (topic.to_owned(), text(number)));
    assert_eq!(read.collect::<Vec<_>>(), expected);
}

#[test]
fn nothing_is_taken_after_the_end() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("run.mcap");
    let (recording, topic) = start(&path, RecordOptions::default(), 1 << 20);
    recording.finish().expect("it ends");
    assert!(!offer(&recording, topic, 1));
    assert_eq!((recording.left_out(), recording.recorded()), (1, 0));
    assert_eq!(recording.error(), None);
}

/// A panic of the thread is an error, also where the recording is dropped while another panic goes on.
#[test]
fn a_fault_on_the_thread_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let foreign = {
        let path = folder.path().join("other.mcap");
        let mut other = Recorder::create(path, RecordOptions::default()).expect("it is new");
        other.topic("/a", Text::DEFINITION).expect("a name");
        other.topic("/b", Text::DEFINITION).expect("a name")
    };
    let path = folder.path().join("run.mcap");
    let (recording, topic) = start(&path, RecordOptions::default(), 1 << 20);
    offer(&recording, foreign, 1);
    wait_for(|| recording.error().is_some());
    assert!(!offer(&recording, topic, 2));
    let error = recording.finish().expect_err("a fault").to_string();
    assert!(error.contains("run.mcap: not recorded any more"), "{error}");
    let path = folder.path().join("dropped.mcap");
    let (recording, _) = start(&path, RecordOptions::default(), 1 << 20);
    let caught = std::panic::catch_unwind(move || {
        offer(&recording, foreign, 1);
        panic!("another panic");
    });
    caught.expect_err("the other panic alone");
}
