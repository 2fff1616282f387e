//! A publisher, a user's directories, and a converter.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use md5::{Digest, Md5};
use mdetr_pull::{
    ConvertError, Home, Limits, Material, PullError, Pulled, Registry, Request, Source, Watch, pull,
};
use tempfile::TempDir;

use crate::server::{Served, Server};

/// Name of the model in these tests, its checkpoint and the ends of their addresses.
pub const NAME: &str = "small";
pub const FILE: &str = "small+_checkpoint.pth";
pub const CONTENT: &str = "small+_checkpoint.pth/content";
pub const RECORD: &str = "/api/records/4721981";
pub const TOKENIZER: &str = "/roberta/tokenizer.json";
/// Bytes of the checkpoint.
pub const SIZE: usize = 300_000;

pub fn bundle() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../models/tabletop")
}

/// Bytes that differ from place to place and from seed to seed.
pub fn bytes(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 33) as u8
    };
    (0..length).map(|_| next()).collect()
}

pub fn md5(bytes: &[u8]) -> String {
    let digest = Md5::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A tokenizer.json of so many tokens.
pub fn tokenizer(tokens: usize) -> Vec<u8> {
    let vocabulary: Vec<String> = (0..tokens).map(|id| format!("\"t{id}\":{id}")).collect();
    let vocabulary = vocabulary.join(",");
    format!("{{\"added_tokens\":[],\"model\":{{\"type\":\"BPE\",\"vocab\":{{{vocabulary}}},\"merges\":[]}}}}").into_bytes()
}

/// What the publisher has.
#[derive(Debug, Clone)]
pub struct Published {
    pub checkpoint: Vec<u8>,
    pub etag: Option<String>,
    /// What the record says.
    pub size: usize,
    pub md5: String,
    pub key: String,
    /// Files by the ends of their paths.
    pub others: BTreeMap<String, Vec<u8>>,
}

impl Published {
    pub fn new(checkpoint: Vec<u8>) -> Published {
        let etag = format!("\"{}\"", md5(&checkpoint));
        Published {
            size: checkpoint.len(),
            md5: md5(&checkpoint),
            etag: Some(etag),
            checkpoint,
            key: "small%2B_checkpoint.pth".to_owned(),
            others: BTreeMap::from([(TOKENIZER.to_owned(), tokenizer(50265))]),
        }
    }

    fn serve(&self, path: &str, base: &str) -> Option<Served> {
        let plain = |body: Vec<u8>| {
            let body = Arc::new(body);
            Some(Served { body, etag: None })
        };
        if path.ends_with(CONTENT) {
            let body = Arc::new(self.checkpoint.clone());
            let etag = self.etag.clone();
            return Some(Served { body, etag });
        }
        if path.ends_with(RECORD) {
            let Published { size, md5, key, .. } = self;
            let record = format!(
                r#"{{"id": 4721981, "metadata": {{"license": {{"id": "cc-by-4.0"}}}}, "files": [
                {{"key": "other.pth", "size": 1, "checksum": "md5:{other}", "links": {{"self": "{base}/other"}}}},
                {{"key": "{key}", "size": {size}, "checksum": "md5:{md5}",
                  "links": {{"self": "{base}{RECORD}/files/{CONTENT}"}}}}]}}"#,
                other = "0".repeat(32)
            );
            return plain(record.into_bytes());
        }
        let other = self
            .others
            .iter()
            .find(|(end, _)| path.ends_with(end.as_str()));
        plain(other?.1.clone())
    }
}

/// A publisher, a user, and what the user was told.
pub struct Fixture {
    pub dir: TempDir,
    pub server: Server,
    pub published: Arc<Mutex<Published>>,
    pub base: String,
    pub said: Said,
    pub limits: Limits,
}

/// Keeps what it is told.
#[derive(Debug, Default)]
pub struct Said(pub Mutex<Vec<String>>);

impl Watch for Said {
    fn say(&self, line: &str) {
        self.0.lock().unwrap().push(line.to_owned());
    }

    fn begin(&self, what: &str, done: u64, total: Option<u64>) {
        self.say(&format!("{what} from {done} of {total:?}"));
    }

    fn at(&self, _: u64) {}

    fn end(&self) {}
}

