//! supervisord.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;

use rustix::process::Signal;

use super::foreground::Foreground;
use super::{Job, Stop, Supervisor};
use crate::failure::Result;
use crate::site::Arena;

pub(super) struct Supervisord {
    bin: PathBuf,
    foreground: Foreground,
}

impl Supervisord {
    pub(super) fn new(arena: Rc<Arena>, bin: PathBuf) -> Self {
        Self { bin, foreground: Foreground::new(arena) }
    }

    fn program(&self, name: &str) -> Command {
        let mut command = self.foreground.arena.command(self.bin.join(name));
        command.args(["-c", "s.conf"]);
        command
    }
}

impl Supervisor for Supervisord {
    fn arena(&self) -> &Rc<Arena> {
        &self.foreground.arena
    }

    fn configure(&mut self, jobs: &[Job]) -> Result<()> {
        let dir = self.arena().dir.display();
        let mut text = format!(
            "[supervisord]\nnodaemon=true\nlogfile={dir}/s.log\npidfile={dir}/s.pid\nchildlogdir={dir}\nminfds=8192\n\
             [unix_http_server]\nfile={dir}/s.sock\n\
             [rpcinterface:supervisor]\n\
             supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
             [supervisorctl]\nserverurl=unix://{dir}/s.sock\n"
        );
        for job in jobs {
            text.push_str(&format!("[program:{}]\ncommand={}\nautorestart=true\n", job.name, job.line()));
        }
        self.arena().write("s.conf", &text).map(drop)
    }

    fn bring_up(&mut self) -> Result<()> {
        let command = self.program("supervisord");
        self.foreground.start(command)
    }

    fn second(&mut self) -> Result<String> {
        let command = self.program("supervisord");
        self.foreground.start_second(command)
    }

    fn kill(&mut self) -> Result<()> {
        self.foreground.kill();
        Ok(())
    }

    fn stop(&self, job: &str) -> Result<Stop> {
        let mut command = self.program("supervisorctl");
        command.args(["stop", job]);
        Ok(Stop::Command(command))
    }

    fn status(&self) -> Option<Command> {
        let mut command = self.program("supervisorctl");
        command.arg("status");
        Some(command)
    }

    fn shut_down(&mut self) -> Result<()> {
        self.foreground.ask(Signal::TERM)
    }
}
