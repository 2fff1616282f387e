//! What this process has used.

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// CPU time of all threads so far.
pub fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        time.tv_sec.unsigned_abs(),
        time.tv_nsec.unsigned_abs() as u32,
    )
}

/// Forgets the peak of resident memory: it is counted anew from what is resident now.
pub fn reset_peak() -> Result<()> {
    let path = "/proc/self/clear_refs";
    fs::write(path, "5").context(path)
}

/// The most memory that was resident at once, in bytes.
pub fn peak_bytes() -> Result<u64> {
    let path = "/proc/self/status";
    let status = fs::read_to_string(path).context(path)?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB"));
    let kilobytes: u64 = kilobytes
        .with_context(|| format!("{path}: no VmHWM in kB"))?
        .parse()
        .with_context(|| format!("{path}: VmHWM"))?;
    Ok(kilobytes << 10)
}

pub fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// What some work took.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Cost {
    pub wall_ms: f64,
    pub cpu_ms: f64,
    pub peak_bytes: u64,
}

impl Cost {
    /// Of what `work` does, on all threads.
    pub fn of<T>(work: impl FnOnce() -> Result<T>) -> Result<(T, Cost)> {
        reset_peak()?;
        let (begun, cpu) = (Instant::now(), cpu_time());
        let done = work()?;
        let cost = Cost {
            wall_ms: milliseconds(begun.elapsed()),
            cpu_ms: milliseconds(cpu_time() - cpu),
            peak_bytes: peak_bytes()?,
        };
        Ok((done, cost))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_of_the_work() {
        const SIZE: usize = 64 << 20;
        let fill = || Ok(vec![1u8; SIZE].iter().map(|&byte| u64::from(byte)).sum());
        let (sum, filled): (u64, Cost) = Cost::of(fill).unwrap();
        assert_eq!(sum, SIZE as u64);
        assert!(filled.peak_bytes > SIZE as u64, "{filled:?}");
        let ((), idle) = Cost::of(|| Ok(())).unwrap();
        assert!(
            idle.peak_bytes + SIZE as u64 / 2 < filled.peak_bytes,
            "{idle:?}"
        );
        assert!(filled.cpu_ms > idle.cpu_ms, "{filled:?} {idle:?}");
    }
}
