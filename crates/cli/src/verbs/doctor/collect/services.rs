//! Services, what is one too many beside them, ports, descriptors.

use std::collections::{HashMap, HashSet};

use vigie_api::status::{Report, Service as Known};
use vigie_api::strays::{Kind, LeftoverKind};
use vigie_core::doctor::facts::{Daemon, Descriptors, Facts, Left, Service, TakenPort};
use vigie_core::ports::Verdict;
use vigie_core::service::Wanted;
use vigie_os::ports::{Ask, Table, rights};
use vigie_os::signs::descriptors;

use crate::failure::Failure;
use crate::look::Record;
use crate::out::{command, safe};
use crate::plan::label;
use crate::scene::Scene;
use crate::strays::{self, show};
use crate::verbs::why::described;

/// Whose processes are whose, as the cgroups and parents of the runs say: nothing is asked of the processes themselves,
/// which may be stuck.
pub(super) struct Runs {
    members: HashMap<u32, String>,
    /// Keepers and the daemon: told as that.
    pub(super) vigie: HashSet<u32>,
}

impl Runs {
    pub(super) fn new(records: &[(String, Record)], daemon: Option<&Daemon>, scene: &Scene) -> Result<Self, Failure> {
        let mut members = HashMap::new();
        let mut vigie: HashSet<u32> = HashSet::new();
        for (service, record) in records.iter().filter(|(_, record)| record.keeper_alive) {
            vigie.insert(record.state.holder.keeper.pid);
            for pid in record.members(&scene.proc)? {
                members.insert(pid, service.clone());
            }
        }
        vigie.extend(daemon.and_then(|daemon| daemon.process.as_ref()).map(|process| process.pid()));
        members.retain(|pid, _| !vigie.contains(pid));
        Ok(Self { members, vigie })
    }

    /// The run that a process belongs to.
    pub(super) fn of(&self, pid: u32) -> Option<String> {
        self.members.get(&pid).cloned()
    }
}

/// Everything about services.
pub(super) fn look(report: &Report, scene: &mut Scene, runs: &Runs, facts: &mut Facts) -> Result<(), Failure> {
    facts.services = report.services.iter().map(|service| one(service, scene)).collect();
    left(report, scene, facts)?;
    ports(report, scene, facts);
    for (pid, of) in &runs.members {
        let Some((open, limit)) = descriptors(&scene.proc, *pid) else { continue };
        let mut buffer = Vec::new();
        let Ok(Some(stat)) = scene.proc.stat(*pid, &mut buffer) else { continue };
        let name = vigie_core::text::escaped(stat.comm);
        facts.descriptors.push(Descriptors { pid: *pid, name, of: of.clone(), open, limit });
    }
    Ok(())
}

/// As a target from here.
fn target(project: &str, service: &str, is_here: bool) -> String {
    if is_here { service.to_owned() } else { format!("{project}/{service}") }
}

fn one(service: &Known, scene: &Scene) -> Service {
    let last = service.last_exit.as_ref();
    let failure = last.and_then(|last| match (last.code, last.signal) {
        (Some(0), _) => None,
        (Some(code), _) => Some(format!("exit code {code}")),
        (None, Some(number)) => Some(match vigie_core::ladder::Signal::from_number(number) {
            Some(signal) => format!("signal {signal}"),
            None => format!("signal {number}"),
        }),
        (None, None) => None,
    });
    let is_here = service.project_dir.as_path() == scene.here.dir;
    Service {
        label: label(service),
        target: target(service.project.as_str(), service.service.as_str(), is_here),
        wanted: service.wanted,
        state: service.state,
        now: vigie_os::clock::now().wall,
        why: service.why.clone(),
        restarts: service.restarts,
        failed_at: failure.as_ref().and(last.and_then(|last| last.at)).map(|at| at.0),
        failure,
        pid: service.run.as_ref().and_then(|run| run.pid),
    }
}

