//! A fleet in one process: devices that tell a broker of events, and hubs that keep them, while hub and broker die.

mod device;
mod peers;
mod script;
mod tally;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args;
use serde_json::json;
use tokio::task::JoinSet;
use tokio::time::sleep;

use device::{Device, Shared};
use peers::{Broker, HubProcess};
use tally::Tally;

/// Longest wait for what must come in the end.
const PATIENCE: Duration = Duration::from_secs(300);
/// How long hub and broker stay away.
const AWAY: Duration = Duration::from_secs(5);

/// A fleet, by rendered results, on this machine.
#[derive(Debug, Args)]
pub struct FleetArgs {
    /// An empty PostgreSQL: `postgres://user@host/database`
    #[arg(long)]
    database: String,
    /// The program mdetr-monitor
    #[arg(long, value_name = "PROGRAM")]
    monitor: PathBuf,
    /// Programs that watch cameras
    #[arg(long, default_value_t = 1000)]
    devices: usize,
    /// Hubs that share the work
    #[arg(long, default_value_t = 2)]
    hubs: usize,
    /// Events a second of all devices together
    #[arg(long, default_value_t = 100.0)]
    rate: f64,
    /// Seconds of each part: in peace, with a hub that dies, with a broker that dies
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

impl FleetArgs {
    /// Runs it, and prints what was measured.
    pub fn run(self) -> Result<()> {
        let runtime = tokio::runtime::Runtime::new()?;
        let measured = runtime.block_on(self.measure())?;
        println!("{measured}");
        Ok(())
    }

    async fn measure(&self) -> Result<serde_json::Value> {
        ensure!(
            self.devices > 0 && self.hubs > 0 && self.rate > 0.0,
            "expected more than nothing"
        );
        let lives = script::lives()?;
        let mut broker = Broker::start()?;
        let mut hubs = (0..self.hubs)
            .map(|number| HubProcess::start(&self.monitor, number, broker.port, &self.database))
            .collect::<Result<Vec<_>>>()?;
        for hub in &hubs {
            hub.ready().await?;
        }
        let shared = Arc::new(Shared::new(broker.port, lives));
        let mut devices = JoinSet::new();
        let each = self.rate / self.devices as f64;
        for number in 0..self.devices {
            devices.spawn(Device::new(number, each, shared.clone()).run());
        }
        shared.all_connected(self.devices).await?;
        let part = Duration::from_secs(self.seconds);
        let mut tally = Tally::new(&self.database).await?;
        let peace = tally.part("in peace", sleep(part)).await?;
        let hub_dies = tally
            .part("a hub dies", async {
                hubs[0].kill();
                sleep(AWAY).await;
                hubs[0].restart();
                sleep(part.saturating_sub(AWAY)).await;
            })
            .await?;
        let broker_dies = tally
            .part("the broker dies", async {
                broker.kill();
                sleep(AWAY).await;
                broker.restart();
                sleep(part.saturating_sub(AWAY)).await;
            })
            .await?;
        shared.stop();
        let begun = Instant::now();
        while shared.waiting() > 0 {
            ensure!(
                begun.elapsed() < PATIENCE,
                "{} steps are at no hub after {PATIENCE:?}",
                shared.waiting()
            );
            sleep(Duration::from_millis(100)).await;
        }
        let drained = begun.elapsed().as_secs_f64();
        let burst = self.burst(&shared, &mut tally).await?;
        devices.shutdown().await;
        let counts = shared.counts();
        let kept = tally.kept().await?;
        let lost = counts.steps as i64 - kept.steps as i64;
        ensure!(
            lost == 0 && kept.events == counts.events,
            "{} steps and {} events were told, {} and {} are kept",
            counts.steps,
            counts.events,
            kept.steps,
            kept.events
        );
        Ok(json!({
            "devices": self.devices,
            "hubs": self.hubs,
            "events": counts.events,
            "steps": counts.steps,
            "sent_again": counts.sent.saturating_sub(counts.steps),
            "lost": lost,
            "doubled": kept.doubled,
            "parts": [peace, hub_dies, broker_dies],
            "drained_s": drained,
            "burst_steps_per_s": burst,
            "bytes_per_step": counts.bytes as f64 / counts.sent.max(1) as f64,
            "database_bytes_per_event": kept.bytes as f64 / kept.events.max(1) as f64,
            "broker": broker.usage()?,
            "hub_processes": hubs.iter().map(HubProcess::usage).collect::<Result<Vec<_>>>()?,
        }))
    }

    /// Steps a second that are kept if every device tells of a hundred events at once.
    async fn burst(&self, shared: &Shared, tally: &mut Tally) -> Result<f64> {
        let before = tally.kept().await?.steps;
        let begun = Instant::now();
        shared.burst();
        let told = before + self.devices as u64 * device::BURST as u64 * 2;
        loop {
            let kept = tally
                .kept()
                .await
                .context("while devices tell much at once")?;
            if kept.steps >= told {
                return Ok((kept.steps - before) as f64 / begun.elapsed().as_secs_f64());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{} of {told} steps are kept",
                kept.steps
            );
            sleep(Duration::from_millis(200)).await;
        }
    }
}
