//! The manifest as the rest of vigie sees it: every default filled in, every variable replaced, every name checked.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::claim::PortClaim;
use crate::ladder::Ladder;
use crate::launch::{Limits, Orphans, Overflow, Scope, ServiceKey, Tie};
use crate::name::Name;
pub use crate::recognise::Match;
use crate::text::OsText;
use crate::units::Span;

/// A project: a folder with a manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Manifest"))]
pub struct Project {
    /// Its name; defaults to the folder's.
    pub name: Name,
    /// The canonical folder.
    pub dir: OsText,
    /// The manifest file, as it was found.
    pub manifest: OsText,
    /// Its services by name.
    pub services: BTreeMap<Name, Service>,
}

/// Whether a service stays or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ServiceKind"))]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// It stays.
    #[default]
    Service,
    /// It runs to completion once (R2.4).
    Task,
}

/// A named thing that is to run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ServiceDefinition"))]
pub struct Service {
    /// Its name.
    pub name: Name,
    /// Whether it stays or ends.
    pub kind: Kind,
    /// Program and arguments, without those of a mode; never empty.
    pub command: Vec<String>,
    /// The working folder, absolute.
    pub cwd: OsText,
    /// What it adds to the environment of the command that starts it: env files first, then `env`.
    pub env: BTreeMap<String, String>,
    /// Ports that it must hold alone.
    pub ports: Vec<PortClaim>,
    /// What must have happened to others before it starts.
    pub after: BTreeMap<Name, Condition>,
    /// How it is known to be ready; absent: as soon as it runs.
    pub ready: Option<Ready>,
    /// How it is known to be still well.
    pub alive: Option<Alive>,
    /// How it is stopped.
    pub stop: Ladder,
    /// When and how it is started again.
    pub restart: Restart,
    /// Limits.
    pub limits: Limits,
    /// Its stored output.
    pub log: Log,
    /// When it stops because something else ended. Absent: `terminal` in the foreground, `daemon` with `-d`.
    pub tie: Option<Tie>,
    /// How far "exactly once" reaches.
    pub scope: Scope,
    /// It starts without being named only when one of these is asked for; empty: always.
    pub profiles: Vec<Name>,
    /// What becomes of processes that outlive the main process.
    pub orphans: Orphans,
    /// A PID file of an older tool, a hint only (R4.8); absolute.
    pub legacy_pidfile: Option<OsText>,
    /// How a stray is recognised (R4.5); absent: by what the command becomes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recognised_by: Option<Match>,
    /// Its modes, the default first; empty when it has none.
    pub modes: Vec<Mode>,
}

/// A named variant of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ServiceMode"))]
pub struct Mode {
    /// Its name.
    pub name: Name,
    /// More arguments.
    pub args: Vec<String>,
    /// More environment.
    pub env: BTreeMap<String, String>,
    /// It stops by itself after this.
    pub duration: Option<Span>,
}

/// What must have happened to a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Condition {
    /// Its process was spawned.
    Started,
    /// It is ready.
    Ready,
    /// It ended with a clean exit code.
    Done,
}

/// How readiness or health is asked for (R2.3).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Probe {
    /// An HTTP GET answers with this status. The listening socket must belong to the run.
    Http {
        /// `http://host:port/path`
        url: String,
        /// The status that counts.
        status: u16,
    },
    /// A TCP connection is accepted. The listening socket must belong to the run.
    Tcp {
        /// `host:port`
        address: String,
    },
    /// A connection to a Unix socket is accepted. The listening socket must belong to the run.
    Unix {
        /// Its path, absolute.
        path: OsText,
    },
    /// A command exits with 0. It runs in the service's folder and environment.
    Exec {
        /// Program and arguments.
        command: Vec<String>,
    },
    /// A line of the run's output matches this regular expression.
    Log {
        /// The expression.
        pattern: String,
    },
}

/// How a service is known to be ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ready {
    /// What is asked.
    pub probe: Probe,
    /// How often. Default 200 ms.
    pub every: Span,
    /// How long one attempt may take. Default 2 s.
    pub timeout: Span,
    /// From start to ready at most. Default 30 s.
    pub within: Span,
}

/// How a service is known to be still well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Alive {
    /// What is asked; never `Log`.
    pub probe: Probe,
    /// How often. Default 10 s.
    pub every: Span,
    /// How long one attempt may take. Default 2 s.
    pub timeout: Span,
    /// After so many failures in a row the run is stopped, and restarted as its policy says. Default 3.
    pub failures: u32,
}

/// Which ends lead to a new start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// None.
    Never,
    /// Those that are not clean.
    #[default]
    Failure,
    /// All.
    Always,
}

/// When and how a service is started again (R6.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Restart {
    /// Which ends lead to a new start. Default: `failure`; for a task `never`.
    pub when: When,
    /// Before the first new start. Default 500 ms.
    pub delay: Span,
    /// Each further delay is so many times the last. Default 2, at least 1.
    pub factor: f64,
    /// No delay is longer. Default 60 s.
    pub max_delay: Span,
    /// Each delay is changed by up to this part, up or down. Default 0.2, 0 to 1.
    pub jitter: f64,
    /// So many new starts since the last stable period, then it is given up. Default 10.
    pub attempts: u32,
    /// Up and ready for this long is a stable period. Default 60 s.
    pub stable: Span,
    /// Exit codes that are clean. Default `[0]`.
    pub clean: Vec<i32>,
    /// Exit codes after which no new start is tried.
    pub fatal: Vec<i32>,
}

/// The stored output of a service (R6.9).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Log {
    /// A segment is closed when it is larger, in bytes. Default 16 MiB.
    pub max_size: u64,
    /// How many segments are kept. Default 5.
    pub keep: u32,
    /// What happens when the service writes faster than the disk takes it. Default `block`.
    pub overflow: Overflow,
}

impl Project {
    /// The key of one of its services.
    pub fn key(&self, service: &Service) -> ServiceKey {
        ServiceKey::new(service.scope, self.dir.as_path(), service.name.clone())
    }
}

impl Service {
    /// The mode of this name; without a name the default one, if it has modes.
    pub fn mode(&self, name: Option<&Name>) -> Option<&Mode> {
        match name {
            None => self.modes.first(),
            Some(name) => self.modes.iter().find(|mode| mode.name == *name),
        }
    }
}

impl Default for Restart {
    fn default() -> Self {
        Self {
            when: When::default(),
            delay: Span::millis(500),
            factor: 2.0,
            max_delay: Span::secs(60),
            jitter: 0.2,
            attempts: 10,
            stable: Span::secs(60),
            clean: vec![0],
            fatal: Vec::new(),
        }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { max_size: 16 << 20, keep: 5, overflow: Overflow::default() }
    }
}
