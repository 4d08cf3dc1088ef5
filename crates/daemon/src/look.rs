//! What a report of `status` needs besides what the supervisor knows: runs that nobody manages, and ports.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use vigie_api::status::{Run, Service, Stuck};
use vigie_api::time::Millis;
use vigie_core::claim::PortClaim;
use vigie_core::clock::Mono;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::run::{Left, Phase};
use vigie_core::service::State;
use vigie_os::cgroup::Cgroup;
use vigie_os::error::OsError;
use vigie_os::inet::{Socket, State as SocketState, sockets};
use vigie_os::owners::owners;
use vigie_os::proc::Proc;
use vigie_os::usage::Tree;
use vigie_wire::keeper;

use crate::dispatch::Seen;
use crate::record;

/// How long a socket that is none of a run's is taken for such without asking again.
const FOREIGN: Duration = Duration::from_secs(10);

/// The runs of `vigie run` that are alive, as their keepers wrote them down. `managed` are the names of the folders that
/// the supervisor speaks for.
pub(crate) fn unmanaged(services: &Path, managed: &HashSet<String>, proc: &Proc) -> Vec<Seen> {
    let folders = record::folders(services).unwrap_or_default();
    let foreign = folders
        .into_iter()
        .filter(|folder| folder.file_name().and_then(|name| name.to_str()).is_none_or(|name| !managed.contains(name)));
    let alive = |state: &keeper::State| !state.phase.is_over() && proc.is_alive(&state.holder.keeper).unwrap_or(false);
    let states = foreign.filter_map(|folder| Some((record::read(&folder)?, folder))).filter(|(state, _)| alive(state));
    let seen = states.map(|(state, folder)| {
        let left = if state.phase == Phase::Stuck { record::left(&folder, state.holder.run) } else { Vec::new() };
        Seen { service: of_record(&state, &left), keeper: Some(state.holder.keeper) }
    });
    seen.collect()
}

/// A service as the record of its living keeper shows it. Nobody says whether it is wanted.
fn of_record(state: &keeper::State, left: &[Left]) -> Service {
    let holder = &state.holder;
    let stands = match state.phase {
        Phase::Locked => State::Starting,
        Phase::Running | Phase::Orphaned => State::Running,
        Phase::Stopping => State::Stopping,
        Phase::Stuck => State::Ghost,
        Phase::Quarantined => State::Stopped,
        Phase::Empty => State::Done,
    };
    let started = state.started.map(|(wall, _)| wall);
    let dir = if holder.key.dir.0.is_empty() { &holder.origin.cwd } else { &holder.key.dir };
    Service {
        project: holder.project.clone(),
        service: holder.key.service.clone(),
        mode: holder.mode.clone(),
        wanted: None,
        state: stands,
        since: Some(Millis(started.unwrap_or(holder.since))),
        restarts: 0,
        run: (!state.phase.is_over()).then(|| Run {
            id: holder.run,
            pid: holder.main.as_ref().map(|main| main.pid),
            boot_id: holder.main.as_ref().map(|main| main.boot_id.to_string()),
            start_ticks: holder.main.as_ref().map(|main| main.start_ticks),
            keeper: Some(holder.keeper.pid),
            started_at: started.map(Millis),
            containment: state.containment,
            cgroup: state.cgroup.clone(),
            adopted: state.adopted.is_some(),
            cpu_percent_of_core: None,
            memory_bytes: None,
            processes: None,
            threads: None,
            ports: None,
            left: left.iter().map(Stuck::from).collect(),
        }),
        last_exit: None,
        findings: Vec::new(),
        why: (state.phase == Phase::Orphaned).then(|| "its main process ended; others are kept".to_owned()),
        claims: Vec::new(),
        project_dir: dir.clone(),
        scope: holder.key.scope,
        key: holder.key.clone(),
        ghosts: Vec::new(),
    }
}

