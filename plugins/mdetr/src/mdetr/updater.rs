//! Changes the standing queries while the element plays.

use std::sync::{Arc, Condvar, Mutex};

use gst::prelude::*;
use mdetr::{Bundle, Grounder};

use super::Mdetr;
use super::session::{Session, guarded};
use super::settings::Settings;
use super::start::Start;

/// A thread that loads the model, encodes queries and swaps them in.
///
/// Of several changes that come while one is being encoded, only the last is done.
pub(super) struct Updater {
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    wanted: Option<Settings>,
    stopping: bool,
}

/// Encodes the queries of `settings` and makes them the standing ones; gives the revision.
pub(super) fn apply(grounder: &Grounder, settings: &Settings) -> Result<u64, String> {
    let standing = settings.standing().map_err(|error| error.to_string())?;
    let packing = settings.pack_queries.into();
    grounder.change_settings(|settings| settings.packing = packing);
    guarded(|| grounder.set_queries(standing))
}

/// The element message `mdetr-queries`: revision and ids of the standing queries.
pub(super) fn post_queries(element: &Mdetr, grounder: &Grounder) {
    let standing = grounder.queries();
    let ids = gst::Array::new(standing.queries().iter().map(|query| query.id()));
    let structure = gst::Structure::builder("mdetr-queries")
        .field("revision", standing.revision())
        .field("ids", ids)
        .build();
    let message = gst::message::Element::builder(structure)
        .src(element)
        .build();
    // Without a bus nobody wants to know.
    let _ = element.post_message(message);
}

impl Updater {
    pub fn start(
        element: &Mdetr,
        session: Arc<Session>,
        bundle: Bundle,
        settings: Settings,
    ) -> std::io::Result<Updater> {
        let shared = Arc::new(Shared::default());
        let updater = Updater {
            shared: shared.clone(),
        };
        let start = Start::begin(element, session.clone(), &bundle);
        let element = element.downgrade();
        let threads = session.clone();
        threads.threads.spawn("mdetr-queries".into(), {
            move || {
                let Some(grounder) = start.run(bundle, &settings) else {
                    return;
                };
                while let Some(settings) = shared.next() {
                    let preparation = session.prepare();
                    let applied = apply(&grounder, &settings);
                    drop(preparation);
                    if session.stopping() {
                        return;
                    }
                    let Some(element) = element.upgrade() else {
                        return;
                    };
                    match applied {
                        Ok(_) => post_queries(&element, &grounder),
                        Err(error) => gst::element_warning!(
                            element,
                            gst::LibraryError::Settings,
                            ("{error}. The queries of before stay")
                        ),
                    }
                }
            }
        })?;
        Ok(updater)
    }

    /// Asks for the queries of `settings`.
    pub fn request(&self, settings: Settings) {
        self.shared.state.lock().expect("never poisoned").wanted = Some(settings);
        self.shared.changed.notify_one();
    }

    /// Drops a change that has not begun.
    pub fn stop(self) {
        self.shared.state.lock().expect("never poisoned").stopping = true;
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn next(&self) -> Option<Settings> {
        let mut state = self.state.lock().expect("never poisoned");
        loop {
            if state.stopping {
                return None;
            }
            if let Some(settings) = state.wanted.take() {
                return Some(settings);
            }
            state = self.changed.wait(state).expect("never poisoned");
        }
    }
}
