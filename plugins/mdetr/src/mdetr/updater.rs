//! Changes the standing queries while the element plays.

use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};

use gst::glib;
use gst::prelude::*;
use mdetr::Grounder;

use super::Mdetr;
use super::session::guarded;
use super::settings::Settings;

/// A thread that encodes new queries and swaps them in.
///
/// Of several changes that come while one is being encoded, only the last is done.
pub(super) struct Updater {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
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
    grounder.set_packing(settings.pack_queries.into());
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
        element: glib::WeakRef<Mdetr>,
        grounder: Arc<Grounder>,
    ) -> std::io::Result<Updater> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("mdetr-queries".into()).spawn({
            let shared = shared.clone();
            move || {
                while let Some(settings) = shared.next() {
                    let applied = apply(&grounder, &settings);
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
        Ok(Updater { shared, thread })
    }

    /// Asks for the queries of `settings`.
    pub fn request(&self, settings: Settings) {
        self.shared.state.lock().expect("never poisoned").wanted = Some(settings);
        self.shared.changed.notify_one();
    }

    /// Waits for the change in progress, if any; drops one that has not begun.
    pub fn stop(self) {
        self.shared.state.lock().expect("never poisoned").stopping = true;
        self.shared.changed.notify_one();
        if self.thread.thread().id() != thread::current().id() {
            // The thread has no panic to report that the library did not turn into an error.
            let _ = self.thread.join();
        }
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
