//! honcho: one Procfile, one foreground program; its services cannot be asked one by one.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use rustix::process::Signal;

use super::foreground::Foreground;
use super::{Job, Stop, Supervisor};
use crate::failure::Result;
use crate::site::Arena;

pub(super) struct Honcho {
    bin: PathBuf,
    foreground: Foreground,
}

impl Honcho {
    pub(super) fn new(arena: Rc<Arena>, bin: PathBuf) -> Self {
        Self { bin, foreground: Foreground::new(arena) }
    }

    fn honcho(&self) -> Command {
        let mut command = self.foreground.arena.command(self.bin.join("honcho"));
        command.args(["-f", "Procfile", "start"]);
        command
    }
}

impl Supervisor for Honcho {
    fn arena(&self) -> &Rc<Arena> {
        &self.foreground.arena
    }

    fn configure(&mut self, jobs: &[Job]) -> Result<()> {
        let text: String = jobs.iter().map(|job| format!("{}: exec {}\n", job.name, job.line())).collect();
        self.arena().write("Procfile", &text).map(drop)
    }

    fn bring_up(&mut self) -> Result<()> {
        let command = self.honcho();
        self.foreground.start(command)
    }

    fn second(&mut self) -> Result<String> {
        let command = self.honcho();
        self.foreground.start_second(command)
    }

    fn kill(&mut self) -> Result<()> {
        self.foreground.kill();
        Ok(())
    }

    fn stop(&self, _: &str) -> Result<Stop> {
        self.foreground.pid().map(Stop::Whole)
    }

    fn status(&self) -> Option<Command> {
        None
    }

    fn shut_down(&mut self) -> Result<()> {
        self.foreground.ask(Signal::TERM)
    }
}
