//! New standing queries that an element downstream asks for with an event.

/// Name of the upstream event: a structure with a field `queries`.
const SET_QUERIES_EVENT: &str = "mdetr-set-queries";

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
