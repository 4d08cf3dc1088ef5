//! What runs: `vigie status --json` (R3.6).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use vigie_core::claim::PortClaim;
use vigie_core::exit::Exit;
use vigie_core::ghost;
use vigie_core::identity::RunId;
use vigie_core::launch::{Containment, Scope, ServiceKey};
use vigie_core::name::Name;
use vigie_core::run::Left;
use vigie_core::service::{State, Wanted};
use vigie_core::supervisor::{LastExit, RunView, Stored, View};
use vigie_core::text::OsText;

use crate::time::Millis;

/// Everything that is known to run, or was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Status"))]
pub struct Report {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// When it was looked.
    pub at: Millis,
    /// The daemon; absent when none answers.
    pub daemon: Option<Daemon>,
    /// By project, then by service.
    pub services: Vec<Service>,
    /// Processes that look like a service and are not its run.
    pub strays: Vec<crate::strays::Stray>,
}

/// The daemon in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "StatusDaemon"))]
pub struct Daemon {
    /// Its PID.
    pub pid: u32,
    /// Its version.
    pub version: String,
}

/// One service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Service {
    /// The name of its project.
    pub project: Name,
    /// Its name.
    pub service: Name,
    /// The mode in which it runs or was asked for.
    pub mode: Option<Name>,
    /// Whether it is to run; absent when nobody manages it (`vigie run`).
    pub wanted: Option<Wanted>,
    /// Where it stands.
    pub state: State,
    /// Since when.
    pub since: Option<Millis>,
    /// New starts since it was asked for.
    pub restarts: u32,
    /// Its run, when there is one.
    pub run: Option<Run>,
    /// How its last run ended.
    pub last_exit: Option<Ended>,
    /// Diagnoses that are open.
    pub findings: Vec<Value>,
    /// Why it stands there, when that is not plain.
    pub why: Option<String>,
    /// The ports that it claims.
    pub claims: Vec<PortClaim>,
    /// The folder of its project; for a `vigie run` in a wider scope than a project the folder where it was asked for.
    pub project_dir: OsText,
    /// How far "exactly once" reaches for it.
    pub scope: Scope,
    /// What makes it one thing: what requests name it by.
    pub key: ServiceKey,
    /// Earlier runs of it that no signal ends and that were set aside (`vigie quarantine`), until they are gone.
    #[serde(default)]
    pub ghosts: Vec<Ghost>,
}

/// A run that no signal ends and that was set aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ghost {
    /// Which run.
    pub run: RunId,
    /// Since when no signal ends it, if that is known.
    pub since: Option<Millis>,
    /// When it was set aside.
    pub quarantined_at: Millis,
    /// Those of whom it consisted then.
    pub processes: Vec<Stuck>,
}

/// A process that no signal ends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Stuck {
    /// Its PID.
    pub pid: u32,
    /// The boot in which it was started.
    pub boot_id: String,
    /// Its start time, in clock ticks since boot.
    pub start_ticks: u64,
    /// What it calls itself.
    pub name: String,
    /// The letter of its state when it was looked at.
    pub state: char,
    /// KILL is pending, and the kernel does not end it.
    pub kill_pending: bool,
}

/// One run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Run {
    /// Which.
    pub id: RunId,
    /// The PID of its main process, once it was spawned.
    pub pid: Option<u32>,
    /// The boot in which it runs.
    pub boot_id: Option<String>,
    /// The start time of its main process, in clock ticks since boot.
    pub start_ticks: Option<u64>,
    /// The PID of its keeper, while that lives.
    #[serde(default)]
    pub keeper: Option<u32>,
    /// When its main process was spawned.
    pub started_at: Option<Millis>,
    /// Its main process was adopted, not spawned: its output and the mark in its environment are not vigie's.
    #[serde(default)]
    pub adopted: bool,
    /// How its tree is contained.
    pub containment: Option<Containment>,
    /// The folder of its cgroup, when it has one.
    pub cgroup: Option<OsText>,
    /// CPU time of the whole run between the last two samples, in percent of one core; absent before the second.
    pub cpu_percent_of_core: Option<f64>,
    /// Memory of the whole run in bytes; with a cgroup of its own what that is charged for, else the resident memory of
    /// its processes, where shared pages count for each.
    pub memory_bytes: Option<u64>,
    /// How many processes it has.
    pub processes: Option<u32>,
    /// How many threads they have.
    pub threads: Option<u32>,
    /// The sockets that it listens on or is bound to: `127.0.0.1:8000/tcp`. Absent when it could not be seen.
    pub ports: Option<Vec<String>>,
    /// Those that no signal ends, when it is a ghost.
    #[serde(default)]
    pub left: Vec<Stuck>,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Ended {
    /// The exit code of its main process, when it had one.
    pub code: Option<i32>,
    /// The number of the signal that ended it, when one did.
    pub signal: Option<i32>,
    /// A core was dumped; absent when no signal ended it.
    pub core_dumped: Option<bool>,
    /// When; absent when nobody saw it.
    pub at: Option<Millis>,
    /// Which run.
    pub run: Option<RunId>,
}

impl From<&View> for Service {
    fn from(view: &View) -> Self {
        Self {
            project: view.project.clone(),
            service: view.key.service.clone(),
            mode: view.mode.clone(),
            wanted: Some(view.wanted),
            state: view.state,
            since: Some(Millis(view.since)),
            restarts: view.restarts,
            run: view.run.as_ref().map(Run::from),
            last_exit: view.last_exit.as_ref().map(Ended::from),
            findings: Vec::new(),
            why: view.why.clone(),
            claims: view.claims.clone(),
            project_dir: view.dir.clone(),
            scope: view.key.scope,
            key: view.key.clone(),
            ghosts: view.ghosts.iter().map(Ghost::from).collect(),
        }
    }
}

