//! What the parts of the program tell each other. Each part knows the hub and no other part.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use jiff::Timestamp;
use mdetr_grounding::Grounding;
use mdetr_rules::Event;
use serde::{Deserialize, Serialize};
use tokio::sync::{broadcast, mpsc, watch};
use utoipa::ToSchema;

use crate::config::Document;
use crate::video::Videos;

/// Most messages that a slow listener may lag behind before it misses some.
const BACKLOG: usize = 1024;

/// The configuration that is in force.
#[derive(Debug, Clone, PartialEq)]
pub struct Current {
    /// Rises with each change.
    pub revision: u64,
    /// What it says.
    pub document: Document,
}

/// A line of JSON that is written when somebody reads it.
pub type LazyLine = LazyLock<String, Box<dyn FnOnce() -> String + Send>>;

/// What a frame of a camera showed.
#[derive(Debug)]
pub struct Report {
    /// Name of the camera.
    pub camera: Arc<str>,
    /// Number of the frame since the camera was connected.
    pub frame: u64,
    /// When it was taken.
    pub utc: Timestamp,
    /// Age of the result in milliseconds.
    pub age_ms: f64,
    /// The results; `None` until the model has answered.
    pub grounding: Option<Arc<Grounding>>,
    /// The frame as a line of `mdetr/1`, without line feed.
    pub json: LazyLine,
}

/// A picture of a camera, for the page.
#[derive(Debug, Clone)]
pub struct Picture {
    /// What the frame showed.
    pub report: Arc<Report>,
    /// Its pixels as JPEG.
    pub jpeg: Arc<[u8]>,
}

/// A step of an event, with the pictures of its best view if this step has a new one.
#[derive(Debug, Clone)]
pub struct Step {
    /// The step.
    pub event: Event,
    /// The frame as JPEG.
    pub plain: Option<Arc<[u8]>>,
    /// The frame with boxes and words as JPEG.
    pub drawn: Option<Arc<[u8]>>,
}

/// A finished clip.
#[derive(Debug, Clone)]
pub struct Clip {
    /// Id of the event.
    pub event: String,
    /// The file, in the store's directory for files that are being written.
    pub path: PathBuf,
    /// Ending of its name: `mp4` or `webm`.
    pub extension: &'static str,
    /// Time of its first picture.
    pub start: Timestamp,
    /// Its length in seconds.
    pub seconds: f64,
}

/// What the store is given.
#[derive(Debug, Clone)]
pub enum Delivery {
    /// A step of an event.
    Step(Box<Step>),
    /// A clip of an event.
    Clip(Clip),
}

/// Whether a camera gives frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CameraState {
    /// It was not reached yet.
    Connecting,
    /// It gives frames.
    Online,
    /// It is connected and gives no frames.
    Stalled,
    /// It cannot be reached.
    Offline,
    /// It is switched off.
    Disabled,
}

/// How a camera does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct CameraStatus {
    /// Its name.
    pub name: String,
    /// Whether it gives frames.
    pub state: CameraState,
    /// Since when it is in this state.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
    /// What went wrong last, in words; without passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Width and height of its frames in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<[u32; 2]>,
    /// Whether its coded pictures can be had: it gives H.264.
    #[serde(default)]
    pub video: bool,
    /// Frames a second that came, over the last seconds.
    pub fps: f64,
    /// Frames a second that were inferred.
    pub inferred_fps: f64,
    /// How often it was connected anew.
    pub reconnects: u64,
    /// Revision of the configuration that its results answer.
    pub revision: u64,
}

/// How the broker does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct BrokerStatus {
    /// Whether it is connected.
    pub connected: bool,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Events that wait for it.
    pub waiting: u64,
}

/// How the store does.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, ToSchema)]
pub struct StoreStatus {
    /// Whether it can write.
    pub writable: bool,
    /// What went wrong last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// Bytes of pictures and clips.
    pub bytes: u64,
    /// Free bytes on the disk.
    pub free_bytes: u64,
    /// Steps of events that wait to be written.
    pub waiting: u64,
}

/// What listeners hear.
#[derive(Debug, Clone)]
pub enum Notice {
    /// A frame was reported.
    Report(Arc<Report>),
    /// A step of an event is in the store.
    Event(Arc<Event>),
    /// A clip of the event with this id is in the store.
    Clip(Arc<str>),
    /// A camera is in another state.
    Camera(Arc<CameraStatus>),
    /// Another configuration is in force.
    Config(u64),
    /// The broker is in another state.
    Broker(Arc<BrokerStatus>),
    /// The store is in another state.
    Store(Arc<StoreStatus>),
}

/// The middle of the program.
#[derive(Debug)]
pub struct Hub {
    /// Coded pictures of cameras.
    pub videos: Videos,
    config: watch::Sender<Arc<Current>>,
    notices: broadcast::Sender<Notice>,
    deliveries: mpsc::UnboundedSender<Delivery>,
    states: Mutex<States>,
    pictures: Mutex<BTreeMap<String, watch::Sender<Option<Arc<Picture>>>>>,
}

