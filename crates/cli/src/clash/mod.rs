//! What is in the way of a start, and what becomes of it (R4.4): copies of a service that vigie did not start, and whoever
//! holds a port that it claims. Looked for before the request; under the lock the claims are looked at once more.
//!
//! | file | what it does |
//! |---|---|
//! | `find` | looks for what is in the way, and whose it is |
//! | `decide` | asks at a terminal; elsewhere `--replace`, `--adopt`, `--keep` decide |
//! | `replace` | ends what is in the way, by identity, and sees that it is gone |

mod decide;
mod find;
mod replace;

use std::path::PathBuf;

use vigie_core::claim::PortClaim;
use vigie_core::identity::ProcKey;
use vigie_core::ladder::Ladder;
use vigie_core::launch::{Launch, ServiceKey};
use vigie_core::manifest;
use vigie_core::name::Name;
use vigie_core::recognise::Expected;
use vigie_os::strays;

use crate::failure::Failure;
use crate::scene::Scene;

pub(crate) use find::{adoptable, holder, strays_of};

/// What is to become of what is in the way, where there is nobody to ask.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub(crate) struct Flags {
    /// End copies that vigie did not start and whoever holds a claimed port, by identity, then start
    #[arg(long, conflicts_with_all = ["adopt", "keep"])]
    pub(crate) replace: bool,
    /// Do not start what runs already as a copy that vigie did not start: take that one over
    #[arg(long, conflicts_with = "keep")]
    pub(crate) adopt: bool,
    /// Start beside copies that vigie did not start; a claimed port that is held refuses the start all the same
    #[arg(long)]
    pub(crate) keep: bool,
}

impl Flags {
    fn way(self) -> Option<Way> {
        match self {
            Flags { replace: true, .. } => Some(Way::Replace),
            Flags { adopt: true, .. } => Some(Way::Adopt),
            Flags { keep: true, .. } => Some(Way::Keep),
            Flags { replace: false, adopt: false, keep: false } => None,
        }
    }
}

/// What is to become of what is in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Replace,
    Adopt,
    Keep,
}

/// A service that is to be started.
#[derive(Debug)]
pub(crate) struct Wanted {
    pub(crate) name: Name,
    /// `demo/api`
    pub(crate) label: String,
    pub(crate) key: ServiceKey,
    pub(crate) expected: Expected,
    pub(crate) ports: Vec<PortClaim>,
    /// A PID file of an older tool (R4.8).
    pub(crate) legacy: Option<PathBuf>,
    /// How copies of it are ended.
    pub(crate) ladder: Ladder,
}

impl Wanted {
    /// Services of a project.
    pub(crate) fn of_services<'a>(
        project: &manifest::Project,
        services: impl Iterator<Item = &'a manifest::Service>,
    ) -> Vec<Self> {
        // What was asked of the file system for one is not asked again for the next.
        let files = strays::System::default();
        services.map(|service| Self::of_service(project, service, &files)).collect()
    }

    fn of_service(project: &manifest::Project, service: &manifest::Service, files: &strays::System) -> Self {
        Self {
            name: service.name.clone(),
            label: format!("{}/{}", project.name, service.name),
            key: project.key(service),
            expected: strays::of_service_on(service, project.dir.as_path(), files),
            ports: service.ports.clone(),
            legacy: service.legacy_pidfile.as_ref().map(|file| file.as_path().to_owned()),
            ladder: service.stop.clone(),
        }
    }

    /// A command without a manifest.
    pub(crate) fn of_launch(launch: &Launch, ports: &[PortClaim]) -> Self {
        Self {
            name: launch.key.service.clone(),
            label: launch.key.service.to_string(),
            key: launch.key.clone(),
            expected: strays::of_launch(launch),
            ports: ports.to_vec(),
            legacy: None,
            ladder: launch.ladder.clone(),
        }
    }
}

