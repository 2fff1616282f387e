//! Sessions of browsers.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::token::{self, Hash};

/// How long a session lasts.
pub(super) const SESSION: Duration = Duration::from_secs(7 * 24 * 3600);
/// Most sessions at once.
const MAX_SESSIONS: usize = 1024;
/// Sessions of browsers. They end with the program.
#[derive(Debug, Default)]
pub(super) struct Sessions(Mutex<HashMap<Hash, Session>>);

#[derive(Debug)]
struct Session {
    token: Hash,
    end: Instant,
}

impl Sessions {
    pub(super) fn begin(&self, token: Hash) -> String {
        let id = token::random();
        let now = Instant::now();
        let mut sessions = self.0.lock().expect("no code panics with the lock");
        sessions.retain(|_, session| session.end > now);
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions
                .iter()
                .min_by_key(|(_, session)| session.end)
                .map(|(id, _)| *id);
            oldest.map(|id| sessions.remove(&id));
        }
        let end = now + SESSION;
        sessions.insert(token::hash(&id), Session { token, end });
        id
    }

    pub(super) fn token(&self, id: &str) -> Option<Hash> {
        let sessions = self.0.lock().expect("no code panics with the lock");
        // By hash: how long it takes to find one tells nothing about others.
        let session = sessions.get(&token::hash(id))?;
        (session.end > Instant::now()).then_some(session.token)
    }

    pub(super) fn end(&self, id: &str) {
        let mut sessions = self.0.lock().expect("no code panics with the lock");
        sessions.remove(&token::hash(id));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sessions_are_limited() {
        let sessions = Sessions::default();
        let first = sessions.begin([1; 32]);
        assert_eq!(sessions.token(&first), Some([1; 32]));
        for _ in 0..MAX_SESSIONS {
            sessions.begin([2; 32]);
        }
        assert_eq!(sessions.token(&first), None);
        assert_eq!(sessions.0.lock().unwrap().len(), MAX_SESSIONS);
    }
}
