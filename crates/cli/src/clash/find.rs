//! Looking for what is in the way.

use std::collections::{HashMap, HashSet};

use vigie_core::claim::PortClaim;
use vigie_core::exit_code::ExitCode;
use vigie_core::identity::ProcKey;
use vigie_core::launch::ServiceKey;
use vigie_core::ports::{Entry, State};
use vigie_core::protect::{Asker, Facts, protection};
use vigie_core::recognise::Expected;
use vigie_core::text::OsText;
use vigie_docker::holder::Role;
use vigie_os::pidfile::{self, Says};
use vigie_os::ports::{Ask, Table};
use vigie_os::proc::Proc;
use vigie_os::proc::text::arguments;
use vigie_os::strays::{self, Stray};
use vigie_os::user;

use super::{Clash, Wanted, Whose, of_another_vigie};
use crate::containers::{self, Containers};
use crate::failure::Failure;
use crate::look;
use crate::out::command;
use crate::runs::keeper_above;
use crate::scene::Scene;
use crate::strays::ignored::Ignored;

/// Everything that is in the way of these services.
pub(super) fn look(wanted: &[Wanted], scene: &Scene) -> Result<Vec<Clash>, Failure> {
    let crew = Crew::read(scene)?;
    let mut clashes = Vec::new();
    let ignored = Ignored::read(&scene.place)?;
    copies(wanted, &crew, &ignored, &scene.proc, &mut clashes)?;
    holders(wanted, &crew, &scene.proc, &mut clashes)?;
    Ok(clashes)
}

/// The processes of the runs that live, and what is left of those whose keepers are dead.
struct Crew {
    members: HashMap<u32, (ServiceKey, String)>,
    /// Of which service each is. A start of that service ends them first, under the lock.
    left: HashMap<u32, ServiceKey>,
    /// What no signal ends and was set aside, each with its service.
    ghosts: HashMap<u32, String>,
}

impl Crew {
    fn read(scene: &Scene) -> Result<Self, Failure> {
        let (mut members, mut left) = (HashMap::new(), HashMap::new());
        for record in look::records(&scene.place, &scene.proc, &HashSet::new())? {
            if !record.is_live() {
                continue;
            }
            let holder = &record.state.holder;
            let label = format!("{}/{}", holder.project, holder.key.service);
            for pid in record.members(&scene.proc)? {
                if record.keeper_alive {
                    members.insert(pid, (holder.key.clone(), label.clone()));
                } else {
                    left.insert(pid, holder.key.clone());
                }
            }
        }
        Ok(Self { members, left, ghosts: crate::ghosts::processes(&scene.place, &scene.proc)? })
    }

    fn pids(&self) -> HashSet<u32> {
        self.members.keys().chain(self.ghosts.keys()).copied().collect()
    }
}

/// The stray copies of one service.
///
/// # Errors
/// When `/proc` cannot be read.
pub(crate) fn strays_of(expected: &Expected, scene: &Scene) -> Result<Vec<Stray>, Failure> {
    let runs = Crew::read(scene)?.pids();
    let found = strays::find(&scene.proc, &[expected], &runs)?;
    Ok(found.into_iter().filter(|stray| stray.elsewhere.is_empty()).collect())
}

/// The process that holds a port: the one above those that inherited it.
///
/// # Errors
/// Exit code 8 when nobody holds it, 7 when who does cannot be seen, 2 when several do.
pub(crate) fn holder(port: &PortClaim, scene: &Scene) -> Result<u32, Failure> {
    let ask = Ask { ports: &[port.port], connections: false, namespaces: false, holders: true };
    let table = Table::read(&scene.proc, &ask)?;
    let held: Vec<&Entry> = table.entries.iter().filter(|entry| holds(port, entry)).collect();
    let mut pids: Vec<u32> = held.iter().flat_map(|entry| entry.holders.iter().map(|holder| holder.pid)).collect();
    pids.sort_unstable();
    pids.dedup();
    let mut tops = Vec::new();
    for &pid in &pids {
        let mut buffer = Vec::new();
        let parent = scene.proc.stat(pid, &mut buffer)?.map(|stat| stat.ppid);
        if parent.is_none_or(|parent| !pids.contains(&parent)) {
            tops.push(pid);
        }
    }
    match tops[..] {
        [one] => Ok(one),
        [] if held.is_empty() => Err(Failure::not_found(format!("nobody holds port {port}"))),
        [] => Err(Failure::new(ExitCode::NotPermitted, format!("who holds port {port} cannot be seen (needs root)"))),
        _ => {
            let pids: Vec<String> = tops.iter().map(|pid| format!("pid:{pid}")).collect();
            Err(Failure::usage(format!("several processes hold port {port}: {}", pids.join(", "))))
        }
    }
}