/// A process, or something that cannot be seen, in the way of a start.
#[derive(Debug)]
pub(crate) struct Clash {
    /// In the way of which service, as its place among those that are wanted.
    of: usize,
    /// It; absent when it cannot be seen.
    process: Option<ProcKey>,
    /// Whoever descends from it.
    tree: Vec<ProcKey>,
    /// The facts by which it is recognised as a copy; empty: it is none.
    matched: Vec<&'static str>,
    /// A PID file of an older tool names it.
    named_by: Option<PathBuf>,
    /// What it holds of what is claimed.
    holds: Vec<PortClaim>,
    /// For people.
    who: String,
    whose: Whose,
}

/// Whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Whose {
    /// Nobody's whom vigie knows.
    Nobodys,
    /// A run of another service: its label.
    Run(ServiceKey, String),
    /// A container is behind it: its name.
    Container(String),
    /// It must not be ended, and why not.
    Protected(String),
    /// A run's that is not known here: its keeper.
    Unknown(u32),
    /// It cannot be seen.
    Hidden,
}

impl Clash {
    /// `same executable, script, directory, user; holds port 8000/tcp`
    fn why(&self) -> String {
        let mut parts = Vec::new();
        if !self.matched.is_empty() {
            parts.push(format!("same {}", self.matched.join(", ")));
        }
        if let Some(file) = &self.named_by {
            parts.push(format!("named by {}", file.display()));
        }
        let ports: Vec<String> = self.holds.iter().map(PortClaim::to_string).collect();
        if !ports.is_empty() {
            let word = if ports.len() == 1 { "port" } else { "ports" };
            parts.push(format!("holds {word} {}", ports.join(", ")));
        }
        match &self.whose {
            Whose::Run(_, label) => parts.push(format!("run of {label}")),
            Whose::Container(name) => parts.push(format!("for container {name}")),
            Whose::Protected(why) => parts.push(why.clone()),
            Whose::Unknown(keeper) => parts.push(of_another_vigie(*keeper)),
            Whose::Nobodys | Whose::Hidden => {}
        }
        parts.join("; ")
    }

    /// `demo/api: PID 12 (python3 server.py) runs already: same executable, …`, `demo/api: port 8000/tcp is held by …`
    fn line(&self, wanted: &[Wanted]) -> String {
        let label = &wanted[self.of].label;
        match self.holds.first() {
            Some(port) if self.matched.is_empty() => format!("{label}: port {port} is held by {}", self.who),
            _ => format!("{label}: a copy that vigie did not start runs as {}: {}", self.who, self.why()),
        }
    }

    fn is_copy(&self) -> bool {
        !self.matched.is_empty()
    }
}

/// How to go on.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct GoOn {
    /// These processes become runs instead of a spawn.
    pub(crate) adopt: Vec<(Name, ProcKey)>,
    /// Copies are left beside.
    pub(crate) keep: bool,
}

/// Who starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Starter {
    /// `up` and `start`.
    Daemon,
    /// `run`: it hands on its own input and output, which something that runs already cannot be given.
    Guard,
}

/// Looks for what is in the way of a start, has it decided, and carries that out. Without anything in the way nothing is
/// said.
///
/// # Errors
/// Exit code 3 when it is in the way and nobody decided, or the answer is no; and what the way chosen gives.
pub(crate) fn clear(wanted: &[Wanted], flags: Flags, starter: Starter, scene: &mut Scene) -> Result<GoOn, Failure> {
    let clashes = find::look(wanted, scene)?;
    if clashes.is_empty() {
        return Ok(GoOn { adopt: Vec::new(), keep: flags.keep });
    }
    match decide::decide(&clashes, wanted, flags.way(), starter, scene)? {
        Way::Keep => decide::keep(&clashes, wanted),
        Way::Adopt => decide::adopt(&clashes, wanted),
        Way::Replace => {
            replace::replace(&clashes, wanted, scene)?;
            Ok(GoOn::default())
        }
    }
}

/// Why what lives under a keeper that is not known here is left alone.
fn of_another_vigie(keeper: u32) -> String {
    format!("it is a run of another vigie (keeper PID {keeper}), which would start it again: stop it there")
}

/// `port 8000/tcp`, as people write it for `vigie free`.
fn free_hint(clash: &Clash) -> String {
    let ports: Vec<String> = clash.holds.iter().map(|port| port.port.to_string()).collect();
    format!("'vigie free {}' says what can be done about it", ports.join(" "))
}
