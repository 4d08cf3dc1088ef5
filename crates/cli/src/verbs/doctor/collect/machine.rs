//! The whole machine: processes that do not go on, dead ones, frozen cgroups, FUSE.

use std::collections::HashMap;
use std::os::unix::ffi::OsStringExt as _;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vigie_core::clock::{Mono, Now};
use vigie_core::doctor::Scope;
use vigie_core::doctor::facts::{Connection, Dead, Facts, FrozenGroup, Held};
use vigie_core::protect::Asker;
use vigie_core::stuck::facts::{Mount, Object, ProcessFacts};
use vigie_core::stuck::judge;
use vigie_core::text::OsText;
use vigie_core::why::facts::{Process, Story, Told};
use vigie_core::why::unexamined;
use vigie_os::error::OsError;
use vigie_os::proc::Proc;
use vigie_os::signs::{self, Clocks, Frozen};
use vigie_os::stuck::{self, Sign};
use vigie_os::{ancestry, strays, user};

use super::Beside;
use super::fuse;
use super::services::Runs;
use crate::cure::Doer;
use crate::failure::Failure;
use crate::scene::Scene;

/// So many processes are looked at closely at the same time: one of them may keep its looker for as long as it likes.
const LOOKERS: usize = 8;

/// More are not looked at closely; that is said.
const CLOSELY: usize = 256;

/// How long the kernel may take to tell of one process.
const CLOSE: Duration = Duration::from_millis(350);

/// How long it may take to tell of the one that is asked about: as `why` waits.
const NAMED: Duration = Duration::from_secs(3);

/// A look that goes on.
pub(super) struct Machine {
    seen: Beside<Result<Pass, OsError>>,
    near: Receiver<Near>,
    named: Option<u32>,
}

/// What one pass over all processes gives.
struct Pass {
    dead: Vec<(Process, Option<Process>)>,
    frozen: Vec<Frozen>,
    connections: Vec<Connection>,
    /// How many more would have been.
    over: usize,
}

/// A process that was looked at closely.
struct Near {
    story: Story,
    facts: ProcessFacts,
    ran: u64,
}

/// Starts to look.
pub(super) fn start(scene: &Scene, scope: &Scope, deadline: Mono) -> Result<Machine, Failure> {
    let proc = scene.proc.try_clone()?;
    let (sender, near) = channel();
    let named = if let Scope::Process(pid) = scope { Some(*pid) } else { None };
    let seen = Beside::start(move || pass(&proc, named, &sender, deadline));
    Ok(Machine { seen, near, named })
}

fn pass(proc: &Proc, named: Option<u32>, near: &Sender<Near>, deadline: Mono) -> Result<Pass, OsError> {
    let at = vigie_os::clock::now();
    let mut buffer = Vec::new();
    let (mut dead, mut suspects) = (Vec::new(), Vec::new());
    for suspect in stuck::suspects(proc)? {
        if suspect.why != Sign::Zombie {
            suspects.push(suspect.key.pid);
        } else if let Ok(Some(stat)) = proc.stat(suspect.key.pid, &mut buffer) {
            // Whoever was reaped meanwhile is not told of; what one process does is never an error.
            dead.push((brief(proc, &stat, at), stat.ppid));
        }
    }
    let (connections, asked) = fuse::connections(proc)?;
    let also = if asked { fuse::waiters(proc)? } else { Vec::new() };
    for pid in also {
        if !suspects.contains(&pid) && dead.iter().all(|(one, _)| one.pid() != pid) {
            suspects.push(pid);
        }
    }
    if let Some(pid) = named.filter(|pid| dead.iter().all(|(one, _)| one.pid() != *pid)) {
        // Before everybody else: nobody keeps all lookers from it.
        suspects.retain(|one| *one != pid);
        suspects.insert(0, pid);
    }
    let over = suspects.len().saturating_sub(CLOSELY);
    suspects.truncate(CLOSELY);
    closely(proc, suspects, named, near, deadline)?;
    let mut parents: HashMap<u32, Option<Process>> = HashMap::new();
    let dead = dead.into_iter().map(|(one, parent)| {
        let known = parents.entry(parent);
        // With its arguments, which tell a shell that runs a script from one that somebody sits at.
        let seen = || ancestry::lineage(proc, parent).ok().flatten().map(|(process, _)| process);
        (one, known.or_insert_with(seen).clone())
    });
    Ok(Pass { dead: dead.collect(), frozen: signs::frozen(proc), connections, over })
}

