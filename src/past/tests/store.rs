//! What is written is read again, whatever happens to the program and the disk.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use mdetr_past::{Key, Past, PastError, Selection, Writer, WriterOptions};
use proptest::prelude::*;

const SECOND: i64 = 1_000_000_000;

fn tokens(number: i64) -> Vec<u8> {
    let length = 50 + number as usize % 90;
    (0..length)
        .map(|at| (at as i64 * 31 + number) as u8)
        .collect()
}

fn options() -> WriterOptions {
    WriterOptions::default()
}

fn open(dir: &Path) -> Past {
    Past::open(dir, None, &Selection::default()).unwrap()
}

/// Ten frames of two cameras, a second apart, with a picture beside each third.
fn write(dir: &Path, options: WriterOptions) {
    let mut writer = Writer::open(dir, options).unwrap();
    for number in 0..10 {
        let camera = ["yard", "gate"][number as usize % 2];
        let picture = (number % 3 == 0).then_some(&b"a picture"[..]);
        writer
            .frame(camera, number * SECOND, &tokens(number), picture)
            .unwrap();
    }
}

/// The frames' times, after their tokens and pictures were found to be right.
fn check(past: &Past) -> Vec<i64> {
    let mut times: Vec<i64> = past
        .frames()
        .iter()
        .map(|frame| {
            let number = frame.time() / SECOND;
            assert_eq!(past.tokens(frame).unwrap(), tokens(number));
            let picture = past.picture(frame).unwrap();
            assert_eq!(picture.is_some(), number % 3 == 0);
            assert_eq!(picture.is_some(), frame.has_picture());
            assert_eq!(
                past.cameras()[frame.camera()],
                ["yard", "gate"][number as usize % 2]
            );
            number
        })
        .collect();
    times.sort_unstable();
    times
}

fn files(dir: &Path, suffix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = entries
        .filter(|path| path.extension().is_some_and(|found| found == suffix))
        .collect();
    files.sort();
    files
}

#[test]
fn frames_come_back_by_camera_and_time() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("new/past");
    write(&dir, options());
    let past = open(&dir);
    assert_eq!(check(&past), (0..10).collect::<Vec<_>>());
    assert_eq!(past.problems(), [""; 0]);
    let wanted = Selection {
        from: Some(3 * SECOND),
        to: Some(8 * SECOND),
        cameras: vec!["gate".to_owned()],
    };
    let past = Past::open(&dir, None, &wanted).unwrap();
    assert_eq!(check(&past), [3, 5, 7]);
    assert_eq!(past.cameras(), ["gate"]);
    let nothing = Selection {
        cameras: vec!["roof".to_owned()],
        ..Selection::default()
    };
    assert!(
        Past::open(&dir, None, &nothing)
            .unwrap()
            .frames()
            .is_empty()
    );
}

#[test]
fn a_reader_sees_what_is_written_so_far() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), options()).unwrap();
    for number in 0..6 {
        let camera = ["yard", "gate"][number as usize % 2];
        let picture = (number % 3 == 0).then_some(&b"a picture"[..]);
        writer
            .frame(camera, number * SECOND, &tokens(number), picture)
            .unwrap();
        assert_eq!(check(&open(dir.path())).len(), number as usize + 1);
    }
    let on_disk = |suffix| {
        files(dir.path(), suffix)
            .iter()
            .map(|f| fs::metadata(f).unwrap().len())
            .sum::<u64>()
    };
    assert_eq!(writer.bytes(), on_disk("seg") + on_disk("idx"));
}

#[test]
fn a_second_writer_is_refused_until_the_first_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let first = Writer::open(dir.path(), options()).unwrap();
    let second = Writer::open(dir.path(), options());
    assert!(matches!(second, Err(PastError::Busy { .. })), "{second:?}");
    drop(first);
    Writer::open(dir.path(), options()).unwrap();
}

/// Cut at every byte, with the index, without it and with one that is damaged.
#[test]
fn a_cut_tail_costs_the_frames_in_it_alone_and_is_said() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), options());
    let segment = files(dir.path(), "seg").remove(0);
    let index = files(dir.path(), "idx").remove(0);
    let (whole, whole_index) = (fs::read(&segment).unwrap(), fs::read(&index).unwrap());
    let mut damaged_index = whole_index.clone();
    let middle = damaged_index.len() / 2;
    damaged_index[middle] ^= 1;
    for index_bytes in [Some(&whole_index), None, Some(&damaged_index)] {
        match index_bytes {
            Some(bytes) => fs::write(&index, bytes).unwrap(),
            None => fs::remove_file(&index).unwrap(),
        }
        let mut most = 0;
        for length in (72..whole.len()).step_by(5).chain([whole.len()]) {
            fs::write(&segment, &whole[..length]).unwrap();
            let past = open(dir.path());
            let found = check(&past);
            assert_eq!(found, (0..found.len() as i64).collect::<Vec<_>>());
            assert!(found.len() >= most && found.len() <= most + 1);
            most = found.len();
            let said = past
                .problems()
                .iter()
                .any(|p| p.contains("no whole record"));
            assert!(said || past.problems().is_empty());
        }
        assert_eq!(most, 10);
    }
    // What is written later is read, and what was cut is counted.
    fs::write(&segment, &whole[..whole.len() - 3]).unwrap();
    let writer = Writer::open(dir.path(), options()).unwrap();
    assert!(writer.cut() > 0);
    drop(writer);
    write(dir.path(), options());
    assert_eq!(check(&open(dir.path())).len(), 19);
}

