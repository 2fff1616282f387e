//! Whether a document can be put in force.

use std::collections::BTreeSet;
use std::fmt;

use axum::http::{HeaderName, HeaderValue};
use jiff::SignedDuration;
use mdetr::engine::Fallback;
use mdetr::{EngineChoice, EngineKind};
use mdetr_grounding::Query;
use mdetr_rules::RuleSet;
use serde::Serialize;
use url::Url;
use utoipa::ToSchema;

use super::name::{MAX_NAME, is_name};
use super::{Camera, Document, Webhook};
use crate::sites::SiteTopics;

/// Most cameras.
const MAX_CAMERAS: usize = 256;

/// Something that is wrong with a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Where: `camera "gate", rule "night"`.
    pub place: String,
    /// What was expected and found, and the remedy.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

struct Faults(Vec<Fault>);

impl Faults {
    fn add(&mut self, place: impl Into<String>, message: impl fmt::Display) {
        self.0.push(Fault {
            place: place.into(),
            message: message.to_string(),
        });
    }
}

fn check_engine(faults: &mut Faults, document: &Document) {
    match document.engine.parse::<EngineChoice>() {
        Err(error) => {
            let message = format!("expected {}, found {:?}", error.expected, error.found);
            faults.add("engine", message);
        }
        Ok(choice) if choice.has(EngineKind::KServe) && document.kserve.is_none() => {
            faults.add(
                "kserve",
                "expected endpoints, as the engine is kserve, found nothing",
            );
        }
        Ok(_) => {}
    }
    let Some(kserve) = &document.kserve else {
        return;
    };
    if kserve.endpoints.is_empty() {
        faults.add("kserve.endpoints", "expected one or more, found none");
    }
    for endpoint in &kserve.endpoints {
        let url = Url::parse(endpoint).ok().filter(|url| {
            matches!(url.scheme(), "grpc" | "grpcs")
                && url.username().is_empty()
                && url.password().is_none()
        });
        if url.is_none_or(|url| !url.has_host()) {
            // What was given is not repeated: there may be a password in it.
            faults.add(
                "kserve.endpoints",
                "expected grpc://HOST:PORT or grpcs://HOST:PORT, found something else",
            );
        }
    }
    if !(1..=600_000).contains(&kserve.deadline_ms) {
        let found = kserve.deadline_ms;
        faults.add(
            "kserve.deadline_ms",
            format!("expected 1 to 600000, found {found}"),
        );
    }
    if let Err(error) = kserve.fallback.parse::<Fallback>() {
        let message = format!("expected {}, found {:?}", error.expected, error.found);
        faults.add("kserve.fallback", message);
    }
}

/// All that is wrong with a document, apart from files and hosts that cannot be reached: those are the matter of the
/// part that needs them.
pub fn check(document: &Document) -> Vec<Fault> {
    let mut faults = Faults(Vec::new());
    check_engine(&mut faults, document);
    if document.cameras.len() > MAX_CAMERAS {
        let found = document.cameras.len();
        faults.add(
            "camera",
            format!("at most {MAX_CAMERAS} cameras, found {found}"),
        );
    }
    unique(
        &mut faults,
        "camera",
        document.cameras.iter().map(|camera| camera.name.as_str()),
    );
    unique(
        &mut faults,
        "webhook",
        document.webhooks.iter().map(|webhook| webhook.id.as_str()),
    );
    for camera in &document.cameras {
        check_camera(&mut faults, camera);
    }
    check_http(&mut faults, document);
    check_store(&mut faults, document);
    check_past(&mut faults, document);
    check_receivers(&mut faults, document);
    check_fleet(&mut faults, document);
    check_hub(&mut faults, document);
    faults.0
}

fn unique<'a>(faults: &mut Faults, what: &str, names: impl Iterator<Item = &'a str>) {
    let mut seen = BTreeSet::new();
    for name in names {
        let place = format!("{what} {name:?}");
        if !is_name(name) {
            let rule = format!("expected a name of 1 to {MAX_NAME} letters, digits, - and _");
            faults.add(place, rule);
        } else if !seen.insert(name) {
            faults.add(
                place,
                "there are two of this name: give each a name of its own",
            );
        }
    }
}

