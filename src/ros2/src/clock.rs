//! The node's time: the machine's, or that of a simulation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use futures_util::StreamExt;
use mdetr_ros2_messages::builtin_interfaces::Time;
use ros2_client::Subscription;
use serde::Deserialize;

/// `rosgraph_msgs/msg/Clock`, as a simulator publishes it.
#[derive(Debug, Deserialize)]
pub(crate) struct ClockMessage {
    clock: Time,
}

/// The name of its type.
pub(crate) const CLOCK: &str = "rosgraph_msgs/msg/Clock";

/// A clock. Clones show the same time.
#[derive(Debug, Clone, Default)]
pub(crate) struct Clock(Arc<State>);

#[derive(Debug, Default)]
struct State {
    simulated: AtomicBool,
    nanos: AtomicI64,
}

impl Clock {
    /// Takes the time from a simulation, or from the machine again.
    pub fn simulate(&self, simulated: bool) {
        self.0.simulated.store(simulated, Ordering::Relaxed);
    }

    /// The time; of a simulation that was not heard of yet, 0.
    pub fn now(&self) -> Time {
        if self.0.simulated.load(Ordering::Relaxed) {
            return Time::from_nanos(self.0.nanos.load(Ordering::Relaxed));
        }
        Clock::machine()
    }

    /// The machine's time.
    pub fn machine() -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        let nanos = since.map_or(0, |since| since.as_nanos());
        Time::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
    }

    /// Takes in what a simulation says, as long as it is polled.
    pub async fn follow(&self, messages: &Subscription<ClockMessage>) {
        let mut stream = std::pin::pin!(messages.async_stream());
        while let Some(message) = stream.next().await {
            match message {
                Ok((ClockMessage { clock }, _)) => {
                    self.0.nanos.store(clock.nanos(), Ordering::Relaxed);
                }
                Err(error) => tracing::warn!("/clock: a message that cannot be read: {error}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn simulated_time_stands_still_until_it_is_told() {
        let clock = Clock::default();
        assert!(clock.now().sec > 1_600_000_000);
        clock.simulate(true);
        assert_eq!(clock.now(), Time::default());
        clock.0.nanos.store(1_500_000_000, Ordering::Relaxed);
        let expected = Time {
            sec: 1,
            nanosec: 500_000_000,
        };
        assert_eq!(clock.now(), expected);
        clock.simulate(false);
        assert!(clock.now().sec > 1_600_000_000);
    }
}
