//! Where messages go beside DDS: into a recording, and to viewers of Foxglove. Nobody waits for either.

use std::sync::Arc;

use mdetr::Grounding;
use mdetr_foxglove::{LiveView, LiveViewError, Queries};
use mdetr_record::{RecordError, RecordOptions, Recorder, Recording, Topic};
use mdetr_ros2_bus::Tapping;
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::std_msgs::Header;
use mdetr_ros2_messages::{Definition, Message, to_cdr};

use crate::args::Beside;
use crate::clock::Clock;

/// Bytes of messages that may wait for the disk: a second of raw pictures of 1920 x 1080, 30 a second.
const MAX_WAITING: usize = 192 << 20;

/// When a message was published, and when it came.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Times {
    /// By the publisher's clock.
    pub published: Time,
    /// By this machine's.
    pub received: Time,
}

/// A message that came.
#[derive(Debug)]
pub(crate) struct Received<M> {
    pub message: M,
    pub times: Times,
}

/// What is recorded and shown. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Taps {
    recording: Option<Arc<Recording>>,
    /// Whether pictures that come are recorded too.
    images: bool,
    view: Option<Arc<LiveView>>,
}

impl Taps {
    /// Begins what the command line asks for. `node` is the name that viewers see, and `queries` what they change.
    ///
    /// # Errors
    /// The address cannot be listened at, or the file exists or cannot be made.
    pub fn open(beside: &Beside, node: &str, queries: impl Queries) -> Result<Taps, TapError> {
        let view = match beside.foxglove {
            None => None,
            Some(address) => Some(Arc::new(LiveView::start(address, node, Box::new(queries))?)),
        };
        let recording = match &beside.record {
            None => None,
            Some(path) => {
                let recorder = Recorder::create(path, RecordOptions::default())?;
                Some(Arc::new(Recording::start(recorder, MAX_WAITING)?))
            }
        };
        Ok(Taps {
            recording,
            images: beside.record_images,
            view,
        })
    }

    /// Says in the log what is recorded and shown.
    pub fn announce(&self, beside: &Beside) {
        if let Some(path) = &beside.record {
            let pictures = if self.images { ", with pictures" } else { "" };
            tracing::info!("recording to {}{pictures}", path.display());
        }
        if let Some(view) = &self.view {
            let address = view.address();
            tracing::info!("Foxglove may connect to ws://{address}");
            if !address.ip().is_loopback() {
                tracing::warn!(
                    "Foxglove: {address} can be reached from other machines: without a password, they see the pictures \
                     and may change the queries"
                );
            }
        }
    }

    /// Ends the recording: writes what waits, and the index.
    ///
    /// # Errors
    /// It is not whole.
    pub fn finish(&self) -> Result<(), RecordError> {
        let Some(recording) = &self.recording else {
            return Ok(());
        };
        recording.finish()?;
        let (recorded, left_out) = (recording.recorded(), recording.left_out());
        match left_out {
            0 => tracing::info!("recorded {recorded} messages"),
            _ => tracing::warn!("recorded {recorded} messages; {left_out} were left out"),
        }
        Ok(())
    }

    /// The recording, if there is one.
    pub fn recording(&self) -> Option<&Arc<Recording>> {
        self.recording.as_ref()
    }

    /// What viewers see, if there may be some.
    pub fn view(&self) -> Option<&Arc<LiveView>> {
        self.view.as_ref()
    }

    /// For all that is published. Viewers see what is on no time of its own at that of `clock`.
    pub fn tapping(&self, clock: Clock) -> Tapping {
        let taps = self.clone();
        Box::new(move |topic, definition| {
            let tap = Tap {
                recorded: taps.recorded(topic, definition),
                shown: taps.shown(topic, definition),
            };
            let clock = clock.clone();
            let used = tap.recorded.is_some() || tap.shown.is_some();
            used.then(|| Arc::new(Published { tap, clock }) as Arc<dyn mdetr_ros2_bus::Tap>)
        })
    }

    /// For what comes on a topic.
    pub fn input(&self, topic: &str, definition: &'static Definition) -> Tap {
        let recorded = self.images.then(|| self.recorded(topic, definition));
        Tap {
            recorded: recorded.flatten(),
            shown: None,
        }
    }

