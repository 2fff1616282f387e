//! `mdetr pull` and `mdetr models`, against a publisher on loopback.

// Other tests use the rest.
mod checkpoint;
#[allow(dead_code)]
mod common;
#[path = "../../pull/tests/pull/server.rs"]
#[allow(dead_code)]
mod server;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{code, errors, refused, root, succeeded};
use server::{Fault, Served, Server};
use tempfile::TempDir;

const CHECKPOINT: &str = "pretrained_EB3_checkpoint.pth";
const SIZE: usize = 200_000;

/// A user whose `eb3` is at a publisher on loopback.
struct User {
    dir: TempDir,
    server: Server,
    base: String,
}

impl User {
    /// With this checkpoint at the publisher.
    fn of(name: &str, checkpoint: Vec<u8>) -> User {
        let files = BTreeMap::from([
            (format!("/{name}"), Arc::new(checkpoint)),
            (
                "/roberta-base/tokenizer.json".to_owned(),
                Arc::new(checkpoint::tokenizer()),
            ),
        ]);
        let serve = move |path: &str| {
            let body = files.get(path)?.clone();
            let etag = Some("\"first\"".to_owned());
            Some(Served { body, etag })
        };
        let server = Server::start(Arc::new(serve), None);
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir_all(dir.path().join("config/mdetr")).unwrap();
        let base = format!("http://{}", server.address);
        User { dir, server, base }
    }

    /// With a file at the publisher that is no checkpoint.
    fn new() -> User {
        User::of(CHECKPOINT, vec![7; SIZE])
    }

    fn command(&self, line: &str) -> Command {
        let mut command = common::command(self.dir.path());
        command.args(line.split(' '));
        self.prepare(command)
    }

    /// The command, started by another.
    fn under(&self, starter: &[&str], line: &str) -> Command {
        let mut command = Command::new(starter[0]);
        command
            .args(&starter[1..])
            .arg(env!("CARGO_BIN_EXE_mdetr"))
            .args(line.split(' '))
            .current_dir(self.dir.path());
        self.prepare(command)
    }

    fn prepare(&self, mut command: Command) -> Command {
        command
            .env("XDG_DATA_HOME", self.dir.path().join("data"))
            .env("XDG_CONFIG_HOME", self.dir.path().join("config"))
            .env("MDETR_MIRROR", &self.base)
            .env_remove("HTTP_PROXY")
            .env_remove("http_proxy")
            .stdin(Stdio::null());
        command
    }

    fn run(&self, line: &str) -> Output {
        self.command(line).output().unwrap()
    }

    fn data(&self) -> PathBuf {
        self.dir.path().join("data/mdetr")
    }

    fn download(&self) -> PathBuf {
        self.data().join("downloads/eb3").join(CHECKPOINT)
    }

    /// As if a model had been pulled.
    fn install(&self, name: &str) -> PathBuf {
        let dir = self.data().join("models").join(name);
        fs::create_dir_all(&dir).unwrap();
        for entry in fs::read_dir(root().join("models/tabletop")).unwrap() {
            let entry = entry.unwrap();
            symlink(
                fs::canonicalize(entry.path()).unwrap(),
                dir.join(entry.file_name()),
            )
            .unwrap();
        }
        dir
    }
}

