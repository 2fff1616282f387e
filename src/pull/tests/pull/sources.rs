//! Mirrors, and machines without a network.

use std::fs;
use std::path::PathBuf;

use mdetr_pull::{Provenance, Request};

use crate::fixture::{
    CONTENT, FILE, Fixture, NAME, RECORD, SIZE, TOKENIZER, bytes, md5, tokenizer,
};
use crate::server::Fault;

/// A fixture with a directory that has checkpoint and tokenizer.
fn with_directory() -> (Fixture, PathBuf) {
    let fixture = Fixture::new();
    let dir = fixture.dir.path().join("stick");
    fs::create_dir_all(dir.join("own")).unwrap();
    fs::write(dir.join(FILE), bytes(1, SIZE)).unwrap();
    fs::write(dir.join("own/tokenizer.json"), tokenizer(50265)).unwrap();
    (fixture, dir)
}

/// A fixture whose server is a mirror too, with these files.
fn with_mirror(files: &[(&str, Vec<u8>)]) -> (Fixture, String) {
    let fixture = Fixture::new();
    let mirror = format!("{}/mirror", fixture.base);
    let mut published = fixture.published.lock().unwrap();
    for (name, body) in files {
        published
            .others
            .insert(format!("/mirror/{name}"), body.clone());
    }
    drop(published);
    (fixture, mirror)
}

#[test]
fn a_directory_or_file_needs_no_network() {
    for whole in [true, false] {
        let (fixture, dir) = with_directory();
        let source = if whole { dir.clone() } else { dir.join(FILE) };
        let pulled = fixture
            .pull_as(&fixture.from(source.to_str().unwrap()))
            .unwrap();
        fixture.sound();
        assert!(fixture.server.seen("").is_empty());
        assert!(fixture.said("not checked"));
        let provenance = Provenance::read(&pulled.dir).unwrap();
        assert_eq!(provenance.checkpoint, dir.join(FILE).to_str().unwrap());
        assert!(!provenance.published);
        assert!(provenance.checksum.to_string().starts_with("sha256:"));
        // It is the user's.
        assert!(dir.join(FILE).exists());
    }
}

#[test]
fn a_directory_without_the_file_is_told() {
    let (fixture, dir) = with_directory();
    fs::remove_file(dir.join(FILE)).unwrap();
    let error = fixture.refused(&fixture.from(dir.to_str().unwrap()));
    assert!(
        error.contains(&format!("expected the file {FILE} in it")),
        "{error}"
    );
}

#[test]
fn a_checksum_that_lies_beside_is_checked() {
    let (fixture, dir) = with_directory();
    let from = fixture.from(dir.to_str().unwrap());
    let beside = dir.join(format!("{FILE}.md5"));
    fs::write(&beside, format!("{}  {FILE}\n", "0".repeat(32))).unwrap();
    let error = fixture.refused(&from);
    assert!(
        error.contains("is damaged or of another version"),
        "{error}"
    );
    assert!(dir.join(FILE).exists());
    fs::write(&beside, "none").unwrap();
    let error = fixture.refused(&from);
    assert!(error.contains("expected what md5sum writes"), "{error}");
    fs::write(&beside, format!("{}  {FILE}\n", md5(&bytes(1, SIZE)))).unwrap();
    let pulled = fixture.pull_as(&from).unwrap();
    assert!(Provenance::read(&pulled.dir).unwrap().published);
    assert!(!fixture.said("not checked"));
}

#[test]
fn a_mirror_has_the_publishers_names() {
    let sum = format!("{} *{FILE}\n", md5(&bytes(1, SIZE))).into_bytes();
    let (fixture, mirror) = with_mirror(&[
        (FILE, bytes(1, SIZE)),
        (&format!("{FILE}.md5"), sum),
        ("own/tokenizer.json", tokenizer(50265)),
    ]);
    fixture
        .server
        .faults(&format!("/mirror/{FILE}"), [Fault::Cut(100_000)]);
    let pulled = fixture.pull_as(&fixture.from(&mirror)).unwrap();
    fixture.sound();
    assert!(Provenance::read(&pulled.dir).unwrap().published);
    // Without a version the server does not promise that its bytes are the same, but the checksum does.
    assert_eq!(
        fixture.server.begins(&format!("/mirror/{FILE}")),
        [None, Some(100_000)]
    );
    for publishers in [RECORD, CONTENT, TOKENIZER] {
        assert!(fixture.server.seen(publishers).is_empty(), "{publishers}");
    }
}

