//! The bare floor: a loop that spawns, and does nothing else that a supervisor does.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::failure::{Failure, Result};
use crate::rollcall::RollCall;
use crate::time::Stopwatch;

/// Processes that were spawned bare. They are ended when this is dropped.
#[derive(Debug, Default)]
pub(crate) struct Bare(Vec<Child>);

impl Bare {
    /// Spawns one `idle` (fork and exec as the standard library does it: vfork where it can).
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn spawn(&mut self, idle: &Path, calls: &RollCall) -> Result<()> {
        let mut command = Command::new(idle);
        command.arg(calls.path()).stdin(Stdio::null());
        self.start(command)
    }

    /// Starts anything. It is not to say anything.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(crate) fn start(&mut self, mut command: Command) -> Result<()> {
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn();
        self.0.push(child.map_err(Failure::io(format!("cannot start {}", command.get_program().display())))?);
        Ok(())
    }

    /// Ends the last one by TERM: from the signal until the kernel reports its end.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn stop_last(&mut self) -> Result<std::time::Duration> {
        let mut child = self.0.pop().ok_or_else(|| Failure::new("nothing was spawned"))?;
        let failed = |errno: rustix::io::Errno| Failure::new(format!("cannot signal a child: {errno}"));
        let pid = rustix::process::Pid::from_child(&child);
        let watch = Stopwatch::start();
        // An unreaped child of ours: the number is its own.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).map_err(failed)?;
        child.wait().map_err(Failure::io("cannot wait for a child"))?;
        Ok(watch.elapsed())
    }
}

impl Drop for Bare {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let _ = child.kill();
        }
        for child in &mut self.0 {
            let _ = child.wait();
        }
    }
}