#[test]
fn a_damaged_record_is_named_and_the_others_are_read() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), options());
    let segment = files(dir.path(), "seg").remove(0);
    let mut bytes = fs::read(&segment).unwrap();
    let tokens = tokens(4);
    let at = bytes.windows(tokens.len()).position(|part| part == tokens);
    bytes[at.unwrap() + 7] ^= 1;
    fs::write(&segment, bytes).unwrap();
    let past = open(dir.path());
    let results = past.frames().iter().map(|frame| past.tokens(frame));
    let errors: Vec<_> = results.filter_map(Result::err).collect();
    assert_eq!((past.frames().len(), errors.len()), (10, 1));
    let error = errors[0].to_string();
    assert!(error.contains(".seg: the record at byte"), "{error}");
}

#[test]
fn other_files_stay_and_a_segment_that_is_none_is_said() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), options());
    fs::write(dir.path().join("notes.txt"), "mine").unwrap();
    fs::write(dir.path().join("000000000099.seg"), "MDETRPST").unwrap();
    fs::write(dir.path().join("000000000098.seg"), vec![7; 500]).unwrap();
    let past = open(dir.path());
    assert_eq!(check(&past).len(), 10);
    assert_eq!(past.problems().len(), 2, "{:?}", past.problems());
    drop(Writer::open(dir.path(), options()).unwrap());
    assert!(dir.path().join("notes.txt").exists());
}

#[test]
fn what_is_encrypted_is_read_with_its_key_alone() {
    let dir = tempfile::tempdir().unwrap();
    let key = Key::new(&[5; 32]);
    let encrypted = WriterOptions {
        key: Some(key.clone()),
        ..options()
    };
    write(dir.path(), encrypted);
    let bytes = fs::read(files(dir.path(), "seg").remove(0)).unwrap();
    for plain in [&tokens(4)[..], b"a picture", b"yard"] {
        assert!(!bytes.windows(plain.len()).any(|part| part == plain));
    }
    let all = Selection::default();
    assert_eq!(
        check(&Past::open(dir.path(), Some(key.clone()), &all).unwrap()).len(),
        10
    );
    let none = Past::open(dir.path(), None, &all).unwrap_err();
    assert!(matches!(none, PastError::KeyNeeded { .. }), "{none}");
    let other = Past::open(dir.path(), Some(Key::new(&[6; 32])), &all).unwrap_err();
    assert!(matches!(other, PastError::WrongKey { .. }), "{other}");
    // With a key, what was written before without one is read as well.
    write(dir.path(), options());
    assert_eq!(
        check(&Past::open(dir.path(), Some(key), &all).unwrap()).len(),
        20
    );
    let past = open(dir.path());
    assert_eq!(check(&past).len(), 10);
    assert!(past.problems()[0].contains("encrypted: give the file with the key"));
}

#[test]
fn a_still_scene_costs_little_and_is_known_to_last() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), options()).unwrap();
    assert!(!writer.still("yard", 0).unwrap(), "there is no frame yet");
    writer.frame("yard", 0, &tokens(0), None).unwrap();
    let before = writer.bytes();
    for second in 1..=1800 {
        assert!(writer.still("yard", second * SECOND).unwrap());
    }
    let bytes = writer.bytes() - before;
    assert!(bytes <= 31 * 2 * 48, "{bytes} bytes for half an hour");
    writer
        .frame("yard", 2000 * SECOND, &tokens(1), None)
        .unwrap();
    assert!(
        !writer.still("yard", 3600 * SECOND).unwrap(),
        "the segment is to be ended"
    );
    writer
        .frame("yard", 3600 * SECOND, &tokens(2), None)
        .unwrap();
    assert!(writer.still("yard", 3607 * SECOND).unwrap());
    writer.flush().unwrap();
    let past = open(dir.path());
    let spans: Vec<_> = past
        .frames()
        .iter()
        .map(|f| (f.time() / SECOND, f.until() / SECOND))
        .collect();
    assert_eq!(spans, [(0, 1800), (2000, 2000), (3600, 3607)]);
    assert_eq!(files(dir.path(), "seg").len(), 2);
    // A time in which it was still selects the frame.
    let wanted = Selection {
        from: Some(900 * SECOND),
        to: Some(901 * SECOND),
        ..Selection::default()
    };
    assert_eq!(
        Past::open(dir.path(), None, &wanted)
            .unwrap()
            .frames()
            .len(),
        1
    );
}

