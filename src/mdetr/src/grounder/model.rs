//! What grounders of the same bundle can share: graphs, plans, tokenizer and encoded texts.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, Weak};

use super::network::Network;
use super::{Bundle, GrounderOptions};
use crate::bundle::Manifest;
use crate::engine::{self, Engine};
use crate::error::Error;
use crate::frame::Normalisation;
use crate::ground::answers::Answering;
use crate::sync::locked;
use crate::text::TextEncoder;

/// A loaded bundle.
#[derive(Debug)]
pub(super) struct Model {
    pub bundle: Bundle,
    pub engine: Box<dyn Engine>,
    pub normalisation: Normalisation,
    pub text: TextEncoder,
    pub network: Network,
    pub answering: Option<Answering>,
}

impl Model {
    pub(super) fn load(bundle: Bundle, options: &GrounderOptions) -> Result<Model, Error> {
        let engine = engine::open(options.engine, &options.tensorrt)?;
        let text = TextEncoder::new(
            bundle.clone(),
            options.text_cache_entries,
            options.text_cache_dir.as_deref(),
            options.text_cache_bytes,
        )?;
        let input = &bundle.manifest().input;
        Ok(Model {
            normalisation: Normalisation::new(input.mean, input.std),
            text,
            network: Network::load(&bundle, engine.as_ref())?,
            answering: bundle.answering()?,
            engine,
            bundle,
        })
    }

    /// The model of this bundle and these options that is loaded already, else a new one.
    pub(super) fn shared(bundle: Bundle, options: &GrounderOptions) -> Result<Arc<Model>, Error> {
        static MODELS: Registry<Key, Model> = Registry::new();
        let key = Key::new(&bundle, options);
        MODELS.get_or_make(key, || Model::load(bundle, options))
    }
}

/// What a model depends on.
#[derive(Debug, PartialEq)]
struct Key {
    dir: PathBuf,
    /// With the hashes of all files.
    manifest: Manifest,
    options: GrounderOptions,
}

impl Key {
    fn new(bundle: &Bundle, options: &GrounderOptions) -> Key {
        let by_grounder = GrounderOptions::default();
        Key {
            dir: bundle
                .dir()
                .canonicalize()
                .unwrap_or_else(|_| bundle.dir().to_owned()),
            manifest: bundle.manifest().clone(),
            options: GrounderOptions {
                score_threshold: by_grounder.score_threshold,
                phrase_threshold: by_grounder.phrase_threshold,
                max_detections: by_grounder.max_detections,
                short_side: by_grounder.short_side,
                masks: by_grounder.masks,
                packing: by_grounder.packing,
                ..options.clone()
            },
        }
    }
}

/// Values that live as long as somebody uses them. Those who ask for one that is being made wait.
///
/// Lock order: a slot's lock before `slots`; the latter is held for no more than a look.
struct Registry<K, V> {
    slots: Mutex<Vec<(K, Slot<V>)>>,
}

type Slot<V> = Arc<Mutex<Weak<V>>>;

impl<K: PartialEq, V> Registry<K, V> {
    const fn new() -> Registry<K, V> {
        Registry {
            slots: Mutex::new(Vec::new()),
        }
    }

    /// The value of `key`; after a failure the next call tries again.
    fn get_or_make<E>(&self, key: K, make: impl FnOnce() -> Result<V, E>) -> Result<Arc<V>, E> {
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
