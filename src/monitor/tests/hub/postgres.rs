//! A PostgreSQL of the test's own.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use mdetr_monitor::config::{self, Document};
use tempfile::TempDir;

use crate::peers::{PATIENCE, free_port};

/// A server with a directory of its own.
pub struct Postgres {
    directory: TempDir,
    pub port: u16,
}

/// The server's programs, which Debian keeps out of the PATH.
fn program(name: &str) -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten();
    let mut found: Vec<PathBuf> = versions
        .flatten()
        .map(|version| version.path().join("bin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().unwrap_or_else(|| name.into())
}

fn is_root() -> bool {
    std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0)
}

/// The server refuses to run as root.
fn command(name: &str) -> Command {
    let mut command = match is_root() {
        true => Command::new("runuser"),
        false => Command::new(program(name)),
    };
    if is_root() {
        command.args(["-u", "postgres", "--"]).arg(program(name));
    }
    command
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    command
}

impl Postgres {
    pub fn start() -> Postgres {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        if is_root() {
            let owned = Command::new("chown")
                .arg("postgres")
                .arg(directory.path())
                .status();
            assert!(owned.unwrap().success());
        }
        let made = command("initdb")
            .args([
                "--auth=trust",
                "--username=mdetr",
                "--no-sync",
                "--encoding=UTF8",
                "--locale=C",
                "-D",
            ])
            .arg(&data)
            .status();
        assert!(made.expect("PostgreSQL is installed").success());
        let server = Postgres {
            directory,
            port: free_port(),
        };
        server.restart();
        server
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn control(&self, arguments: &[&str]) -> bool {
        let mut command = command("pg_ctl");
        command
            .arg("-D")
            .arg(self.data())
            .args(["-w", "-s"])
            .args(arguments);
        command.stderr(Stdio::null()).status().unwrap().success()
    }

    pub fn restart(&self) {
        let place = self.directory.path().display();
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories={place} -c logging_collector=off",
            self.port
        );
        let log = self.directory.path().join("data").join("log");
        let log = log.to_str().unwrap();
        let begun = Instant::now();
        while !self.control(&["start", "-o", &options, "-l", log]) {
            assert!(
                begun.elapsed() < PATIENCE,
                "PostgreSQL does not start: see {log}"
            );
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&self) {
        assert!(self.control(&["stop", "-m", "immediate"]));
    }

    pub fn url(&self) -> String {
        format!("postgres://mdetr@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.control(&["stop", "-m", "immediate"]);
    }
}

/// The configuration of a hub.
pub fn hub_document(data: &Path, broker: &str, database: &str) -> Document {
    let text = format!(
        "data = {data:?}\n[mqtt]\nurl = \"{broker}\"\nclient_id = \"hub\"\n[hub]\ndatabase = \"{database}\"\n"
    );
    let document = config::parse_toml(&text).unwrap();
    assert_eq!(config::check(&document), []);
    document
}