/// A process without what could take long to be read.
fn brief(proc: &Proc, stat: &vigie_os::proc::stat::Stat<'_>, at: Now) -> Process {
    Process {
        key: proc.key_of(stat.pid, stat.start_ticks),
        parent: stat.ppid,
        name: OsText(stat.comm.to_vec()),
        argv: Told::Nothing,
        state: char::from(stat.state),
        threads: stat.threads,
        kernel: stat.is_kernel_thread(),
        session: stat.session,
        terminal: None,
        uid: None,
        user: None,
        started: ancestry::started(stat.start_ticks, at),
    }
}

/// Looks at these, several at a time; whoever keeps a looker keeps only that one.
fn closely(
    proc: &Proc,
    suspects: Vec<u32>,
    named: Option<u32>,
    near: &Sender<Near>,
    deadline: Mono,
) -> Result<(), OsError> {
    let lookers = suspects.len().min(LOOKERS);
    let queue = Arc::new(Mutex::new(suspects.into_iter()));
    for _ in 0..lookers {
        let (proc, queue, near) = (proc.try_clone()?, Arc::clone(&queue), near.clone());
        let look = move || {
            loop {
                let next = queue.lock().ok().and_then(|mut queue| queue.next());
                let Some(pid) = next.filter(|_| vigie_os::clock::mono() < deadline) else { return };
                let patience = if named == Some(pid) { NAMED } else { CLOSE };
                if let Some(one) = one(&proc, pid, patience)
                    && near.send(one).is_err()
                {
                    return;
                }
            }
        };
        let spawned = std::thread::Builder::new().name("vigie-looker".to_owned()).spawn(look);
        spawned.map_err(|error| OsError::new("start", "a thread", error))?;
    }
    Ok(())
}

fn one(proc: &Proc, pid: u32, patience: Duration) -> Option<Near> {
    let story = ancestry::story(proc, pid).ok()??;
    let looked = stuck::look(proc, pid, patience).ok().flatten();
    // What could not be looked at closely is told by its states.
    let facts = looked.filter(|facts| facts.process.key == story.process.key).unwrap_or_else(|| unexamined(&story));
    let ran = ran(proc, pid);
    Some(Near { story, facts, ran })
}

/// How often the threads of a process were given a processor; proc_pid_status(5).
fn ran(proc: &Proc, pid: u32) -> u64 {
    let (mut tasks, mut buffer) = (Vec::new(), Vec::new());
    if !proc.tasks(pid, &mut tasks).unwrap_or(false) {
        return 0;
    }
    let switches = |line: &str| {
        let value =
            line.strip_prefix("voluntary_ctxt_switches:").or_else(|| line.strip_prefix("nonvoluntary_ctxt_switches:"));
        value.and_then(|value| value.trim().parse::<u64>().ok())
    };
    tasks
        .into_iter()
        .filter_map(|tid| {
            let text = proc.read(pid, &format!("task/{tid}/status"), &mut buffer).ok()??;
            Some(String::from_utf8_lossy(text).lines().filter_map(switches).sum::<u64>())
        })
        .sum()
}