fn check_camera(faults: &mut Faults, camera: &Camera) {
    let place = format!("camera {:?}", camera.name);
    check_source(faults, &place, &camera.url);
    if let Some(url) = &camera.record_url {
        match scheme(url) {
            Some("rtsp" | "rtsps") => {}
            _ => faults.add(
                format!("{place}, record_url"),
                "expected rtsp:// or rtsps://",
            ),
        }
    }
    if !(1..=240).contains(&camera.fps) {
        faults.add(
            format!("{place}, fps"),
            format!("expected 1 to 240, found {}", camera.fps),
        );
    }
    if !(1..=100).contains(&camera.page.quality) {
        let found = camera.page.quality;
        faults.add(
            format!("{place}, page.quality"),
            format!("expected 1 to 100, found {found}"),
        );
    }
    if !(64..=7680).contains(&camera.page.width) {
        let found = camera.page.width;
        faults.add(
            format!("{place}, page.width"),
            format!("expected 64 to 7680, found {found}"),
        );
    }
    for (name, found, most) in [
        ("before", camera.record.before, 120),
        ("after", camera.record.after, 600),
        ("longest", camera.record.longest, 3600),
    ] {
        if found.is_negative() || found.as_secs() > most {
            faults.add(
                format!("{place}, record.{name}"),
                format!("expected 0s to {most}s, found {found:#}"),
            );
        }
    }
    let mut ids = Vec::new();
    for entry in &camera.queries {
        if ids.contains(&entry.id.as_str()) {
            let place = format!("{place}, query {:?}", entry.id);
            faults.add(
                place,
                "there are two with this id: give each an id of its own",
            );
        }
        ids.push(entry.id.as_str());
        if let Err(error) = Query::from_entry(entry) {
            faults.add(format!("{place}, query {:?}", entry.id), error);
        }
    }
    for fault in camera.rule_set().check(&ids) {
        faults.add(format!("{place}, {}", fault.place), fault.message);
    }
}

fn scheme(url: &str) -> Option<&str> {
    url.split_once(':').map(|(scheme, _)| scheme)
}

fn check_source(faults: &mut Faults, place: &str, url: &str) {
    let known = ["rtsp", "rtsps", "http", "https", "file", "v4l2", "tabletop"];
    let place = format!("{place}, url");
    match Url::parse(url) {
        Ok(found) if known.contains(&found.scheme()) => {}
        Ok(found) => {
            let scheme = found.scheme();
            faults.add(
                place,
                format!(
                    "expected one of {}, found {scheme}",
                    known.join("://, ") + "://"
                ),
            );
        }
        Err(error) => faults.add(
            place,
            format!("{error}; expected a URL such as rtsp://camera/stream"),
        ),
    }
}

fn check_store(faults: &mut Faults, document: &Document) {
    let store = &document.store;
    let mut days = vec![("store.days".to_owned(), store.days)];
    for keep in &store.keeps {
        let place = format!("store.keep {:?}", keep.rule);
        days.push((format!("{place}, days"), keep.days));
        let known = |camera: &Camera| keep.camera.as_ref().is_none_or(|name| *name == camera.name);
        let mut cameras = document.cameras.iter().filter(|camera| known(camera));
        let named = |camera: &Camera| {
            keep.rule == "*" || camera.rules.iter().any(|rule| rule.id == keep.rule)
        };
        if !cameras.any(named) {
            faults.add(place, "no camera has such a rule");
        }
    }
    for (place, days) in days {
        if !(1..=36_500).contains(&days) {
            faults.add(place, format!("expected 1 to 36500, found {days}"));
        }
    }
}

fn check_past(faults: &mut Faults, document: &Document) {
    let Some(past) = &document.past else {
        return;
    };
    let (shortest, longest) = (
        SignedDuration::from_millis(100),
        SignedDuration::from_hours(1),
    );
    if !(shortest..=longest).contains(&past.every) {
        let found = past.every;
        faults.add(
            "past.every",
            format!("expected 100ms to 1h, found {found:#}"),
        );
    }
    if !(0.0..=1.0).contains(&past.change_threshold) {
        let found = past.change_threshold;
        faults.add(
            "past.change_threshold",
            format!("expected 0 to 1, found {found}"),
        );
    }
    if !(1..=36_500).contains(&past.days) {
        faults.add(
            "past.days",
            format!("expected 1 to 36500, found {}", past.days),
        );
    }
    if past.bytes < 256 << 20 {
        let found = past.bytes;
        faults.add(
            "past.bytes",
            format!("expected at least 268435456 (256 MiB), found {found}"),
        );
    }
}

fn check_http(faults: &mut Faults, document: &Document) {
    let http = &document.http;
    if !http.listen.ip().is_loopback() && http.tokens.is_empty() {
        let found = http.listen;
        let remedy = "it can be reached from other machines, so it needs a [[http.token]]: make one with `mdetr-monitor token NAME`";
        faults.add("http.listen", format!("{found}: {remedy}"));
    }
    for token in &http.tokens {
        let hash = &token.sha256;
        if hash.len() != 64 || !hash.chars().all(|c| c.is_ascii_hexdigit()) {
            let place = format!("http.token {:?}", token.name);
            faults.add(
                place,
                "sha256: expected 64 hexadecimal digits: make one with `mdetr-monitor token NAME`",
            );
        }
    }
    for origin in &http.origins {
        let sound =
            Url::parse(origin).is_ok_and(|url| url.origin().ascii_serialization() == *origin);
        if !sound {
            let message =
                format!("expected an origin such as https://home.example, found {origin:?}");
            faults.add("http.origins", message);
        }
    }
}