#[test]
fn a_mirror_without_checksum_and_tokenizer_does_too() {
    let (fixture, mirror) = with_mirror(&[(FILE, bytes(1, SIZE))]);
    // Nothing says that the rest would be of the same file.
    fixture
        .server
        .faults(&format!("/mirror/{FILE}"), [Fault::Cut(100_000)]);
    let pulled = fixture.pull_as(&fixture.from(&mirror)).unwrap();
    fixture.sound();
    assert!(!Provenance::read(&pulled.dir).unwrap().published);
    assert!(fixture.said("not checked"));
    assert_eq!(fixture.server.seen(TOKENIZER).len(), 1);
}

#[test]
fn an_address_is_a_file_by_its_end() {
    let (fixture, mirror) = with_mirror(&[("other.pth", bytes(1, SIZE))]);
    let address = format!("{mirror}/other.pth?token=secret");
    let pulled = fixture.pull_as(&fixture.from(&address)).unwrap();
    fixture.sound();
    assert_eq!(
        fixture.server.seen("/mirror/other.pth?token=secret").len(),
        1
    );
    let provenance = fs::read_to_string(pulled.dir.join("source.toml")).unwrap();
    assert!(provenance.contains("/mirror/other.pth\""), "{provenance}");
    assert!(!provenance.contains("secret"), "{provenance}");
}

#[test]
fn a_mirror_without_the_file_is_told_without_its_password() {
    let (fixture, mirror) = with_mirror(&[]);
    let mirror = mirror.replace("http://", "http://me:secret@");
    let error = fixture.refused(&fixture.from(&mirror));
    assert!(error.contains("may have moved"), "{error}");
    assert!(
        !error.contains("secret") && !error.contains("me:"),
        "{error}"
    );
}

#[test]
fn a_beginning_is_gone_on_with_from_a_mirror() {
    let sum = format!("{} *{FILE}\n", md5(&bytes(1, SIZE))).into_bytes();
    let files = [(FILE, bytes(1, SIZE)), ("small+_checkpoint.pth.md5", sum)];
    let (mut fixture, mirror) = with_mirror(&files);
    fixture.limits.attempts = 1;
    // The size is known of the publisher, and not of the mirror before it answers.
    let cuts = [Fault::Cut(100_000), Fault::Cut(50_000)];
    fixture.server.faults(&format!("/mirror/{FILE}"), cuts);
    fixture.refused(&fixture.from(&mirror));
    fixture.refused(&fixture.from(&mirror));
    let begins = [None, Some(100_000)];
    assert_eq!(fixture.server.begins(&format!("/mirror/{FILE}")), begins);
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.begins(CONTENT), [Some(150_000)]);
}

#[test]
fn a_tokenizer_can_be_given() {
    let fixture = Fixture::new();
    let path = fixture.dir.path().join("mine.json");
    fs::write(&path, tokenizer(50265)).unwrap();
    let given = |path: PathBuf| Request {
        tokenizer: Some(path),
        ..fixture.request()
    };
    let error = fixture.refused(&given("/no/such.json".into()));
    assert!(error.contains("/no/such.json"), "{error}");
    fixture.pull_as(&given(path)).unwrap();
    fixture.sound();
    assert!(fixture.server.seen(TOKENIZER).is_empty());
}

#[test]
fn words_of_answers_are_taken_where_they_are() {
    let (fixture, dir) = with_directory();
    let text = fs::read_to_string(fixture.own_registry()).unwrap();
    let answers = "answers = { file = \"words.json\", page = \"https://example.org/words\" }\n";
    fs::write(fixture.own_registry(), format!("{text}{answers}")).unwrap();
    let from = Request {
        replace: true,
        ..fixture.from(dir.to_str().unwrap())
    };
    let seen = |request: &Request| {
        let registry = mdetr_pull::Registry::load(Some(&fixture.own_registry())).unwrap();
        let mut seen = None;
        let pulled = mdetr_pull::pull(
            &registry,
            &fixture.home(),
            request,
            &fixture.said,
            |material, out| {
                seen = material.answers.map(PathBuf::from);
                crate::fixture::convert(material, out)
            },
        );
        pulled.map(|_| seen).map_err(|error| error.to_string())
    };
    assert_eq!(seen(&from).unwrap(), None);
    assert!(fixture.said("answers will be numbers"));
    assert!(fixture.said("https://example.org/words"));
    let words = dir.join("words.json");
    fs::write(&words, "{}").unwrap();
    assert_eq!(seen(&from).unwrap(), Some(words.clone()));
    let given = |file: &str| Request {
        answers: Some(file.into()),
        ..from.clone()
    };
    assert_eq!(seen(&given(words.to_str().unwrap())).unwrap(), Some(words));
    let error = seen(&given("/no/such.json")).unwrap_err();
    assert!(error.contains("/no/such.json"), "{error}");
    assert!(fixture.models().join(NAME).exists());
}