/// As it was last written down: for looking without a daemon (R3.3). The run is left out: whether it still lives, its
/// record and the kernel know.
impl From<&Stored> for Service {
    fn from(stored: &Stored) -> Self {
        Self {
            project: stored.definition.project.clone(),
            service: stored.key.service.clone(),
            mode: stored.definition.mode.clone(),
            wanted: Some(stored.wanted),
            state: stored.state,
            since: Some(Millis(stored.since)),
            restarts: stored.restarts,
            run: None,
            last_exit: stored.last_exit.as_ref().map(Ended::from),
            findings: Vec::new(),
            why: stored.why.clone(),
            claims: stored.definition.service.ports.clone(),
            project_dir: stored.definition.dir.clone(),
            scope: stored.key.scope,
            key: stored.key.clone(),
            ghosts: Vec::new(),
        }
    }
}

impl From<&RunView> for Run {
    /// Without its keeper and without what is measured.
    fn from(run: &RunView) -> Self {
        Self {
            id: run.id,
            pid: run.main.as_ref().map(|main| main.pid),
            boot_id: run.main.as_ref().map(|main| main.boot_id.to_string()),
            start_ticks: run.main.as_ref().map(|main| main.start_ticks),
            keeper: None,
            started_at: run.started.map(Millis),
            containment: run.containment,
            cgroup: run.cgroup.clone(),
            adopted: run.adopted,
            cpu_percent_of_core: None,
            memory_bytes: None,
            processes: None,
            threads: None,
            ports: None,
            left: run.left.iter().map(Stuck::from).collect(),
        }
    }
}

impl From<&ghost::Ghost> for Ghost {
    fn from(ghost: &ghost::Ghost) -> Self {
        Self {
            run: ghost.run(),
            since: ghost.stuck.map(|(wall, _)| Millis(wall)),
            quarantined_at: Millis(ghost.quarantined.0),
            processes: ghost.left.iter().map(Stuck::from).collect(),
        }
    }
}

impl From<&Left> for Stuck {
    fn from(left: &Left) -> Self {
        Self {
            pid: left.process.pid,
            boot_id: left.process.boot_id.to_string(),
            start_ticks: left.process.start_ticks,
            name: left.name.to_string(),
            state: left.state,
            kill_pending: left.kill_pending,
        }
    }
}

impl From<&LastExit> for Ended {
    fn from(last: &LastExit) -> Self {
        let core_dumped = match last.exit {
            Exit::Signal { core_dumped, .. } => Some(core_dumped),
            Exit::Code(_) | Exit::Unknown => None,
        };
        Self {
            code: last.exit.code(),
            signal: last.exit.signal(),
            core_dumped,
            at: Some(Millis(last.at)),
            run: Some(last.run),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::identity::{BootId, ProcKey};

    /// R3.6: the names are those of the specification, and what was not observed is null.
    #[test]
    fn the_shape_of_status() {
        let name = |text| Name::new(text).expect("name");
        let view = View {
            key: ServiceKey::new(Scope::Project, std::path::Path::new("/srv/demo"), name("api")),
            project: name("demo"),
            dir: "/srv/demo".into(),
            mode: None,
            wanted: Wanted::Up,
            state: State::Ready,
            since: Wall(1_767_225_600_000_000_000),
            why: None,
            restarts: 0,
            run: Some(RunView {
                id: RunId(1),
                main: Some(ProcKey { boot_id: BootId("b".into()), pid: 123, start_ticks: 456 }),
                started: Some(Wall(1_767_225_600_000_000_000)),
                containment: Some(Containment::Cgroup2),
                cgroup: None,
                adopted: false,
                left: Vec::new(),
            }),
            last_exit: Some(LastExit { run: RunId(2), exit: Exit::Code(0), at: Wall(0) }),
            claims: Vec::new(),
            ghosts: Vec::new(),
        };
        let report = Report {
            schema: crate::SCHEMA,
            at: Millis(Wall(1_767_225_600_000_000_000)),
            daemon: Some(Daemon { pid: 1, version: "0.1.0".to_owned() }),
            services: vec![Service::from(&view)],
            strays: Vec::new(),
        };
        let json = serde_json::to_value(&report).expect("encodes");
        assert_eq!(json["at"], "2026-01-01T00:00:00.000Z");
        assert_eq!(json["daemon"], serde_json::json!({"pid": 1, "version": "0.1.0"}));
        let service = &json["services"][0];
        for (field, value) in [("wanted", "up"), ("state", "ready"), ("project", "demo"), ("service", "api")] {
            assert_eq!(service[field], value);
        }
        for (field, value) in [("id", "0000000000000001"), ("boot_id", "b"), ("containment", "cgroup2")] {
            assert_eq!(service["run"][field], value);
        }
        assert_eq!((&service["run"]["pid"], &service["run"]["start_ticks"]), (&123.into(), &456.into()));
        for absent in ["cpu_percent_of_core", "memory_bytes", "processes", "threads", "ports"] {
            assert!(service["run"][absent].is_null(), "{absent}");
            assert!(service["run"].get(absent).is_some(), "{absent} is named all the same");
        }
        assert_eq!((&service["last_exit"]["code"], &service["last_exit"]["signal"]), (&0.into(), &Value::Null));
        assert_eq!((&service["mode"], &service["findings"]), (&Value::Null, &serde_json::json!([])));
        assert_eq!(serde_json::from_value::<Report>(json).expect("reads"), report);
    }
}
