//! Sharing what is dear to make.

use std::sync::{Arc, Mutex, Weak};

use crate::sync::locked;

/// Values that live as long as somebody uses them. Those who ask for one that is being made wait.
///
/// Lock order: a slot's lock before `slots`; the latter is held for no more than a look.
pub struct Registry<K, V> {
    slots: Mutex<Vec<(K, Slot<V>)>>,
}

type Slot<V> = Arc<Mutex<Weak<V>>>;

impl<K: PartialEq, V> Default for Registry<K, V> {
    fn default() -> Self {
        Registry::new()
    }
}

impl<K: PartialEq, V> Registry<K, V> {
    /// Without values.
    pub const fn new() -> Registry<K, V> {
        Registry {
            slots: Mutex::new(Vec::new()),
        }
    }

    /// The value of `key`; after a failure the next call tries again.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn get_or_make<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
        let slot = self.slot(key);
        let mut value = locked(&slot);
        if let Some(value) = value.upgrade() {
            return Ok(value);
        }
        let made = Arc::new(make()?);
        *value = Arc::downgrade(&made);
        Ok(made)
    }

    fn slot(&self, key: K) -> Slot<V> {
        let mut slots = locked(&self.slots);
        // A slot somebody else holds is being filled. No other can be locked.
        slots.retain(|(_, slot)| Arc::strong_count(slot) > 1 || locked(slot).strong_count() > 0);
        match slots.iter().find(|(known, _)| *known == key) {
            Some((_, slot)) => slot.clone(),
            None => {
                let slot = Slot::default();
                slots.push((key, slot.clone()));
                slot
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[test]
    fn those_who_ask_at_once_get_one_value_and_the_last_frees_it() {
        let (registry, made) = (Registry::<u32, u32>::new(), AtomicUsize::new(0));
        let make = || {
            std::thread::sleep(Duration::from_millis(20));
            made.fetch_add(1, Ordering::SeqCst);
            Ok::<_, ()>(49)
        };
        let values: Vec<Arc<u32>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..16)
                .map(|_| scope.spawn(|| registry.get_or_make(7, make).unwrap()))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert_eq!(made.load(Ordering::SeqCst), 1);
        assert!(values.iter().all(|value| Arc::ptr_eq(value, &values[0])));
        let weak = Arc::downgrade(&values[0]);
        drop(values);
        assert!(weak.upgrade().is_none());
        registry.get_or_make(7, make).unwrap();
        assert_eq!(made.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn failures_are_not_kept_and_dead_slots_go() {
        let registry = Registry::<u32, u32>::new();
        assert_eq!(registry.get_or_make(1, || Err("no")), Err("no"));
        let one = registry.get_or_make(1, || Ok::<_, &str>(10)).unwrap();
        assert_eq!(*registry.get_or_make(1, || Err("not asked")).unwrap(), 10);
        assert_eq!(*registry.get_or_make(2, || Ok::<_, &str>(20)).unwrap(), 20);
        drop(one);
        let three = registry.get_or_make(3, || Ok::<_, &str>(30)).unwrap();
        assert_eq!(*three, 30);
        assert_eq!(locked(&registry.slots).len(), 1);
    }
}