/// Strays, orphans, leftovers: of every service that is known.
fn left(report: &Report, scene: &Scene, facts: &mut Facts) -> Result<(), Failure> {
    let known = strays::all(report, scene);
    let found = strays::survey(&known, report, scene, |_| true)?;
    let told = show::report(&found, &known, &scene.proc);
    let is_here = |project: &str| {
        known.iter().any(|known| known.project.as_str() == project && known.root.as_path() == scene.here.dir)
    };
    for stray in told.strays.iter().filter(|stray| stray.kind != Kind::Elsewhere) {
        facts.left.push(Left::Stray {
            service: format!("{}/{}", stray.project, stray.service),
            target: target(stray.project.as_str(), stray.service.as_str(), is_here(stray.project.as_str())),
            pid: stray.pid,
            command: command(stray.command.iter().map(|word| &word.0[..])),
            why: show::why(stray),
            duplicate: stray.kind == Kind::Duplicate,
        });
    }
    for orphaned in &found.orphans {
        let holder = &orphaned.record.state.holder;
        let (project, service) = (holder.project.as_str(), holder.key.service.as_str());
        facts.left.push(Left::Orphans {
            service: format!("{project}/{service}"),
            target: target(project, service, is_here(project)),
            pids: orphaned.processes.iter().map(|key| key.pid).collect(),
            keeper: holder.keeper.pid,
        });
    }
    for leftover in &told.leftovers {
        let (project, service) = (leftover.project.as_str(), leftover.service.as_str());
        let path = match (&leftover.path, leftover.pid) {
            (Some(path), _) => path.to_string(),
            (None, Some(pid)) => format!("pid:{pid}"),
            (None, None) => format!("{project}/{service}"),
        };
        facts.left.push(Left::Leftover {
            service: format!("{project}/{service}"),
            target: target(project, service, is_here(project)),
            kind: match leftover.kind {
                LeftoverKind::Socket => "socket",
                LeftoverKind::PidFile => "pid file",
                LeftoverKind::Record => "record",
                LeftoverKind::DeletedExecutable => "executable",
            },
            path,
            pid: leftover.pid,
            why: leftover.why.clone(),
            removable: leftover.removable,
        });
    }
    Ok(())
}

/// Ports that services here claim, and that somebody else holds.
fn ports(report: &Report, scene: &Scene, facts: &mut Facts) {
    let described = described::all(report, scene);
    let is_here = |root: &std::path::Path| root == scene.here.dir;
    let claims: Vec<_> = described
        .iter()
        .filter(|one| is_here(one.root.as_path()))
        .flat_map(|one| one.service.ports.iter().map(move |port| (one, *port)))
        .collect();
    let numbers: Vec<u16> = claims.iter().map(|(_, port)| port.port).collect();
    if numbers.is_empty() {
        return;
    }
    let mut blind = |why: String| facts.unseen.push(("ports".to_owned(), why));
    let (mut table, rights) = match (Table::read(&scene.proc, &Ask::about(&numbers)), rights(&scene.proc)) {
        (Ok(table), Ok(rights)) => (table, rights),
        (Err(error), _) | (_, Err(error)) => return blind(error.to_string()),
    };
    // What was taken back from a ghost is in nobody's way, and the ghost is a finding of its own.
    if let Err(failure) = crate::ghosts::leave_out(&mut table, &scene.place, &scene.proc) {
        crate::warn(&failure);
    }
    for (one, port) in claims {
        let service = report.services.iter().find(|service| service.key == one.key);
        // What it has itself, nobody has taken; what it does with its ports while it runs is its own affair.
        if service.is_some_and(|service| service.run.is_some()) {
            continue;
        }
        let judged = table.judge(&port, &rights);
        if !matches!(judged.verdict, Verdict::Used | Verdict::Shared | Verdict::Bound) {
            continue;
        }
        let entries = judged.by.iter().filter_map(|place| table.entries.get(*place));
        let mut holders: Vec<(u32, String)> = Vec::new();
        for holder in entries.flat_map(|entry| &entry.holders) {
            let mut buffer = Vec::new();
            if holders.iter().all(|(pid, _)| *pid != holder.pid)
                && let Ok(Some(stat)) = scene.proc.stat(holder.pid, &mut buffer)
            {
                holders.push((holder.pid, safe(&String::from_utf8_lossy(stat.comm))));
            }
        }
        let wanted = service.is_some_and(|service| service.wanted == Some(Wanted::Up));
        facts.ports.push(TakenPort { port, service: one.label.clone(), wanted, holders });
    }
}