fn check_prefix(faults: &mut Faults, place: &str, prefix: &str) {
    if prefix.is_empty() || prefix.len() > 256 || prefix.contains(['+', '#', '\0', '$']) {
        let message = format!("expected a topic without + # and $, found {prefix:?}");
        faults.add(place, message);
    }
}

fn check_fleet(faults: &mut Faults, document: &Document) {
    let Some(fleet) = &document.fleet else {
        return;
    };
    if document.mqtt.is_none() {
        faults.add(
            "fleet",
            "it is reached by a broker: add [mqtt] with its url",
        );
    }
    let names = [
        ("fleet.device", Some(&fleet.device)),
        ("fleet.group", fleet.group.as_ref()),
    ];
    for (place, name) in names {
        if let Some(name) = name.filter(|name| !is_name(name)) {
            let rule = format!("expected 1 to {MAX_NAME} letters, digits, - and _, found {name:?}");
            faults.add(place, rule);
        }
    }
    check_prefix(faults, "fleet.topic_prefix", &fleet.topic_prefix);
}

fn check_hub(faults: &mut Faults, document: &Document) {
    let Some(hub) = &document.hub else {
        return;
    };
    if document.mqtt.is_none() {
        faults.add(
            "hub",
            "sites are heard by a broker: add [mqtt] with its url",
        );
    }
    if !document.cameras.is_empty() {
        let message = "a hub has no cameras of its own: run another mdetr-monitor for them";
        faults.add("camera", message);
    }
    if !document.webhooks.is_empty() || document.email.is_some() {
        let message = "a hub tells nobody: add them to the sites";
        faults.add("webhook, email", message);
    }
    if document.past.is_some() {
        faults.add(
            "past",
            "a hub sees nothing that it could keep: add it to the sites",
        );
    }
    let scheme = scheme(&hub.database);
    if !matches!(scheme, Some("postgres" | "postgresql")) || Url::parse(&hub.database).is_err() {
        faults.add("hub.database", "expected postgres://user@host/database");
    }
    if SiteTopics::new(&hub.sites).is_none() {
        let found = &hub.sites;
        let message = format!(
            "expected topics with one level + for the site, such as mdetr/+, found {found:?}"
        );
        faults.add("hub.sites", message);
    }
    if !is_name(&hub.share) {
        let found = &hub.share;
        let rule = format!("expected 1 to {MAX_NAME} letters, digits, - and _, found {found:?}");
        faults.add("hub.share", rule);
    }
}

fn check_receivers(faults: &mut Faults, document: &Document) {
    if let Some(broker) = &document.mqtt {
        if !matches!(scheme(&broker.url), Some("mqtt" | "mqtts"))
            || Url::parse(&broker.url).is_err()
        {
            faults.add("mqtt.url", "expected mqtt://host:1883 or mqtts://host:8883");
        }
        let sound =
            |id: &str| !id.is_empty() && id.len() <= MAX_NAME && !id.contains(char::is_control);
        if !sound(&broker.client_id) {
            let found = &broker.client_id;
            faults.add(
                "mqtt.client_id",
                format!("expected 1 to {MAX_NAME} characters, found {found:?}"),
            );
        }
        let mut prefixes = vec![("mqtt.topic_prefix", &broker.topic_prefix)];
        prefixes.extend(
            broker
                .home_assistant
                .as_ref()
                .map(|prefix| ("mqtt.home_assistant", prefix)),
        );
        prefixes.extend(
            broker
                .onvif
                .as_ref()
                .map(|onvif| ("mqtt.onvif.topic_prefix", &onvif.topic_prefix)),
        );
        for (place, prefix) in prefixes {
            check_prefix(faults, place, prefix);
        }
    }
    let rules: BTreeSet<&str> = document
        .cameras
        .iter()
        .flat_map(|camera| camera.rules.iter().map(|rule| rule.id.as_str()))
        .collect();
    let unknown = |faults: &mut Faults, place: &str, names: &[String]| {
        for name in names.iter().filter(|name| !rules.contains(name.as_str())) {
            faults.add(place, format!("no camera has a rule {name:?}"));
        }
    };
    for webhook in &document.webhooks {
        let place = format!("webhook {:?}", webhook.id);
        unknown(faults, &place, &webhook.rules);
        check_webhook(faults, &place, webhook);
    }
    if let Some(email) = &document.email {
        unknown(faults, "email", &email.rules);
        if email.to.is_empty() {
            faults.add("email.to", "nobody; add an address");
        }
        let addresses = email.to.iter().map(|to| ("email.to", to));
        for (place, address) in addresses.chain([("email.from", &email.from)]) {
            if let Err(error) = address.parse::<lettre::message::Mailbox>() {
                let message = format!("{address:?} is no address such as a@site.example: {error}");
                faults.add(place, message);
            }
        }
        if email.every.is_negative() || email.every.as_hours() > 24 {
            let found = email.every;
            faults.add(
                "email.every",
                format!("expected 0s to 24h, found {found:#}"),
            );
        }
        if !matches!(scheme(&email.smtp.url), Some("smtp" | "smtps")) {
            faults.add("email.smtp.url", "expected smtp://host or smtps://host");
        }
    }
}

