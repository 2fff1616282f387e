//! Recordings: written, read again with mcap's reader, cut, killed.

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mcap::MessageStream;
use mdetr_record::{RecordError, RecordOptions, Recorder, recover};
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::std_msgs::{Header, String as Text};
use mdetr_ros2_messages::vision_msgs::Detection2DArray;
use mdetr_ros2_messages::{Message, from_cdr, to_cdr};
use proptest::prelude::*;
use tempfile::TempDir;

fn text(number: usize) -> Text {
    Text {
        data: format!("frame {number}"),
    }
}

fn at(nanos: i64) -> Time {
    Time::from_nanos(nanos)
}

/// Topic, times and bytes of every message of a file.
fn read(path: &Path) -> Vec<(String, u64, u64, Vec<u8>)> {
    let bytes = fs::read(path).expect("it is there");
    let messages = MessageStream::new(&bytes).expect("it is MCAP");
    let read = messages.map(|message| {
        let message = message.expect("it is whole");
        let topic = message.channel.topic.clone();
        (
            topic,
            message.log_time,
            message.publish_time,
            message.data.into_owned(),
        )
    });
    read.collect()
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// A recording of `count` texts, a chunk every `chunk_bytes`.
fn recorded(path: &Path, count: usize, chunk_bytes: usize) {
    let options = RecordOptions {
        chunk_bytes,
        flush_interval: Duration::from_secs(3600),
        ..RecordOptions::default()
    };
    let mut recorder = Recorder::create(path, options).expect("it is new");
    let topic = recorder.topic("/result", Text::DEFINITION).expect("a name");
    for number in 0..count {
        let time = at(number as i64);
        let written = recorder.write_message(topic, time, time, &text(number));
        written.expect("it is written");
    }
    recorder.finish().expect("it ends");
}

#[test]
fn messages_come_back_with_their_topics_times_and_bytes() {
    let folder = folder();
    let path = folder.path().join("run.mcap");
    let mut recorder = Recorder::create(&path, RecordOptions::default()).expect("it is new");
    let result = recorder
        .topic("/mdetr/result", Text::DEFINITION)
        .expect("a name");
    let boxes = recorder
        .topic("/boxes", Detection2DArray::DEFINITION)
        .expect("a name");
    assert_eq!(
        recorder.topic("/mdetr/result", Text::DEFINITION).ok(),
        Some(result)
    );
    let empty = Detection2DArray {
        header: Header {
            stamp: at(5),
            frame_id: "camera".to_owned(),
        },
        detections: Vec::new(),
    };
    recorder
        .write_message(result, at(20), at(10), &text(1))
        .expect("written");
    recorder
        .write_message(boxes, at(7), at(5), &empty)
        .expect("written");
    recorder
        .write(result, at(30), at(-1), &to_cdr(&text(2)))
        .expect("written");
    recorder.finish().expect("it ends");

    let expected = [
        ("/mdetr/result".to_owned(), 20, 10, to_cdr(&text(1))),
        ("/boxes".to_owned(), 7, 5, to_cdr(&empty)),
        ("/mdetr/result".to_owned(), 30, 0, to_cdr(&text(2))),
    ];
    assert_eq!(read(&path), expected);
    let bytes = fs::read(&path).expect("it is there");
    let summary = mcap::Summary::read(&bytes)
        .expect("it has an index")
        .expect("one");
    let stats = summary.stats.expect("they are written");
    assert_eq!((stats.message_count, stats.channel_count), (3, 2));
    let channels = summary.channels.values();
    let types: HashMap<&str, &str> = channels
        .map(|channel| {
            let schema = channel.schema.as_ref().expect("a schema");
            assert_eq!(
                (schema.encoding.as_str(), channel.message_encoding.as_str()),
                ("ros2msg", "cdr")
            );
            (channel.topic.as_str(), schema.name.as_str())
        })
        .collect();
    assert_eq!(types["/boxes"], "vision_msgs/msg/Detection2DArray");
}

#[test]
fn what_cannot_be_recorded_is_refused_by_name() {
    let folder = folder();
    let path = folder.path().join("run.mcap");
    let mut recorder = Recorder::create(&path, RecordOptions::default()).expect("it is new");
    let again = Recorder::create(&path, RecordOptions::default())
        .err()
        .expect("it exists");
    assert!(
        matches!(again, RecordError::Exists { .. }) && again.to_string().contains("run.mcap"),
        "{again}"
    );
    let nowhere = Recorder::create(folder.path().join("no/run.mcap"), RecordOptions::default());
    let nowhere = nowhere.err().expect("there is no such directory");
    assert!(matches!(nowhere, RecordError::Open { .. }));
    assert!(nowhere.to_string().contains("make it first"), "{nowhere}");
    let long = format!("/{}", "a".repeat(255));
    for name in [
        "", "/", "result", "/a//b", "/a/", "/1a", "/a b", "/ä", &long,
    ] {
        let error = recorder.topic(name, Text::DEFINITION).expect_err(name);
        assert!(matches!(error, RecordError::TopicName { .. }), "{error}");
    }
    let topic = recorder.topic("/a/b_1", Text::DEFINITION).expect("a name");
    let error = recorder
        .topic("/a/b_1", Header::DEFINITION)
        .expect_err("two types");
    let text = error.to_string();
    assert!(
        text.contains("/a/b_1") && text.contains("std_msgs/msg/String") && text.contains("Header"),
        "{text}"
    );
    let other = recorder.write_message(topic, at(0), at(0), &Header::default());
    assert!(matches!(other, Err(RecordError::TopicType { .. })));
    for bytes in [&[][..], &[0, 1, 0], &[0, 7, 0, 0], &[1, 0, 0, 0, 0]] {
        let error = recorder
            .write(topic, at(0), at(0), bytes)
            .expect_err("no CDR");
        assert!(
            error
                .to_string()
                .contains(&format!("{} bytes", bytes.len())),
            "{error}"
        );
    }
    // None of these spoilt the recording.
    recorder
        .write_message(topic, at(0), at(0), &Text::default())
        .expect("written");
    recorder.finish().expect("it ends");
    assert_eq!(read(&path).len(), 1);
}

#[test]
fn a_large_recording_goes_on_in_the_next_file() {
    let folder = folder();
    let path = folder.path().join("run.mcap");
    let options = RecordOptions {
        max_bytes: 1000,
        ..RecordOptions::default()
    };
    let mut recorder = Recorder::create(&path, options).expect("it is new");
    let topic = recorder.topic("/result", Text::DEFINITION).expect("a name");
    for number in 0..120 {
        let written = recorder.write_message(topic, at(0), at(0), &text(number));
        written.expect("written");
    }
    assert_eq!(recorder.path(), folder.path().join("run_2.mcap"));
    recorder.finish().expect("it ends");
    let files = ["run.mcap", "run_1.mcap", "run_2.mcap"];
    let all = files
        .into_iter()
        .flat_map(|name| read(&folder.path().join(name)));
    let all: Vec<Text> = all
        .map(|message| from_cdr(&message.3).expect("CDR"))
        .collect();
    let expected: Vec<Text> = (0..120).map(text).collect();
    assert_eq!(all, expected);
    assert_eq!(fs::read_dir(folder.path()).expect("it is there").count(), 3);
}

#[test]
fn a_next_file_that_exists_is_not_overwritten() {
    let folder = folder();
    fs::write(folder.path().join("run_1.mcap"), "mine").expect("written");
    let options = RecordOptions {
        max_bytes: 1,
        ..RecordOptions::default()
    };
    let mut recorder = Recorder::create(folder.path().join("run.mcap"), options).expect("new");
    let topic = recorder.topic("/result", Text::DEFINITION).expect("a name");
    recorder
        .write_message(topic, at(0), at(0), &text(0))
        .expect("written");
    let error = recorder
        .write_message(topic, at(0), at(0), &text(1))
        .expect_err("it exists");
    assert!(error.to_string().contains("run_1.mcap"), "{error}");
    recorder.finish().expect("the first file is whole");
    assert_eq!(read(&folder.path().join("run.mcap")).len(), 1);
    let kept = fs::read(folder.path().join("run_1.mcap")).expect("it is there");
    assert_eq!(kept, b"mine");
}

#[test]
fn a_recording_is_read_as_far_as_it_was_written_wherever_it_is_cut() {
    let folder = folder();
    let path = folder.path().join("run.mcap");
    recorded(&path, 40, 100);
    let whole = fs::read(&path).expect("it is there");
    let (cut, out) = (
        folder.path().join("cut.mcap"),
        folder.path().join("out.mcap"),
    );
    let mut seen = 0;
    for end in (0..=whole.len()).step_by(7).chain([whole.len()]) {
        fs::write(&cut, &whole[..end]).expect("written");
        let _ = fs::remove_file(&out);
        let Ok(found) = recover(&cut, &out) else {
            assert!(end < 60, "{end} bytes have a header");
            continue;
        };
        let messages = read(&out);
        assert_eq!(messages.len() as u64, found.messages);
        for (number, message) in messages.iter().enumerate() {
            assert_eq!(message.3, to_cdr(&text(number)));
        }
        assert!(messages.len() >= seen, "more bytes, fewer messages");
        seen = messages.len();
        assert_eq!(
            found.damage.is_none(),
            end == whole.len(),
            "{end}: {found:?}"
        );
    }
    assert_eq!(seen, 40);
}

#[test]
fn a_record_that_claims_more_than_the_file_has_is_not_believed() {
    let folder = folder();
    let (from, to) = (folder.path().join("a.mcap"), folder.path().join("b.mcap"));
    recorded(&from, 1, 100);
    let whole = fs::read(&from).expect("it is there");
    // The magic, and a header: a byte, its length in eight more, and its contents.
    let (length, _) = whole[9..].split_first_chunk().expect("it has a header");
    let header = 17 + u64::from_le_bytes(*length) as usize;
    // Of a message and of a chunk.
    for kind in [5, 6] {
        let claim = (1u64 << 29).to_le_bytes();
        let bytes = [&whole[..header], &[kind], &claim, &[0; 100]].concat();
        fs::write(&from, bytes).expect("written");
        let _ = fs::remove_file(&to);
        let found = recover(&from, &to).expect("it has a header");
        let damage = found.damage.expect("it is damaged");
        assert_eq!(found.messages, 0);
        assert!(damage.contains("exceeds"), "{kind}: {damage}");
    }
}

#[test]
fn a_record_that_claims_more_than_its_chunk_has_is_not_believed() {
    let folder = folder();
    let (from, to) = (folder.path().join("a.mcap"), folder.path().join("b.mcap"));
    recorded(&from, 1, 100);
    let whole = fs::read(&from).expect("it is there");
    let (length, _) = whole[9..].split_first_chunk().expect("it has a header");
    let header = 17 + u64::from_le_bytes(*length) as usize;
    for claim in [11, 1000, u64::MAX] {
        let records = [&[5][..], &claim.to_le_bytes(), &[0; 10]].concat();
        // Times, the size, no checksum, no compression, and the size again.
        let size = (records.len() as u64).to_le_bytes();
        let chunk = [&[0; 16][..], &size, &[0; 8], &size, &records].concat();
        let length = (chunk.len() as u64).to_le_bytes();
        let bytes = [&whole[..header], &[6], &length, &chunk, &whole[header..]].concat();
        fs::write(&from, bytes).expect("written");
        let _ = fs::remove_file(&to);
        let found = recover(&from, &to).expect("it has a header");
        let damage = found.damage.expect("it is damaged");
        assert!(
            damage.contains("in the middle of a record"),
            "{claim}: {damage}"
        );
        assert_eq!(found.messages, 0);
    }
}

#[test]
fn what_is_no_recording_is_refused() {
    let folder = folder();
    let (from, to) = (folder.path().join("a.mcap"), folder.path().join("b.mcap"));
    fs::write(&from, b"RIFF, not MCAP, and longer than a header").expect("written");
    let error = recover(&from, &to).expect_err("no recording");
    assert!(
        error.to_string().contains("a.mcap: expected an MCAP file"),
        "{error}"
    );
    assert!(!to.exists());
    let missing = recover(folder.path().join("none"), &to).expect_err("it is not there");
    assert!(matches!(missing, RecordError::Open { .. }), "{missing}");
    fs::remove_file(&from).expect("removed");
    recorded(&from, 1, 100);
    fs::write(&to, "mine").expect("written");
    let exists = recover(&from, &to).expect_err("it exists");
    assert!(matches!(exists, RecordError::Exists { .. }), "{exists}");
}

/// The example, which cargo builds with the tests.
fn example() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let build = test
        .parent()
        .and_then(Path::parent)
        .expect("deps are in it");
    build.join("examples/numbered")
}

