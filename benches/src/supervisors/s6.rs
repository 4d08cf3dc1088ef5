//! s6: `s6-svscan` over a folder of services, one `s6-supervise` each.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use rustix::process::Signal;

use super::foreground::Foreground;
use super::{Job, Stop, Supervisor};
use crate::failure::Result;
use crate::peers;
use crate::site::Arena;

pub(super) struct S6 {
    bin: PathBuf,
    foreground: Foreground,
}

impl S6 {
    pub(super) fn new(arena: Rc<Arena>, bin: PathBuf) -> Self {
        Self { bin, foreground: Foreground::new(arena) }
    }

    fn program(&self, name: &str) -> Command {
        peers::debian(self.foreground.arena.command(self.bin.join(name)), &self.bin)
    }

    fn svscan(&self) -> Command {
        let mut command = self.program("s6-svscan");
        // Its own limit on services is 1,000.
        command.args(["-c", "2000", "sv"]);
        command
    }
}

impl Supervisor for S6 {
    fn arena(&self) -> &Rc<Arena> {
        &self.foreground.arena
    }

    fn configure(&mut self, jobs: &[Job]) -> Result<()> {
        for job in jobs {
            let text = format!("#!/bin/sh\nexec {}\n", job.line());
            self.arena().script(&format!("sv/{}/run", job.name), &text)?;
        }
        Ok(())
    }

    fn bring_up(&mut self) -> Result<()> {
        let command = self.svscan();
        self.foreground.start(command)
    }

    fn second(&mut self) -> Result<String> {
        let command = self.svscan();
        self.foreground.start_second(command)
    }

    fn kill(&mut self) -> Result<()> {
        self.foreground.kill();
        Ok(())
    }

    fn kill_holders(&mut self) -> Result<bool> {
        super::kill_executing(&self.arena().mark, &self.bin.join("s6-supervise"))
    }

    fn stop(&self, job: &str) -> Result<Stop> {
        let mut command = self.program("s6-svc");
        command.args(["-wD", "-T", "15000", "-d", &format!("sv/{job}")]);
        Ok(Stop::Command(command))
    }

    fn status(&self) -> Option<Command> {
        let mut command = peers::debian(self.arena().command("/bin/sh"), &self.bin);
        command.args(["-c", "for service in sv/*; do s6-svstat $service; done"]);
        Some(command)
    }

    fn shut_down(&mut self) -> Result<()> {
        // TERM: every s6-supervise brings its service down and ends.
        self.foreground.ask(Signal::TERM)
    }
}