/// Whether a process may become a run.
///
/// # Errors
/// Exit code 3 when it belongs to a run, 7 when it must not be touched.
pub(crate) fn adoptable(process: &ProcKey, scene: &Scene) -> Result<(), Failure> {
    let crew = Crew::read(scene)?;
    let pid = process.pid;
    if let Some((_, label)) = crew.members.get(&pid) {
        return Err(Failure::new(ExitCode::AlreadyRunning, format!("PID {pid} belongs to a run of {label}")));
    }
    let inside = |pid| containers::role(&scene.proc, pid) == Some(Role::Inside);
    if inside(pid) && !inside(std::process::id()) {
        let message = format!("PID {pid} is not adopted: it is in a container, which holds it");
        return Err(Failure::new(ExitCode::NotPermitted, message));
    }
    let status = scene.proc.status(pid, &mut Vec::new())?;
    if let Some(other) = status.map(|status| status.euid).filter(|uid| *uid != user::uid()) {
        // Root may end it, but would hold it as root and start root's in its place.
        let other = user::name(other).unwrap_or_else(|| other.to_string());
        return Err(Failure::new(
            ExitCode::NotPermitted,
            format!("PID {pid} is not adopted: it belongs to user {other}"),
        ));
    }
    let containers = Containers::default();
    let eyes =
        Eyes { proc: &scene.proc, crew: &crew, containers: &containers, ancestors: strays::ancestors(&scene.proc)? };
    if let Some(keeper) = keeper_above(&scene.proc, pid)? {
        let message = format!("PID {pid} is not adopted: {}", of_another_vigie(keeper));
        return Err(Failure::new(ExitCode::AlreadyRunning, message));
    }
    match eyes.protection(pid)? {
        None => Ok(()),
        Some(why) => Err(Failure::new(ExitCode::NotPermitted, format!("PID {pid} is not adopted: {why}"))),
    }
}

fn holds(claim: &PortClaim, entry: &Entry) -> bool {
    matches!(entry.socket.state, State::Listening | State::Bound) && claim.collides(&entry.socket.held())
}

/// Copies that vigie did not start, without those that are to be left alone. One in a container or another world of files is
/// no copy of what is here.
fn copies(
    wanted: &[Wanted],
    crew: &Crew,
    ignored: &Ignored,
    proc: &Proc,
    clashes: &mut Vec<Clash>,
) -> Result<(), Failure> {
    let counts = |stray: &Stray, of: usize| stray.elsewhere.is_empty() && !ignored.covers(&wanted[of].key, stray);
    let expected: Vec<&Expected> = wanted.iter().map(|wanted| &wanted.expected).collect();
    let runs = crew.pids();
    for stray in strays::find(proc, &expected, &runs)? {
        if counts(&stray, stray.of) {
            clashes.push(copy(stray));
        }
    }
    for (of, wanted) in wanted.iter().enumerate() {
        let Some(file) = &wanted.legacy else { continue };
        let Some(Says::Names(pid)) = pidfile::read(file) else { continue };
        if runs.contains(&pid) {
            continue;
        }
        // A hint: the process is looked at like any other, and is a stranger unless it is recognised (R4.8).
        let Some(stray) = strays::examine(proc, pid, &expected[of..=of])? else { continue };
        let known = clashes.iter_mut().find(|clash| {
            let of_tree = clash.tree.contains(&stray.key);
            clash.of == of && (clash.process.as_ref() == Some(&stray.key) || of_tree)
        });
        match known {
            Some(clash) => clash.named_by = Some(file.clone()),
            None if counts(&stray, of) => {
                clashes.push(Clash { of, named_by: Some(file.clone()), ..copy(stray) });
            }
            None => {}
        }
    }
    Ok(())
}

fn copy(stray: Stray) -> Clash {
    let line = command(stray.argv.iter().map(|word| word.0.as_slice()));
    Clash {
        of: stray.of,
        who: format!("PID {} ({line})", stray.key.pid),
        process: Some(stray.key),
        tree: stray.tree,
        matched: stray.matched,
        named_by: None,
        holds: Vec::new(),
        whose: Whose::Nobodys,
    }
}

/// Whoever holds what is claimed. A connection that uses the port as its own end holds nothing.
fn holders(wanted: &[Wanted], crew: &Crew, proc: &Proc, clashes: &mut Vec<Clash>) -> Result<(), Failure> {
    let ports: Vec<u16> = wanted.iter().flat_map(|wanted| wanted.ports.iter().map(|claim| claim.port)).collect();
    if ports.is_empty() {
        return Ok(());
    }
    let table = Table::read(proc, &Ask { ports: &ports, connections: false, namespaces: false, holders: true })?;
    let containers = Containers::default();
    let eyes = Eyes { proc, crew, containers: &containers, ancestors: strays::ancestors(proc)? };
    for (of, wanted) in wanted.iter().enumerate() {
        for claim in &wanted.ports {
            let in_the_way =
                |entry: &&Entry| holds(claim, entry) && !crate::ghosts::was_taken_back(entry, &crew.ghosts);
            for entry in table.entries.iter().filter(in_the_way) {
                eyes.holder(of, &wanted.key, claim, entry, clashes)?;
            }
        }
    }
    Ok(())
}

struct Eyes<'a> {
    proc: &'a Proc,
    crew: &'a Crew,
    containers: &'a Containers,
    ancestors: Vec<u32>,
}

