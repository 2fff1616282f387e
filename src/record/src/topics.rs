//! Names and types of topics.

use mdetr_ros2_messages::Definition;

use crate::error::RecordError;

/// Longest name of a topic, that of DDS without the prefix of ROS.
const MAX_NAME: usize = 255;

/// A topic of a recorder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Topic(pub(crate) usize);

/// Name and type of each topic, in the order they came.
#[derive(Debug, Clone, Default)]
pub(crate) struct Topics(Vec<(String, Definition)>);

impl Topics {
    /// The topic of this name, and whether it is new.
    ///
    /// # Errors
    /// The name is none that ROS allows, or the topic has another type.
    pub fn get(&mut self, name: &str, of: &Definition) -> Result<(Topic, bool), RecordError> {
        if let Some(at) = self.0.iter().position(|(known, _)| known == name) {
            let topic = Topic(at);
            return self.check(topic, of).map(|()| (topic, false));
        }
        if !is_full_name(name) {
            let name = name.chars().take(60).collect();
            return Err(RecordError::TopicName { name });
        }
        self.0.push((name.to_owned(), *of));
        Ok((Topic(self.0.len() - 1), true))
    }

    /// Whether the messages of a topic are of this type.
    pub fn check(&self, topic: Topic, found: &Definition) -> Result<(), RecordError> {
        let known = self.definition(topic);
        if known == found {
            return Ok(());
        }
        Err(RecordError::TopicType {
            name: self.name(topic).to_owned(),
            known: known.name.to_owned(),
            found: found.name.to_owned(),
        })
    }

    pub fn name(&self, topic: Topic) -> &str {
        &self.0[topic.0].0
    }

    pub fn definition(&self, topic: Topic) -> &Definition {
        &self.0[topic.0].1
    }
}

/// Whether it is a name as ROS resolves them: `/camera/image_raw`.
fn is_full_name(name: &str) -> bool {
    let part = |part: &str| {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '_';
        !part.is_empty()
            && part.chars().all(plain)
            && !part.starts_with(|c: char| c.is_ascii_digit())
    };
    let parts = name.strip_prefix('/');
    name.len() <= MAX_NAME && parts.is_some_and(|parts| parts.split('/').all(part))
}
