//! Mail of events that begin.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::Duration;

use lettre::address::AddressError;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor};
use mdetr_rules::Event;
use mdetr_rules::document::Severity;
use tokio::time::Instant;

use super::carrier::{Deliver, Outcome};
use crate::config::{Email, Smtp};
use crate::store::Store;

/// How long an answer of the server may take.
const PATIENCE: Duration = Duration::from_secs(20);
/// Largest picture that is attached, in bytes.
const MAX_PICTURE: u64 = 10 << 20;
/// Most characters of a subject's part that others wrote.
const MAX_SUBJECT: usize = 120;
/// Answers of a server that does not know us (yet): the remedy is in the configuration, so the message is kept.
const NOT_KNOWN: [u16; 4] = [530, 534, 535, 538];

/// Names of a camera and a rule of it.
type Key = (String, String);

/// When a message of a rule was sent last, and how many events came since without one.
#[derive(Debug, Clone, Copy)]
struct Sent {
    at: Instant,
    left_out: u64,
}

/// Mail.
pub struct Mail {
    email: Email,
    store: Store,
    sent: BTreeMap<Key, Sent>,
}

impl Mail {
    /// As the configuration says.
    pub fn new(email: Email, store: Store) -> Mail {
        Mail {
            email,
            store,
            sent: BTreeMap::new(),
        }
    }

    async fn picture(&self, event: &Event) -> Option<Vec<u8>> {
        if !self.email.picture {
            return None;
        }
        let path = self.store.picture(&event.id, true).await.ok().flatten()?;
        if tokio::fs::metadata(&path).await.ok()?.len() > MAX_PICTURE {
            return None;
        }
        tokio::fs::read(&path).await.ok()
    }
}

impl Deliver for Mail {
    async fn deliver(&mut self, event: &Event) -> Outcome {
        let key = (event.camera.clone(), event.rule.clone());
        let every = Duration::try_from(self.email.every).unwrap_or_default();
        let mut left_out = 0;
        if let Some(sent) = self.sent.get_mut(&key) {
            if sent.at.elapsed() < every {
                sent.left_out += 1;
                return Outcome::Arrived;
            }
            left_out = sent.left_out;
        }
        let picture = self.picture(event).await;
        let message = match message(&self.email, event, left_out, picture) {
            Ok(message) => message,
            Err(error) => return Outcome::Again(error, None),
        };
        let transport = match transport(&self.email.smtp) {
            Ok(transport) => transport,
            Err(error) => return Outcome::Again(error, None),
        };
        match transport.send(message).await {
            Ok(_) => {
                let at = Instant::now();
                self.sent.insert(key, Sent { at, left_out: 0 });
                Outcome::Arrived
            }
            Err(error) => {
                let code = error.status().map(u16::from);
                let known = code.is_none_or(|code| !NOT_KNOWN.contains(&code));
                let words = error.to_string();
                if error.is_permanent() && known {
                    Outcome::Refused(words)
                } else {
                    Outcome::Again(words, None)
                }
            }
        }
    }
}

fn transport(smtp: &Smtp) -> Result<AsyncSmtpTransport<Tokio1Executor>, String> {
    let builder = AsyncSmtpTransport::<Tokio1Executor>::from_url(&smtp.url);
    let mut builder = builder.map_err(|error| format!("email.smtp.url: {error}"))?;
    if let Some(name) = &smtp.username {
        let password = match &smtp.password {
            Some(secret) => secret
                .read()
                .map_err(|error| format!("email.smtp.password: {error}"))?,
            None => String::new(),
        };
        builder = builder.credentials(Credentials::new(name.clone(), password));
    }
    Ok(builder.timeout(Some(PATIENCE)).build())
}

fn message(
    email: &Email,
    event: &Event,
    left_out: u64,
    picture: Option<Vec<u8>>,
) -> Result<Message, String> {
    let address = |text: &str| {
        let mailbox: Result<Mailbox, AddressError> = text.parse();
        mailbox.map_err(|error| format!("email: {text:?} is no address: {error}"))
    };
    // The same event has the same id, so that a message that comes twice can be known.
    let id = event
        .id
        .replace(|c: char| !c.is_ascii_graphic() || "<>@".contains(c), "-");
    let mut builder = Message::builder()
        .from(address(&email.from)?)
        .message_id(Some(format!("<{id}@mdetr-monitor>")))
        .subject(subject(event));
    for to in &email.to {
        builder = builder.to(address(to)?);
    }
    let text = SinglePart::plain(text(event, left_out));
    let message = match picture {
        None => builder.singlepart(text),
        Some(picture) => {
            let kind = ContentType::parse("image/jpeg").expect("it is one");
            let picture = Attachment::new("event.jpg".to_owned()).body(picture, kind);
            builder.multipart(MultiPart::mixed().singlepart(text).singlepart(picture))
        }
    };
    message.map_err(|error| format!("email: {error}"))
}

/// One line without control characters, not too long.
fn line(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    let mut line: String = shown.take(MAX_SUBJECT).collect();
    if text.chars().nth(MAX_SUBJECT).is_some() {
        line.push('…');
    }
    line
}

fn subject(event: &Event) -> String {
    let word = match event.severity {
        Severity::Alert => "Alert",
        Severity::Detection => "Detection",
    };
    let (camera, rule) = (&event.camera, &event.rule);
    format!("{word}: {rule} at {camera} ({})", line(&event.text))
}

fn text(event: &Event, left_out: u64) -> String {
    let mut text = format!(
        "The rule {} of the camera {} has an event.\n\nWatched for: {}\nSince: {}\n",
        event.rule,
        event.camera,
        line(&event.text),
        event.start.strftime("%Y-%m-%d %H:%M:%S UTC"),
    );
    if event.best.boxes.is_empty() {
        text.push_str("Seen: nothing of that\n");
    } else {
        let words: Vec<_> = event
            .phrases
            .iter()
            .map(|phrase| format!("{} ({:.0} %)", line(&phrase.text), phrase.score * 100.0))
            .collect();
        if !words.is_empty() {
            let _ = writeln!(text, "Seen: {}", words.join(", "));
        }
        let _ = writeln!(text, "Score: {:.0} %", event.score * 100.0);
    }
    if let Some(count) = event.count {
        let _ = writeln!(text, "Objects: {count}");
    }
    if let Some(answer) = &event.answer {
        let _ = writeln!(text, "Answer: {}", line(answer));
    }
    if !event.zones.is_empty() {
        let _ = writeln!(text, "Zones: {}", event.zones.join(", "));
    }
    if let Some(line) = &event.line {
        let _ = writeln!(text, "Line: {line}");
    }
    let _ = writeln!(text, "Event: {}", event.id);
    match left_out {
        0 => {}
        1 => text.push_str("\nOne more event of this rule came since the last message.\n"),
        more => {
            let _ = writeln!(
                text,
                "\n{more} more events of this rule came since the last message."
            );
        }
    }
    text
}
