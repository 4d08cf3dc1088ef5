//! Taking in a process that runs already (cgroups(7): a PID written to `cgroup.procs` moves all its threads).

use super::Cgroup;
use crate::error::OsError;
use crate::pidfd::Target;
use crate::proc::Proc;

impl Cgroup {
    /// Moves a process into the folder. Its children stay where they are, those that it forks from now on are inside.
    /// `false`: it has ended.
    ///
    /// # Errors
    /// `EACCES`, `EPERM` when this user may not take it out of where it is.
    pub fn admit(&self, proc: &Proc, target: &Target) -> Result<bool, OsError> {
        let pid = target.key().pid;
        if target.is_dead()? {
            return Ok(false);
        }
        let file = self.path.join("cgroup.procs");
        match std::fs::write(&file, pid.to_string()) {
            Ok(()) => {}
            Err(error) if error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => return Ok(false),
            Err(error) => return Err(OsError::on("write", &file)(error)),
        }
        // The kernel takes a number, and a number may have become another's between the look and the write.
        if proc.key(pid)?.is_some_and(|key| key != *target.key()) && self.contains(pid) {
            self.expel(pid);
            return Ok(false);
        }
        Ok(true)
    }

    /// Puts somebody out who was taken in by mistake: to where this folder lies.
    fn expel(&self, pid: u32) {
        if let Some(parent) = self.path.parent() {
            // One that has ended meanwhile is out anyway.
            let _ = std::fs::write(parent.join("cgroup.procs"), pid.to_string());
        }
    }
}