#[derive(Debug, Default)]
struct States {
    cameras: BTreeMap<String, Arc<CameraStatus>>,
    broker: Option<Arc<BrokerStatus>>,
    store: Arc<StoreStatus>,
}

impl Hub {
    /// With what is in force; what is delivered comes out of the receiver.
    pub fn new(current: Current) -> (Arc<Hub>, mpsc::UnboundedReceiver<Delivery>) {
        let (deliveries, delivered) = mpsc::unbounded_channel();
        let hub = Hub {
            videos: Videos::default(),
            config: watch::Sender::new(Arc::new(current)),
            notices: broadcast::Sender::new(BACKLOG),
            deliveries,
            states: Mutex::default(),
            pictures: Mutex::default(),
        };
        (Arc::new(hub), delivered)
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Current> {
        self.config.borrow().clone()
    }

    /// Tells of each change of the configuration.
    pub fn watch_config(&self) -> watch::Receiver<Arc<Current>> {
        self.config.subscribe()
    }

    /// Puts a configuration in force.
    pub fn set_config(&self, current: Current) {
        let revision = current.revision;
        self.config.send_replace(Arc::new(current));
        self.tell(Notice::Config(revision));
    }

    /// Tells all listeners.
    pub fn tell(&self, notice: Notice) {
        // Nobody listening is no fault.
        let _ = self.notices.send(notice);
    }

    /// Hears everything from now on.
    pub fn listen(&self) -> broadcast::Receiver<Notice> {
        self.notices.subscribe()
    }

    /// Gives something to the store. Never waits.
    pub fn deliver(&self, delivery: Delivery) {
        // The store's task ends last; what comes behind it is lost with the program.
        let _ = self.deliveries.send(delivery);
    }

    fn states(&self) -> MutexGuard<'_, States> {
        self.states.lock().expect("no code panics with the lock")
    }

    /// How many listen to what happens.
    pub fn listeners(&self) -> usize {
        self.notices.receiver_count()
    }

    /// States of all cameras by name.
    pub fn cameras(&self) -> Vec<Arc<CameraStatus>> {
        self.states().cameras.values().cloned().collect()
    }

    /// Sets the state of a camera, and tells of it.
    pub fn set_camera(&self, status: CameraStatus) {
        let status = Arc::new(status);
        self.states()
            .cameras
            .insert(status.name.clone(), status.clone());
        self.tell(Notice::Camera(status));
    }

    /// Forgets a camera that is gone.
    pub fn remove_camera(&self, name: &str) {
        self.states().cameras.remove(name);
        self.pictures().remove(name);
    }

    /// State of the broker, if there is one.
    pub fn broker(&self) -> Option<Arc<BrokerStatus>> {
        self.states().broker.clone()
    }

    /// Sets the state of the broker, and tells of it if it is another one.
    pub fn set_broker(&self, status: Option<BrokerStatus>) {
        let status = status.map(Arc::new);
        let before = std::mem::replace(&mut self.states().broker, status.clone());
        if before != status {
            self.tell(Notice::Broker(status.unwrap_or_default()));
        }
    }

    /// State of the store.
    pub fn store(&self) -> Arc<StoreStatus> {
        self.states().store.clone()
    }

    /// Sets the state of the store, and tells of it if it is another one.
    pub fn set_store(&self, status: StoreStatus) {
        let status = Arc::new(status);
        let before = std::mem::replace(&mut self.states().store, status.clone());
        if before != status {
            self.tell(Notice::Store(status));
        }
    }

    fn pictures(&self) -> MutexGuard<'_, BTreeMap<String, watch::Sender<Option<Arc<Picture>>>>> {
        self.pictures.lock().expect("no code panics with the lock")
    }

    /// Shows a picture of a camera.
    pub fn show(&self, picture: Picture) {
        let camera = picture.report.camera.to_string();
        let mut pictures = self.pictures();
        let sender = pictures
            .entry(camera)
            .or_insert_with(|| watch::Sender::new(None));
        sender.send_replace(Some(Arc::new(picture)));
    }

    /// The newest picture of a camera, again and again; a slow reader skips some.
    pub fn watch_pictures(&self, camera: &str) -> watch::Receiver<Option<Arc<Picture>>> {
        let mut pictures = self.pictures();
        let sender = pictures
            .entry(camera.to_owned())
            .or_insert_with(|| watch::Sender::new(None));
        sender.subscribe()
    }

    /// Whether somebody looks at pictures of a camera: nobody encodes them otherwise.
    pub fn is_watched(&self, camera: &str) -> bool {
        let pictures = self.pictures();
        pictures
            .get(camera)
            .is_some_and(|sender| sender.receiver_count() > 0)
    }
}
