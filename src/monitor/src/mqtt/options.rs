//! From the configuration of a broker to a connection: address, user, certificates.

use std::sync::Arc;

use url::Url;

use super::link::{MAX_INCOMING, Options};
use super::topics::{Topics, decoded};
use crate::config::Broker;
use crate::tls;

/// Reads what connecting needs; secrets and certificates each time anew, since they change.
///
/// # Errors
/// In words: what cannot be read.
pub fn options(broker: &Broker) -> Result<Options, String> {
    let url = Url::parse(&broker.url).map_err(|error| format!("mqtt.url: {error}"))?;
    let host = url.host_str().filter(|host| !host.is_empty());
    let host = host.ok_or("mqtt.url: expected mqtt://host:1883 or mqtts://host:8883")?;
    let encrypted = url.scheme() == "mqtts";
    let word = |text: &str, what: &str| {
        decoded(text)
            .ok_or_else(|| format!("mqtt.url: the {what} is not UTF-8 in percent-encoding"))
    };
    let name = match &broker.username {
        Some(name) => name.clone(),
        None => word(url.username(), "user")?,
    };
    let password = match (&broker.password, url.password()) {
        (Some(secret), _) => secret
            .read()
            .map_err(|error| format!("mqtt.password: {error}"))?,
        (None, Some(password)) => word(password, "password")?,
        (None, None) => String::new(),
    };
    Ok(Options {
        host: host.to_owned(),
        port: url.port().unwrap_or(if encrypted { 8883 } else { 1883 }),
        tls: encrypted
            .then(|| tls::client(broker.ca.as_deref()))
            .transpose()
            .map_err(|error| format!("mqtt.ca: {error}"))?
            .map(Arc::new),
        client_id: broker.client_id.clone(),
        user: (!name.is_empty()).then_some((name, password)),
        will: Some(Topics::new(&broker.topic_prefix).own("available")),
        max_incoming: MAX_INCOMING,
    })
}
