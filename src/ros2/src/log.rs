//! The log: on standard error, and on the topic /rosout.

use std::fmt::{self, Write as _};
use std::io::IsTerminal;

use ros2_client::log::LogLevel as Severity;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{FilterFn, LevelFilter};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use crate::args::{Arguments, LogLevel};

/// Lines that may wait to be published; more are not published.
const WAITING: usize = 256;

/// A line of the log for /rosout.
#[derive(Debug)]
pub struct Line {
    pub(crate) severity: u8,
    pub(crate) message: String,
    pub(crate) file: &'static str,
    pub(crate) line: u32,
}

/// Begins to log as the command line says. Gives the lines that are to be published.
pub fn start(arguments: &Arguments) -> Receiver<Line> {
    let (lines, waiting) = mpsc::channel(WAITING);
    let filter = match arguments.log_level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Fatal => LevelFilter::ERROR,
    };
    // What libraries say with `tracing` is theirs.
    let own = FilterFn::new(|metadata| metadata.target().starts_with("mdetr"));
    let stderr = arguments.log_to_stderr.then(|| {
        tracing_subscriber::fmt::layer()
            .with_writer(std::io::stderr)
            .with_ansi(std::io::stderr().is_terminal())
            .with_target(false)
            .with_filter(own.clone())
    });
    let rosout = arguments
        .log_to_rosout
        .then(|| Rosout { lines }.with_filter(own));
    tracing_subscriber::registry()
        .with(filter)
        .with(stderr)
        .with(rosout)
        .init();
    waiting
}

struct Rosout {
    lines: Sender<Line>,
}

impl<S: Subscriber> Layer<S> for Rosout {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        let metadata = event.metadata();
        let line = Line {
            severity: severity(*metadata.level()) as u8,
            message: message.0,
            file: metadata.file().unwrap_or_default(),
            line: metadata.line().unwrap_or_default(),
        };
        // Who logs does not wait for the network.
        let _ = self.lines.try_send(line);
    }
}

fn severity(level: Level) -> Severity {
    match level {
        Level::ERROR => Severity::Error,
        Level::WARN => Severity::Warn,
        Level::INFO => Severity::Info,
        Level::DEBUG | Level::TRACE => Severity::Debug,
    }
}

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        // Writing to a string cannot fail.
        let _ = match field.name() {
            "message" => write!(self.0, "{value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
    }
}