#[test]
fn the_oldest_segments_go_when_they_are_too_many_or_too_old() {
    let dir = tempfile::tempdir().unwrap();
    let small = WriterOptions {
        segment_bytes: 300,
        keep_bytes: Some(2000),
        ..options()
    };
    let mut writer = Writer::open(dir.path(), small.clone()).unwrap();
    for number in 0..60 {
        writer
            .frame("yard", number * SECOND, &tokens(number), None)
            .unwrap();
        assert!(writer.bytes() <= 2000 + 2 * 600, "{}", writer.bytes());
    }
    drop(writer);
    let past = open(dir.path());
    let first = past.frames()[0].time() / SECOND;
    assert!(first > 30, "{first}");
    assert_eq!(past.frames().len() as i64, 60 - first);
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    let now = now.as_nanos() as i64;
    let day = WriterOptions {
        keep: Some(Duration::from_secs(86_400)),
        ..options()
    };
    let mut writer = Writer::open(dir.path(), day.clone()).unwrap();
    writer
        .frame("yard", now - 3600 * SECOND, &tokens(1), None)
        .unwrap();
    drop(writer);
    drop(Writer::open(dir.path(), day).unwrap());
    let past = open(dir.path());
    assert_eq!(past.frames().len(), 1, "those of 1970 are gone");
    assert_eq!(
        files(dir.path(), "seg").len(),
        files(dir.path(), "idx").len()
    );
}

#[test]
fn frames_that_cannot_be_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = Writer::open(dir.path(), options()).unwrap();
    for name in ["", "two\nlines", &"x".repeat(257)] {
        let error = writer
            .frame(name, 0, b"tokens", None)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains("name of a camera: expected 1 to 256 bytes"),
            "{error}"
        );
    }
    assert!(writer.frame("yard", 0, b"", None).is_err());
    assert!(open(dir.path()).frames().is_empty());
    let file = dir.path().join("file");
    fs::write(&file, "").unwrap();
    let error = Writer::open(&file, options()).unwrap_err().to_string();
    assert!(error.contains("file"), "{error}");
}

#[test]
fn only_their_owner_reads_what_was_kept() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().unwrap();
    let past = dir.path().join("past");
    write(&past, options());
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o077;
    assert_eq!(mode(&past), 0);
    for file in [files(&past, "seg"), files(&past, "idx")].concat() {
        assert_eq!(mode(&file), 0, "{}", file.display());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_history_is_read_as_it_was_written(
        steps in prop::collection::vec((0u8..4, 0usize..3, 0i64..5), 1..60),
        encrypted in any::<bool>(),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let key = encrypted.then(|| Key::new(&[9; 32]));
        let small = WriterOptions {
            key: key.clone(),
            segment_bytes: 700,
            ..options()
        };
        let mut writer = Some(Writer::open(dir.path(), small.clone()).unwrap());
        let mut expected: Vec<(usize, i64, i64)> = Vec::new();
        let mut now = 0;
        for (step, camera, passed) in steps {
            now += passed * SECOND;
            let name = ["a", "b", "c"][camera];
            let open = writer.as_mut().unwrap();
            match step {
                0 => {
                    writer = None;
                    writer.replace(Writer::open(dir.path(), small.clone()).unwrap());
                }
                1 => {
                    let known = open.still(name, now).unwrap();
                    let last = expected.iter_mut().rfind(|(of, ..)| *of == camera);
                    prop_assert!(!known || last.is_some());
                    if let (true, Some(last)) = (known, last) {
                        last.2 = now;
                    }
                }
                _ => {
                    open.frame(name, now, &tokens(now / SECOND), None).unwrap();
                    expected.push((camera, now, now));
                }
            }
        }
        drop(writer);
        let past = Past::open(dir.path(), key, &Selection::default()).unwrap();
        prop_assert_eq!(past.problems(), [""; 0]);
        let mut found = Vec::new();
        for frame in past.frames() {
            prop_assert_eq!(past.tokens(frame).unwrap(), tokens(frame.time() / SECOND));
            let camera = ["a", "b", "c"].iter().position(|name| *name == past.cameras()[frame.camera()]);
            found.push((camera.unwrap(), frame.time(), frame.until()));
        }
        found.sort_unstable();
        expected.sort_unstable();
        prop_assert_eq!(found, expected);
    }
}
