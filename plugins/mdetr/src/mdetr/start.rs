//! From READY to the first frame: the model is loaded and the first queries are encoded, in the background.

use std::sync::Arc;

use gst::glib;
use gst::prelude::*;
use gst::subclass::prelude::*;
use mdetr::{Bundle, Grounder};

use super::imp::CAT;
use super::session::{Session, guarded};
use super::settings::Settings;
use super::updater::{apply, post_queries};
use super::{Mdetr, Mode, plans};

/// Code of the progress messages.
pub(super) const PROGRESS: &str = "mdetr-start";

/// A start, which ends with one message of progress whatever happens.
pub(super) struct Start {
    element: glib::WeakRef<Mdetr>,
    session: Arc<Session>,
    ended: bool,
}

impl Start {
    /// Must be called before the state change returns: who waits for progress then waits for this.
    pub fn begin(element: &Mdetr, session: Arc<Session>, bundle: &Bundle) -> Start {
        let start = Start {
            element: element.downgrade(),
            session,
            ended: false,
        };
        let model = bundle.dir().display();
        start.tell(gst::ProgressType::Start, &format!("loading {model}"));
        start
    }

    /// Loads the model and encodes the queries. Frames wait for it in mode every-frame, and pass without
    /// detections in mode live.
    ///
    /// What goes wrong is told as an error. Gives the model, unless the element stopped meanwhile.
    pub fn run(mut self, bundle: Bundle, settings: &Settings) -> Option<Arc<Grounder>> {
        let options = settings.grounder_options();
        let grounder = match guarded(|| Grounder::from_bundle(bundle, options)) {
            Ok(grounder) => Arc::new(grounder),
            Err(error) => {
                return self.fail(gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")));
            }
        };
        {
            let element = self.element.upgrade()?;
            let posts_progress = self.session.mode == Mode::EveryFrame;
            plans::watch(&grounder, &element, posts_progress, self.session.given_up());
            if let Err(error) = self.session.load(grounder.clone(), settings) {
                let error =
                    gst::error_msg!(gst::CoreError::Thread, ("cannot start a thread: {error}"));
                return self.fail(error);
            }
            let engine = grounder.engine();
            gst::info!(
                CAT,
                obj = &element,
                "engine {} {}: {}",
                engine.name,
                engine.version,
                engine.reason
            );
            element.imp().update_limits();
        }
        if settings.has_queries() {
            self.tell(gst::ProgressType::Continue, "encoding the queries");
            if let Err(error) = apply(&grounder, settings) {
                return self.fail(gst::error_msg!(gst::LibraryError::Settings, ("{error}")));
            }
        }
        if self.session.stopping() {
            return None;
        }
        if !grounder.queries().queries().is_empty() {
            post_queries(&self.element.upgrade()?, &grounder);
        }
        self.session.ready();
        self.end(
            gst::ProgressType::Complete,
            "frames are answered from now on",
        );
        Some(grounder)
    }

    fn fail(&mut self, error: gst::ErrorMessage) -> Option<Arc<Grounder>> {
        if self.session.stopping() {
            return None;
        }
        self.end(gst::ProgressType::Error, "frames cannot be answered");
        if let Some(element) = self.element.upgrade() {
            element.imp().post_error_message(error);
        }
        self.session.fail();
        None
    }

    fn end(&mut self, kind: gst::ProgressType, text: &str) {
        self.ended = true;
        self.tell(kind, text);
    }

    /// In mode live nothing waits, so that there is nothing to tell.
    fn tell(&self, kind: gst::ProgressType, text: &str) {
        if self.session.mode == Mode::EveryFrame
            && let Some(element) = self.element.upgrade()
        {
            post_progress(&element, kind, text);
        }
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if !self.ended {
            self.tell(gst::ProgressType::Canceled, "the element stops");
        }
    }
}

pub(super) fn post_progress(element: &Mdetr, kind: gst::ProgressType, text: &str) {
    let message = gst::message::Progress::builder(kind, PROGRESS, text).src(element);
    // Without a bus nobody wants to know.
    let _ = element.post_message(message.build());
}
