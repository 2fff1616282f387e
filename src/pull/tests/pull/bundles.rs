//! From a checkpoint to a bundle: at once or not at all.

use std::fs;

use mdetr_pull::{Provenance, Registry, Request, pull};

use crate::fixture::{CONTENT, FILE, Fixture, NAME, SIZE, bytes, convert, md5};

#[test]
fn nothing_is_seen_before_it_is_whole() {
    let fixture = Fixture::new();
    let registry = Registry::load(Some(&fixture.own_registry())).unwrap();
    let models = fixture.models();
    let named = || {
        let entries = fs::read_dir(&models).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.filter(|name| mdetr::bundle::is_name(name)).count()
    };
    let request = fixture.request();
    pull(
        &registry,
        &fixture.home(),
        &request,
        &fixture.said,
        |material, out| {
            convert(material, out)?;
            assert_eq!(named(), 0);
            assert_eq!(material.name, NAME);
            assert!(material.answers.is_none());
            Ok(())
        },
    )
    .unwrap();
    assert_eq!(named(), 1);
    fixture.sound();
}

#[test]
fn a_bundle_says_where_it_comes_from() {
    let fixture = Fixture::new();
    let pulled = fixture.pull().unwrap();
    let provenance = Provenance::read(&pulled.dir).unwrap();
    assert!(provenance.checkpoint.ends_with(CONTENT), "{provenance:?}");
    assert_eq!(provenance.bytes, SIZE as u64);
    assert_eq!(
        provenance.checksum.to_string(),
        format!("md5:{}", md5(&bytes(1, SIZE)))
    );
    assert!(provenance.published);
    assert_eq!(provenance.licence, "cc-by-4.0");
    assert_eq!(Provenance::read(&crate::fixture::bundle()), None);
}

#[test]
fn a_conversion_that_fails_is_tried_again_without_a_download() {
    let fixture = Fixture::new();
    let registry = Registry::load(Some(&fixture.own_registry())).unwrap();
    let request = fixture.request();
    let failed = pull(
        &registry,
        &fixture.home(),
        &request,
        &fixture.said,
        |material, out| {
            convert(material, out)?;
            Err("three tensors are missing".into())
        },
    );
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("three tensors are missing"), "{error}");
    assert!(error.contains("The file is kept"), "{error}");
    fixture.no_model();
    assert_eq!(fixture.home().unfinished()[0].name, NAME);
    fixture.pull().unwrap();
    fixture.sound();
    assert_eq!(fixture.server.seen(CONTENT).len(), 1);
}

#[test]
fn what_was_kept_is_used_again_and_checked_again() {
    let fixture = Fixture::new();
    let keep = Request {
        keep: true,
        replace: true,
        ..fixture.request()
    };
    let kept = fixture.pull_as(&keep).unwrap().kept.unwrap();
    assert_eq!(kept, fixture.downloads().join(FILE));
    fixture.pull_as(&keep).unwrap();
    assert_eq!(fixture.server.seen(CONTENT).len(), 1);
    let mut damaged = fs::read(&kept).unwrap();
    damaged[SIZE / 2] ^= 1;
    fs::write(&kept, damaged).unwrap();
    fixture
        .pull_as(&Request {
            keep: false,
            ..keep
        })
        .unwrap();
    assert_eq!(fixture.server.begins(CONTENT), [None, None]);
    fixture.sound();
}

#[test]
fn a_model_is_replaced_only_by_a_whole_one() {
    let fixture = Fixture::new();
    fixture.pull().unwrap();
    let old = fixture.models().join(NAME).join("old");
    fs::write(&old, "").unwrap();
    let replace = Request {
        replace: true,
        ..fixture.request()
    };
    fixture.published.lock().unwrap().md5 = "0".repeat(32);
    fixture.pull_as(&replace).unwrap_err();
    assert!(old.exists());
    fixture.published.lock().unwrap().md5 = md5(&bytes(1, SIZE));
    fixture.pull_as(&replace).unwrap();
    assert!(!old.exists());
    fixture.sound();
}

#[test]
fn models_and_downloads_are_removed() {
    let fixture = Fixture::new();
    let home = fixture.home();
    let error = home.remove(NAME, &fixture.said).unwrap_err().to_string();
    assert!(error.contains("no such model"), "{error}");
    let keep = Request {
        keep: true,
        ..fixture.request()
    };
    fixture.pull_as(&keep).unwrap();
    assert!(home.remove(NAME, &fixture.said).unwrap());
    assert!(!fixture.downloads().exists());
    assert_eq!(home.unfinished(), []);
    fixture.no_model();
}

#[test]
fn what_those_left_who_were_killed_is_cleared_away() {
    let fixture = Fixture::new();
    for left in [".small.new/small", ".small.old"] {
        let left = fixture.models().join(left);
        fs::create_dir_all(&left).unwrap();
        fs::write(left.join("vision.onnx"), "half").unwrap();
    }
    fixture.pull().unwrap();
    fixture.sound();
}

/// What can be pulled can be found.
#[test]
fn names_are_those_of_bundles() {
    let registry = Registry::load(None).unwrap();
    assert!(
        registry
            .models()
            .keys()
            .all(|name| mdetr::bundle::is_name(name))
    );
    let fixture = Fixture::new();
    let own = fs::read_to_string(fixture.own_registry()).unwrap();
    for name in [
        "a",
        "A-1_b.c",
        "",
        ".a",
        "a b",
        "é",
        &"a".repeat(64),
        &"a".repeat(65),
    ] {
        let text = own.replace("[models.small]", &format!("[models.{name:?}]"));
        fs::write(fixture.own_registry(), text).unwrap();
        let taken = Registry::load(Some(&fixture.own_registry())).is_ok();
        assert_eq!(taken, mdetr::bundle::is_name(name), "{name:?}");
    }
}

#[test]
fn unknown_names_are_told_what_there_is() {
    let fixture = Fixture::new();
    for name in ["none", "../small", ""] {
        let request = Request {
            name: name.to_owned(),
            ..fixture.request()
        };
        let error = fixture.pull_as(&request).unwrap_err().to_string();
        assert!(error.contains("there are clevr, clevr-cogent, "), "{error}");
        assert!(error.contains("models.toml"), "{error}");
    }
}
