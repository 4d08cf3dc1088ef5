//! Looking: at the run while it lives, at the machine when it is over.
//!
//! All of it happens on a thread that is not waited for longer than a deadline (R8.3): of a process that is stuck the kernel
//! may not tell what it has mapped.

use std::path::PathBuf;
use std::sync::mpsc::channel;
use std::time::Duration;

use vigie_core::claim::PortClaim;
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::launch::ServiceKey;
use vigie_core::soak::{Kind, Leftover, Machine, Sighting, Verdict, leftovers};
use vigie_os::clock::mono;
use vigie_os::holder;
use vigie_os::pidfd::Target;
use vigie_os::place::Place;
use vigie_os::poll::PollSet;
use vigie_os::proc::Proc;
use vigie_os::remains::Remains;
use vigie_os::sighting::{self, SocketFile};

use crate::failure::Failure;
use crate::look;

/// How long a look may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long the kernel and the keeper may take to tidy up once it is said that it has stopped: sockets are closed and
/// folders removed a moment after the last process.
const SETTLE: Duration = Duration::from_secs(2);

const PAUSE: Duration = Duration::from_millis(5);

/// What was seen of a run.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) run: Option<RunId>,
    pub(super) keeper: Option<ProcKey>,
    /// The process that the keeper descends from.
    pub(super) above: Option<u32>,
    main: Option<ProcKey>,
    cgroup: Option<PathBuf>,
    sighting: Sighting,
    processes: Vec<Target>,
    files: Vec<SocketFile>,
}

impl Seen {
    /// Those beside the main process, with their names.
    pub(super) fn others(&self) -> Vec<(u32, String)> {
        let main = self.main.as_ref().map(|main| main.pid);
        let all = self.sighting.processes.iter().map(|(pid, name)| (*pid, name.clone()));
        all.filter(|(pid, _)| Some(*pid) != main).collect()
    }
}

/// Where it looks.
#[derive(Debug)]
pub(super) struct Eye {
    place: Place,
    key: ServiceKey,
    claims: Vec<PortClaim>,
}

impl Eye {
    pub(super) fn new(place: &Place, key: &ServiceKey, claims: &[PortClaim]) -> Self {
        Self { place: place.clone(), key: key.clone(), claims: claims.to_vec() }
    }

    /// What the machine has.
    pub(super) fn machine(&self, proc: &Proc) -> Result<Machine, Failure> {
        aside(proc, |proc| Ok(sighting::machine(&proc)?))
    }

    /// Looks at the run, and adds to what was `seen` of it before.
    pub(super) fn run(&self, proc: &Proc, seen: Seen) -> Result<Seen, Failure> {
        let folder = self.place.service_dir(&self.key);
        aside(proc, move |proc| {
            let mut seen = seen;
            let Some(record) = look::record(&folder, &proc)? else { return Ok(seen) };
            let holder = &record.state.holder;
            if seen.run.is_some_and(|run| run != holder.run) {
                // It was started again meanwhile; the journal tells of that.
                return Ok(seen);
            }
            seen.run = Some(holder.run);
            seen.above = proc.ancestors(holder.keeper.pid)?.first().copied();
            seen.keeper = Some(holder.keeper.clone());
            seen.main.clone_from(&holder.main);
            seen.cgroup = record.state.cgroup.as_ref().map(|folder| folder.as_path().to_owned());
            let number = |folder: &PathBuf| {
                use std::os::unix::fs::MetadataExt as _;
                std::fs::metadata(folder).ok().map(|meta| meta.ino())
            };
            let v2 = record.state.containment == Some(vigie_core::launch::Containment::Cgroup2);
            seen.sighting.cgroup = seen.cgroup.as_ref().filter(|_| v2).and_then(number);
            let mut buffer = Vec::new();
            let mut members = record.members(&proc)?;
            members.extend(seen.main.as_ref().filter(|_| record.main_alive).map(|main| main.pid));
            members.sort_unstable();
            members.dedup();
            for pid in members {
                if Some(pid) == seen.main.as_ref().map(|main| main.pid) {
                    seen.sighting.uid = proc.status(pid, &mut buffer)?.map(|status| status.euid);
                }
                if let Some(target) = Target::open_pid(&proc, pid)?
                    && seen.processes.iter().all(|known| known.key() != target.key())
                {
                    seen.processes.push(target);
                }
                sighting::add(&proc, pid, &mut seen.sighting)?;
            }
            for file in sighting::socket_files(&proc, &seen.sighting)? {
                if !seen.files.contains(&file) {
                    seen.files.push(file);
                }
            }
            Ok(seen)
        })
    }

