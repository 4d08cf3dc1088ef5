//! Deeds that wait until something is durable.

use std::collections::{HashMap, VecDeque};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use vigie_api::settings::Changed;
use vigie_core::identity::RunId;
use vigie_core::launch::ServiceKey;
use vigie_core::supervisor::Action;

use crate::input::Refused;
use crate::ledger::Ticket;

/// Something to do.
#[derive(Debug)]
pub(super) enum Deed {
    /// What the supervisor decided.
    Action(Action),
    /// What took this room is stored.
    Free(OwnedSemaphorePermit),
    /// Tell somebody that it is durable.
    Tell(oneshot::Sender<()>),
    /// Tell a client that its change is stored.
    Answer {
        /// It.
        reply: oneshot::Sender<Result<Changed, Refused>>,
        /// What is told.
        changed: Changed,
    },
    /// Send what waits to be sent.
    Post,
    /// Tell somebody what came of a change of sources.
    AnswerOfSources(oneshot::Sender<vigie_api::source::Answer>, Box<vigie_api::source::Answer>),
    /// Tell a keeper that its events are stored.
    Acknowledge {
        /// Whose.
        key: ServiceKey,
        /// Which run.
        run: RunId,
        /// Up to which.
        seq: u64,
    },
}

/// Deeds in the order in which they were decided.
#[derive(Debug, Default)]
pub(super) struct Deferred {
    queue: VecDeque<(Ticket, Deed)>,
    /// How many wait for each service: whatever follows for it must wait, too, so that order is kept.
    held_up: HashMap<ServiceKey, u32>,
}

impl Deferred {
    pub(super) fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    /// Whether an action must wait because an earlier one for its service does.
    pub(super) fn holds_up(&self, action: &Action) -> bool {
        !self.held_up.is_empty() && action.key().is_some_and(|key| self.held_up.contains_key(key))
    }

    /// Waits for a ticket; tickets never descend.
    pub(super) fn push(&mut self, ticket: Ticket, deed: Deed) {
        if let Deed::Action(action) = &deed
            && let Some(key) = action.key()
        {
            *self.held_up.entry(key.clone()).or_default() += 1;
        }
        self.queue.push_back((ticket, deed));
    }

    /// The next whose ticket is settled.
    pub(super) fn pop(&mut self, is_settled: impl Fn(Ticket) -> bool) -> Option<Deed> {
        let (_, deed) = self.queue.pop_front_if(|(ticket, _)| is_settled(*ticket))?;
        if let Deed::Action(action) = &deed
            && let Some(key) = action.key()
            && let Some(count) = self.held_up.get_mut(key)
        {
            *count -= 1;
            if *count == 0 {
                self.held_up.remove(key);
            }
        }
        Some(deed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::launch::Scope;
    use vigie_core::name::Name;

    #[test]
    fn what_follows_for_a_service_waits_too() {
        let key = |name| ServiceKey::new(Scope::User, std::path::Path::new("/"), Name::new(name).expect("name"));
        let skip = |name| Action::Skip { key: key(name) };
        let mut deferred = Deferred::default();
        deferred.push(1, Deed::Action(skip("a")));
        deferred.push(2, Deed::Action(skip("a")));
        assert!(deferred.holds_up(&skip("a")));
        assert!(!deferred.holds_up(&skip("b")));
        assert!(deferred.pop(|ticket| ticket < 1).is_none());
        assert!(deferred.pop(|ticket| ticket <= 1).is_some());
        assert!(deferred.pop(|ticket| ticket <= 1).is_none());
        assert!(deferred.holds_up(&skip("a")));
        assert!(deferred.pop(|ticket| ticket <= 2).is_some());
        assert!(!deferred.holds_up(&skip("a")) && deferred.is_empty());
    }
}
