//! How often an address may do something.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Most addresses that are remembered.
const MAX_ADDRESSES: usize = 4096;

/// Token buckets by address.
#[derive(Debug)]
pub(super) struct Limiter {
    /// What comes back in a second.
    rate: f64,
    /// What may be taken at once.
    burst: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    left: f64,
    since: Instant,
}

impl Limiter {
    pub(super) fn new(rate: f64, burst: f64) -> Limiter {
        let buckets = Mutex::default();
        Limiter {
            rate,
            burst,
            buckets,
        }
    }

    /// Takes one, or tells after what time there is one.
    pub(super) fn take(&self, address: IpAddr, now: Instant) -> Result<(), Duration> {
        let mut buckets = self.buckets.lock().expect("no code panics with the lock");
        let left = |bucket: &Bucket| {
            let passed = now.saturating_duration_since(bucket.since).as_secs_f64();
            (bucket.left + passed * self.rate).min(self.burst)
        };
        if buckets.len() >= MAX_ADDRESSES {
            buckets.retain(|_, bucket| left(bucket) < self.burst);
            // So many at work at once: to begin anew is better than to grow or to refuse all.
            if buckets.len() >= MAX_ADDRESSES {
                buckets.clear();
            }
        }
        let bucket = buckets.entry(network(address)).or_insert(Bucket {
            left: self.burst,
            since: now,
        });
        bucket.left = left(bucket);
        bucket.since = now;
        if bucket.left < 1.0 {
            return Err(Duration::from_secs_f64((1.0 - bucket.left) / self.rate));
        }
        bucket.left -= 1.0;
        Ok(())
    }
}

/// One host has a whole /64 of IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(v6) if !v6.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_gets_its_share_and_no_more() {
        let limiter = Limiter::new(2.0, 3.0);
        let start = Instant::now();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        let other: IpAddr = "192.0.2.2".parse().unwrap();
        for _ in 0..3 {
            assert_eq!(limiter.take(one, start), Ok(()));
        }
        assert_eq!(limiter.take(one, start), Err(Duration::from_millis(500)));
        assert_eq!(limiter.take(other, start), Ok(()));
        assert_eq!(
            limiter.take(one, start + Duration::from_millis(500)),
            Ok(())
        );
        assert!(
            limiter
                .take(one, start + Duration::from_millis(600))
                .is_err()
        );
        let later = start + Duration::from_secs(60);
        for _ in 0..3 {
            assert_eq!(limiter.take(one, later), Ok(()));
        }
        assert!(limiter.take(one, later).is_err());
    }

    #[test]
    fn hosts_of_ipv6_have_one_share() {
        let limiter = Limiter::new(1.0, 1.0);
        let now = Instant::now();
        assert_eq!(limiter.take("2001:db8::1".parse().unwrap(), now), Ok(()));
        assert!(limiter.take("2001:db8::2".parse().unwrap(), now).is_err());
        assert_eq!(
            limiter.take("2001:db8:0:1::1".parse().unwrap(), now),
            Ok(())
        );
    }

    #[test]
    fn many_addresses_are_forgotten() {
        let limiter = Limiter::new(1.0, 2.0);
        let now = Instant::now();
        for number in 0..10_000 {
            let address = IpAddr::from(std::net::Ipv4Addr::from_bits(number));
            assert_eq!(limiter.take(address, now), Ok(()));
        }
        assert!(limiter.buckets.lock().unwrap().len() <= MAX_ADDRESSES);
    }
}
