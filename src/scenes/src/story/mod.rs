//! Stories: scenes in which things happen, and sentences that are true of some instants only.

mod acts;
mod camera;
mod glide;
mod plot;
mod sentence;
mod tell;
mod watch;

pub use acts::Act;
pub use plot::Story;
pub use sentence::{StoryCaption, StoryPhrase};
pub use tell::tell;
pub use watch::{Instant, Watch};
