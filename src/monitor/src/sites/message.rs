//! Messages that tell of events, as sites send them.

use mdetr_rules::Event;
use serde::Deserialize;
use serde_json::Value;

/// Most bytes of such a message.
const MAX_BYTES: usize = 1 << 20;

#[derive(Deserialize)]
struct Change {
    after: Event,
}

/// The step of which a message tells, wrapped in CloudEvents or not.
///
/// # Errors
/// In words: what was expected and found.
pub fn event_of(payload: &[u8]) -> Result<Event, String> {
    if payload.len() > MAX_BYTES {
        let found = payload.len();
        return Err(format!("expected at most {MAX_BYTES} bytes, found {found}"));
    }
    let mut json: Value = serde_json::from_slice(payload).map_err(|error| error.to_string())?;
    let change = match json.get_mut("specversion") {
        Some(_) => json.get_mut("data").map(Value::take).unwrap_or_default(),
        None => json,
    };
    let change: Change = serde_path_to_error::deserialize(change)
        .map_err(|error| format!("{}: {}", error.path(), error.inner()))?;
    Ok(change.after)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::example::begun;

    fn event() -> Event {
        begun("1.000-gate-r-1", "2026-01-05T10:15:03Z".parse().unwrap())
    }

    #[test]
    fn both_forms_are_read() {
        let change = json!({ "type": "new", "before": null, "after": event() });
        let wrapped = json!({ "specversion": "1.0", "data": change });
        for message in [change.to_string(), wrapped.to_string()] {
            assert_eq!(event_of(message.as_bytes()).unwrap(), event());
        }
        for (message, expected) in [
            ("", "EOF"),
            ("{}", "after"),
            ("{\"specversion\":\"1.0\"}", "null"),
            ("{\"after\":{\"kind\":\"old\"}}", "after.kind"),
        ] {
            let error = event_of(message.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    proptest! {
        #[test]
        fn spoilt_messages_are_refused_or_taken(at: usize, byte: u8) {
            let message = json!({ "type": "new", "before": null, "after": event() });
            let mut message = message.to_string().into_bytes();
            let at = at % message.len();
            message[at] = byte;
            let _ = event_of(&message);
        }
    }
}
