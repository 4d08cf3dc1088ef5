//! What was set aside and is watched until it is gone (R5.4).
//!
//! The record of a ghost is the truth about it; a copy lies in the database, since the record does not outlive the machine.
//! A daemon that begins tells of both ([`crate::supervisor::Event::GhostFound`]); whoever is known already is not new.

use crate::ghost::Ghost;
use crate::identity::RunId;
use crate::journal::{Entry, What};
use crate::launch::ServiceKey;
use crate::supervisor::{Action, Draft, Supervisor};
use crate::units::Span;

/// The number of the end of a ghost among the events of its run: above all that a keeper gives, so that the journal takes it
/// once, however many daemons see it (invariant 5).
const GONE: u64 = i64::MAX as u64 - 1;

impl Supervisor {
    /// Those that are not known to be gone.
    pub fn ghosts(&self) -> impl Iterator<Item = &Ghost> {
        self.ghosts.values()
    }

    /// Those of a service.
    pub fn ghosts_of(&self, key: &ServiceKey) -> impl Iterator<Item = &Ghost> {
        self.ghosts.values().filter(move |ghost| ghost.holder.key == *key)
    }

    /// One of them.
    pub fn ghost(&self, run: RunId) -> Option<&Ghost> {
        self.ghosts.get(&run)
    }

    pub(super) fn ghost_found(&mut self, ghost: Ghost, draft: &mut Draft) {
        let run = ghost.run();
        if self.ghosts.get(&run) != Some(&ghost) {
            self.ghosts.insert(run, ghost);
            draft.ghosts.insert(run);
        }
    }

    pub(super) fn ghost_gone(&mut self, run: RunId, reboot: bool, draft: &mut Draft) {
        let Some(ghost) = self.ghosts.remove(&run) else { return };
        let since = ghost.stuck.unwrap_or(ghost.quarantined).1;
        // The clock that never jumps begins anew with each boot.
        let after = (!reboot).then(|| Span(draft.now.mono.since(since)));
        let what = What::GhostGone { after, reboot };
        draft.entries.push(Entry::of_keeper(draft.now.wall, ghost.subject(), run, GONE, what));
        draft.ghosts.insert(run);
        draft.actions.push(Action::ForgetGhost { run, cgroup: ghost.cgroup });
    }
}
