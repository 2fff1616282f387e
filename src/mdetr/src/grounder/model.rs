//! What grounders of the same bundle share: the engine, the loaded graphs, their plans.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::network::Network;
use super::plans::locked;
use crate::bundle::{Bundle, Manifest};
use crate::engine::{self, Engine, EngineKind};
use crate::error::Error;
use crate::ground::answers::Answering;
use crate::text::TextTokenizer;

/// A loaded bundle.
#[derive(Debug)]
pub(super) struct Model {
    pub bundle: Bundle,
    pub engine: Box<dyn Engine>,
    pub network: Network,
    pub tokenizer: TextTokenizer,
    pub answering: Option<Answering>,
}

/// What a model is known by. The manifest has the hashes of all files.
#[derive(Debug, Clone, PartialEq)]
struct Key {
    engine: EngineKind,
    manifest: Manifest,
}

/// A model that is in use, or being loaded by who holds the lock.
type Slot = Arc<Mutex<Weak<Model>>>;

static MODELS: Mutex<Vec<(Key, Slot)>> = Mutex::new(Vec::new());

impl Model {
    /// The model of `bundle` that is in use in this process, else a new one. Who asks while another
    /// loads it waits; a failure is not kept. The last user frees the model.
    pub fn shared(bundle: Bundle, engine: EngineKind) -> Result<Arc<Model>, Error> {
        let key = Key {
            engine,
            manifest: bundle.manifest().clone(),
        };
        let slot = slot(key);
        let mut model = slot.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(model) = model.upgrade() {
            return Ok(model);
        }
        let loaded = Arc::new(Model::load(bundle, engine)?);
        *model = Arc::downgrade(&loaded);
        Ok(loaded)
    }

    fn load(bundle: Bundle, engine: EngineKind) -> Result<Model, Error> {
        let engine = engine::open(engine)?;
        Ok(Model {
            network: Network::load(&bundle, engine.as_ref())?,
            tokenizer: TextTokenizer::of(&bundle)?,
            answering: bundle.answering()?,
            engine,
            bundle,
        })
    }
}

/// The slot for `key`; those nobody uses any more go.
fn slot(key: Key) -> Slot {
    let mut models = locked(&MODELS);
    models.retain(|(_, slot)| {
        // Whoever loads or has found it holds a reference to the slot or to the model.
        Arc::strong_count(slot) > 1 || locked(slot).strong_count() > 0
    });
    if let Some((_, slot)) = models.iter().find(|(known, _)| *known == key) {
        return slot.clone();
    }
    let slot = Slot::default();
    models.push((key, slot.clone()));
    slot
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn bundle() -> Bundle {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR"));
        Bundle::open(dir.join("tests/data/official/clevr")).unwrap()
    }

    #[test]
    fn one_model_serves_all_and_the_last_frees_it() {
        let load = || Model::shared(bundle(), EngineKind::Tract).unwrap();
        let models: Vec<Arc<Model>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(load)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(models.iter().all(|model| Arc::ptr_eq(model, &models[0])));
        let mut key = Key {
            engine: EngineKind::Tract,
            manifest: bundle().manifest().clone(),
        };
        let known = |key: Key| locked(&slot(key)).strong_count();
        assert_eq!(known(key.clone()), 8);
        key.manifest.thresholds.score += 0.125;
        assert_eq!(known(key), 0, "another manifest is another model");
        let weak = Arc::downgrade(&models[0]);
        drop(models);
        assert_eq!(weak.strong_count(), 0);
        let again = load();
        assert_eq!(Arc::strong_count(&again), 1);
    }
}
