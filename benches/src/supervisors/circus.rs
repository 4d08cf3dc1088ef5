//! circus.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::Signal;

use super::foreground::Foreground;
use super::{Job, Stop, Supervisor};
use crate::failure::Result;
use crate::site::Arena;

pub(super) struct Circus {
    bin: PathBuf,
    foreground: Foreground,
}

impl Circus {
    pub(super) fn new(arena: Rc<Arena>, bin: PathBuf) -> Self {
        Self { bin, foreground: Foreground::new(arena) }
    }

    fn circusd(&self) -> Command {
        let mut command = self.foreground.arena.command(self.bin.join("circusd"));
        command.arg("c.ini");
        command
    }

    fn circusctl(&self, args: &[&str]) -> Command {
        let mut command = self.foreground.arena.command(self.bin.join("circusctl"));
        command.args(["--endpoint", &self.endpoint("ctl")]).args(args);
        command
    }

    fn endpoint(&self, name: &str) -> String {
        format!("ipc://{}/{name}", self.foreground.arena.dir.display())
    }
}

impl Supervisor for Circus {
    fn arena(&self) -> &Rc<Arena> {
        &self.foreground.arena
    }

    fn configure(&mut self, jobs: &[Job]) -> Result<()> {
        let (control, publish) = (self.endpoint("ctl"), self.endpoint("pub"));
        let mut text = format!("[circus]\nendpoint = {control}\npubsub_endpoint = {publish}\n");
        for job in jobs {
            let program = job.command.first().map_or("", String::as_str);
            let arguments = job.command.get(1..).unwrap_or_default().join(" ");
            text.push_str(&format!("[watcher:{}]\ncmd = {program}\nargs = {arguments}\ncopy_env = True\n", job.name));
        }
        self.arena().write("c.ini", &text).map(drop)
    }

    fn bring_up(&mut self) -> Result<()> {
        let command = self.circusd();
        self.foreground.start(command)
    }

    fn second(&mut self) -> Result<String> {
        let command = self.circusd();
        self.foreground.start_second(command)
    }

    fn kill(&mut self) -> Result<()> {
        self.foreground.kill();
        Ok(())
    }

    fn stop(&self, job: &str) -> Result<Stop> {
        Ok(Stop::Command(self.circusctl(&["stop", job])))
    }

    fn status(&self) -> Option<Command> {
        Some(self.circusctl(&["status"]))
    }

    fn shut_down(&mut self) -> Result<()> {
        self.foreground.ask(Signal::TERM)
    }

    /// Its `graceful_timeout` is 30 s.
    fn patience(&self) -> Duration {
        Duration::from_secs(35)
    }
}
