//! The task of the source pad in mode every-frame: pushes frames and events in their order.

use std::sync::Arc;

use gst::glib;
use gst::prelude::*;
use mdetr_gst::analytics::Writer;
use mdetr_gst::regions;

use super::messages;
use super::session::{Item, OutputFrame, Session};

/// What the task of the source pad works on.
pub(super) struct Source {
    element: glib::WeakRef<gst::Element>,
    pad: glib::WeakRef<gst::Pad>,
    session: Arc<Session>,
}

impl Source {
    pub fn new(element: &gst::Element, pad: &gst::Pad, session: Arc<Session>) -> Source {
        Source {
            element: element.downgrade(),
            pad: pad.downgrade(),
            session,
        }
    }

    /// Waits for the next frame or event and pushes it; pauses the task once the session is shut down.
    pub fn push_next(&self) {
        let (Some(element), Some(pad)) = (self.element.upgrade(), self.pad.upgrade()) else {
            return;
        };
        let Some((item, epoch)) = self.session.next() else {
            // The pad is being deactivated: the task ends, or did.
            let _ = pad.pause_task();
            return;
        };
        let ended = EndOfPush {
            session: &self.session,
            epoch,
            flow: Err(gst::FlowError::Error),
        };
        match item {
            Item::Event(event) => {
                self.push_event(&element, &pad, event);
                ended.with(Ok(()));
            }
            Item::Frame(frame) => ended.with(self.push_frame(&element, &pad, frame)),
        }
    }

    fn push_event(&self, element: &gst::Element, pad: &gst::Pad, event: gst::Event) {
        match event.view() {
            gst::EventView::Caps(_) => self.session.forget_newest(),
            // What follows is new to a downstream that had enough.
            gst::EventView::StreamStart(_) | gst::EventView::Segment(_) => {
                self.session.clear_flow(gst::FlowError::Eos);
            }
            gst::EventView::Eos(_) => {
                self.report_flow(element);
                messages::post_structure(element, self.session.stats());
            }
            _ => (),
        }
        pad.push_event(event);
    }

    /// After EOS no frame comes that could return a failure to upstream: it is posted here.
    fn report_flow(&self, element: &gst::Element) {
        let Err(error) = self.session.flow() else {
            return;
        };
        if !matches!(error, gst::FlowError::Eos | gst::FlowError::Flushing) {
            gst::element_error!(
                element,
                gst::StreamError::Failed,
                ("frames could not be pushed downstream: {error}")
            );
        }
    }

    fn push_frame(
        &self,
        element: &gst::Element,
        pad: &gst::Pad,
        frame: OutputFrame,
    ) -> Result<(), gst::FlowError> {
        let found = self.session.result_of(&frame);
        // Frames behind a refused one are dropped, as upstream is told with its next frame.
        self.session.flow()?;
        let found = found.map_err(|failure| messages::post_failure(element, &failure))?;
        let OutputFrame {
            mut buffer, info, ..
        } = frame;
        if let Some(found) = found {
            let writer = self.session.analytics.map(Writer::new);
            let (width, height) = (info.width(), info.height());
            regions::attach(buffer.make_mut(), found, width, height, writer);
        }
        if self.session.latency_changed() {
            messages::post_latency(element);
        }
        pad.push(buffer).map(|_| ())
    }
}

/// Ends a push when dropped, also if it panicked.
struct EndOfPush<'a> {
    session: &'a Session,
    epoch: u64,
    flow: Result<(), gst::FlowError>,
}

impl EndOfPush<'_> {
    fn with(mut self, flow: Result<(), gst::FlowError>) {
        self.flow = flow;
    }
}

impl Drop for EndOfPush<'_> {
    fn drop(&mut self) {
        self.session.pushed(self.epoch, self.flow);
    }
}