#[test]
fn a_killed_program_loses_nothing_that_it_had_written() {
    let folder = folder();
    let path = folder.path().join("run.mcap");
    let mut child = Command::new(example())
        .arg(&path)
        .arg("0")
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let counts = lines.map(|line| line.expect("a line").parse::<u64>().expect("a number"));
    let written = counts.take(200).last().expect("it writes");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let out = folder.path().join("out.mcap");
    let found = recover(&path, &out).expect("it is a recording");
    assert!(found.damage.is_some(), "it was not finished");
    assert!(
        found.messages >= 3 * written,
        "{found:?}, {written} were written"
    );
    let texts = read(&out)
        .into_iter()
        .filter(|message| message.0 == "/mdetr/result");
    for (number, message) in texts.enumerate() {
        assert_eq!(message.3, to_cdr(&text(number)));
    }
}

#[test]
fn a_disk_that_is_full_is_an_error_and_leaves_what_was_written() {
    let folder = folder();
    let path = folder.path().join("run.mcap");
    // Files of at most 64 KiB, and no signal at their end.
    let script = format!(
        "trap '' XFSZ; ulimit -f 64; exec {} {} 100000 8192",
        example().display(),
        path.display()
    );
    let output = Command::new("bash")
        .args(["-c", &script])
        .output()
        .expect("it starts");
    assert!(!output.status.success());
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(
        error.contains("run.mcap") && error.contains("FileTooLarge"),
        "{error}"
    );
    let found = recover(&path, folder.path().join("out.mcap")).expect("it is a recording");
    assert!(found.messages > 30, "{found:?}");
}

proptest! {
    #[test]
    fn no_damage_makes_reading_panic(
        place in any::<prop::sample::Index>(),
        bytes in prop::collection::vec(any::<u8>(), 1..16),
    ) {
        let folder = folder();
        let path = folder.path().join("run.mcap");
        recorded(&path, 20, 100);
        let mut whole = fs::read(&path).expect("it is there");
        let start = place.index(whole.len());
        for (byte, new) in whole[start..].iter_mut().zip(bytes) {
            *byte = new;
        }
        fs::write(&path, &whole).expect("written");
        let out = folder.path().join("out.mcap");
        if let Ok(found) = recover(&path, &out) {
            prop_assert!(found.messages <= 20);
            prop_assert_eq!(read(&out).len() as u64, found.messages);
        }
    }
}
