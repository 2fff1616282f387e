//! Coded pictures of cameras, for listeners who decode them themselves.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard};

use serde::Serialize;
use tokio::sync::broadcast;

/// Most pictures that a slow listener may lag behind before it begins anew.
const BACKLOG: usize = 128;
/// Most bytes of a group of pictures that is kept for those who come.
const MAX_GROUP: usize = 32 << 20;

/// How pictures are coded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Codec {
    /// As RFC 6381 has it: `avc1.42c01f`.
    pub codec: String,
    /// `AVCDecoderConfigurationRecord` in hexadecimal digits; without it pictures are as in Annex B.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A coded picture.
pub struct CodedPicture {
    /// How it is coded.
    pub codec: Arc<Codec>,
    /// Presentation time in microseconds, as that of the report of the same frame.
    pub pts_us: u64,
    /// Whether it can be decoded without others.
    pub key: bool,
    /// The access unit.
    pub data: Box<dyn AsRef<[u8]> + Send + Sync>,
}

impl fmt::Debug for CodedPicture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CodedPicture")
            .field("codec", &self.codec)
            .field("pts_us", &self.pts_us)
            .field("key", &self.key)
            .field("bytes", &(*self.data).as_ref().len())
            .finish()
    }
}

/// Coded pictures of all cameras.
#[derive(Debug, Default)]
pub struct Videos(Mutex<BTreeMap<String, Video>>);

#[derive(Debug)]
struct Video {
    /// The pictures since the last key picture, and it.
    group: Vec<Arc<CodedPicture>>,
    bytes: usize,
    listeners: broadcast::Sender<Arc<CodedPicture>>,
}

/// What a listener needs: the pictures that the next ones need, and these as they come.
pub type Listening = (
    Vec<Arc<CodedPicture>>,
    broadcast::Receiver<Arc<CodedPicture>>,
);

impl Videos {
    fn videos(&self) -> MutexGuard<'_, BTreeMap<String, Video>> {
        self.0.lock().expect("no code panics with the lock")
    }

    /// The next picture of a camera.
    pub fn push(&self, camera: &str, picture: CodedPicture) {
        let mut videos = self.videos();
        let video = match videos.get_mut(camera) {
            Some(video) => video,
            // Nothing can be decoded before the first key picture.
            None if !picture.key => return,
            None => videos.entry(camera.to_owned()).or_insert_with(|| Video {
                group: Vec::new(),
                bytes: 0,
                listeners: broadcast::Sender::new(BACKLOG),
            }),
        };
        let picture = Arc::new(picture);
        let bytes = (*picture.data).as_ref().len();
        if picture.key {
            video.group.clear();
            video.bytes = 0;
        }
        if video.bytes + bytes > MAX_GROUP {
            // Whoever comes waits for the next key picture.
            video.group.clear();
        } else if picture.key || !video.group.is_empty() {
            video.group.push(picture.clone());
        }
        video.bytes += bytes;
        // Nobody listening is no fault.
        let _ = video.listeners.send(picture);
    }

    /// The camera is lost, or gives pictures that nobody here can send on: those who listen hear of an end.
    pub fn end(&self, camera: &str) {
        self.videos().remove(camera);
    }

    /// Whether a camera gives pictures.
    pub fn has(&self, camera: &str) -> bool {
        self.videos().contains_key(camera)
    }

    /// Listens to a camera, if it gives pictures.
    pub fn listen(&self, camera: &str) -> Option<Listening> {
        let videos = self.videos();
        let video = videos.get(camera)?;
        Some((video.group.clone(), video.listeners.subscribe()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn picture(pts_us: u64, key: bool, bytes: usize) -> CodedPicture {
        let codec = Arc::new(Codec {
            codec: "avc1.42c01f".to_owned(),
            description: None,
        });
        CodedPicture {
            codec,
            pts_us,
            key,
            data: Box::new(vec![0; bytes]),
        }
    }

    fn times(videos: &Videos) -> Vec<u64> {
        let (group, _) = videos.listen("gate").unwrap();
        group.iter().map(|picture| picture.pts_us).collect()
    }

    #[test]
    fn who_comes_has_the_group_and_what_follows() {
        let videos = Videos::default();
        videos.push("gate", picture(0, false, 1));
        assert!(videos.listen("gate").is_none());
        for (time, key) in [(1, true), (2, false), (3, true), (4, false)] {
            videos.push("gate", picture(time, key, 1));
        }
        let (group, mut coming) = videos.listen("gate").unwrap();
        let group: Vec<u64> = group.iter().map(|picture| picture.pts_us).collect();
        assert_eq!(group, [3, 4]);
        videos.push("gate", picture(5, false, 1));
        assert_eq!(coming.try_recv().unwrap().pts_us, 5);
        assert_eq!(times(&videos), [3, 4, 5]);
        videos.end("gate");
        assert!(videos.listen("gate").is_none());
        assert!(matches!(
            coming.try_recv(),
            Err(broadcast::error::TryRecvError::Closed)
        ));
    }

    #[test]
    fn an_endless_group_is_not_kept() {
        let videos = Videos::default();
        videos.push("gate", picture(0, true, 1));
        videos.push("gate", picture(1, false, MAX_GROUP));
        assert_eq!(times(&videos), [0; 0]);
        videos.push("gate", picture(2, false, 1));
        assert_eq!(times(&videos), [0; 0]);
        videos.push("gate", picture(3, true, 1));
        assert_eq!(times(&videos), [3]);
    }
}
