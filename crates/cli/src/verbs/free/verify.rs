//! Whether the ports are free now: looked, not assumed.

use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;
use vigie_core::ports::{Entry, State, Verdict};
use vigie_os::ancestry::lineage;
use vigie_os::clock::mono;
use vigie_os::poll::PollSet;
use vigie_os::ports::{Ask, Table, rights};
use vigie_os::proc::Proc;

use super::course::acted_on;
use super::obstacle::Port;
use super::suspect::Suspect;
use crate::failure::Failure;

/// How long the kernel, or an engine, may take to let a socket go.
const PATIENCE: Duration = Duration::from_secs(3);

/// Whether somebody may take a port again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Again {
    /// Nobody is known who could.
    Unlikely,
    /// There is a parent.
    Possible,
    /// There is somebody who does such things.
    Likely,
}

impl Again {
    /// After these have ended.
    pub(super) fn after(ended: &[&Suspect]) -> Self {
        let others = |parent: &ProcKey| ended.iter().all(|suspect| suspect.target.key() != parent);
        let of = |suspect: &&Suspect| {
            if suspect.remark.is_some() || !suspect.watchers.is_empty() {
                Self::Likely
            } else if suspect.parent.as_ref().is_some_and(others) {
                Self::Possible
            } else {
                Self::Unlikely
            }
        };
        ended.iter().map(of).max().unwrap_or(Self::Unlikely)
    }

    /// How long it must be seen free.
    fn guard(self) -> Duration {
        match self {
            Self::Unlikely => Duration::ZERO,
            Self::Possible => Duration::from_secs(1),
            Self::Likely => Duration::from_secs(2),
        }
    }
}

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(50);

/// What a port has become.
#[derive(Debug)]
pub(super) struct After {
    pub(super) verdict: Verdict,
    /// Who holds it, for people, with who has started it. Empty: it is free.
    pub(super) left: Vec<String>,
}

impl After {
    /// Nobody holds it. Connections that the last server accepted, and that another process goes on with, are in nobody's
    /// way who sets `SO_REUSEADDR`.
    pub(super) fn is_free(&self) -> bool {
        self.left.is_empty()
    }
}

/// Looks at the ports until all are free, or the time is over. `beside`: the other namespaces are meant, too. `again`:
/// then a while longer.
pub(super) fn look(proc: &Proc, ports: &[&Port], beside: bool, again: Again) -> Result<Vec<After>, Failure> {
    let start = mono();
    let mut free_since: Option<Mono> = None;
    loop {
        let after = once(proc, ports, beside)?;
        let now = mono();
        let free = after.iter().all(After::is_free);
        free_since = if free { free_since.or(Some(now)) } else { None };
        let watched = free_since.is_some_and(|since| now.since(since) >= again.guard());
        if watched || !free && now.since(start) >= PATIENCE {
            return Ok(after);
        }
        // A signal only makes it shorter.
        let _ = PollSet::default().wait(Some(PAUSE));
    }
}

fn once(proc: &Proc, ports: &[&Port], beside: bool) -> Result<Vec<After>, Failure> {
    let numbers: Vec<u16> = ports.iter().map(|port| port.claim.port).collect();
    let table = Table::read(proc, &Ask { namespaces: beside, ..Ask::about(&numbers) })?;
    let rights = rights(proc)?;
    let mut all = Vec::new();
    for port in ports {
        let verdict = table.judge(&port.claim, &rights).verdict;
        let holds = |entry: &&Entry| {
            let holds = matches!(entry.socket.state, State::Listening | State::Bound);
            // Of other namespaces only what was meant to end.
            let known = |namespace| acted_on(port, true).any(|obstacle| obstacle.namespace == Some(namespace));
            holds && port.claim.collides(&entry.socket.held()) && entry.socket.namespace.is_none_or(known)
        };
        let mut left = Vec::new();
        for entry in table.entries.iter().filter(holds) {
            left.extend(who(proc, entry)?);
        }
        left.dedup();
        all.push(After { verdict, left });
    }
    Ok(all)
}

/// `python3 (PID 9), started by nodemon (PID 7)`
fn who(proc: &Proc, entry: &Entry) -> Result<Vec<String>, Failure> {
    let mut names = Vec::new();
    for holder in &entry.holders {
        let Some((process, parents)) = lineage(proc, holder.pid)? else { continue };
        let parent = parents.first().filter(|parent| parent.pid() > 1);
        let by = parent.map(|parent| format!(", started by {}", parent.label())).unwrap_or_default();
        names.push(format!("{}{by}", process.label()));
    }
    if names.is_empty() {
        names.push("a process that cannot be seen".to_owned());
    }
    Ok(names)
}