/// From a name to what is found in a picture, in two commands.
#[test]
fn a_model_is_pulled_and_used() {
    let file = "clevr_checkpoint.pth";
    let user = User::of(file, checkpoint::clevr(&root()));
    fs::copy(common::scene(), user.dir.path().join("a.png")).unwrap();
    user.server.faults(file, [Fault::Cut(100_000_000)]);
    let models = user.data().join("models");
    let mut child = user.command("pull clevr");
    let child = child.stderr(Stdio::piped()).spawn().unwrap();
    until("the conversion begins", || {
        models.join(".clevr.new/.clevr.partial").exists()
    });
    interrupt(&child);
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 2);
    refused(&output, "stopped; nothing was written. The file is kept");
    assert_eq!(fs::read_dir(&models).unwrap().count(), 0);

    let pulled = succeeded(user.run("pull clevr"));
    assert!(pulled.contains("use it with --model clevr"), "{pulled}");
    assert_eq!(user.server.begins(file), [None, Some(100_000_000)]);
    // Nothing is left but the model.
    assert!(!user.data().join("downloads/clevr").exists());
    assert_eq!(fs::read_dir(&models).unwrap().count(), 1);
    let shown = succeeded(user.run("models show clevr"));
    assert!(shown.contains("grounding + questions"), "{shown}");
    assert!(shown.contains(&format!("{}/{file}", user.base)), "{shown}");
    assert!(shown.contains("computed here, not compared"), "{shown}");
    succeeded(user.run("detect a.png --query cubes --model clevr --engine tract"));
}

