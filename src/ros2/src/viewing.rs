//! Pictures for viewers: on a thread of their own, as raw ones are made JPEG files there.

use std::sync::Arc;
use std::thread::{self, JoinHandle};

use mdetr_ros2_bus::Mailbox;
use mdetr_ros2_messages::Message;
use mdetr_ros2_messages::sensor_msgs::CompressedImage;

use crate::picture::Picture;
use crate::rgb;
use crate::taps::Shown;

/// Pictures that may wait for the thread; the oldest is dropped.
const WAITING: usize = 8;

/// Shows pictures of a camera. Its thread ends when this is dropped.
pub(crate) struct Viewing {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    shown: Shown,
    mailbox: Mailbox<Picture>,
}

impl Viewing {
    /// The type of the messages.
    pub const DEFINITION: &'static mdetr_ros2_messages::Definition = CompressedImage::DEFINITION;

    /// The name of the topic for pictures of the topic `image`.
    pub fn topic(image: &str, compressed: bool) -> String {
        match compressed {
            true => image.to_owned(),
            false => format!("{image}/compressed"),
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// The system has no more threads.
    pub fn start(shown: Shown) -> std::io::Result<Viewing> {
        let shared = Arc::new(Shared {
            shown,
            mailbox: Mailbox::new(WAITING),
        });
        let own = shared.clone();
        let builder = thread::Builder::new().name("mdetr-view".into());
        let thread = builder.spawn(move || own.run())?;
        Ok(Viewing {
            shared,
            thread: Some(thread),
        })
    }

    /// Shows a picture, if a viewer wants it. Does not wait.
    pub fn show(&self, picture: Picture) {
        if self.shared.shown.wanted() {
            self.shared.mailbox.put(picture);
        }
    }
}

impl Drop for Viewing {
    fn drop(&mut self) {
        self.shared.mailbox.close();
        if let Some(thread) = self.thread.take() {
            // Nothing is to be done about a panic where it ended.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn run(&self) {
        while let Some(picture) = self.mailbox.take() {
            let stamp = picture.header().stamp;
            match picture {
                Picture::Compressed(image) => self.shown.send(stamp, &image),
                Picture::Raw(_) => match converted(&picture) {
                    Some(image) => self.shown.send(stamp, &image),
                    None => tracing::debug!("a picture cannot be made a JPEG file for viewers"),
                },
            }
        }
    }
}

/// As a JPEG file.
fn converted(picture: &Picture) -> Option<CompressedImage> {
    let opened = picture.open().ok()?;
    let frame = opened.frame().ok()?;
    let pixels = rgb::packed(&frame)?;
    rgb::jpeg(picture.header(), frame.width(), frame.height(), &pixels)
}
