//! The broker and the hubs, as processes that can be killed.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

/// Ticks a second in the times of processes, on every Linux.
const USER_HZ: f64 = 100.0;

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Memory and processor time of a process.
fn usage(pid: u32) -> Result<Value> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let memory = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes: u64 = memory
        .and_then(|line| line.split_whitespace().next()?.parse().ok())
        .context("the system says how much memory a process has")?;
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let fields = stat.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks: u64 = ticks.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(json!({ "memory_mib": kilobytes >> 10, "cpu_s": ticks as f64 / USER_HZ }))
}

/// A mosquitto.
pub struct Broker {
    directory: TempDir,
    pub port: u16,
    child: Child,
}

fn mosquitto(directory: &Path) -> Result<Child> {
    let program = ["/usr/sbin/mosquitto", "/usr/bin/mosquitto"]
        .into_iter()
        .find(|path| Path::new(path).exists());
    Command::new(program.unwrap_or("mosquitto"))
        .arg("-c")
        .arg(directory.join("mosquitto.conf"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("mosquitto cannot be started: install it")
}

impl Broker {
    pub fn start() -> Result<Broker> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let text = format!(
            "listener {port} 127.0.0.1\nallow_anonymous true\npersistence false\nmax_queued_messages 10000\nlog_type none\n"
        );
        fs::write(directory.path().join("mosquitto.conf"), text)?;
        let child = mosquitto(directory.path())?;
        let mut broker = Broker {
            directory,
            port,
            child,
        };
        broker.listens()?;
        Ok(broker)
    }

    fn listens(&mut self) -> Result<()> {
        for _ in 0..200 {
            if TcpStream::connect(("127.0.0.1", self.port)).is_ok() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        bail!("mosquitto does not start")
    }

    pub fn kill(&mut self) {
        // It is gone, one way or the other.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn restart(&mut self) {
        match mosquitto(self.directory.path()) {
            Ok(child) => self.child = child,
            Err(error) => eprintln!("mdetr-bench: {error:#}"),
        }
    }

    /// Since it was started last.
    pub fn usage(&self) -> Result<Value> {
        usage(self.child.id())
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kill();
    }
}

/// An `mdetr-monitor --hub`.
pub struct HubProcess {
    monitor: PathBuf,
    directory: TempDir,
    port: u16,
    child: Child,
}

fn hub(monitor: &Path, directory: &Path) -> Result<Child> {
    let log = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("log"))?;
    Command::new(monitor)
        .arg("--hub")
        .arg(directory.join("hub.toml"))
        .stdin(Stdio::null())
        .stderr(log)
        .spawn()
        .with_context(|| format!("{} cannot be started", monitor.display()))
}

impl HubProcess {
    pub fn start(monitor: &Path, number: usize, broker: u16, database: &str) -> Result<HubProcess> {
        let directory = tempfile::tempdir()?;
        let port = free_port()?;
        let text = format!(
            "data = \"data\"\n[http]\nlisten = \"127.0.0.1:{port}\"\n\
             [mqtt]\nurl = \"mqtt://127.0.0.1:{broker}\"\nclient_id = \"hub-{number}\"\n\
             [hub]\ndatabase = {database:?}\n"
        );
        fs::write(directory.path().join("hub.toml"), text)?;
        let child = hub(monitor, directory.path())?;
        Ok(HubProcess {
            monitor: monitor.to_owned(),
            directory,
            port,
            child,
        })
    }

    /// Waits until it works.
    pub async fn ready(&self) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(60) {
            if self
                .answer()
                .await
                .is_ok_and(|answer| answer.contains("ready"))
            {
                // What it asked the broker for is on its way.
                sleep(Duration::from_secs(1)).await;
                return Ok(());
            }
            sleep(Duration::from_millis(100)).await;
        }
        let log = fs::read_to_string(self.directory.path().join("log"))?;
        bail!("a hub does not begin to work: {log}")
    }

    async fn answer(&self) -> Result<String> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", self.port)).await?;
        let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    pub fn kill(&mut self) {
        // It is gone, one way or the other.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    pub fn restart(&mut self) {
        match hub(&self.monitor, self.directory.path()) {
            Ok(child) => self.child = child,
            Err(error) => eprintln!("mdetr-bench: {error:#}"),
        }
    }

    /// Since it was started last.
    pub fn usage(&self) -> Result<Value> {
        usage(self.child.id())
    }
}

impl Drop for HubProcess {
    fn drop(&mut self) {
        self.kill();
    }
}
