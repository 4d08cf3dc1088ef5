//! What was seen in the looks before: since when something is as it is, and what has changed.

use std::collections::HashMap;
use std::time::Duration;

use super::facts::{Connection, Dead, Facts, FrozenGroup, Held, Keeper};
use super::processes::{UNREAPED, expects, print};
use super::{Finding, Scope};
use crate::clock::Mono;
use crate::identity::ProcKey;
use crate::stuck::TaskVerdict;
use crate::text::OsText;

/// Something that is remembered from look to look.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Sign {
    Held(ProcKey, TaskVerdict, bool),
    Dead(ProcKey),
    Cgroup(OsText),
    Connection(u32),
    Keeper(ProcKey),
    Daemon,
}

/// How something was seen.
#[derive(Debug, Clone, Copy)]
struct Seen {
    /// In so many looks, one after the other.
    looks: u32,
    /// For the first time in this row.
    since: Mono,
    /// What must not have changed.
    print: u64,
}

/// What is remembered.
#[derive(Debug, Default)]
pub(super) struct Memory {
    at: Mono,
    seen: HashMap<Sign, Seen>,
    doubt: bool,
}

impl Memory {
    /// Takes in a look. What is not in it is forgotten.
    pub(super) fn note(&mut self, facts: &Facts, scope: &Scope) {
        let held = facts.held.iter().map(|held| (of_held(held), print(held)));
        let dead = facts.dead.iter().map(|dead| (Sign::Dead(dead.process.key.clone()), 0));
        let cgroups = facts.cgroups.iter().map(|group| (Sign::Cgroup(group.folder.clone()), 0));
        let keepers = facts.keepers.iter().filter(|keeper| !keeper.answers);
        let keepers = keepers.map(|keeper| (Sign::Keeper(keeper.process.key.clone()), 0));
        let waits = |one: &&Connection| one.waiting.known().is_some_and(|count| *count > 0);
        let connections = facts.connections.iter().filter(waits);
        let connections = connections.map(|one| (Sign::Connection(one.number), 0));
        let daemon = facts.daemon.iter().filter(|daemon| !daemon.answers).map(|_| (Sign::Daemon, 0));
        let mut seen = HashMap::new();
        let signs = held.chain(dead).chain(cgroups).chain(connections).chain(keepers).chain(daemon);
        for (sign, print) in signs {
            let now = match self.seen.get(&sign) {
                Some(before) if before.print == print => Seen { looks: before.looks.saturating_add(1), ..*before },
                _ => Seen { looks: 1, since: facts.at, print },
            };
            seen.insert(sign, now);
        }
        self.doubt = seen.iter().filter(|(_, seen)| seen.looks < 2).any(|(sign, _)| may_tell(sign, facts, scope));
        self.at = facts.at;
        self.seen = seen;
    }

    /// For how long it was seen like that; absent before the second look.
    fn lasted(&self, sign: &Sign, still: Option<Duration>) -> Option<Duration> {
        let seen = self.seen.get(sign).filter(|seen| seen.looks >= 2)?;
        Some(self.at.since(seen.since).max(still.unwrap_or_default()))
    }

    pub(super) fn held(&self, held: &Held) -> Option<Duration> {
        self.lasted(&of_held(held), held.still)
    }

    pub(super) fn dead(&self, dead: &Dead) -> Option<Duration> {
        self.lasted(&Sign::Dead(dead.process.key.clone()), dead.still)
    }

    pub(super) fn cgroup(&self, group: &FrozenGroup) -> Option<Duration> {
        self.lasted(&Sign::Cgroup(group.folder.clone()), None)
    }

    pub(super) fn connection(&self, number: u32) -> Option<Duration> {
        self.lasted(&Sign::Connection(number), None)
    }

    pub(super) fn keeper(&self, keeper: &Keeper) -> Option<Duration> {
        self.lasted(&Sign::Keeper(keeper.process.key.clone()), None)
    }

    pub(super) fn daemon(&self) -> Option<Duration> {
        self.lasted(&Sign::Daemon, None)
    }

    pub(super) fn is_in_doubt(&self) -> bool {
        self.doubt
    }
}

/// A second look could make a finding of it. A wait that has to be long cannot be proven by a look that follows at once,
/// unless the kernel tells how long it is.
fn may_tell(sign: &Sign, facts: &Facts, scope: &Scope) -> bool {
    let long = |still: Option<Duration>, least: Duration| still.unwrap_or_default() >= least;
    match sign {
        Sign::Held(..) => facts
            .held
            .iter()
            .filter(|held| of_held(held) == *sign)
            .any(|held| expects(held, scope).is_some_and(|least| long(held.still, least))),
        // The number first: there may be thousands, and each is looked up among all.
        Sign::Dead(key) => {
            facts.dead.iter().filter(|dead| dead.process.pid() == key.pid && dead.process.key == *key).any(|dead| {
                let named = scope.is(key.pid) || dead.parent.as_ref().is_some_and(|parent| scope.is(parent.pid()));
                named || long(dead.still, UNREAPED)
            })
        }
        Sign::Cgroup(_) | Sign::Connection(_) | Sign::Keeper(_) | Sign::Daemon => true,
    }
}

fn of_held(held: &Held) -> Sign {
    Sign::Held(held.process.key.clone(), held.verdict, held.kill_pending)
}

/// What is different from the look before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It is new.
    Opened(Finding),
    /// It is not so any more.
    Resolved(Finding),
}

/// The findings that are open, look after look.
#[derive(Debug, Default)]
pub struct Watch {
    open: Vec<Finding>,
}

impl Watch {
    /// What has changed: what was resolved, then what is new. A finding whose words have changed is the same one.
    pub fn turn(&mut self, now: Vec<Finding>) -> Vec<Change> {
        let among = |one: &Finding, all: &[Finding]| all.iter().any(|other| other.is_same(one));
        let resolved = self.open.iter().filter(|one| !among(one, &now)).cloned().map(Change::Resolved);
        let opened = now.iter().filter(|one| !among(one, &self.open)).cloned().map(Change::Opened);
        let changes = resolved.chain(opened).collect();
        self.open = now;
        changes
    }

    /// Those that are open.
    pub fn open(&self) -> &[Finding] {
        &self.open
    }
}
