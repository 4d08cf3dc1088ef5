//! What is left of a ghost, and what of it stands in the way of a successor.

use std::collections::BTreeMap;

use vigie_api::status::Service;
use vigie_core::claim::PortClaim;
use vigie_core::exit_code::ExitCode;
use vigie_core::ghost;
use vigie_core::identity::{BootId, ProcKey, RunId};
use vigie_core::ports::State;
use vigie_core::run::Left;
use vigie_os::cgroup::Cgroup;
use vigie_os::ghosts;
use vigie_os::ports::{Ask, Table};
use vigie_os::proc::Proc;
use vigie_os::remains::Remains;

use crate::failure::Failure;
use crate::plan::label;
use crate::scene::Scene;

/// A ghost.
#[derive(Debug)]
pub(super) struct Survey {
    /// Its service, as the report has it.
    pub(super) service: Service,
    pub(super) run: RunId,
    /// Everybody who is left; KILL is pending on each.
    pub(super) left: Vec<Left>,
    /// The resident bytes of each, as far as they could be read.
    pub(super) memory: BTreeMap<u32, u64>,
    /// The claims that some of them hold, and who.
    pub(super) held: Vec<(PortClaim, Vec<u32>)>,
}

impl Survey {
    /// Looks at it.
    ///
    /// # Errors
    /// Exit code 1 when one of them could still act.
    pub(super) fn of(service: &Service, scene: &Scene) -> Result<Self, Failure> {
        let Some(run) = &service.run else {
            return Err(Failure::new(ExitCode::No, format!("of {} no run is known", label(service))));
        };
        let left = left(run, &scene.proc)?;
        if let Some(why) = ghost::obstacle(&left) {
            return Err(Failure::new(ExitCode::No, format!("{} is not set aside: {why}", label(service))));
        }
        let mut memory = BTreeMap::new();
        let mut buffer = Vec::new();
        let page = rustix::param::page_size() as u64;
        for left in &left {
            if let Ok(Some(stat)) = scene.proc.stat(left.process.pid, &mut buffer) {
                memory.insert(left.process.pid, stat.rss_pages * page);
            }
        }
        let held = held(&service.claims, &left, &scene.proc)?;
        Ok(Self { service: service.clone(), run: run.id, left, memory, held })
    }

    /// Their identities.
    pub(super) fn keys(&self) -> Vec<ProcKey> {
        self.left.iter().map(|left| left.process.clone()).collect()
    }
}

/// By cgroup, by mark, by descent; and those whom its keeper named.
fn left(run: &vigie_api::status::Run, proc: &Proc) -> Result<Vec<Left>, Failure> {
    let key = |pid: u32, boot: &str, start_ticks: u64| ProcKey { boot_id: BootId(boot.into()), pid, start_ticks };
    let main = match (run.pid, &run.boot_id, run.start_ticks) {
        (Some(pid), Some(boot), Some(start_ticks)) => Some(key(pid, boot, start_ticks)),
        _ => None,
    };
    let cgroup = run.cgroup.as_ref().and_then(|folder| Cgroup::existing(folder.as_path()));
    let remains = Remains::new(proc, run.id, cgroup.as_ref()).with_main(main.as_ref());
    let mut keys: Vec<ProcKey> = remains.find()?.iter().map(|target| target.key().clone()).collect();
    for named in &run.left {
        let named = key(named.pid, &named.boot_id, named.start_ticks);
        if !keys.contains(&named) {
            keys.push(named);
        }
    }
    keys.sort_by_key(|key| key.pid);
    let mut buffer = Vec::new();
    Ok(keys.iter().filter_map(|key| ghosts::look(proc, key, &mut buffer)).collect())
}

/// Which claims they hold.
fn held(claims: &[PortClaim], left: &[Left], proc: &Proc) -> Result<Vec<(PortClaim, Vec<u32>)>, Failure> {
    let ports: Vec<u16> = claims.iter().map(|claim| claim.port).collect();
    if ports.is_empty() {
        return Ok(Vec::new());
    }
    let table = Table::read(proc, &Ask { ports: &ports, connections: false, namespaces: false, holders: true })?;
    let mut held = Vec::new();
    for claim in claims {
        let of_claim = table.entries.iter().filter(|entry| {
            matches!(entry.socket.state, State::Listening | State::Bound) && claim.collides(&entry.socket.held())
        });
        let mut pids: Vec<u32> = of_claim.flat_map(|entry| entry.holders.iter().map(|holder| holder.pid)).collect();
        pids.retain(|pid| left.iter().any(|left| left.process.pid == *pid));
        pids.sort_unstable();
        pids.dedup();
        if !pids.is_empty() {
            held.push((*claim, pids));
        }
    }
    Ok(held)
}
