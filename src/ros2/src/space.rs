//! Places what was found in space, by depth images: on a thread of its own, for results and depth come when they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mdetr::Grounding;
use mdetr_ros2_bus::Output;
use mdetr_ros2_messages::Message;
use mdetr_ros2_messages::builtin_interfaces;
use mdetr_ros2_messages::depth::{DepthError, DepthView, Intrinsics, detections_3d};
use mdetr_ros2_messages::sensor_msgs::{CameraInfo, Image};
use mdetr_ros2_messages::std_msgs::Header;
use mdetr_ros2_messages::sync::{ApproximateTime, Matched};
use mdetr_ros2_messages::vision_msgs::Detection3DArray;

use crate::taps::{Received, Tap, Taps};
use crate::topics::Topics;

/// Messages that may wait for the thread.
const WAITING: usize = 8;
/// Results that may wait for their depth image, and depth images for theirs.
const CAPACITY: usize = 10;
/// How long results wait for depth images where none come.
const SILENCE: Duration = Duration::from_secs(1);

/// What the thread is told.
enum Told {
    Result(Header, Grounding),
    Depth(Received<Image>),
    Info(Box<Received<CameraInfo>>),
    Stop,
}

/// A depth image, which may serve several pictures.
struct Depth {
    image: Received<Image>,
    /// Whether it was handed to the recording.
    recorded: AtomicBool,
}

/// How depth is used.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DepthOptions {
    /// How far apart the stamps of a picture and its depth image may be.
    pub tolerance: Duration,
    /// Whether the pictures are rectified, though the camera has distortion.
    pub rectified: bool,
}

/// Tells the thread; does not wait for it. Clones tell the same.
#[derive(Clone)]
pub(crate) struct Teller(SyncSender<Told>);

impl Teller {
    /// What was found in a picture.
    pub fn result(&self, header: &Header, grounding: &Grounding) {
        self.tell(Told::Result(header.clone(), grounding.clone()));
    }

    /// A depth image.
    pub fn depth(&self, image: Received<Image>) {
        self.tell(Told::Depth(image));
    }

    /// How the camera sees.
    pub fn info(&self, info: Received<CameraInfo>) {
        self.tell(Told::Info(Box::new(info)));
    }

    fn tell(&self, told: Told) {
        if let Err(TrySendError::Full(_)) = self.0.try_send(told) {
            tracing::debug!("depth comes faster than it is used; one message is left out");
        }
    }
}

/// The thread of a camera. It ends when this is dropped.
pub(crate) struct Space {
    teller: Teller,
    thread: Option<JoinHandle<()>>,
}

impl Space {
    /// Starts it; depth comes on `topics`, and what is used of it goes to `taps`.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        topics: &Topics,
        options: DepthOptions,
        output: Output<Detection3DArray>,
        taps: &Taps,
    ) -> std::io::Result<Space> {
        let (sender, told) = sync_channel(WAITING);
        let nanos = i64::try_from(options.tolerance.as_nanos()).unwrap_or(i64::MAX);
        let tolerance = builtin_interfaces::Duration::from_nanos(nanos);
        let placing = Placing {
            depths: taps.input(&topics.depth, Image::DEFINITION),
            infos: taps.input(&topics.camera_info, CameraInfo::DEFINITION),
            info: None,
            topic: topics.depth.clone(),
            rectified: options.rectified,
            output,
            sync: ApproximateTime::new(CAPACITY, tolerance),
            camera: None,
            complaint: None,
        };
        let builder = thread::Builder::new().name("mdetr-depth".into());
        let thread = builder.spawn(move || placing.run(&told))?;
        Ok(Space {
            teller: Teller(sender),
            thread: Some(thread),
        })
    }

    /// Who tells it.
    pub fn teller(&self) -> Teller {
        self.teller.clone()
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        // It takes what waits before.
        let _ = self.teller.0.send(Told::Stop);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

struct Placing {
    topic: String,
    rectified: bool,
    output: Output<Detection3DArray>,
    sync: ApproximateTime<(Header, Grounding), Arc<Depth>>,
    camera: Option<Result<Intrinsics, DepthError>>,
    /// What was said last, so that what stays the same is said once.
    complaint: Option<String>,
    /// For what is used.
    depths: Tap,
    infos: Tap,
    /// What `camera` was made of, until it is used.
    info: Option<Box<Received<CameraInfo>>>,
}

impl Placing {
    fn run(mut self, told: &Receiver<Told>) {
        loop {
            let complete = match told.recv_timeout(SILENCE) {
                Ok(Told::Result(header, grounding)) => {
                    self.sync.push_first(header.stamp, (header, grounding))
                }
                Ok(Told::Depth(image)) => {
                    let stamp = image.message.header.stamp;
                    let recorded = AtomicBool::new(false);
                    self.sync
                        .push_second(stamp, Arc::new(Depth { image, recorded }))
                }
                Ok(Told::Info(info)) => {
                    self.camera = Some(Intrinsics::new(&info.message, self.rectified));
                    self.info = Some(info);
                    continue;
                }
                Err(RecvTimeoutError::Timeout) => self.sync.flush(),
                Ok(Told::Stop) | Err(RecvTimeoutError::Disconnected) => return,
            };
            for matched in complete {
                let complaint = self.place(matched).err();
                if let Some(complaint) = &complaint
                    && self.complaint.as_ref() != Some(complaint)
                {
                    tracing::error!("{}: {complaint}", self.topic);
                }
                self.complaint = complaint;
            }
        }
    }

    /// Publishes where the things in a picture are.
    fn place(&mut self, matched: Matched<(Header, Grounding), Arc<Depth>>) -> Result<(), String> {
        let (header, grounding) = matched.first;
        let Some(depth) = matched.second else {
            return Err(
                "no depth image came whose stamp is near that of the picture; see the \
                        parameter depth_tolerance"
                    .to_owned(),
            );
        };
        let camera = match &self.camera {
            Some(Ok(camera)) => camera,
            Some(Err(error)) => return Err(error.to_string()),
            None => return Err("no camera_info came yet".to_owned()),
        };
        let place = || {
            let depth = DepthView::new(&depth.image.message)?;
            detections_3d(&header, &grounding, &depth, camera)
        };
        let placed = place().map_err(|error: DepthError| error.to_string())?;
        self.output.publish_of(header.stamp, placed);
        self.keep(&depth);
        Ok(())
    }

    /// Hands over what was used, each once.
    fn keep(&mut self, depth: &Depth) {
        if let Some(info) = self.info.take() {
            self.infos.receive(info.times, &info.message);
        }
        if !depth.recorded.swap(true, Ordering::Relaxed) {
            self.depths.receive(depth.image.times, &depth.image.message);
        }
    }
}