pub fn limits() -> Limits {
    let mut limits = Limits::default();
    limits.stall = Duration::from_secs(10);
    limits.least_bytes = 4000;
    limits.attempts = 4;
    limits.progress = 10_000;
    limits.first_wait = Duration::from_millis(10);
    limits.longest_wait = Duration::from_secs(5);
    limits
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture::encrypted("http", None)
    }

    pub fn encrypted(scheme: &str, tls: Option<Arc<rustls::ServerConfig>>) -> Fixture {
        let published = Published::new(bytes(1, SIZE));
        let published = Arc::new(Mutex::new(published));
        let base = Arc::new(Mutex::new(String::new()));
        let (of_server, base_of_server) = (published.clone(), base.clone());
        let serve = move |path: &str| {
            let published = of_server.lock().unwrap();
            published.serve(path, &base_of_server.lock().unwrap())
        };
        let server = Server::start(Arc::new(serve), tls);
        let address = format!("{scheme}://{}", server.address);
        *base.lock().unwrap() = address.clone();
        let fixture = Fixture {
            dir: tempfile::tempdir().unwrap(),
            server,
            published,
            base: address,
            said: Said::default(),
            limits: limits(),
        };
        fixture.write_registry(&fixture.base, 1);
        fixture
    }

    /// Entries of the user's own, for a publisher at this address.
    pub fn write_registry(&self, base: &str, download_mb: u64) {
        let text = format!(
            "[tokenizers.own]\nurl = \"{base}{TOKENIZER}\"\nvocabulary = 50265\n\
             [models.{NAME}]\ntitle = \"Small\"\ntasks = [\"grounding\"]\nlicence = \"Apache-2.0\"\n\
             file = \"{FILE}\"\nrecord = \"{base}{RECORD}\"\ndownload_mb = {download_mb}\nmodel_mb = 1\n\
             tokenizer = \"own\"\n"
        );
        fs::write(self.own_registry(), text).unwrap();
    }

    pub fn own_registry(&self) -> PathBuf {
        self.dir.path().join("models.toml")
    }

    pub fn home(&self) -> Home {
        Home::new(Some(&self.models())).unwrap()
    }

    pub fn models(&self) -> PathBuf {
        self.dir.path().join("data/models")
    }

    pub fn downloads(&self) -> PathBuf {
        self.dir.path().join("data/downloads").join(NAME)
    }

    pub fn request(&self) -> Request {
        Request {
            name: NAME.to_owned(),
            limits: self.limits.clone(),
            ..Request::default()
        }
    }

    pub fn from(&self, source: &str) -> Request {
        Request {
            source: Some(Source::parse(source.as_ref()).unwrap()),
            ..self.request()
        }
    }

    pub fn pull(&self) -> Result<Pulled, PullError> {
        self.pull_as(&self.request())
    }

    /// Pulls; the converter sees the checkpoint that is published.
    pub fn pull_as(&self, request: &Request) -> Result<Pulled, PullError> {
        let expected = self.published.lock().unwrap().checkpoint.clone();
        let registry = Registry::load(Some(&self.own_registry())).unwrap();
        pull(
            &registry,
            &self.home(),
            request,
            &self.said,
            |material, out| {
                assert_eq!(fs::read(material.checkpoint).unwrap(), expected);
                convert(material, out)
            },
        )
    }

    /// The error of a pull that leaves no model, neither whole nor half.
    #[track_caller]
    pub fn refused(&self, request: &Request) -> String {
        let error = self
            .pull_as(request)
            .expect_err("it is refused")
            .to_string();
        assert!(!error.contains('\n'), "{error}");
        self.no_model();
        error
    }

    #[track_caller]
    pub fn no_model(&self) {
        let left: Vec<PathBuf> = fs::read_dir(self.models())
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .collect();
        assert_eq!(left, Vec::<PathBuf>::new());
    }

    /// The model is there and sound, and nothing else is left.
    #[track_caller]
    pub fn sound(&self) {
        mdetr::Bundle::open(self.models().join(NAME)).unwrap();
        assert!(!self.downloads().exists());
        let entries = fs::read_dir(self.models()).unwrap();
        assert_eq!(entries.count(), 1);
    }

    pub fn said(&self, part: &str) -> bool {
        self.said
            .0
            .lock()
            .unwrap()
            .iter()
            .any(|line| line.contains(part))
    }

    /// This test program as another process, which pulls: see [`child`].
    pub fn child(&self) -> Command {
        // Shells start what runs in the background with interrupts ignored.
        let mut command = Command::new("env");
        command
            .arg("--default-signal=INT")
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", "fixture::child", "--ignored", "--nocapture"])
            .env("PULL_DIR", self.dir.path())
            .env_remove("HTTPS_PROXY")
            .env_remove("HTTP_PROXY")
            .env_remove("NO_PROXY")
            .env_remove("MDETR_MIRROR")
            .stdin(Stdio::null());
        command
    }
}

/// Writes a bundle, slowly enough to be seen.
pub fn convert(material: &Material<'_>, out: &Path) -> Result<(), ConvertError> {
    assert!(!out.exists());
    let tokenizer = fs::read_to_string(material.tokenizer)?;
    assert!(tokenizer.contains("t50264"));
    fs::create_dir(out)?;
    for entry in fs::read_dir(bundle())? {
        let entry = entry?;
        fs::copy(entry.path(), out.join(entry.file_name()))?;
    }
    Ok(())
}

/// What other processes of these tests do: pull into the directory that `PULL_DIR` names, and print what they are told.
#[test]
#[ignore = "run by other tests"]
fn child() {
    struct Print;
    impl Watch for Print {
        fn say(&self, line: &str) {
            println!("said: {line}");
        }
        fn begin(&self, what: &str, done: u64, _: Option<u64>) {
            println!("begin: {what} from {done}");
        }
        fn at(&self, _: u64) {}
        fn end(&self) {}
    }
    // Not set if somebody runs all that is ignored.
    let Some(dir) = std::env::var_os("PULL_DIR").map(PathBuf::from) else {
        return;
    };
    let registry = Registry::load(Some(&dir.join("models.toml"))).unwrap();
    let home = Home::new(Some(&dir.join("data/models"))).unwrap();
    let mut limits = limits();
    limits.stall = Duration::from_secs(5);
    let request = Request {
        name: NAME.to_owned(),
        source: Source::from_environment().unwrap(),
        limits,
        ..Request::default()
    };
    match pull(&registry, &home, &request, &Print, convert) {
        Ok(pulled) => println!("pulled: {}", pulled.already),
        Err(error) => println!("error: {error}"),
    }
}
