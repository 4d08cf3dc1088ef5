//! vigie and its peers, all driven the same way: N services from one configuration.

mod circus;
mod foreground;
mod honcho;
mod pm2;
mod runit;
mod s6;
mod supervisord;
pub(crate) mod vigie;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::rc::Rc;
use std::time::Duration;

use vigie_core::ladder::Signal;

use crate::failure::Result;
use crate::procs;
use crate::site::{Arena, Site};

/// A service that is to run.
#[derive(Debug, Clone)]
pub(crate) struct Job {
    pub(crate) name: String,
    /// No argument has spaces or quotes: every configuration can write them as they are.
    pub(crate) command: Vec<String>,
}

impl Job {
    pub(crate) fn new(name: impl Into<String>, program: &Path, args: &[&str]) -> Self {
        let program = program.display().to_string();
        Self {
            name: name.into(),
            command: std::iter::once(program.as_str()).chain(args.iter().copied()).map(str::to_owned).collect(),
        }
    }

    /// `s0`, `s1`, … all alike.
    pub(crate) fn many(count: usize, program: &Path, args: &[&str]) -> Vec<Self> {
        (0..count).map(|number| Self::new(format!("s{number}"), program, args)).collect()
    }

    /// The command as a shell or a configuration file reads it.
    fn line(&self) -> String {
        self.command.join(" ")
    }
}

/// How one service is asked to stop.
pub(crate) enum Stop {
    /// By this command.
    Command(Command),
    /// It cannot be asked alone: the whole supervisor is ended by this signal to its process.
    Whole(u32),
}

/// A supervisor in an arena of its own.
pub(crate) trait Supervisor {
    /// Where everything that it starts bears the mark.
    fn arena(&self) -> &Rc<Arena>;

    /// Writes the configuration.
    fn configure(&mut self, jobs: &[Job]) -> Result<()>;

    /// Starts it with all services. It returns when its users would go on: a command when it ends, a program that stays
    /// at once.
    fn bring_up(&mut self) -> Result<()>;

    /// Starts the supervisor a second time, with the same configuration, while the first lives: how that ended.
    fn second(&mut self) -> Result<String>;

    /// Ends the supervising process by KILL.
    fn kill(&mut self) -> Result<()>;

    /// Ends the processes that hold one service each by KILL; `false` when there are none.
    fn kill_holders(&mut self) -> Result<bool> {
        Ok(false)
    }

    /// How one service is stopped.
    fn stop(&self, job: &str) -> Result<Stop>;

    /// How the state of all services is shown; absent where it cannot be.
    fn status(&self) -> Option<Command>;

    /// Ends all in order.
    fn shut_down(&mut self) -> Result<()>;

    /// How long a service may live after its stop was asked for, by the supervisor's own default.
    fn patience(&self) -> Duration {
        Duration::from_secs(15)
    }

    /// The processes on the supervisor's side, when the services execute `service`.
    fn processes(&self, service: &Path) -> Result<Vec<u32>> {
        procs::others(&self.arena().mark, service)
    }
}

/// A peer, or why it cannot be measured.
#[derive(Debug, Clone)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) version: String,
    kind: Kind,
    /// The folder of its programs.
    bin: PathBuf,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    Runit,
    S6,
    Supervisord,
    Circus,
    Honcho,
    Pm2,
}

/// Those that this program can drive: name, kind, main program, its folder: below `target/peers`, where it is not absolute.
const PEERS: [(&str, Kind, &str, &str); 6] = [
    ("runit", Kind::Runit, "runsvdir", "debian/usr/bin"),
    ("s6", Kind::S6, "s6-svscan", "/usr/bin"),
    ("supervisord", Kind::Supervisord, "supervisord", "python/bin"),
    ("circus", Kind::Circus, "circusd", "python/bin"),
    ("honcho", Kind::Honcho, "honcho", "python/bin"),
    ("pm2", Kind::Pm2, "pm2", "npm/node_modules/.bin"),
];

/// Those that this program does not drive, and why.
pub(crate) const ABSENT: &[(&str, &str)] = &[
    ("Horust, mprocs, pueue, pitchfork", "built from source by cargo only; this command builds no peers"),
    ("process-compose, dinit, overmind", "in none of the registries that this command installs from"),
];

impl Peer {
    /// All that are there, and what is missing, with the reason.
    pub(crate) fn find(site: &Site) -> (Vec<Self>, Vec<String>) {
        let (mut there, mut missing) = (Vec::new(), Vec::new());
        for (name, kind, program, folder) in PEERS {
            let bin = site.peers.join(folder);
            if bin.join(program).exists() {
                let version = crate::peers::version(site, name);
                there.push(Self { name, version, kind, bin });
            } else {
                missing.push(format!(
                    "{name}: {} is not there; cargo xtask bench --install-peers",
                    bin.join(program).display()
                ));
            }
        }
        (there, missing)
    }

    /// It, in an arena of its own.
    ///
    /// In memory: what vigie has in its runtime folder, peers have in the folders of their services.
    pub(crate) fn supervisor(&self, site: &Rc<Site>) -> Result<Box<dyn Supervisor>> {
        let arena = Arena::in_memory(site)?;
        let bin = self.bin.clone();
        Ok(match self.kind {
            Kind::Runit => Box::new(runit::Runit::new(arena, bin)),
            Kind::S6 => Box::new(s6::S6::new(arena, bin)),
            Kind::Supervisord => Box::new(supervisord::Supervisord::new(arena, bin)),
            Kind::Circus => Box::new(circus::Circus::new(arena, bin)),
            Kind::Honcho => Box::new(honcho::Honcho::new(arena, bin)),
            Kind::Pm2 => Box::new(pm2::Pm2::new(arena, bin)),
        })
    }

    /// `runit 2.1.2-54`.
    pub(crate) fn label(&self) -> String {
        format!("{} {}", self.name, self.version).trim_end().to_owned()
    }
}

/// Kills those with the mark that execute this file; `false` when there are none.
fn kill_executing(mark: &str, program: &Path) -> Result<bool> {
    ask_executing(mark, program, Signal::Kill)
}

/// Signals those with the mark that execute this file; `false` when there are none.
fn ask_executing(mark: &str, program: &Path, signal: Signal) -> Result<bool> {
    let program = program.canonicalize().map_err(crate::failure::Failure::io(program.display()))?;
    let pids = procs::copies(mark, &program)?;
    for &pid in &pids {
        procs::signal(pid, &program, signal)?;
    }
    Ok(!pids.is_empty())
}
