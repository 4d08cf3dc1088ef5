//! What is one too many, or was left behind: `vigie strays --json`, `vigie sweep --json`, and the strays of `status`.

use serde::{Deserialize, Serialize};

use vigie_core::identity::RunId;
use vigie_core::name::Name;
use vigie_core::text::OsText;

use crate::time::Millis;

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When it was looked.
    pub at: Millis,
    /// Processes that look like a service and are not its run.
    pub strays: Vec<Stray>,
    /// Processes of runs whose keepers are gone.
    pub orphans: Vec<Orphan>,
    /// What lies about, or is out of date.
    pub leftovers: Vec<Leftover>,
    /// Strays that are to be left alone, and are there.
    pub ignored: Vec<Stray>,
}

/// How a stray stands to its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "StrayKind"))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// The service does not run.
    Stray,
    /// The service runs: this is a second copy.
    Duplicate,
    /// It lives in another namespace, a container for one: the same thing as seen from there.
    Elsewhere,
}

/// A process that looks like a service and is not its run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stray {
    /// The top of what is recognisable.
    pub pid: u32,
    /// The project of the service.
    pub project: Name,
    /// The service.
    pub service: Name,
    /// How it stands to it.
    pub kind: Kind,
    /// The boot in which it runs.
    pub boot_id: String,
    /// Clock ticks from boot to its start.
    pub start_ticks: u64,
    /// When it was started.
    pub started_at: Option<Millis>,
    /// Its user.
    pub user: Option<String>,
    /// The facts that are the same: `executable`, `interpreter`, `script`, `module`, `task`, `arguments`, `directory`,
    /// `project`, `user`.
    pub matched: Vec<String>,
    /// Program and arguments.
    pub command: Vec<OsText>,
    /// Its executable.
    pub executable: OsText,
    /// Its working folder.
    pub directory: OsText,
    /// It and whoever it started.
    pub processes: u32,
    /// Whoever it started, and what those started.
    pub tree: Vec<u32>,
    /// The file of its executable was deleted or replaced.
    pub deleted: bool,
    /// The namespaces that it does not share with who asks.
    pub namespaces: Vec<String>,
    /// The main process of the service, when it runs.
    pub run_pid: Option<u32>,
}

/// A process of a run whose keeper is gone.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Orphan {
    /// It.
    pub pid: u32,
    /// The project of the service.
    pub project: Name,
    /// The service.
    pub service: Name,
    /// The run.
    pub run: RunId,
    /// The keeper that is gone.
    pub keeper: u32,
    /// When it was started.
    pub started_at: Option<Millis>,
    /// Program and arguments.
    pub command: Vec<OsText>,
}

/// What kind of thing was left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LeftoverKind {
    /// The file of a socket that nobody holds.
    Socket,
    /// A PID file of an older tool that names nobody, or a stranger.
    PidFile,
    /// The record of a run of which nothing is left.
    Record,
    /// A run whose executable was deleted or replaced.
    DeletedExecutable,
}

/// What lies about, or is out of date.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Leftover {
    /// What it is.
    pub kind: LeftoverKind,
    /// The project of the service.
    pub project: Name,
    /// The service.
    pub service: Name,
    /// The file, when it is one.
    pub path: Option<OsText>,
    /// The process, when it is one.
    pub pid: Option<u32>,
    /// How that is known.
    pub why: String,
    /// `sweep` removes it.
    pub removable: bool,
}

/// What came of a sweep.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Swept {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When it was over.
    pub at: Millis,
    /// Nothing was done, it was only to be shown.
    pub dry_run: bool,
    /// What was found before.
    pub found: Report,
    /// What came of each thing that was to be ended or removed; empty for a dry run.
    pub outcomes: Vec<Outcome>,
}

/// What came of one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The process, when it was one.
    pub pid: Option<u32>,
    /// The file, when it was one.
    pub path: Option<OsText>,
    /// What came of it.
    pub outcome: Result,
    /// For people.
    pub text: String,
}

/// What came of one thing, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Result {
    /// It was ended, and so was its tree.
    Ended,
    /// The file was removed.
    Removed,
    /// It was gone before, or its number is somebody else's.
    Gone,
    /// It is still there.
    Left,
    /// It may not be touched by this user.
    NotPermitted,
}