impl Eyes<'_> {
    fn holder(
        &self,
        of: usize,
        own: &ServiceKey,
        claim: &PortClaim,
        entry: &Entry,
        clashes: &mut Vec<Clash>,
    ) -> Result<(), Failure> {
        let container = |pid| self.containers.label(self.proc, pid, &entry.socket.held());
        if entry.holders.is_empty() {
            let uid = entry.socket.uid;
            let user = user::name(uid).unwrap_or_else(|| uid.to_string());
            let (who, whose) = match container(None) {
                Some(name) => (format!("container {name}"), Whose::Container(name)),
                None => (format!("a process of user {user} that cannot be seen (needs root)"), Whose::Hidden),
            };
            let clash = Clash { holds: vec![*claim], ..nobody(of, who, whose) };
            if !clashes.iter().any(|known| known.process.is_none() && known.of == of && known.who == clash.who) {
                clashes.push(clash);
            }
            return Ok(());
        }
        let pids: Vec<u32> = entry.holders.iter().map(|holder| holder.pid).collect();
        for &pid in &pids {
            let mut buffer = Vec::new();
            let Some(stat) = self.proc.stat(pid, &mut buffer)? else { continue };
            // Whoever inherited it ends with the one above.
            if pids.contains(&stat.ppid) {
                continue;
            }
            let key = self.proc.key_of(pid, stat.start_ticks);
            let within = |clash: &&mut Clash| clash.process.as_ref() == Some(&key) || clash.tree.contains(&key);
            if let Some(known) = clashes.iter_mut().filter(|clash| clash.of == of).find(within) {
                if !known.holds.contains(claim) {
                    known.holds.push(*claim);
                }
                continue;
            }
            if self.crew.left.get(&pid) == Some(own) {
                continue;
            }
            let whose = match self.crew.members.get(&pid) {
                // Its own run: whoever has the lock is named by the one who does not get it.
                Some((key, _)) if key == own => continue,
                Some((key, label)) => Whose::Run(key.clone(), label.clone()),
                None if self.crew.ghosts.contains_key(&pid) => {
                    let of = self.crew.ghosts.get(&pid).map_or("", String::as_str);
                    Whose::Protected(format!("no signal ends it: it is a ghost of {of}"))
                }
                None => match container(Some(pid)) {
                    Some(name) => Whose::Container(name),
                    None => self.whose(pid)?,
                },
            };
            let who = format!("PID {pid} ({})", line(self.proc, pid)?);
            let tree = self.tree(&key)?;
            clashes.push(Clash { process: Some(key), tree, holds: vec![*claim], ..nobody(of, who, whose) });
        }
        Ok(())
    }

    fn tree(&self, key: &ProcKey) -> Result<Vec<ProcKey>, Failure> {
        let members = self.proc.descendants(key.pid)?.into_iter().filter(|member| !member.zombie);
        Ok(members.map(|member| self.proc.key_of(member.pid, member.start_ticks)).collect())
    }

    /// Whose a process is that no run here has.
    fn whose(&self, pid: u32) -> Result<Whose, Failure> {
        // What a run of this vigie left, whose keeper is dead, lives under no keeper.
        if let Some(keeper) = keeper_above(self.proc, pid)? {
            return Ok(Whose::Unknown(keeper));
        }
        Ok(self.protection(pid)?.map_or(Whose::Nobodys, Whose::Protected))
    }

    /// Why a process must not be ended. An editor or a shell that holds a port is what holds the port.
    fn protection(&self, pid: u32) -> Result<Option<String>, Failure> {
        let (mut line, mut stat, mut status) = (Vec::new(), Vec::new(), Vec::new());
        let argv =
            self.proc.cmdline(pid, &mut line)?.map(|line| arguments(line).map(|word| OsText(word.to_vec())).collect());
        let argv: Vec<OsText> = argv.unwrap_or_default();
        let executable = self.proc.link(pid, "exe").ok().flatten();
        let Some(status) = self.proc.status(pid, &mut status)? else { return Ok(None) };
        let name = self.proc.stat(pid, &mut stat)?.map_or(&b""[..], |stat| stat.comm);
        let facts = Facts {
            pid,
            uid: status.euid,
            kernel: false,
            init: status.innermost_pid == Some(1),
            executable: executable.as_deref(),
            name,
            argv: &argv,
        };
        let asker = Asker { pid: std::process::id(), ancestors: &self.ancestors, uid: user::uid() };
        Ok(protection(&facts, &asker).filter(|found| !found.yields_to_proof()).map(|found| found.to_string()))
    }
}

fn nobody(of: usize, who: String, whose: Whose) -> Clash {
    Clash { of, process: None, tree: vec![], matched: vec![], named_by: None, holds: vec![], who, whose }
}

/// The command line of a process, for people.
pub(super) fn line(proc: &Proc, pid: u32) -> Result<String, Failure> {
    let mut buffer = Vec::new();
    let line = proc.cmdline(pid, &mut buffer)?.map(|line| command(arguments(line))).unwrap_or_default();
    if !line.is_empty() {
        return Ok(line);
    }
    Ok(proc
        .stat(pid, &mut buffer)?
        .map_or_else(|| "gone meanwhile".to_owned(), |stat| vigie_core::text::escaped(stat.comm)))
}
