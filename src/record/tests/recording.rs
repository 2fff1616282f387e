//! Recording on a thread of its own.

use std::path::Path;
use std::time::{Duration, Instant};

use mdetr_record::{RecordOptions, Recorder, Recording, Topic, recover};
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::std_msgs::String as Text;
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