/// What Ctrl-C does.
fn interrupt(child: &Child) {
    let mut kill = Command::new("kill");
    kill.args(["-s", "INT", &child.id().to_string()]);
    assert!(kill.status().unwrap().success());
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(20), "{what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[test]
fn a_download_survives_what_breaks_it() {
    let user = User::new();
    let busy = Fault::Status(429, vec![("retry-after", "1".to_owned())]);
    user.server
        .faults(CHECKPOINT, [Fault::Cut(50_000), busy, Fault::Cut(50_000)]);
    let output = user.run("pull eb3");
    let said = errors(&output);
    assert!(
        said.contains("429 Too Many Requests; trying again in 2 s"),
        "{said}"
    );
    assert!(
        said.contains("downloading from 0.1 MB on, of 0.2 MB"),
        "{said}"
    );
    assert!(said.contains("there is no checksum"), "{said}");
    let begins = [None, Some(50_000), Some(50_000), Some(100_000)];
    assert_eq!(user.server.begins(CHECKPOINT), begins);
    assert_eq!(fs::read(user.download()).unwrap(), vec![7; SIZE]);
    // The file is no checkpoint. The next run does not download it again.
    assert_eq!(code(&output), 2);
    refused(&output, "not converted");
    refused(&user.run("pull eb3"), "not converted");
    assert_eq!(user.server.begins(CHECKPOINT), begins);
    assert!(!user.data().join("models/eb3").exists());
}

#[test]
fn an_interrupted_download_goes_on() {
    let user = User::new();
    user.server.faults(CHECKPOINT, [Fault::Stall(50_000)]);
    // Shells start what runs in the background with interrupts ignored.
    let mut child = user.under(&["env", "--default-signal=INT"], "pull eb3");
    let mut child = child.stderr(Stdio::null()).spawn().unwrap();
    let partial = user.download().with_extension("pth.part");
    until("something is downloaded", || length(&partial) == 50_000);
    interrupt(&child);
    assert_eq!(child.wait().unwrap().signal(), Some(2));
    let listed = succeeded(user.run("models"));
    assert!(
        listed.contains("`mdetr pull eb3` goes on with it"),
        "{listed}"
    );
    user.run("pull eb3");
    assert_eq!(user.server.begins(CHECKPOINT), [None, Some(50_000)]);
    assert_eq!(fs::read(user.download()).unwrap(), vec![7; SIZE]);
    let removed = succeeded(user.run("models remove eb3"));
    assert!(removed.contains("the download is removed"), "{removed}");
    assert!(!user.data().join("downloads/eb3").exists());
}

#[test]
fn what_cannot_be_pulled_is_told() {
    let user = User::new();
    for (line, said) in [
        (
            "pull eb33",
            "nothing of this name can be pulled; there are clevr, ",
        ),
        (
            "pull eb3 --from /no/such",
            "/no/such: expected a file or a directory",
        ),
        (
            "pull eb3 --from ftp://a.org",
            "ftp://a.org: expected an address",
        ),
        ("pull eb5", "expected the file, found none of this name"),
        ("pull eb3 --tokenizer Cargo.toml", "--tokenizer"),
        (
            "pull eb3 --answers a.json",
            "has its answers in the checkpoint",
        ),
        ("models show eb33", "nothing of this name"),
        ("models remove clevr", "no such model"),
        (
            "models remove tabletop",
            "models/tabletop, which is not yours alone",
        ),
    ] {
        let output = user.run(line);
        assert_eq!(code(&output), 2, "{line}");
        refused(&output, said);
        assert_eq!(
            errors(&output).lines().count(),
            1,
            "{line}: {}",
            errors(&output)
        );
    }
    let own = user.dir.path().join("config/mdetr/models.toml");
    fs::write(&own, "[models.mine]\ntitle = 7\n").unwrap();
    for line in ["pull eb3", "models"] {
        refused(&user.run(line), "models.toml, line 2: ");
    }
    let nowhere = |line: &str| {
        let mut command = user.command(line);
        command
            .env_remove("XDG_DATA_HOME")
            .env_remove("HOME")
            .output()
            .unwrap()
    };
    fs::remove_file(&own).unwrap();
    refused(&nowhere("pull eb3"), "neither XDG_DATA_HOME nor HOME");
}

#[test]
fn models_are_listed_shown_and_removed() {
    let user = User::new();
    let listed = succeeded(user.run("models"));
    assert!(listed.contains("tabletop"), "{listed}");
    let (here, to_fetch) = listed.split_once("\n\n").unwrap();
    assert!(!here.contains("eb3"), "{listed}");
    assert!(
        to_fetch.contains("2440 MB   611 MB  EfficientNet-B3, phrase"),
        "{listed}"
    );
    let shown = succeeded(user.run("models show gqa-eb5"));
    for part in [
        "not here",
        "grounding + questions",
        "zenodo.org",
        "gqa_EB5_checkpoint.pth",
        "4729015",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }

    let dir = user.install("eb3");
    fs::write(
        dir.join("source.toml"),
        format!(
            "title = \"The fast one\"\nlicence = \"cc-by-4.0\"\ncheckpoint = \"https://zenodo.org/x\"\n\
             bytes = 5000000\nchecksum = \"md5:{}\"\npublished = true\ntokenizer = \"https://huggingface.co/y\"\n",
            "0".repeat(32)
        ),
    )
    .unwrap();
    let listed = succeeded(user.run("models"));
    let (here, to_fetch) = listed.split_once("\n\n").unwrap();
    let bytes: u64 = fs::read_dir(&dir)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|file| {
            file.extension()
                .is_some_and(|end| end == "onnx" || end == "json")
        })
        .map(|file| fs::metadata(file).unwrap().len())
        .sum();
    let sized = format!(
        "{:.0} MB  grounding + segmentation + questions",
        bytes as f64 / 1e6
    );
    assert!(
        here.contains("eb3") && here.contains(&sized),
        "{sized}: {listed}"
    );
    assert!(!to_fetch.contains(" eb3 "), "{listed}");
    let shown = succeeded(user.run("models show eb3"));
    for part in [
        "eb3: The fast one",
        "Apache-2.0",
        "cc-by-4.0, says the publisher",
        "https://zenodo.org/x",
        "5.0 MB, md5:000",
        "as published",
        "https://huggingface.co/y",
        "vision.onnx",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let there = succeeded(user.run("pull eb3"));
    assert!(there.contains("is there already"), "{there}");
    assert!(user.server.seen("").is_empty());
    assert_eq!(succeeded(user.run("models remove eb3")), "eb3: removed\n");
    assert!(!dir.exists());
    // Links to other files lead nowhere from here.
    assert!(root().join("models/tabletop/model.toml").exists());
}

#[test]
fn an_unsound_model_is_listed_as_such() {
    let user = User::new();
    let dir = user.install("eb3");
    fs::remove_file(dir.join("vision.onnx")).unwrap();
    let listed = succeeded(user.run("models"));
    assert!(listed.contains("unsound: bundle file"), "{listed}");
    refused(&user.run("models show eb3"), "vision.onnx: missing");
    succeeded(user.run("models remove eb3"));
}