fn check_webhook(faults: &mut Faults, place: &str, webhook: &Webhook) {
    if !matches!(scheme(&webhook.url), Some("http" | "https")) || Url::parse(&webhook.url).is_err()
    {
        faults.add(format!("{place}, url"), "expected http:// or https://");
    }
    if HeaderValue::from_str(&webhook.content_type).is_err() {
        let found = &webhook.content_type;
        let place = format!("{place}, content_type");
        faults.add(
            place,
            format!("expected such as application/json, found {found:?}"),
        );
    }
    for (name, value) in &webhook.headers {
        let place = format!("{place}, headers, {name:?}");
        if HeaderName::from_bytes(name.as_bytes()).is_err() {
            faults.add(place, "expected the name of a header, such as X-Site");
        } else if HeaderValue::from_str(value).is_err() {
            // Values may be secret.
            faults.add(place, "its value has characters that a header cannot have");
        }
    }
    if let Some(template) = &webhook.template
        && let Err(error) = minijinja::Environment::new().template_from_str(template)
    {
        faults.add(format!("{place}, template"), error);
    }
}

impl Camera {
    /// Its zones, lines and rules.
    pub fn rule_set(&self) -> RuleSet {
        RuleSet {
            zones: self.zones.clone(),
            lines: self.lines.clone(),
            rules: self.rules.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_toml;

    #[test]
    fn receivers_that_cannot_be_reached_are_faults() {
        let text = "data = \"x\"\n[mqtt]\nurl = \"http://broker\"\nclient_id = \"\"\ntopic_prefix = \"a/#\"\n\
                    [[webhook]]\nid = \"a\"\nurl = \"ftp://site\"\ncontent_type = \"a\\nb\"\ntemplate = \"{{ a\"\n\
                    rules = [\"r\"]\nheaders = { \"X Y\" = \"1\", X-Key = \"a\\u0000b\" }\n\
                    [email]\nfrom = \"nobody\"\nto = [\"a@site.example\", \"b\"]\nevery = \"25h\"\n\
                    [email.smtp]\nurl = \"http://mail\"\n";
        let faults = check(&parse_toml(text).unwrap());
        let places: Vec<&str> = faults.iter().map(|fault| fault.place.as_str()).collect();
        let expected = [
            "mqtt.url",
            "mqtt.client_id",
            "mqtt.topic_prefix",
            "webhook \"a\"",
            "webhook \"a\", url",
            "webhook \"a\", content_type",
            "webhook \"a\", headers, \"X Y\"",
            "webhook \"a\", headers, \"X-Key\"",
            "webhook \"a\", template",
            "email.to",
            "email.from",
            "email.every",
            "email.smtp.url",
        ];
        assert_eq!(places, expected, "{faults:?}");
    }

    #[test]
    fn servers_that_cannot_be_asked_are_faults() {
        let faults = |text: &str| {
            let faults = check(&parse_toml(&format!("data = \"x\"\n{text}")).unwrap());
            faults.iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        let kserve = "[kserve]\nendpoints = [\"grpc://gpu:8001\"]\n";
        let split = "engine = \"vision:tract,fusion:kserve\"\n";
        assert!(faults(&format!("{split}{kserve}")).is_empty());
        for (text, place) in [
            ("engine = \"cuda\"\n", "engine: expected auto, tensorrt"),
            (split, "kserve: expected endpoints"),
            ("[kserve]\nendpoints = []\n", "kserve.endpoints: "),
            (
                "[kserve]\nendpoints = [\"grpc://me:secret@gpu\"]\n",
                "kserve.endpoints: ",
            ),
            (
                "[kserve]\nendpoints = [\"gpu:8001\"]\n",
                "kserve.endpoints: ",
            ),
            (
                &format!("{kserve}deadline_ms = 0\n"),
                "kserve.deadline_ms: ",
            ),
            (
                &format!("{kserve}fallback = \"gpu\"\n"),
                "kserve.fallback: expected auto",
            ),
        ] {
            let found = faults(text);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].starts_with(place) && !found[0].contains("secret"),
                "{found:?}"
            );
        }
    }
}
