//! Changes the standing queries while the element plays.

use std::sync::{Arc, Mutex};

use crossbeam::channel::{self, Receiver, Sender};
use gst::glib;
use gst::prelude::*;
use mdetr::{Bundle, Grounder};

use super::messages;
use super::session::Session;
use super::settings::Settings;
use super::start::Start;

/// A thread that loads the model, encodes queries and swaps them in.
///
/// Of several changes that come while one is being encoded, only the last is done. The thread ends once the
/// session is shut down and this is dropped.
pub(super) struct Updater {
    changed: Sender<()>,
}

impl Updater {
    /// Loads the model and encodes the queries of `settings`; from then on follows `current`, the values of
    /// the properties.
    pub fn start(
        element: &gst::Element,
        session: Arc<Session>,
        bundle: Bundle,
        settings: Settings,
        current: Arc<Mutex<Settings>>,
    ) -> std::io::Result<Updater> {
        // One signal is enough for any number of changes: what is read after it has them all.
        let (changed, changes) = channel::bounded(1);
        let start = Start::begin(element, session.clone(), &bundle);
        let element = element.downgrade();
        let threads = session.clone();
        threads.threads.spawn("mdetr-queries".into(), move || {
            if let Some(grounder) = start.run(bundle, &settings, &current) {
                let version = settings.queries_version;
                update(&changes, &current, version, &grounder, &session, &element);
            }
        })?;
        Ok(Updater { changed })
    }

    /// Says that the queries in the settings may be others now.
    pub fn notify(&self) {
        // A full channel has a signal that was not taken yet.
        let _ = self.changed.try_send(());
    }
}

/// Applies the queries of `current` after each change, until the session is shut down. `applied` is the version
/// of those that stand.
fn update(
    changes: &Receiver<()>,
    current: &Mutex<Settings>,
    mut applied: u64,
    grounder: &Grounder,
    session: &Session,
    element: &glib::WeakRef<gst::Element>,
) {
    for () in changes {
        let settings = current.lock().expect("never poisoned").clone();
        if session.stopping() {
            return;
        }
        if settings.queries_version == applied {
            continue;
        }
        applied = settings.queries_version;
        let preparation = session.prepare();
        let result = settings.apply_queries(grounder);
        drop(preparation);
        let Some(element) = element.upgrade() else {
            return;
        };
        if session.stopping() {
            return;
        }
        match result {
            Ok(_) => messages::post_queries(&element, grounder),
            Err(error) => messages::warn_queries(&element, &error),
        }
    }
}
