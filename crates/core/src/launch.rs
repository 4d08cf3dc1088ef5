//! The resolved description of one run, as its keeper gets it, and what a holder says of itself.

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::identity::{ProcKey, RunId};
use crate::ladder::Ladder;
use crate::name::Name;
use crate::text::OsText;

/// How far "exactly once" reaches (R4.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Project folder and service name.
    #[default]
    Project,
    /// Service name, for this user.
    User,
    /// Service name, for all users of the machine.
    Machine,
}

/// When a run stops because something else ended (R5.5).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Tie {
    /// With the command that started it: its terminal closes, it is killed, it ends.
    Terminal,
    /// With an orderly stop of the daemon. A crash of the daemon ends nothing.
    Daemon,
    /// With nothing.
    None,
}

/// What makes a service one thing: its scope, its place and its name. Two with equal keys are the same service, and
/// share one lock and one folder.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct ServiceKey {
    /// How far "exactly once" reaches.
    pub scope: Scope,
    /// The canonical folder of the project; empty when the scope is wider than a project.
    pub dir: OsText,
    /// The service.
    pub service: Name,
}

impl ServiceKey {
    /// For a service of a project.
    pub fn new(scope: Scope, dir: &std::path::Path, service: Name) -> Self {
        let dir = match scope {
            Scope::Project => dir.into(),
            Scope::User | Scope::Machine => OsText::default(),
        };
        Self { scope, dir, service }
    }

    /// The name of its folder below `services`: readable, and unique by an FNV-1a hash of the whole key.
    pub fn folder(&self) -> String {
        let scope: &[u8] = match self.scope {
            Scope::Project => b"project",
            Scope::User => b"user",
            Scope::Machine => b"machine",
        };
        let hash = [scope, b"\0", &self.dir.0, b"\0", self.service.as_str().as_bytes()]
            .concat()
            .iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
            });
        format!("{}-{hash:016x}", self.service)
    }
}

/// Who asked for a run, from where. Shown to whoever is refused because of it (R4.2).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Origin {
    /// User id.
    pub uid: u32,
    /// User name, when it has one.
    pub user: Option<String>,
    /// The terminal, as `pts/3`; absent when there was none.
    pub terminal: Option<String>,
    /// The PID of the command that asked.
    pub pid: u32,
    /// The folder in which it was asked for.
    pub cwd: OsText,
}

/// Where the output of a run goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Into segments with an index of times ([`crate::logindex`]).
    Segments {
        /// The folder; made when it is not there.
        dir: OsText,
        /// A segment is closed when it is larger than this, in bytes.
        max_size: u64,
        /// How many segments are kept, the one being written included.
        keep: u32,
        /// What happens when the service writes faster than the disk takes it.
        overflow: Overflow,
    },
    /// To where the keeper's own standard output and error go: `run` without `--log`.
    Inherit,
}

/// What happens when a service writes faster than the disk takes it (R6.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Overflow {
    /// It waits. Nothing is lost.
    #[default]
    Block,
    /// What does not fit is dropped and counted. It never waits.
    Drop,
}

/// Where the standard input of a run comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Input {
    /// `/dev/null`
    #[default]
    Null,
    /// A pipe that nobody writes to and that the rung `close-stdin` closes.
    Pipe,
    /// The user's own: `run`. The descriptor is sent along with the launch (`SCM_RIGHTS`), because the keeper's own
    /// standard input is the connection.
    Inherit,
}

/// Which process group the main process goes into.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Group {
    /// A session and group of its own.
    #[default]
    Own,
    /// The group of the command that asked, so that it stays in the foreground of its terminal: `run`. The keeper
    /// then stays in that session.
    Join {
        /// The group's id.
        pgid: u32,
    },
}

/// Limits that need no cgroup. Absent: as the keeper has them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Limits {
    /// Open files (`RLIMIT_NOFILE`, soft and hard).
    pub files: Option<u64>,
    /// The nice value.
    pub nice: Option<i32>,
    /// `/proc/PID/oom_score_adj`
    pub oom_score_adj: Option<i32>,
}

