//! Setting aside what no signal ends (R5.4): the service is free for a successor, the processes stay on record.
//!
//! The order makes it safe against a kill between any two steps: first the record of the ghost, which decides; then the
//! event and the record of the service; the lock last, with the end of the process. Whoever finds the first without the
//! others knows that the run is a ghost.

use vigie_core::ghost::{self, Ghost};
use vigie_os::clock::now;
use vigie_os::ghosts;
use vigie_wire::keeper::{Phase, What};

use crate::keeper::Keeper;
use crate::tree::Tree;

impl Keeper {
    /// Sets aside those that are left, if KILL is pending on each of them. The keeper then ends.
    pub(crate) fn quarantine(&mut self) -> Result<(), String> {
        // Whoever has ended since is no part of it.
        self.reap();
        if self.phase().is_over() {
            return Err("nothing is left that could be set aside".to_owned());
        }
        match self.set_aside() {
            Ok(what) => {
                if let Some(mut output) = self.course.output.take() {
                    output.flush(now(), |what| self.tell(what));
                }
                self.change(|state| {
                    state.phase = Phase::Quarantined;
                    state.holder.main = None;
                });
                self.tell(what);
            }
            Err(why) => self.tell(What::QuarantineRefused { why }),
        }
        Ok(())
    }

    fn set_aside(&self) -> Result<What, String> {
        let Some(state) = &self.state else { return Err("nothing was launched yet".to_owned()) };
        if state.phase != Phase::Stuck {
            return Err("its ladder is not at its end: signals may still end it".to_owned());
        }
        let left = self.tree().everybody();
        if let Some(why) = ghost::obstacle(&left) {
            return Err(why);
        }
        let now = now();
        let (named, count) = Tree::named(&left);
        let ghost = Ghost {
            version: ghost::VERSION,
            holder: state.holder.clone(),
            containment: state.containment,
            cgroup: state.cgroup.clone(),
            exit: state.exit,
            left,
            stuck: self.course.stuck.map(|stuck| (stuck.wall, stuck.mono)),
            quarantined: (now.wall, now.mono),
        };
        ghosts::write(&self.parts.folder.ghosts(), &ghost).map_err(|error| error.to_string())?;
        Ok(What::Quarantined { left: named, count })
    }
}
