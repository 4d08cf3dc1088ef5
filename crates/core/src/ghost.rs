//! What no signal ends, once it was set aside (R5.4): a run that is over for its service and not for the kernel.
//!
//! Only those on whom KILL is pending are set aside. None of them ever runs another instruction of its own: it cannot fork,
//! open or bind, and nobody joins them. So the list of them is final, and to watch it, their identities are all that is
//! needed; no keeper has to stay.

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Wall};
use crate::exit::Exit;
use crate::identity::{BootId, RunId};
use crate::journal::Subject;
use crate::launch::{Containment, Holder};
use crate::run::Left;
use crate::text::OsText;

/// The version of [`Ghost`] that is written.
pub const VERSION: u32 = 1;

/// A run that was quarantined, as it is kept on record until it is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ghost {
    /// [`VERSION`] of who wrote it.
    pub version: u32,
    /// The run, its service, and the keeper that it had.
    pub holder: Holder,
    /// How its tree was contained.
    pub containment: Option<Containment>,
    /// The folder of its cgroup. It can be removed when nobody is left.
    pub cgroup: Option<OsText>,
    /// How its main process ended, when it did.
    pub exit: Option<Exit>,
    /// Everybody who is left.
    pub left: Vec<Left>,
    /// When the ladder was at its end, if that is known.
    pub stuck: Option<(Wall, Mono)>,
    /// When it was set aside.
    pub quarantined: (Wall, Mono),
}

impl Ghost {
    /// Which run it is.
    pub fn run(&self) -> RunId {
        self.holder.run
    }

    /// The boot in which it is stuck: another one ends it (R4.7).
    pub fn boot(&self) -> &BootId {
        &self.holder.keeper.boot_id
    }

    /// As the subject of a journal entry.
    pub fn subject(&self) -> Subject {
        Subject::Service {
            project: self.holder.project.clone(),
            service: self.holder.key.service.clone(),
            mode: self.holder.mode.clone(),
        }
    }

    /// As it is stored.
    ///
    /// # Errors
    /// None: nothing in it cannot be written as JSON.
    pub fn to_json(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// From what was stored; absent when it is not understood.
    pub fn from_json(text: &[u8]) -> Option<Self> {
        serde_json::from_slice(text).ok()
    }
}

/// Why those that are left cannot be set aside; absent when they can: KILL is pending on each of them.
pub fn obstacle(left: &[Left]) -> Option<String> {
    if left.is_empty() {
        return Some("nobody is left who could be seen; look again in a moment".to_owned());
    }
    let live: Vec<String> = left.iter().filter(|left| !left.kill_pending).map(ToString::to_string).collect();
    (!live.is_empty()).then(|| {
        let they = if live.len() == 1 { "it" } else { "they" };
        format!("KILL is not pending on {}: {they} could still act; stop it with KILL first", live.join(", "))
    })
}

/// The first `most` of them, and how many there are in all.
pub fn some(left: &[Left], most: usize) -> (Vec<Left>, u32) {
    (left.iter().take(most).cloned().collect(), u32::try_from(left.len()).unwrap_or(u32::MAX))
}

/// Who they are, for people.
pub fn names(left: &[Left]) -> String {
    if left.is_empty() {
        return "processes are left".to_owned();
    }
    left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::ProcKey;

    fn left(pid: u32, kill_pending: bool) -> Left {
        let process = ProcKey { boot_id: BootId("b".into()), pid, start_ticks: 1 };
        Left { process, name: "dd".into(), state: 'D', kill_pending }
    }

    /// R5.4, R8.4: only after KILL is pending, on all of them.
    #[test]
    fn whoever_could_still_act_is_not_set_aside() {
        assert_eq!(obstacle(&[left(2, true), left(3, true)]), None);
        let why = obstacle(&[left(2, true), left(3, false)]).expect("one could act");
        assert!(why.contains("PID 3") && !why.contains("PID 2"), "{why}");
        assert!(obstacle(&[]).is_some(), "nobody seen is not nobody there");
    }
}
