//! New standing queries from the application or from downstream: the action signal `set-queries` and
//! the custom upstream event `mdetr-set-queries`, both with a structure.

use std::sync::LazyLock;

use gst::glib::subclass::Signal;
use gst::prelude::*;
use gst::subclass::prelude::*;

use super::imp;
use super::settings::{Settings, SettingsError};

/// Name of the event's structure.
pub(super) const EVENT: &str = "mdetr-set-queries";
/// Name of the signal.
const SIGNAL: &str = "set-queries";

pub(super) static SIGNALS: LazyLock<Vec<Signal>> = LazyLock::new(|| {
    let signal = Signal::builder(SIGNAL)
        .param_types([gst::Structure::static_type()])
        .return_type::<bool>()
        .action()
        .class_handler(|values| {
            let element = values[0].get::<super::Mdetr>().expect("emitted by one");
            let request = values[1].get::<Option<gst::Structure>>();
            let request = request.expect("GObject checks the type");
            let taken = request.is_some_and(|request| element.imp().request_queries(&request));
            Some(taken.to_value())
        });
    vec![signal.build()]
});

impl Settings {
    /// Takes over the queries of a request in place of all others: `query`, a sentence, and
    /// `queries`, as the property. Unchanged if it cannot be used.
    pub fn take_request(&mut self, request: &gst::StructureRef) -> Result<(), SettingsError> {
        let mut wanted = Settings::default();
        for (field, value) in request.iter() {
            let known = match field.as_str() {
                "query" => value.get().map(|query| wanted.query = query).is_ok(),
                "queries" => value.get().map(|array| wanted.queries = array).is_ok(),
                _ => false,
            };
            if !known {
                let field = field.to_string();
                return Err(SettingsError::RequestField { field });
            }
        }
        if request.n_fields() == 0 {
            return Err(SettingsError::RequestEmpty);
        }
        wanted.standing()?;
        self.query = wanted.query;
        self.queries = wanted.queries;
        self.config = None;
        self.queries_version += 1;
        Ok(())
    }
}

impl imp::Mdetr {
    /// Takes a request over, as if the properties had been set; whether it could be used. If not, a
    /// warning says why, and everything stays.
    pub(super) fn request_queries(&self, request: &gst::StructureRef) -> bool {
        let taken = self.change_settings(|settings| settings.take_request(request));
        match taken {
            Ok(()) => {
                for property in ["query", "queries", "config"] {
                    self.obj().notify(property);
                }
                self.update_queries();
                true
            }
            Err(error) => {
                gst::element_imp_warning!(
                    self,
                    gst::LibraryError::Settings,
                    ("{EVENT}: {error}. The queries of before stay")
                );
                false
            }
        }
    }

    /// Whether the event is a request for queries; takes it over if so.
    pub(super) fn is_request(&self, event: &gst::EventRef) -> bool {
        let structure = event.structure().filter(|s| s.name() == EVENT);
        let asks = structure.filter(|_| event.type_() == gst::EventType::CustomUpstream);
        if let Some(request) = asks {
            self.request_queries(request);
        }
        asks.is_some()
    }
}
