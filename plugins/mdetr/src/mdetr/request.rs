//! New standing queries from the application or from downstream: an action signal and an event.

use std::sync::LazyLock;

use gst::glib::subclass::Signal;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp::Mdetr;

/// The action signal that changes the queries.
const SET_QUERIES: &str = "set-queries";
/// The upstream event that does: a structure of this name with a field `queries`.
const SET_QUERIES_EVENT: &str = "mdetr-set-queries";

pub(super) static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
    vec![
        Signal::builder(SET_QUERIES)
            .param_types([gst::Array::static_type()])
            .return_type::<bool>()
            .action()
            .class_handler(|args| {
                let element: super::Mdetr = args[0].get().expect("the element");
                let queries = args[1].get().expect("GObject checks the type");
                Some(element.imp().set_queries(Ok(queries)).to_value())
            })
            .build(),
    ]
});

impl Mdetr {
    /// Makes these the only queries, encoded in the background; whether they can be read.
    pub(super) fn set_queries(&self, queries: Result<gst::Array, String>) -> bool {
        let set = queries.and_then(|queries| {
            let mut settings = self.settings.lock().expect("never poisoned");
            settings
                .set_queries(queries)
                .map_err(|error| error.to_string())
        });
        if let Err(error) = set {
            gst::element_imp_warning!(
                self,
                gst::LibraryError::Settings,
                ("{error}. The queries of before stay")
            );
            return false;
        }
        for property in ["query", "queries", "config"] {
            self.obj().notify(property);
        }
        self.update_queries();
        true
    }
}

/// The queries of an event that asks for some, or what is wrong with them.
pub(super) fn queries_of(event: &gst::Event) -> Option<Result<gst::Array, String>> {
    let gst::EventView::CustomUpstream(custom) = event.view() else {
        return None;
    };
    let structure = custom.structure()?;
    if structure.name() != SET_QUERIES_EVENT {
        return None;
    }
    if let Ok(queries) = structure.get::<gst::Array>("queries") {
        return Some(Ok(queries));
    }
    let found = structure.value("queries").map(|value| value.type_().name());
    let found = found.unwrap_or("nothing");
    Some(Err(format!(
        "event {SET_QUERIES_EVENT}: field \"queries\" is {found}; expected an array of strings or structures as in the property queries"
    )))
}
