//! A supervisor that is a program that stays: a child of ours.

use std::process::{Child, Command};
use std::rc::Rc;
use std::time::Duration;

use vigie_core::clock::Mono;

use crate::command;
use crate::failure::{Failure, Result};
use crate::site::Arena;
use crate::time::until;

/// It, and a second one if there was one.
#[derive(Debug)]
pub(crate) struct Foreground {
    pub(crate) arena: Rc<Arena>,
    child: Option<Child>,
    second: Option<Child>,
}

/// How long a second supervisor is watched: does it stay?
const WATCHED: Duration = Duration::from_secs(3);

impl Foreground {
    pub(crate) fn new(arena: Rc<Arena>) -> Self {
        Self { arena, child: None, second: None }
    }

    pub(crate) fn start(&mut self, command: Command) -> Result<()> {
        self.child = Some(command::stay(command, &self.arena.dir.join("supervisor.log"))?);
        Ok(())
    }

    pub(crate) fn start_second(&mut self, command: Command) -> Result<String> {
        let mut child = command::stay(command, &self.arena.dir.join("second.log"))?;
        let mut ended = || child.try_wait().ok().flatten();
        let status = until("its end", WATCHED, Duration::from_millis(20), &mut ended).ok();
        self.second = Some(child);
        Ok(status.map_or("it stays".to_owned(), |status| match status.code() {
            Some(code) => format!("exit {code}"),
            None => status.to_string(),
        }))
    }

    pub(crate) fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            command::end(&mut child);
        }
    }

    /// The process.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.as_ref().map(Child::id).ok_or_else(|| Failure::new("the supervisor was not started"))
    }

    /// Asks it by this signal to end, and waits for that; then kills it.
    pub(crate) fn ask(&mut self, signal: rustix::process::Signal) -> Result<()> {
        for mut child in self.child.take().into_iter().chain(self.second.take()) {
            // Unreaped, unless `try_wait` saw its end: then the signal is not sent.
            if matches!(child.try_wait(), Ok(None)) {
                let _ = rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal);
            }
            wait(&mut child, self.arena.site.pick(Duration::from_secs(20), Duration::from_secs(10)));
            command::end(&mut child);
        }
        Ok(())
    }
}

/// Waits for the end of a child.
fn wait(child: &mut Child, limit: Duration) {
    let deadline = Mono(vigie_os::clock::mono().0) + limit;
    while matches!(child.try_wait(), Ok(None)) && vigie_os::clock::mono() < deadline {
        crate::time::pass(Duration::from_millis(2));
    }
}

impl Drop for Foreground {
    fn drop(&mut self) {
        for mut child in self.child.take().into_iter().chain(self.second.take()) {
            command::end(&mut child);
        }
    }
}