    /// For boxes with words.
    pub fn annotations(&self, topic: &str) -> Option<Annotations> {
        let view = self.view.clone()?;
        told(view.offer_annotations(topic))?;
        let topic = topic.to_owned();
        Some(Annotations(Offered { view, topic }))
    }

    /// For what is shown only.
    pub fn shown(&self, topic: &str, definition: &'static Definition) -> Option<Shown> {
        let view = self.view.clone()?;
        told(view.offer(topic, definition))?;
        let topic = topic.to_owned();
        Some(Shown {
            offered: Offered { view, topic },
            definition,
        })
    }

    fn recorded(&self, topic: &str, definition: &Definition) -> Option<(Arc<Recording>, Topic)> {
        let recording = self.recording.clone()?;
        let topic = told(recording.topic(topic, definition))?;
        Some((recording, topic))
    }
}

/// What went wrong is said, and nothing is recorded or shown.
fn told<T>(done: Result<T, impl std::fmt::Display>) -> Option<T> {
    done.inspect_err(|error| tracing::error!("{error}")).ok()
}

/// Why there is no recording or no view.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TapError {
    /// There is no recording.
    #[error("--record {0}")]
    Record(#[from] RecordError),
    /// There is no view.
    #[error("--foxglove: {0}")]
    View(#[from] LiveViewError),
}

/// A topic of a recording, and of viewers.
#[derive(Default)]
pub(crate) struct Tap {
    recorded: Option<(Arc<Recording>, Topic)>,
    shown: Option<Shown>,
}

impl Tap {
    /// Takes what came.
    pub fn receive<M: Message>(&self, times: Times, message: &M) {
        if self.recorded.is_some() {
            self.record(times.received, times.published, to_cdr(message));
        }
    }

    /// Whether a viewer wants it.
    pub fn wanted(&self) -> bool {
        self.shown.as_ref().is_some_and(Shown::wanted)
    }

    fn record(&self, received: Time, published: Time, cdr: Vec<u8>) {
        if let Some((recording, topic)) = &self.recorded {
            // The recording counts what it does not take.
            recording.offer(*topic, received, published, cdr);
        }
    }
}

/// What is published on a topic.
struct Published {
    tap: Tap,
    clock: Clock,
}

impl mdetr_ros2_bus::Tap for Published {
    fn takes(&self) -> bool {
        self.tap.recorded.is_some() || self.tap.wanted()
    }

    // A recording does not count: it takes what is made for others.
    fn wanted(&self) -> bool {
        self.tap.wanted()
    }

    fn take(&self, stamp: Option<Time>, cdr: Vec<u8>) {
        if let Some(shown) = self.tap.shown.as_ref().filter(|shown| shown.wanted()) {
            shown.send_cdr(stamp.unwrap_or_else(|| self.clock.now()), &cdr);
        }
        let now = Clock::machine();
        self.tap.record(now, now, cdr);
    }
}

/// A topic that is offered to viewers as long as this is there.
struct Offered {
    view: Arc<LiveView>,
    topic: String,
}

impl Offered {
    fn wanted(&self) -> bool {
        self.view.is_wanted(&self.topic)
    }
}

impl Drop for Offered {
    fn drop(&mut self) {
        self.view.withdraw(&self.topic);
    }
}

/// A topic of viewers.
pub(crate) struct Shown {
    offered: Offered,
    definition: &'static Definition,
}

impl Shown {
    /// Whether a viewer wants it.
    pub fn wanted(&self) -> bool {
        self.offered.wanted()
    }

    /// Sends a message.
    pub fn send<M: Message>(&self, stamp: Time, message: &M) {
        self.send_cdr(stamp, &to_cdr(message));
    }

    fn send_cdr(&self, stamp: Time, cdr: &[u8]) {
        let Offered { view, topic } = &self.offered;
        told(view.send_cdr(topic, self.definition, stamp, cdr));
    }
}

/// A topic with boxes and words.
pub(crate) struct Annotations(Offered);

impl Annotations {
    /// Sends what was found in the picture with this header.
    pub fn send(&self, header: &Header, grounding: &Grounding) {
        if self.0.wanted() {
            told(self.0.view.annotate(&self.0.topic, header, grounding));
        }
    }
}