/// The processes of a run. What was adopted is not below its keeper.
fn tree(run: &Run, keeper: &ProcKey, proc: &Proc) -> Tree {
    if let Some(cgroup) = run.cgroup.as_ref().and_then(|cgroup| Cgroup::existing(cgroup.as_path())) {
        return Tree::Cgroup(cgroup);
    }
    match (run.adopted, run.pid, run.start_ticks) {
        (true, Some(pid), Some(start_ticks)) => Tree::From(proc.key_of(pid, start_ticks)),
        _ => Tree::Below(keeper.clone()),
    }
}

/// Which socket is whose, remembered between two looks: descriptors are walked only for sockets that are new.
#[derive(Debug, Default)]
pub(crate) struct Ports {
    /// The run that holds a socket, or nobody's, as of when.
    known: HashMap<u64, (Option<RunId>, Mono)>,
    /// The adopted runs of the last look: a new one brings sockets that were nobody's.
    adopted: HashSet<RunId>,
}

impl Ports {
    /// Writes the ports into each run. Where they cannot be seen they stay absent.
    pub(crate) fn fill(&mut self, seen: &mut [Seen], proc: &Proc, now: Mono) {
        // What cannot be seen is absent (R1).
        let _ = self.try_fill(seen, proc, now);
    }

    fn try_fill(&mut self, seen: &mut [Seen], proc: &Proc, now: Mono) -> Result<(), OsError> {
        let mut all = sockets(proc, None)?;
        all.retain(|socket| socket.state != SocketState::Connected && socket.inode != 0);
        let present: HashSet<u64> = all.iter().map(|socket| socket.inode).collect();
        let of = |which: fn(&Run) -> bool| -> HashSet<RunId> {
            let runs = seen.iter().filter_map(|seen| seen.service.run.as_ref());
            runs.filter(|run| which(run)).map(|run| run.id).collect()
        };
        let (runs, adopted) = (of(|_| true), of(|run| run.adopted));
        let brings = !adopted.is_subset(&self.adopted);
        self.adopted = adopted;
        self.known.retain(|inode, (run, at)| {
            let fresh = match run {
                Some(run) => runs.contains(run),
                None => !brings && now.since(*at) < FOREIGN,
            };
            fresh && present.contains(inode)
        });
        let new: Vec<u64> = present.iter().copied().filter(|inode| !self.known.contains_key(inode)).collect();
        if !new.is_empty() {
            self.learn(&new, seen, proc, now)?;
        }
        let mut of_run: HashMap<_, Vec<String>> = HashMap::new();
        for socket in &all {
            if let Some((Some(run), _)) = self.known.get(&socket.inode) {
                of_run.entry(*run).or_default().push(shown(socket));
            }
        }
        for seen in seen {
            if let Some(run) = &mut seen.service.run
                && run.pid.is_some()
                && seen.keeper.is_some()
            {
                let mut ports = of_run.remove(&run.id).unwrap_or_default();
                ports.sort();
                ports.dedup();
                run.ports = Some(ports);
            }
        }
        Ok(())
    }

    fn learn(&mut self, new: &[u64], seen: &[Seen], proc: &Proc, now: Mono) -> Result<(), OsError> {
        let mut run_of = HashMap::new();
        for seen in seen {
            if let (Some(run), Some(keeper)) = (&seen.service.run, &seen.keeper) {
                let members = tree(run, keeper, proc).members(proc)?.unwrap_or_default();
                run_of.extend(members.into_iter().map(|pid| (pid, run.id)));
            }
        }
        let pids: Vec<u32> = run_of.keys().copied().collect();
        let found = owners(proc, new, &pids)?;
        for &inode in new {
            let owner = found.of(inode).find_map(|pid| run_of.get(&pid).copied());
            self.known.insert(inode, (owner, now));
        }
        Ok(())
    }
}

/// `127.0.0.1:8000/tcp`
fn shown(socket: &Socket) -> String {
    PortClaim { address: Some(socket.address), port: socket.port, proto: socket.proto }.to_string()
}
