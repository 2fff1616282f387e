//! Places what was found in space, by depth images: on a thread of its own, for results and depth come when they come.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mdetr::Grounding;
use mdetr_ros2_bus::Output;
use mdetr_ros2_messages::builtin_interfaces;
use mdetr_ros2_messages::depth::{DepthError, DepthView, Intrinsics, detections_3d};
use mdetr_ros2_messages::sensor_msgs::{CameraInfo, Image};
use mdetr_ros2_messages::std_msgs::Header;
use mdetr_ros2_messages::sync::{ApproximateTime, Matched};
use mdetr_ros2_messages::vision_msgs::Detection3DArray;

/// Messages that may wait for the thread.
const WAITING: usize = 8;
/// Results that may wait for their depth image, and depth images for theirs.
const CAPACITY: usize = 10;
/// How long results wait for depth images where none come.
const SILENCE: Duration = Duration::from_secs(1);

/// What the thread is told.
enum Told {
    Result(Header, Grounding),
    Depth(Image),
    Info(Box<CameraInfo>),
    Stop,
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
    pub fn depth(&self, image: Image) {
        self.tell(Told::Depth(image));
    }

    /// How the camera sees.
    pub fn info(&self, info: CameraInfo) {
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
    /// Starts it; `topic` names the depth image in messages.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(
        topic: String,
        options: DepthOptions,
        output: Output<Detection3DArray>,
    ) -> std::io::Result<Space> {
        let (sender, told) = sync_channel(WAITING);
        let nanos = i64::try_from(options.tolerance.as_nanos()).unwrap_or(i64::MAX);
        let tolerance = builtin_interfaces::Duration::from_nanos(nanos);
        let placing = Placing {
            topic,
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
    sync: ApproximateTime<(Header, Grounding), Arc<Image>>,
    camera: Option<Result<Intrinsics, DepthError>>,
    /// What was said last, so that what stays the same is said once.
    complaint: Option<String>,
}

impl Placing {
    fn run(mut self, told: &Receiver<Told>) {
        loop {
            let complete = match told.recv_timeout(SILENCE) {
                Ok(Told::Result(header, grounding)) => {
                    self.sync.push_first(header.stamp, (header, grounding))
                }
                Ok(Told::Depth(image)) => {
                    self.sync.push_second(image.header.stamp, Arc::new(image))
                }
                Ok(Told::Info(info)) => {
                    self.camera = Some(Intrinsics::new(&info, self.rectified));
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
    fn place(&self, matched: Matched<(Header, Grounding), Arc<Image>>) -> Result<(), String> {
        let (header, grounding) = matched.first;
        let Some(image) = matched.second else {
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
            let depth = DepthView::new(&image)?;
            detections_3d(&header, &grounding, &depth, camera)
        };
        self.output
            .publish(place().map_err(|error: DepthError| error.to_string())?);
        Ok(())
    }
}