    /// What is left of the run, and what the machine has now. It is looked again for a moment while anything is left.
    pub(super) fn over(&self, proc: &Proc, before: Machine, seen: Seen) -> Result<(Verdict, Machine), Failure> {
        let lock = self.place.lock_path(&self.key);
        let claims = self.claims.clone();
        aside(proc, move |proc| {
            let deadline = mono() + SETTLE;
            loop {
                let mut left = vigies(&proc, &lock, &seen)?;
                left.extend(processes(&proc, &seen)?);
                left.extend(seen.files.iter().filter(|file| file.is_left()).map(|file| Leftover {
                    kind: Kind::SocketFile,
                    name: file.path.display().to_string(),
                    detail: format!("{}: nobody listens behind it", file.path.display()),
                    remedy: Some(format!("rm {}", file.path.display())),
                }));
                left.extend(holder::first(&proc, &claims)?.map(|holder| Leftover {
                    kind: Kind::Claim,
                    name: format!("port {}", holder.claim),
                    detail: format!("port {} is held by {}", holder.claim, holder.who),
                    remedy: None,
                }));
                let after = sighting::machine(&proc)?;
                let mut verdict = leftovers(&before, &seen.sighting, &after);
                left.append(&mut verdict.left);
                verdict.left = left;
                if verdict.left.is_empty() || verdict.left.iter().all(|left| stays(left.kind)) || mono() >= deadline {
                    return Ok((verdict, after));
                }
                pause();
            }
        })
    }
}

/// Of these the kernel does not take anything back by itself: there is nothing to wait for.
fn stays(kind: Kind) -> bool {
    use Kind::{MessageQueue, PosixMemory, PosixQueue, Semaphores, SharedMemory, SocketFile};
    matches!(kind, SharedMemory | Semaphores | MessageQueue | PosixMemory | PosixQueue | SocketFile)
}

/// What vigie itself has for a run.
fn vigies(proc: &Proc, lock: &std::path::Path, seen: &Seen) -> Result<Vec<Leftover>, Failure> {
    let mut left = Vec::new();
    if let Some(keeper) = &seen.keeper
        && proc.is_alive(keeper)?
    {
        let detail = format!("the keeper of the run, PID {}, has not ended", keeper.pid);
        left.push(Leftover { kind: Kind::Keeper, name: "vigie-keeper".to_owned(), detail, remedy: None });
    } else if vigie_os::lock::is_held(proc, lock)? {
        let detail = format!("{} is held, and the keeper has ended", lock.display());
        left.push(Leftover { kind: Kind::ServiceLock, name: lock.display().to_string(), detail, remedy: None });
    }
    if let Some(cgroup) = seen.cgroup.as_ref().filter(|cgroup| cgroup.exists()) {
        let detail = format!("{} was not removed", cgroup.display());
        left.push(Leftover { kind: Kind::Cgroup, name: "folder of the run".to_owned(), detail, remedy: None });
    }
    Ok(left)
}

/// Those of the run that live: by the descriptors that were taken while it ran, whatever has become of their cgroup and
/// environment; and those whom nobody saw, by their mark.
fn processes(proc: &Proc, seen: &Seen) -> Result<Vec<Leftover>, Failure> {
    let Some(run) = seen.run else { return Ok(Vec::new()) };
    let remains = Remains::new(proc, run, None).with_main(seen.main.as_ref());
    let mut left = remains.describe(&remains.find()?);
    for described in remains.describe(&seen.processes) {
        if left.iter().all(|known| known.process != described.process) {
            left.push(described);
        }
    }
    let told = |left: vigie_core::run::Left| Leftover {
        kind: Kind::Process,
        name: left.name.to_string(),
        detail: left.to_string(),
        remedy: Some(format!("vigie end pid:{}", left.process.pid)),
    };
    Ok(left.into_iter().map(told).collect())
}

fn pause() {
    // A signal only makes it shorter.
    let _ = PollSet::default().wait(Some(PAUSE));
}

/// Does it on a thread of its own.
fn aside<T: Send + 'static>(
    proc: &Proc,
    what: impl FnOnce(Proc) -> Result<T, Failure> + Send + 'static,
) -> Result<T, Failure> {
    let (sender, receiver) = channel();
    let proc = proc.try_clone()?;
    let body = move || drop(sender.send(what(proc)));
    let thread = std::thread::Builder::new().name("vigie-aside".to_owned()).spawn(body);
    // Not joined: it may never come back.
    thread.map_err(|error| Failure::io("cannot start a thread", &error))?;
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| {
        let message =
            format!("a look at the processes of the run did not end within {PATIENCE:?}: one of them is stuck");
        Err(Failure::new(vigie_core::exit_code::ExitCode::NotPermitted, message))
    })
}
