//! Who listens to what is published here, and who cannot hear whom.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use ros2_client::dds::rustdds::{
    DomainParticipant, DomainParticipantStatusEvent, GUID, QosPolicies, StatusEvented, policy,
};

/// What DDS says of the other side of writers and readers. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Listeners(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    /// For each writer the readers that are matched with it.
    matched: BTreeMap<GUID, BTreeSet<GUID>>,
    /// Topics of writers and readers of this node.
    topics: BTreeMap<GUID, String>,
}

impl Listeners {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says which topic a writer or reader of this node has.
    pub fn name(&self, entity: GUID, topic: &str) {
        self.state().topics.insert(entity, topic.to_owned());
    }

    /// How many listen to a writer.
    pub fn count(&self, writer: GUID) -> usize {
        self.state().matched.get(&writer).map_or(0, BTreeSet::len)
    }

    /// Whether the participant of `client` listens to a writer.
    pub fn hears(&self, client: GUID, writer: GUID) -> bool {
        let state = self.state();
        let readers = state.matched.get(&writer);
        readers.is_some_and(|readers| readers.iter().any(|reader| reader.prefix == client.prefix))
    }

    /// Keeps count, as long as it is polled.
    pub async fn follow(&self, participant: &DomainParticipant) {
        let status = participant.status_listener();
        let mut events = status.as_async_status_stream();
        while let Some(event) = events.next().await {
            self.take(event);
        }
    }

    fn take(&self, event: DomainParticipantStatusEvent) {
        use DomainParticipantStatusEvent::{
            ParticipantLost, ReaderLost, RemoteReaderMatched, RemoteReaderQosIncompatible,
            RemoteWriterQosIncompatible,
        };
        let mut state = self.state();
        match event {
            RemoteReaderMatched {
                local_writer,
                remote_reader,
            } => {
                let readers = state.matched.entry(local_writer).or_default();
                readers.insert(remote_reader);
            }
            ReaderLost { guid, .. } => {
                for readers in state.matched.values_mut() {
                    readers.remove(&guid);
                }
            }
            ParticipantLost { id, .. } => {
                for readers in state.matched.values_mut() {
                    readers.retain(|reader| reader.prefix != id);
                }
            }
            RemoteReaderQosIncompatible {
                local_writer,
                requested_qos,
                offered_qos,
                ..
            } => {
                if let Some(topic) = state.topics.get(&local_writer) {
                    let why = difference(&requested_qos, &offered_qos);
                    tracing::warn!("{topic}: a subscriber gets nothing: {why}");
                }
            }
            RemoteWriterQosIncompatible {
                local_reader,
                requested_qos,
                offered_qos,
                ..
            } => {
                if let Some(topic) = state.topics.get(&local_reader) {
                    let why = difference(&requested_qos, &offered_qos);
                    tracing::warn!("{topic}: nothing is heard of a publisher: {why}");
                }
            }
            _ => (),
        }
    }
}

/// What a reader asks for and a writer does not offer.
fn difference(requested: &QosPolicies, offered: &QosPolicies) -> &'static str {
    let reliable = |qos: &QosPolicies| {
        let reliability = qos.reliability();
        reliability.is_some_and(|kind| matches!(kind, policy::Reliability::Reliable { .. }))
    };
    let kept = |qos: &QosPolicies| {
        let durability = qos.durability();
        durability.is_some_and(|kind| kind != policy::Durability::Volatile)
    };
    if reliable(requested) && !reliable(offered) {
        "it asks for reliable delivery, and best effort is offered; ask for best effort"
    } else if kept(requested) && !kept(offered) {
        "it asks for earlier messages (transient local), and they are not kept; ask for volatile ones"
    } else {
        "their quality of service (QoS) differs in deadline, liveliness or lifespan"
    }
}
