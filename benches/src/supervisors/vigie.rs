//! vigie itself.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use serde_json::Value;
use vigie_core::ladder::Signal;

use super::{Job, Stop, Supervisor};
use crate::command;
use crate::failure::{Failure, Result};
use crate::procs;
use crate::site::Arena;
use crate::time::until;
use crate::tmpfs::Tmpfs;

/// vigie in an arena, with a `VIGIE_HOME` of its own.
pub(crate) struct Vigie {
    /// Before the arena, in whose folder it is mounted: fields are dropped in their order.
    _runtime: Option<Tmpfs>,
    arena: Rc<Arena>,
    /// Lines of the manifest that every service gets.
    policy: &'static str,
}

/// A runtime folder in memory. In an arena that has one already, it is left as it is.
fn runtime(arena: &Arena) -> Option<Tmpfs> {
    let folder = arena.dir.join("home/run");
    if folder.exists() {
        return None;
    }
    let private = Permissions::from_mode(0o700);
    std::fs::create_dir_all(&folder).ok()?;
    for folder in [&arena.dir.join("home"), &folder] {
        std::fs::set_permissions(folder, private.clone()).ok()?;
    }
    Tmpfs::over(&folder)
}

impl Vigie {
    pub(crate) fn new(arena: Rc<Arena>) -> Self {
        Self::with(arena, "")
    }

    /// With lines of the manifest that every service gets.
    pub(crate) fn with(arena: Rc<Arena>, policy: &'static str) -> Self {
        Self { _runtime: runtime(&arena), arena, policy }
    }

    /// A command of vigie.
    pub(crate) fn verb(&self, args: &[&str]) -> Command {
        let mut command = self.arena.command(&self.arena.site.vigie);
        command.env("VIGIE_HOME", self.arena.dir.join("home")).args(args);
        command
    }

    /// Its `VIGIE_HOME`.
    pub(crate) fn home(&self) -> std::path::PathBuf {
        self.arena.dir.join("home")
    }

    /// `status --json`.
    pub(crate) fn report(&self) -> Result<Value> {
        let bytes = command::output(self.verb(&["status", "--json"]))?;
        serde_json::from_slice(&bytes).map_err(|error| Failure::new(format!("vigie status --json: {error}")))
    }

    /// The PID of the daemon.
    pub(crate) fn daemon(&self) -> Result<Option<u32>> {
        Ok(self.report()?["daemon"]["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()))
    }

    /// How many services `status` says are in one of these states.
    pub(crate) fn count(&self, states: &[&str]) -> Result<usize> {
        let report = self.report()?;
        let services = report["services"].as_array().map(Vec::as_slice).unwrap_or_default();
        let among = |service: &&Value| service["state"].as_str().is_some_and(|state| states.contains(&state));
        Ok(services.iter().filter(among).count())
    }

    /// Its keepers.
    pub(crate) fn keepers(&self) -> Result<Vec<u32>> {
        let mut pids = self.helpers()?;
        pids.retain(|&pid| !is_nursery(pid));
        Ok(pids)
    }

    /// The process that its keepers are forked from.
    pub(crate) fn nursery(&self) -> Result<Vec<u32>> {
        let mut pids = self.helpers()?;
        pids.retain(|&pid| is_nursery(pid));
        Ok(pids)
    }

    /// Keepers and nursery: they have no environment, and so no mark. Only one of these programs runs at a time.
    fn helpers(&self) -> Result<Vec<u32>> {
        procs::executing(&self.arena.site.keeper)
    }

    /// The end of the daemon and of the keepers.
    fn gone(&self) -> Result<()> {
        let none = || {
            let helpers = self.helpers().ok()?;
            let daemons = procs::copies(&self.arena.mark, &self.arena.site.vigie).ok()?;
            (helpers.is_empty() && daemons.is_empty()).then_some(())
        };
        until("the end of vigie's processes", Duration::from_secs(30), Duration::from_millis(10), none)
    }
}

impl Supervisor for Vigie {
    fn arena(&self) -> &Rc<Arena> {
        &self.arena
    }

    fn configure(&mut self, jobs: &[Job]) -> Result<()> {
        let mut text = String::from("[project]\nname = \"bench\"\n");
        for job in jobs {
            text.push_str(&format!(
                "\n[service.{}]\ncommand = {:?}\nenv = {{ {} = {:?} }}\n{}",
                job.name,
                job.command,
                crate::site::MARK,
                self.arena.mark,
                self.policy,
            ));
        }
        self.arena.write("vigie.toml", &text).map(drop)
    }

    fn bring_up(&mut self) -> Result<()> {
        let output = self.verb(&["up", "-d"]).output().map_err(Failure::io("cannot run vigie up"))?;
        if output.status.success() {
            return Ok(());
        }
        let code = output.status.code().map_or("killed".to_owned(), |code| format!("exit {code}"));
        Err(Failure::new(format!("`vigie up -d`: {code}: {}", String::from_utf8_lossy(&output.stderr).trim_end())))
    }

    fn second(&mut self) -> Result<String> {
        let daemon = command::limited(self.verb(&["daemon", "run"]), Duration::from_secs(5))?;
        let up = command::limited(self.verb(&["up", "-d"]), Duration::from_secs(20))?;
        Ok(format!("{}; `up -d` again: {}", daemon.verdict(), up.verdict()))
    }

    fn kill(&mut self) -> Result<()> {
        let pid = self.daemon()?.ok_or_else(|| Failure::new("no daemon runs"))?;
        procs::signal(pid, &self.arena.site.vigie, Signal::Kill)?;
        let gone = || (!procs::executing(&self.arena.site.vigie).ok()?.contains(&pid)).then_some(());
        until("the end of the daemon", Duration::from_secs(5), Duration::from_millis(1), gone)
    }

    fn kill_holders(&mut self) -> Result<bool> {
        let keepers = self.keepers()?;
        for &pid in &keepers {
            procs::signal(pid, &self.arena.site.keeper, Signal::Kill)?;
        }
        Ok(!keepers.is_empty())
    }

    fn stop(&self, job: &str) -> Result<Stop> {
        Ok(Stop::Command(self.verb(&["stop", job, "--yes"])))
    }

    fn status(&self) -> Option<Command> {
        Some(self.verb(&["status", "--json"]))
    }

    fn shut_down(&mut self) -> Result<()> {
        command::limited(self.verb(&["down", "--yes"]), Duration::from_secs(60))?;
        command::limited(self.verb(&["daemon", "stop", "--yes"]), Duration::from_secs(60))?;
        self.gone()
    }

    fn processes(&self, _: &Path) -> Result<Vec<u32>> {
        let mut pids = self.helpers()?;
        pids.extend(self.daemon()?);
        Ok(pids)
    }
}

fn is_nursery(pid: u32) -> bool {
    procs::name(pid).is_ok_and(|name| name.is_some_and(|name| name == "vigie-nursery"))
}

impl Drop for Vigie {
    fn drop(&mut self) {
        // After a measurement that failed. In order first: services, keepers, daemon.
        if let Err(failure) = self.shut_down() {
            eprintln!("warning: {failure}");
            let _ = self.kill_holders();
        }
    }
}
