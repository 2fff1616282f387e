//! Plans by shape, made once and shared by threads.

use std::hash::Hash;
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};

use lru::LruCache;

use mdetr_engine::locked;

/// Something expensive for each key: made by the first thread that asks while others wait for it,
/// kept until `capacity` other keys have been used.
#[derive(Debug)]
pub(super) struct BoundPlans<K: Hash + Eq, V> {
    slots: Mutex<LruCache<K, Slot<V>>>,
}

type Slot<V> = Arc<Mutex<Option<V>>>;

impl<K: Hash + Eq + Clone, V: Clone> BoundPlans<K, V> {
    pub(super) fn new(capacity: NonZeroUsize) -> BoundPlans<K, V> {
        BoundPlans {
            slots: Mutex::new(LruCache::new(capacity)),
        }
    }

    /// The value for `key`; after a failure the next call tries again.
    pub(super) fn get_or_make<E>(
        &self,
        key: K,
        make: impl FnOnce() -> Result<V, E>,
    ) -> Result<V, E> {
        let slot = locked(&self.slots)
            .get_or_insert(key, Slot::default)
            .clone();
        let mut value = locked(&slot);
        if let Some(value) = value.as_ref() {
            return Ok(value.clone());
        }
        Ok(value.insert(make()?).clone())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn cache(capacity: usize) -> BoundPlans<u32, u32> {
        BoundPlans::new(NonZeroUsize::new(capacity).unwrap())
    }

    #[test]
    fn threads_share_one_making() {
        let (cache, made) = (cache(2), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let value = cache.get_or_make(7, || {
                        std::thread::sleep(std::time::Duration::from_millis(20));
                        made.fetch_add(1, Ordering::SeqCst);
                        Ok::<_, ()>(49)
                    });
                    assert_eq!(value, Ok(49));
                });
            }
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn failures_are_not_kept_and_the_oldest_goes_first() {
        let cache = cache(2);
        assert_eq!(cache.get_or_make(1, || Err("no")), Err("no"));
        assert_eq!(cache.get_or_make(1, || Ok::<_, ()>(10)), Ok(10));
        assert_eq!(cache.get_or_make(2, || Ok::<_, ()>(20)), Ok(20));
        assert_eq!(cache.get_or_make(1, || Ok::<_, ()>(11)), Ok(10));
        assert_eq!(cache.get_or_make(3, || Ok::<_, ()>(30)), Ok(30));
        assert_eq!(cache.get_or_make(2, || Ok::<_, ()>(21)), Ok(21));
    }
}
