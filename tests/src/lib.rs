//! What the end-to-end tests share: where the built programs are, and how to run them.

use std::ffi::OsStr;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Longer than any test takes, short enough to fail one that hangs.
const TIMEOUT: Duration = Duration::from_secs(240);

/// How a program ended.
#[derive(Debug)]
pub struct Output {
    /// Its exit status.
    pub status: ExitStatus,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Output {
    /// Standard output of a program that succeeded.
    ///
    /// # Panics
    /// If it failed.
    pub fn success(self) -> String {
        assert!(
            self.status.success(),
            "{}\n{}\n{}",
            self.status,
            self.stdout,
            self.stderr
        );
        self.stdout
    }

    /// Everything a program said that failed with an exit code, not by a signal.
    ///
    /// # Panics
    /// If it succeeded or was killed.
    pub fn failure(self) -> String {
        assert!(
            !self.status.success(),
            "succeeded:\n{}\n{}",
            self.stdout,
            self.stderr
        );
        assert!(
            self.status.code().is_some(),
            "killed: {}\n{}",
            self.status,
            self.stderr
        );
        format!("{}\n{}", self.stdout, self.stderr)
    }
}

/// An empty directory of its own, the built programs, and the bundled model.
pub struct TestEnv {
    directory: TempDir,
    target: PathBuf,
}

impl Default for TestEnv {
    fn default() -> TestEnv {
        TestEnv::new()
    }
}

impl TestEnv {
    /// A new empty directory.
    ///
    /// # Panics
    /// If the workspace has not been built.
    pub fn new() -> TestEnv {
        let test = std::env::current_exe().expect("a test knows its own path");
        let target = test
            .ancestors()
            .nth(2)
            .expect("tests lie in target/PROFILE/deps")
            .to_owned();
        for file in ["mdetr", "libgstmdetr.so"] {
            let path = target.join(file);
            assert!(
                path.exists(),
                "{} is missing: run `cargo build --workspace`",
                path.display()
            );
        }
        let directory = tempfile::tempdir().expect("temporary directories can be made");
        TestEnv { directory, target }
    }

    /// The directory.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// The workspace's root.
    pub fn root(&self) -> &'static Path {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .parent()
            .expect("this crate is in the workspace")
    }

    /// The bundled model.
    pub fn model(&self) -> PathBuf {
        self.root().join("models/tabletop")
    }

    /// Runs the `mdetr` command in the directory.
    pub fn mdetr(&self, args: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Output {
        self.run(Command::new(self.target.join("mdetr")).args(args))
    }

    /// Runs `gst-launch-1.0 --messages` with this pipeline in the directory. `MODEL` in it stands
    /// for the bundled model.
    pub fn launch(&self, pipeline: &str) -> Output {
        let model = self.model();
        let words = pipeline.split_whitespace();
        let words = words.map(|word| word.replace("MODEL", &model.to_string_lossy()));
        self.run(Command::new("gst-launch-1.0").arg("--messages").args(words))
    }

    /// Runs `gst-inspect-1.0` on one element.
    pub fn inspect(&self, element: &str) -> Output {
        self.run(Command::new("gst-inspect-1.0").arg(element))
    }

    /// The text of a file in the directory.
    ///
    /// # Panics
    /// If it cannot be read.
    pub fn read(&self, name: &str) -> String {
        let path = self.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The directory with the built programs and the plugin.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// Makes a command run in the directory, with the plugin, and with models and caches of its own.
    pub fn prepare<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .current_dir(self.path())
            .env("GST_PLUGIN_PATH", &self.target)
            .env("GST_REGISTRY", self.path().join("registry.bin"))
            .env("G_DEBUG", "fatal_warnings")
            .env("XDG_CACHE_HOME", self.path().join("cache"))
            .env("XDG_CONFIG_HOME", self.path().join("config"))
            .env("XDG_DATA_HOME", self.path().join("data"))
            .stdin(Stdio::null())
    }

    /// Runs a command in the directory.
    ///
    /// # Panics
    /// If it cannot be started or does not end.
    pub fn run(&self, command: &mut Command) -> Output {
        let mut child = self
            .prepare(command)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", command.get_program().display()));
        let stdout = drain(child.stdout.take().expect("it is piped"));
        let stderr = drain(child.stderr.take().expect("it is piped"));
        let end = Instant::now() + TIMEOUT;
        let status = loop {
            if let Some(status) = child.try_wait().expect("our own child can be waited for") {
                break status;
            }
            if Instant::now() > end {
                child.kill().expect("our own child can be killed");
                let output = stderr.join().expect("the reader does not panic");
                panic!("no end after {TIMEOUT:?}: {command:?}\n{output}");
            }
            thread::sleep(Duration::from_millis(10));
        };
        let text = |reader: thread::JoinHandle<String>| reader.join().expect("it does not panic");
        Output {
            status,
            stdout: text(stdout),
            stderr: text(stderr),
        }
    }
}

fn drain(mut stream: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).expect("a pipe can be read");
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// SHA-256 of a file, in hexadecimal.
///
/// # Panics
/// If it cannot be read.
pub fn sha256(path: &Path) -> String {
    let bytes = fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}
