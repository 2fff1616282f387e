//! Services on DDS: a topic with requests and one with answers, and how an answer says whose it is.
//!
//! Fast DDS and most others mark it beside the message; CycloneDDS's layer of ROS writes it before the message.
//! ros2-client has servers too. They send answers at once, also to a client whose reader DDS has not matched yet, who
//! then waits in vain; and rustdds 0.15 writes one byte too many before the mark where an answer needs several datagrams.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::pin;
use std::time::Duration;

use byteorder::LittleEndian;
use futures_util::StreamExt;
use ros2_client::dds::rustdds::rpc::SampleIdentity;
use ros2_client::dds::rustdds::{GUID, RTPSEntity, Timestamp, WriteOptionsBuilder, no_key};
use ros2_client::{MessageInfo, RmwRequestId, Subscription};
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer};
use serde::{Deserialize, Serialize, Serializer};
use tokio::time::{Instant, sleep};

use crate::listeners::Listeners;

/// How long an answer waits for its reader to be matched.
const PATIENCE: Duration = Duration::from_millis(500);
/// How often is looked.
const NAP: Duration = Duration::from_millis(5);
/// Bytes of an answer that is marked beside the message: as many as surely go into one datagram with the mark.
const MOST_MARKED: usize = 1200;

/// How an answer says whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Marking {
    /// Beside the message.
    Beside,
    /// Before the message.
    Before,
}

/// A client's number and that of its request, where they stand before the message.
type Mark = (u64, i64);

/// Reads requests.
pub(crate) struct Reading<T> {
    marking: Marking,
    body: PhantomData<T>,
}

impl<T> Clone for Reading<T> {
    fn clone(&self) -> Self {
        Reading {
            marking: self.marking,
            body: PhantomData,
        }
    }
}

/// A request.
pub(crate) struct Request<T> {
    mark: Option<Mark>,
    body: T,
}

impl<'de, T: Deserialize<'de>> DeserializeSeed<'de> for Reading<T> {
    type Value = Request<T>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Request<T>, D::Error> {
        match self.marking {
            Marking::Beside => {
                T::deserialize(deserializer).map(|body| Request { mark: None, body })
            }
            Marking::Before => {
                let (client, number, body) = Deserialize::deserialize(deserializer)?;
                let mark = Some((client, number));
                Ok(Request { mark, body })
            }
        }
    }
}

/// An answer.
pub(crate) struct Answer<U> {
    mark: Option<Mark>,
    body: U,
}

impl<U: Serialize> Serialize for Answer<U> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.mark {
            None => self.body.serialize(serializer),
            Some((client, number)) => (client, number, &self.body).serialize(serializer),
        }
    }
}

/// A service with requests `T` and answers `U`.
pub struct Server<T, U: Serialize> {
    pub(crate) name: String,
    pub(crate) marking: Marking,
    pub(crate) requests: Subscription<Request<T>>,
    pub(crate) answers: no_key::DataWriterCdr<Answer<U>>,
    pub(crate) listeners: Listeners,
}

impl<T: DeserializeOwned + 'static, U: Serialize> Server<T, U> {
    /// Answers requests, one after the other, as long as it is polled. One that cannot be read has no answer.
    pub async fn serve<F, A>(self, answer: F)
    where
        F: Fn(T) -> A,
        A: Future<Output = U>,
    {
        let reading = Reading {
            marking: self.marking,
            body: PhantomData,
        };
        let mut requests = pin!(self.requests.async_stream_seed(reading));
        while let Some(request) = requests.next().await {
            match request {
                Ok((request, info)) => {
                    let body = answer(request.body).await;
                    let mark = request.mark;
                    self.send(Answer { mark, body }, &info).await;
                }
                Err(error) => {
                    tracing::warn!("{}: a request that cannot be read: {error}", self.name);
                }
            }
        }
    }

    async fn send(&self, answer: Answer<U>, request: &MessageInfo) {
        let client = GUID::from(request.publisher_gid());
        let deadline = Instant::now() + PATIENCE;
        let writer = self.answers.guid();
        while !self.listeners.hears(client, writer) && Instant::now() < deadline {
            sleep(NAP).await;
        }
        let mut options = WriteOptionsBuilder::new().source_timestamp(Timestamp::now());
        if self.marking == Marking::Beside {
            match self.length(&answer) {
                Ok(length) if length <= MOST_MARKED => {
                    options = options.related_sample_identity(identity(request));
                }
                Ok(length) => tracing::error!(
                    "{}: an answer of {length} bytes cannot be sent so that clients of Fast DDS know it as theirs; \
                     ask for less at once ({MOST_MARKED} bytes at most)",
                    self.name
                ),
                Err(error) => {
                    tracing::error!("{}: an answer cannot be written: {error}", self.name)
                }
            }
        }
        if let Err(error) = self.answers.write_with_options(answer, options.build()) {
            tracing::warn!("{}: an answer was lost: {error}", self.name);
        }
    }

    fn length(&self, answer: &Answer<U>) -> Result<usize, cdr_encoding::Error> {
        cdr_encoding::to_vec::<_, LittleEndian>(answer).map(|bytes| bytes.len())
    }
}

/// Whose request it was.
fn identity(request: &MessageInfo) -> SampleIdentity {
    let own = RmwRequestId {
        writer_gid: request.publisher_gid(),
        sequence_number: request.sequence_number(),
    };
    let mut identity = request.related_request_id().unwrap_or(own);
    // Fast DDS leaves the number to that of the message.
    if identity.sequence_number <= 0 {
        identity.sequence_number = own.sequence_number;
    }
    identity.into()
}
