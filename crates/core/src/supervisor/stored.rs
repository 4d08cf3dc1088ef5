//! What of the supervisor outlives the daemon, and what the next one finds.

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Wall};
use crate::exit::Exit;
use crate::identity::{ProcKey, RunId};
use crate::launch::{Containment, ServiceKey};
use crate::run::{self, StopCause};
use crate::service::{Adoption, Definition, Next, State, Wanted};
use crate::supervisor::LastExit;
use crate::text::OsText;

/// One service as it is kept in the database: enough to go on after a crash of the daemon.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Stored {
    /// Which.
    pub key: ServiceKey,
    /// How it is described.
    pub definition: Definition,
    /// Whether it is to run.
    pub wanted: Wanted,
    /// Where it stood.
    pub state: State,
    /// Since when.
    pub since: Wall,
    /// Why.
    pub why: Option<String>,
    /// Its last run, over or not.
    pub run: Option<RunId>,
    /// How its last run ended.
    pub last_exit: Option<LastExit>,
    /// New starts since it was asked for.
    pub restarts: u32,
    /// New starts since the last stable period.
    pub attempt: u32,
    /// What follows when the tree is empty.
    pub next: Next,
    /// Its next run, or the one that was being launched, is this process.
    #[serde(default)]
    pub adopt: Option<Adoption>,
    /// It was told of its run that no signal ends it.
    #[serde(default)]
    pub ghost: bool,
}

/// What a daemon that comes back finds of a service in the world.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which.
    pub key: ServiceKey,
    /// Its last run, as the record in its folder or its keeper tells it; absent when there is no record of this boot.
    pub run: Option<FoundRun>,
}

/// The last run of a service, as it is found.
#[derive(Debug, Clone, PartialEq)]
pub struct FoundRun {
    /// Which.
    pub id: RunId,
    /// The keeper that answers for it; absent when none does.
    pub keeper: Option<ProcKey>,
    /// Where the run stood when it was last written down.
    pub phase: run::Phase,
    /// Its main process.
    pub main: Option<ProcKey>,
    /// When it was spawned.
    pub started: Option<(Wall, Mono)>,
    /// When it was adopted, if it was.
    pub adopted: Option<(Wall, Mono)>,
    /// How its tree is contained.
    pub containment: Option<Containment>,
    /// The folder of its cgroup.
    pub cgroup: Option<OsText>,
    /// How its main process ended, when it did.
    pub exit: Option<Exit>,
    /// When.
    pub exited: Option<Wall>,
    /// Those that no signal ended, as they were named last.
    pub left: Vec<run::Left>,
    /// Why its keeper began to stop it, when it did.
    pub stopped: Option<StopCause>,
    /// The number of the last event that `phase` and the rest speak of. Events up to it are for the journal only.
    pub seq: u64,
    /// New starts since the last stable period, as its keeper was told.
    pub attempt: u32,
}
