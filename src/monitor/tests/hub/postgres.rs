//! A PostgreSQL of the test's own.

use std::path::Path;
use std::process::{Command, Stdio};

use mdetr_monitor::config::{self, Document};
use tempfile::TempDir;

use crate::peers::free_port;

/// A server with a directory of its own.
pub struct Postgres {
    directory: TempDir,
    pub port: u16,
}

impl Postgres {
    pub fn start() -> Postgres {
        let server = Postgres {
            directory: tempfile::tempdir().unwrap(),
            port: free_port(),
        };
        server.restart();
        server
    }

    fn run(&self, action: &str, port: Option<u16>) -> bool {
        let mut command =
            Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tools/postgres"));
        command.arg(action).arg(self.directory.path());
        command.args(port.map(|port| port.to_string()));
        // What the server inherited of our output would be open as long as it runs.
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.status().unwrap().success()
    }

    pub fn restart(&self) {
        assert!(
            self.run("start", Some(self.port)),
            "PostgreSQL is installed"
        );
    }

    /// Ends it at once, as a crash does.
    pub fn kill(&self) {
        assert!(self.run("kill", None));
    }

    pub fn url(&self) -> String {
        format!("postgres://mdetr@127.0.0.1:{}/postgres", self.port)
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.run("kill", None);
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
