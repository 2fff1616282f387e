//! What the node says, in GStreamer's log; warnings as messages of the element, too.

use std::fmt::{self, Write};

use gst::glib;
use gst::prelude::*;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Dispatch, Event, Level, Metadata, Subscriber};

/// Takes what the node of `element` says.
pub(crate) fn of(element: &gst::Element, category: gst::DebugCategory) -> Dispatch {
    Dispatch::new(Log {
        element: element.downgrade(),
        category,
    })
}

struct Log {
    element: glib::WeakRef<gst::Element>,
    category: gst::DebugCategory,
}

impl Subscriber for Log {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        // What libraries say with `tracing` is theirs.
        metadata.is_event() && metadata.target().starts_with("mdetr")
    }

    fn event(&self, event: &Event<'_>) {
        let Some(element) = self.element.upgrade() else {
            return;
        };
        let mut text = Text::default();
        event.record(&mut text);
        let (category, text) = (self.category, text.0);
        match *event.metadata().level() {
            Level::ERROR | Level::WARN => {
                gst::element_warning!(element, gst::ResourceError::Failed, ("{text}"));
            }
            Level::INFO => gst::info!(category, obj = element, "{text}"),
            _ => gst::debug!(category, obj = element, "{text}"),
        }
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
