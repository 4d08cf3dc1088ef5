//! runit: `runsvdir` over a folder of services, one `runsv` each.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use rustix::process::Signal;

use super::foreground::Foreground;
use super::{Job, Stop, Supervisor};
use crate::failure::Result;
use crate::peers;
use crate::procs;
use crate::site::Arena;

pub(super) struct Runit {
    bin: PathBuf,
    foreground: Foreground,
}

impl Runit {
    pub(super) fn new(arena: Rc<Arena>, bin: PathBuf) -> Self {
        Self { bin, foreground: Foreground::new(arena) }
    }

    fn program(&self, name: &str) -> Command {
        peers::debian(self.foreground.arena.command(self.bin.join(name)), &self.bin)
    }

    fn runsvdir(&self) -> Command {
        let mut command = self.program("runsvdir");
        command.args(["-P", "sv"]);
        command
    }
}

impl Supervisor for Runit {
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
        let command = self.runsvdir();
        self.foreground.start(command)
    }

    fn second(&mut self) -> Result<String> {
        let command = self.runsvdir();
        self.foreground.start_second(command)
    }

    fn kill(&mut self) -> Result<()> {
        self.foreground.kill();
        Ok(())
    }

    fn kill_holders(&mut self) -> Result<bool> {
        super::kill_executing(&self.arena().mark, &self.bin.join("runsv"))
    }

    fn stop(&self, job: &str) -> Result<Stop> {
        let mut command = self.program("sv");
        command.args(["stop", &format!("./sv/{job}")]);
        Ok(Stop::Command(command))
    }

    fn status(&self) -> Option<Command> {
        let mut folders: Vec<_> =
            std::fs::read_dir(self.arena().dir.join("sv")).ok()?.flatten().map(|entry| entry.path()).collect();
        folders.sort();
        let mut command = self.program("sv");
        command.arg("status").args(folders);
        Some(command)
    }

    fn shut_down(&mut self) -> Result<()> {
        // HUP: it sends TERM to every runsv, which stops its service.
        self.foreground.ask(Signal::HUP)?;
        super::ask_executing(&self.arena().mark, &self.bin.join("runsv"), vigie_core::ladder::Signal::Term)?;
        procs::marked(&self.arena().mark).map(drop)
    }
}
