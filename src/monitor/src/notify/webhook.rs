//! Steps of events, posted to an address.

use std::fmt::Write as _;
use std::time::Duration;

use hmac::{Hmac, Mac as _};
use jiff::Timestamp;
use mdetr_rules::Event;
use minijinja::{AutoEscape, Environment, UndefinedBehavior};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Client, StatusCode, redirect};
use serde_json::Value;
use sha2::Sha256;

use super::carrier::{Deliver, Outcome};
use crate::config::{Secret, Webhook};
use crate::{mqtt, tls};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// Most redirections within the same host.
const MAX_REDIRECTS: usize = 3;
/// Name of the template in its errors.
const TEMPLATE: &str = "template";
/// Fields of an event that may be missing; templates find `none` there.
const OPTIONAL: [&str; 6] = ["end", "reason", "line", "direction", "count", "answer"];

/// A webhook.
pub struct Hook {
    webhook: Webhook,
    client: Option<Client>,
}

impl Hook {
    /// As the configuration says.
    pub fn new(webhook: Webhook) -> Hook {
        Hook {
            webhook,
            client: None,
        }
    }

    /// The client, which needs certificates that may not be there yet.
    fn client(&mut self) -> Result<&Client, String> {
        let client = match self.client.take() {
            Some(client) => client,
            None => client(self.webhook.url.starts_with("https:"))?,
        };
        Ok(self.client.insert(client))
    }
}

fn client(encrypted: bool) -> Result<Client, String> {
    let tls = if encrypted {
        tls::client(None)?
    } else {
        tls::unused()
    };
    Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(PATIENCE)
        .redirect(redirect::Policy::custom(follow))
        .user_agent(concat!("mdetr-monitor/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// Follows redirections that post the same again, to the same host: no event goes where nobody sent it.
fn follow(attempt: redirect::Attempt<'_>) -> redirect::Action {
    let same_request = matches!(
        attempt.status(),
        StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT
    );
    let previous = attempt.previous();
    let same_host = previous
        .last()
        .is_some_and(|last| last.origin() == attempt.url().origin());
    if same_request && same_host && previous.len() <= MAX_REDIRECTS {
        attempt.follow()
    } else {
        attempt.stop()
    }
}

impl Deliver for Hook {
    async fn deliver(&mut self, event: &Event) -> Outcome {
        let body = match body(&self.webhook, event) {
            Ok(body) => body,
            Err(error) => return Outcome::Refused(format!("template: {error}")),
        };
        let timestamp = Timestamp::now().as_second().to_string();
        let secret = self.webhook.secret.as_ref().map(Secret::read).transpose();
        let secret = match secret {
            Ok(secret) => secret,
            Err(error) => return Outcome::Again(format!("secret: {error}"), None),
        };
        let webhook = self.webhook.clone();
        let client = match self.client() {
            Ok(client) => client,
            Err(error) => return Outcome::Again(error, None),
        };
        let mut request = client
            .post(&webhook.url)
            .header(CONTENT_TYPE, &webhook.content_type)
            .header("Idempotency-Key", mqtt::step_id(event))
            .header("X-Mdetr-Timestamp", &timestamp);
        if let Some(secret) = secret {
            let signature = signature(secret.as_bytes(), &timestamp, body.as_bytes());
            request = request.header("X-Mdetr-Signature", format!("sha256={signature}"));
        }
        for (name, value) in &webhook.headers {
            request = request.header(name, value);
        }
        match request.body(body).send().await {
            Ok(response) => judged(response.status(), response.headers()),
            // The address may have a password.
            Err(error) => Outcome::Again(chain(&error.without_url()), None),
        }
    }
}

/// What an answer means.
fn judged(status: StatusCode, headers: &HeaderMap) -> Outcome {
    if status.is_success() {
        return Outcome::Arrived;
    }
    let answer = format!("the answer is {status}");
    let again = status.is_server_error()
        || status == StatusCode::REQUEST_TIMEOUT
        || status == StatusCode::TOO_MANY_REQUESTS;
    if !again {
        return Outcome::Refused(answer);
    }
    let seconds = headers
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok()?.trim().parse().ok());
    Outcome::Again(answer, seconds.map(Duration::from_secs))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let _ = write!(text, ": {error}");
        cause = error.source();
    }
    text
}

/// HMAC-SHA256 of `TIMESTAMP.BODY` in hexadecimal digits.
fn signature(secret: &[u8], timestamp: &str, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).expect("HMAC takes keys of any length");
    mac.update(timestamp.as_bytes());
    mac.update(b".");
    mac.update(body);
    let mut digits = String::with_capacity(64);
    for byte in mac.finalize().into_bytes() {
        let _ = write!(digits, "{byte:02x}");
    }
    digits
}

fn body(webhook: &Webhook, event: &Event) -> Result<String, String> {
    let Some(template) = &webhook.template else {
        return Ok(serde_json::to_string(event).expect("an event always serialises"));
    };
    let mut fields = serde_json::to_value(event).expect("an event always serialises");
    if let Value::Object(fields) = &mut fields {
        for name in OPTIONAL {
            fields.entry(name).or_insert(Value::Null);
        }
    }
    let escape = escape(&webhook.content_type);
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(move |_| escape);
    let words = |error: minijinja::Error| format!("{error:#}");
    environment
        .add_template(TEMPLATE, template)
        .map_err(words)?;
    let template = environment.get_template(TEMPLATE).map_err(words)?;
    template.render(fields).map_err(words)
}

/// How values are written in a body of this type.
fn escape(content_type: &str) -> AutoEscape {
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if kind.ends_with("json") {
        AutoEscape::Json
    } else if kind.ends_with("html") || kind.ends_with("xml") {
        AutoEscape::Html
    } else {
        AutoEscape::None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_those_of_the_standard() {
        // RFC 4231, test case 2, cut where our point stands.
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let mut mac = Hmac::<Sha256>::new_from_slice(b"Jefe").unwrap();
        mac.update(b"what do ya want for nothing?");
        let digits = mac.finalize().into_bytes();
        let digits: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(digits, expected);
        assert_eq!(
            signature(b"key", "12", b"{}"),
            // python3 -c 'import hmac; print(hmac.new(b"key", b"12.{}", "sha256").hexdigest())'
            "043e30e1e15664dc97494d18e4110984bcbd2c4e6f3e19de9569dc1ea6d9b03e"
        );
    }

    #[test]
    fn only_what_may_succeed_is_tried_again() {
        let mut headers = HeaderMap::new();
        let judge =
            |code: u16, headers: &HeaderMap| judged(StatusCode::from_u16(code).unwrap(), headers);
        assert_eq!(judge(204, &headers), Outcome::Arrived);
        for code in [301, 400, 401, 404, 410] {
            assert!(
                matches!(judge(code, &headers), Outcome::Refused(_)),
                "{code}"
            );
        }
        for code in [408, 429, 500, 503] {
            assert!(
                matches!(judge(code, &headers), Outcome::Again(_, None)),
                "{code}"
            );
        }
        headers.insert(RETRY_AFTER, "7".parse().unwrap());
        let Outcome::Again(_, wait) = judge(429, &headers) else {
            panic!("429 is tried again");
        };
        assert_eq!(wait, Some(Duration::from_secs(7)));
    }

    #[test]
    fn values_are_escaped_by_the_content_type() {
        assert_eq!(escape("application/json; charset=utf-8"), AutoEscape::Json);
        assert_eq!(escape("application/cloudevents+json"), AutoEscape::Json);
        assert_eq!(escape("text/html"), AutoEscape::Html);
        assert_eq!(escape("text/plain"), AutoEscape::None);
    }
}
