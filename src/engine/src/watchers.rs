//! Those who hear of plans that take long to make.

use std::sync::{Arc, Mutex};

use crate::events::{PlanEvent, PlanWatcher};
use crate::sync::locked;

/// Watchers that have not said stop yet.
#[derive(Default)]
pub(crate) struct Watchers(Mutex<Vec<PlanWatcher>>);

impl Watchers {
    pub(crate) fn add(&self, watcher: PlanWatcher) {
        locked(&self.0).push(watcher);
    }

    /// Tells all of them, and forgets those that say stop. Whether to go on: unless all there were
    /// said stop.
    pub(crate) fn tell(&self, event: &PlanEvent) -> bool {
        // They may take long, or add watchers.
        let watchers = locked(&self.0).clone();
        let (going, stopped): (Vec<_>, Vec<_>) =
            watchers.into_iter().partition(|watcher| watcher(event));
        let still = |watcher: &PlanWatcher| !stopped.iter().any(|s| Arc::ptr_eq(s, watcher));
        locked(&self.0).retain(still);
        !going.is_empty() || stopped.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

    use super::*;

    fn event() -> PlanEvent {
        PlanEvent::Waiting {
            graph: "vision.onnx".to_owned(),
        }
    }

    #[test]
    fn a_plan_is_given_up_once_nobody_wants_it() {
        let watchers = Watchers::default();
        assert!(watchers.tell(&event()), "nobody minds");
        let (stop, told) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicUsize::new(0)),
        );
        for watcher in 0..2 {
            let (stop, told) = (stop.clone(), told.clone());
            watchers.add(Arc::new(move |_| {
                told.fetch_add(1, Ordering::Relaxed);
                watcher == 0 && !stop.load(Ordering::Relaxed)
            }));
        }
        assert!(watchers.tell(&event()), "one wants it");
        assert!(watchers.tell(&event()));
        assert_eq!(told.load(Ordering::Relaxed), 3, "the other is forgotten");
        stop.store(true, Ordering::Relaxed);
        assert!(!watchers.tell(&event()));
        assert!(
            watchers.tell(&event()),
            "those who come later are not bound"
        );
    }
}
