//! From READY to the first frame: the model is loaded and the first queries are encoded, in the background.

use std::sync::{Arc, Mutex};

use gst::glib;
use gst::prelude::*;
use mdetr::{Bundle, Grounder};

use super::catch_panic::catch_panic;
use super::enums::Mode;
use super::messages::{self, CAT};
use super::plans;
use super::session::Session;
use super::settings::Settings;

/// A start, which ends with one message of progress whatever happens.
pub(super) struct Start {
    element: glib::WeakRef<gst::Element>,
    session: Arc<Session>,
    ended: bool,
}

impl Start {
    /// Must be called before the state change returns: who waits for progress then waits for this.
    pub fn begin(element: &gst::Element, session: Arc<Session>, bundle: &Bundle) -> Start {
        let start = Start {
            element: element.downgrade(),
            session,
            ended: false,
        };
        let model = bundle.dir().display();
        start.post_progress(gst::ProgressType::Start, &format!("loading {model}"));
        start
    }

    /// Loads the model and encodes the queries of `settings`. Frames wait for it in mode every-frame, and
    /// pass without detections in mode live. `current` has the values that properties have by then.
    ///
    /// What goes wrong is posted as an error. Gives the model, unless the element stopped meanwhile.
    pub fn run(
        mut self,
        bundle: Bundle,
        settings: &Settings,
        current: &Mutex<Settings>,
    ) -> Option<Arc<Grounder>> {
        let options = match settings.grounder_options() {
            Ok(options) => options,
            Err(error) => {
                return self.fail(gst::error_msg!(gst::LibraryError::Settings, ("{error}")));
            }
        };
        let grounder = match catch_panic(|| Grounder::from_bundle(bundle, options)) {
            Ok(grounder) => Arc::new(grounder),
            Err(error) => {
                return self.fail(gst::error_msg!(gst::ResourceError::OpenRead, ("{error}")));
            }
        };
        {
            let element = self.element.upgrade()?;
            let posts_progress = self.session.mode == Mode::EveryFrame;
            plans::watch(
                &grounder,
                &element,
                posts_progress,
                self.session.cancelled(),
            );
            if let Err(error) = self.session.load(grounder.clone(), settings, &self.element) {
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
        }
        let limits = current.lock().expect("never poisoned").clone();
        self.session.set_limits(&limits);
        if settings.has_queries() {
            self.post_progress(gst::ProgressType::Continue, "encoding the queries");
            if let Err(error) = settings.apply_queries(&grounder) {
                return self.fail(gst::error_msg!(gst::LibraryError::Settings, ("{error}")));
            }
        }
        if self.session.stopping() {
            return None;
        }
        if !grounder.queries().queries().is_empty() {
            messages::post_queries(&self.element.upgrade()?, &grounder);
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
            element.post_error_message(error);
        }
        self.session.fail();
        None
    }

    fn end(&mut self, kind: gst::ProgressType, text: &str) {
        self.ended = true;
        self.post_progress(kind, text);
    }

    /// In mode live no frame waits for the start, and no progress is posted.
    fn post_progress(&self, kind: gst::ProgressType, text: &str) {
        if self.session.mode == Mode::EveryFrame
            && let Some(element) = self.element.upgrade()
        {
            messages::post_progress(&element, kind, text);
        }
    }
}

impl Drop for Start {
    fn drop(&mut self) {
        if !self.ended {
            self.post_progress(gst::ProgressType::Canceled, "the element stops");
        }
    }
}
