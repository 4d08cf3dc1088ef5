//! pm2: a daemon of its own (`PM2_HOME`), commands that talk to it.

use std::path::PathBuf;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use vigie_core::ladder::Signal;

use super::{Job, Stop, Supervisor};
use crate::command;
use crate::failure::{Failure, Result};
use crate::procs;
use crate::site::{Arena, MARK};

pub(super) struct Pm2 {
    arena: Rc<Arena>,
    bin: PathBuf,
}

impl Pm2 {
    pub(super) fn new(arena: Rc<Arena>, bin: PathBuf) -> Self {
        Self { arena, bin }
    }

    fn pm2(&self, args: &[&str]) -> Command {
        let mut command = self.arena.command(self.bin.join("pm2"));
        command.env("PM2_HOME", self.arena.dir.join("pm2")).env("PM2_DISABLE_VERSION_CHECK", "true");
        command.args(args);
        command
    }
}

impl Supervisor for Pm2 {
    fn arena(&self) -> &Rc<Arena> {
        &self.arena
    }

    fn configure(&mut self, jobs: &[Job]) -> Result<()> {
        let app = |job: &Job| {
            serde_json::json!({
                "name": job.name,
                "script": job.command.first(),
                "args": job.command.get(1..).unwrap_or_default(),
                "interpreter": "none",
                "exec_interpreter": "none",
            })
        };
        let apps: Vec<_> = jobs.iter().map(app).collect();
        self.arena.write("eco.json", &serde_json::json!({ "apps": apps }).to_string()).map(drop)
    }

    fn bring_up(&mut self) -> Result<()> {
        let ended = command::quiet(self.pm2(&["start", "eco.json"]))?;
        match ended.status {
            Some(status) if status.success() => Ok(()),
            _ => Err(Failure::new(format!("pm2 start: {}", ended.verdict()))),
        }
    }

    fn second(&mut self) -> Result<String> {
        command::quiet(self.pm2(&["start", "eco.json"])).map(|ended| ended.verdict())
    }

    fn kill(&mut self) -> Result<()> {
        let path = self.arena.dir.join("pm2/pm2.pid");
        let text = std::fs::read_to_string(&path).map_err(Failure::io(format!("cannot read {}", path.display())))?;
        let pid = text.trim().parse().map_err(|_| Failure::new(format!("{}: not a number", path.display())))?;
        // A file of numbers is only a hint: the process must bear our mark.
        if !procs::marked(&self.arena.mark)?.contains(&pid) {
            return Err(Failure::new(format!("process {pid} is not the pm2 that bears {MARK}={}", self.arena.mark)));
        }
        let proc = vigie_os::proc::Proc::system()?;
        let program = proc.link(pid, "exe")?.ok_or_else(|| Failure::new(format!("process {pid} is gone")))?;
        procs::signal(pid, &program, Signal::Kill).map(drop)
    }

    fn stop(&self, job: &str) -> Result<Stop> {
        Ok(Stop::Command(self.pm2(&["stop", job])))
    }

    fn status(&self) -> Option<Command> {
        Some(self.pm2(&["jlist"]))
    }

    fn shut_down(&mut self) -> Result<()> {
        command::limited(self.pm2(&["kill"]), Duration::from_secs(30)).map(drop)
    }
}
