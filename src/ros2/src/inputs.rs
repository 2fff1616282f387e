//! What the node listens to.

use std::cell::Cell;
use std::pin::pin;
use std::rc::Rc;

use futures_util::StreamExt;
use mdetr_ros2_bus::{Bus, BusError, best_effort, reliable};
use mdetr_ros2_messages::Message;
use mdetr_ros2_messages::builtin_interfaces::Time;
use mdetr_ros2_messages::sensor_msgs::{CameraInfo, CompressedImage, Image};
use ros2_client::{MessageInfo, QosProfile, Subscription};
use tokio::task::{JoinHandle, spawn_local};

use crate::camera::Camera;
use crate::clock::{CLOCK, Clock, ClockMessage};
use crate::parameters::Values;
use crate::picture::Picture;
use crate::taps::{Received, Times};

/// Messages that DDS keeps until they are taken, which is at once.
const DEPTH: usize = 5;

fn qos(values: &Values) -> QosProfile {
    match values.string("reliability") {
        "reliable" => reliable(DEPTH),
        _ => best_effort(DEPTH),
    }
}

/// Subscribes to the topics of a camera; until its tasks are aborted.
///
/// # Errors
/// DDS refuses.
pub(crate) fn receive(
    bus: &Bus,
    camera: &Camera,
    values: &Values,
    enabled: &Rc<Cell<bool>>,
) -> Result<Vec<JoinHandle<()>>, BusError> {
    let topics = &camera.shared.topics;
    let qos = qos(values);
    let shared = camera.shared.clone();
    let pictures = match topics.compressed {
        false => {
            let images = bus.input::<Image>(&topics.image, qos.clone())?;
            let put = move |image: Result<_, _>| match image {
                Ok(image) => shared.put(received(image, Picture::Raw)),
                Err(error) => shared.unreadable(error),
            };
            spawn_local(take(images, enabled.clone(), put))
        }
        true => {
            let images = bus.input::<CompressedImage>(&topics.image, qos.clone())?;
            let put = move |image: Result<_, _>| match image {
                Ok(image) => shared.put(received(image, Picture::Compressed)),
                Err(error) => shared.unreadable(error),
            };
            spawn_local(take(images, enabled.clone(), put))
        }
    };
    tracing::info!("listening to {}", topics.image);
    let mut tasks = vec![pictures];
    if let Some(space) = &camera.space {
        let depths = bus.input::<Image>(&topics.depth, qos.clone())?;
        let infos = bus.input::<CameraInfo>(&topics.camera_info, qos)?;
        let (teller, topic) = (space.teller(), topics.depth.clone());
        let put = move |depth| match depth {
            Ok(depth) => teller.depth(depth),
            Err(error) => tracing::warn!("{topic}: {error}"),
        };
        tasks.push(spawn_local(take(depths, enabled.clone(), put)));
        let (teller, topic) = (space.teller(), topics.camera_info.clone());
        let put = move |info| match info {
            Ok(info) => teller.info(info),
            Err(error) => tracing::warn!("{topic}: {error}"),
        };
        tasks.push(spawn_local(take(infos, enabled.clone(), put)));
    }
    Ok(tasks)
}

/// Hands over what comes, while it is enabled.
async fn take<M: Message + 'static>(
    messages: Subscription<M>,
    enabled: Rc<Cell<bool>>,
    mut hand_over: impl FnMut(Result<Received<M>, String>),
) {
    let mut stream = pin!(messages.async_stream());
    while let Some(message) = stream.next().await {
        if enabled.get() {
            hand_over(match message {
                Ok((message, info)) => Ok(Received {
                    message,
                    times: times(&info),
                }),
                Err(error) => Err(error.to_string()),
            });
        }
    }
}

fn received<M>(image: Received<M>, picture: impl FnOnce(M) -> Picture) -> Received<Picture> {
    Received {
        message: picture(image.message),
        times: image.times,
    }
}

/// When a message was published, as far as its publisher says, and that it came now.
fn times(info: &MessageInfo) -> Times {
    let received = Clock::machine();
    let published = info.source_timestamp();
    Times {
        published: published.map_or(received, |time| Time::from_nanos(time.to_nanos())),
        received,
    }
}

/// Subscribes to the time of a simulation.
///
/// # Errors
/// DDS refuses.
pub(crate) fn clock(bus: &Bus) -> Result<Subscription<ClockMessage>, BusError> {
    bus.input_of("/clock", CLOCK, best_effort(1))
}