impl Machine {
    /// Waits for what was seen until the deadline, and says whose it is.
    pub(super) fn into_facts(self, runs: &Runs, scene: &Scene, deadline: Mono, facts: &mut Facts) {
        let named = self.named;
        let mut unseen = |why: String| facts.unseen.push(("processes".to_owned(), why));
        let pass = match self.seen.get(deadline) {
            Some(Ok(pass)) => pass,
            Some(Err(error)) => return unseen(error.to_string()),
            None => return unseen("/proc does not answer".to_owned()),
        };
        if pass.over > 0 {
            unseen(format!("{} more do not go on than are looked at closely", pass.over));
        }
        let ancestors = strays::ancestors(&scene.proc).unwrap_or_default();
        let asker = Asker { pid: std::process::id(), ancestors: &ancestors, uid: user::uid() };
        let mut clocks = Clocks::default();
        let mut served: Vec<Connection> = Vec::new();
        // The lookers hang up when nobody is left to be looked at.
        loop {
            let near = match self.near.recv_timeout(deadline.since(vigie_os::clock::mono())) {
                Ok(near) => near,
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    let why = "those that do not go on were not all looked at in time".to_owned();
                    facts.unseen.push(("processes".to_owned(), why));
                    break;
                }
            };
            if near.story.process.pid() != std::process::id() {
                let (one, blind) = held(&near, runs, scene, &asker, &mut clocks);
                let pid = one.process.pid();
                if blind && named == Some(pid) {
                    // Whoever asked about it is not to hear that all is well.
                    let why = if asker.uid == 0 { "the kernel does not tell" } else { "needs root" };
                    facts.unseen.push((format!("what PID {pid} waits for"), why.to_owned()));
                }
                note_connections(&near.facts, &mut served);
                facts.held.push(one);
            }
        }
        let doer = Doer::new(&scene.proc, named).ok();
        let mut guards: HashMap<u32, Option<String>> = HashMap::new();
        for (process, parent) in pass.dead {
            let still = clocks.still(&scene.proc, process.pid(), process.pid());
            let of = parent.as_ref().and_then(|parent| runs.of(parent.pid()));
            let guarded = parent.as_ref().and_then(|parent| {
                let asked = || doer.as_ref()?.protection(parent).ok()?.map(|why| why.to_string());
                guards.entry(parent.pid()).or_insert_with(asked).clone()
            });
            facts.dead.push(Dead { process, parent, guarded, of, still });
        }
        for group in pass.frozen {
            let of = group.members.iter().find_map(|pid| runs.of(*pid));
            // Opened as a shell would to write the order; nothing is written.
            let file = group.folder.join(if group.version == 1 { "freezer.state" } else { "cgroup.freeze" });
            let writable = std::fs::OpenOptions::new().write(true).open(file).is_ok();
            let folder = OsText(group.folder.into_os_string().into_vec());
            facts.cgroups.push(FrozenGroup { version: group.version, folder, members: group.members, of, writable });
        }
        for connection in pass.connections {
            match served.iter_mut().find(|one| one.number == connection.number) {
                Some(one) => one.point = connection.point,
                None => served.push(connection),
            }
        }
        served.retain(|one| one.waiting.known().is_none_or(|count| *count > 0));
        facts.connections = served;
    }
}

/// What it is found to be, and whether that rests on something that could not be seen.
fn held(near: &Near, runs: &Runs, scene: &Scene, asker: &Asker<'_>, clocks: &mut Clocks) -> (Held, bool) {
    let judged = judge(&near.facts, asker);
    let process = near.story.process.clone();
    let pid = process.pid();
    let blind = judged.blind && !judged.sure;
    let held = Held {
        verdict: judged.verdict,
        killable: judged.killable,
        kill_pending: near.story.kill_pending,
        of: runs.of(pid),
        is_vigie: runs.vigie.contains(&pid),
        ran: near.ran,
        still: clocks.still(&scene.proc, pid, judged.decides),
        connection: mounts(&near.facts).find_map(|mount| mount.fuse.as_ref()).map(|fuse| fuse.connection),
        because: judged.because,
        evidence: judged.evidence,
        remedies: judged.remedies,
        process,
    };
    (held, blind)
}

/// Where the files lie that a process waits for.
fn mounts(facts: &ProcessFacts) -> impl Iterator<Item = &Mount> {
    facts.tasks.iter().flat_map(|task| &task.waits).filter_map(|object| match object {
        Object::File { mount, .. } => mount.as_ref(),
        _ => None,
    })
}

/// The connections that a process waits for, in whatever namespace they are mounted.
fn note_connections(facts: &ProcessFacts, served: &mut Vec<Connection>) {
    for mount in mounts(facts) {
        let Some(fuse) = &mount.fuse else { continue };
        if served.iter().all(|known| known.number != fuse.connection) {
            served.push(Connection {
                number: fuse.connection,
                point: mount.point.clone(),
                kind: mount.kind.clone(),
                waiting: fuse.waiting.clone(),
                servers: fuse.servers.clone(),
            });
        }
    }
}