/// What becomes of processes that outlive the main process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Orphans {
    /// They are ended by the ladder; the run is over when the last is gone.
    #[default]
    End,
    /// They stay, and the run with them, until they end by themselves or are stopped.
    Keep,
}

/// Everything that a keeper needs for one run. Sent as the first message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Launch {
    /// Which service.
    pub key: ServiceKey,
    /// The name of the project, for people.
    pub project: Name,
    /// The mode, when it has one.
    pub mode: Option<Name>,
    /// This run.
    pub run: RunId,
    /// The lock file (R4.1).
    pub lock: OsText,
    /// The folder with control socket, record and events. Its parent exists.
    pub folder: OsText,
    /// Program and arguments. The program is searched in the `PATH` of `env` unless it holds a slash.
    pub argv: Vec<OsText>,
    /// The whole environment. The keeper adds `VIGIE_RUN`.
    pub env: Vec<(OsText, OsText)>,
    /// The working folder.
    pub cwd: OsText,
    /// Standard input.
    pub input: Input,
    /// Standard output and error.
    pub output: Output,
    /// Process group.
    pub group: Group,
    /// How it is stopped when nobody says otherwise.
    pub ladder: Ladder,
    /// What becomes of processes that outlive the main process.
    pub orphans: Orphans,
    /// Limits.
    pub limits: Limits,
    /// Who asked.
    pub origin: Origin,
    /// A daemon launches it, and its successor takes it up. False: a command of its own holds on to it (`vigie run`),
    /// and no daemon touches it.
    pub managed: bool,
    /// New starts since the last stable period, this one included: 0 for a first start.
    pub attempt: u32,
    /// Spawn nothing: this process runs already and becomes the main process of the run (R4.4).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopt: Option<ProcKey>,
}

/// How well a run's tree is contained, best first (R5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Containment {
    /// A cgroup v2 folder with `cgroup.kill`.
    Cgroup2,
    /// A cgroup v1 freezer folder: freeze, kill, thaw.
    Cgroup1,
    /// Only the keeper as subreaper.
    Subreaper,
    /// Nothing holds it: an adopted process that could not be moved, and whoever is seen below it.
    Descent,
}

/// What the holder of a lock says of itself: the content of the lock file, and part of the record. A label, never a
/// proof: the lock decides (R4.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// Which service.
    pub key: ServiceKey,
    /// The name of the project.
    pub project: Name,
    /// The mode, when it has one.
    pub mode: Option<Name>,
    /// The keeper.
    pub keeper: ProcKey,
    /// The main process, once it was started.
    pub main: Option<ProcKey>,
    /// When the lock was taken.
    pub since: Wall,
    /// Who asked for it, from where.
    pub origin: Origin,
    /// [`Launch::managed`]
    #[serde(default)]
    pub managed: bool,
    /// [`Launch::attempt`]: a daemon that comes back goes on counting from here.
    #[serde(default)]
    pub attempt: u32,
    /// The main process was adopted: it was started by somebody else, and [`Holder::since`] says since when it is held.
    #[serde(default)]
    pub adopted: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_name_distinct_folders() {
        let name = |text| Name::new(text).expect("name");
        let key = |scope, dir: &str, service| ServiceKey::new(scope, std::path::Path::new(dir), name(service)).folder();
        let base = key(Scope::Project, "/srv/a", "api");
        assert!(base.starts_with("api-"));
        assert_ne!(base, key(Scope::Project, "/srv/b", "api"));
        assert_ne!(base, key(Scope::Project, "/srv/a", "db"));
        assert_ne!(base, key(Scope::User, "/srv/a", "api"));
        assert_eq!(key(Scope::User, "/srv/a", "api"), key(Scope::User, "/srv/b", "api"));
    }
}
