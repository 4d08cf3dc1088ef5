//! The ports of condemned processes.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd as _, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with, sockopt};
use rustix::process::{Pid, PidfdFlags, pidfd_open};
use vigie_core::claim::{PortClaim, Proto};
use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;
use vigie_core::ports::{Entry, Socket, State};

use super::condemned;
use super::socket::{self, KIND, Reach};
use crate::clock::mono;
use crate::cure::errand::{self, Answer};
use crate::cure::{needs_root, not_found, timed_out};
use crate::error::OsError;
use crate::inet;
use crate::ports::{Ask, Table};
use crate::proc::{Proc, Rel};

/// The longest that one socket may keep those behind it waiting.
const PATIENCE: Duration = Duration::from_secs(3);

/// What became of a port.
#[derive(Debug)]
pub struct Port {
    /// The sockets of the ghosts that stood against the claim.
    pub taken: Vec<Taken>,
    /// Who can bind to it now; tried.
    pub bindable: Bindable,
    /// Ghosts that are closing their descriptors, and wait for ever in the close of one: they show none any more, so that
    /// sockets which they have not closed yet cannot be found. When nobody can bind, and nobody is seen to hold the port,
    /// it is one of these.
    pub closing: Vec<u32>,
}

/// A socket, as it was, and what became of it.
#[derive(Debug)]
pub struct Taken {
    /// It.
    pub socket: Socket,
    /// What became of it.
    pub outcome: Outcome,
}

/// What became of a socket.
#[derive(Debug)]
pub enum Outcome {
    /// It has no port any more.
    Released,
    /// It receives nothing any more and has no connection. It is bound still, and lets others bind who set `SO_REUSEADDR`
    /// or `SO_REUSEPORT`.
    Silenced,
    /// These hold it too, and are not condemned: it was left alone.
    Shared(Vec<u32>),
    /// It could not be taken.
    Failed(OsError),
}

/// Who can bind to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bindable {
    /// Everybody.
    Plainly,
    /// Who sets `SO_REUSEADDR` before, as most servers do, or `SO_REUSEPORT`.
    WithReuse,
    /// Nobody: somebody else holds it, or a socket could not be taken.
    No,
    /// It could not be tried: a port below 1024, by an ordinary user.
    Unknown,
}

/// Takes from condemned processes what stands against a claim in the network namespace of the calling thread: listeners,
/// connections, UDP sockets. Nobody gets to know of it but their peers. Then it is tried who can bind; see
/// [`crate::takeback`] for what that rests on.
///
/// `ghosts` are all processes of the run: a socket that anybody else holds is left alone.
///
/// # Errors
/// Those of `/proc`; `InvalidInput` when one of them may still go on. Ghosts that are gone hold nothing.
pub fn port(proc: &Proc, ghosts: &[ProcKey], claim: &PortClaim, deadline: Mono) -> Result<Port, OsError> {
    let mut held = Vec::new();
    for ghost in ghosts {
        match condemned(proc, ghost) {
            Ok(target) => held.push(target),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    let is_ghost = |pid: u32| held.iter().any(|target| target.key().pid == pid);
    let ports = [claim.port];
    let ask = Ask { namespaces: false, ..Ask::about(&ports) };
    let table = Table::read(proc, &ask)?;
    let mut taken = Vec::new();
    let mut deeds = Vec::new();
    for Entry { socket, holders } in table.entries {
        if !claim.collides(&socket.held()) || !holders.iter().any(|holder| is_ghost(holder.pid)) {
            continue;
        }
        let mut others: Vec<u32> = holders.iter().map(|holder| holder.pid).filter(|&pid| !is_ghost(pid)).collect();
        others.dedup();
        if others.is_empty() {
            let of = held.iter().filter(|target| holders.iter().any(|holder| holder.pid == target.key().pid));
            deeds.push((taken.len(), reach(proc, of.map(|target| target.key().pid), &socket)));
        }
        taken.push(Taken { socket, outcome: Outcome::Shared(others) });
    }
    let answers = take_all(deeds, deadline)?;
    let after = Table::read(proc, &Ask { holders: false, ..ask })?;
    for (place, answer) in answers {
        let one: &mut Taken = &mut taken[place];
        one.outcome = outcome(&one.socket, answer);
        let works = |entry: &Entry| {
            let state = entry.socket.state;
            entry.socket.inode == one.socket.inode && matches!(state, State::Listening | State::Connected)
        };
        // A UDP socket that was silenced has a peer: itself.
        if claim.proto == Proto::Tcp && done(&one.outcome) && after.entries.iter().any(works) {
            one.outcome = Outcome::Failed(failed(&one.socket, timed_out("it works on, as if nothing had been done")));
        }
    }
    let closing = held.iter().map(|target| target.key().pid).filter(|&pid| shows_nothing(proc, pid)).collect();
    Ok(Port { taken, bindable: bindable(claim, deadline)?, closing })
}

/// A way to a socket: a descriptor of its process, or what the kernel calls it.
pub(super) fn reach(proc: &Proc, mut pids: impl Iterator<Item = u32>, socket: &Socket) -> Result<Reach, OsError> {
    let by_descriptor = pids.find_map(|pid| descriptor(proc, pid, socket.inode));
    let tcp = socket.proto == Proto::Tcp;
    let named = || inet::identity(socket).map(|identity| socket::destroy_request(socket, &identity));
    match by_descriptor {
        Some((process, fd)) => Ok(Reach::Descriptor { process, fd, inode: socket.inode, tcp }),
        None if tcp => named().map(Reach::Named).ok_or_else(|| failed(socket, not_found("nobody holds it any more"))),
        None => Err(failed(socket, not_found("its descriptor cannot be reached any more"))),
    }
}

/// The descriptor of a socket, and the process or thread that has it.
fn descriptor(proc: &Proc, pid: u32, inode: u64) -> Option<(OwnedFd, i32)> {
    let mut tasks = Vec::new();
    proc.tasks(pid, &mut tasks).ok()?;
    for task in tasks {
        let mut fds: Vec<i32> = Vec::new();
        let folder = Rel::new(format_args!("{pid}/task/{task}/fd"));
        let _ = proc.entries(&folder, |_, name| fds.extend(crate::proc::stat::number::<i32>(name)));
        let is_it = |fd: &i32| {
            let link = Rel::new(format_args!("{pid}/task/{task}/fd/{fd}"));
            proc.link_number(&link, KIND).ok().flatten() == Some(inode)
        };
        let Some(fd) = fds.into_iter().find(is_it) else { continue };
        // A thread of its own, since Linux 6.9 (`PIDFD_THREAD`): a main thread that has ended has no descriptors.
        let flags =
            if task == pid { PidfdFlags::empty() } else { PidfdFlags::from_bits_retain(libc::O_EXCL.unsigned_abs()) };
        let process = pidfd_open(Pid::from_raw(i32::try_from(task).ok()?)?, flags);
        if let Ok(process) = process {
            return Some((process, fd));
        }
    }
    None
}

/// Whether none of its threads shows a descriptor. Who has none of its own at all is rare.
pub(super) fn shows_nothing(proc: &Proc, pid: u32) -> bool {
    let mut tasks = Vec::new();
    let listed = proc.tasks(pid, &mut tasks);
    let empty = |task: &u32| {
        let mut count = 0;
        let told = proc.entries(&Rel::new(format_args!("{pid}/task/{task}/fd")), |_, name| {
            count += usize::from(crate::proc::stat::number::<u32>(name).is_some());
        });
        matches!(told, Ok(true)) && count == 0
    };
    matches!(listed, Ok(true)) && tasks.iter().all(empty)
}

type Deed<T> = (usize, Result<T, OsError>);

/// Does it to one after the other. One whose lock the ghost holds is given up, and those behind it have their turn.
fn take_all(deeds: Vec<Deed<Reach>>, deadline: Mono) -> Result<Vec<Deed<Option<Answer>>>, OsError> {
    let mut outcomes = Vec::new();
    let mut ways = Vec::new();
    for (place, reach) in deeds {
        match reach {
            Ok(reach) => ways.push((place, reach)),
            Err(error) => outcomes.push((place, Err(error))),
        }
    }
    let mut rest = &ways[..];
    while !rest.is_empty() {
        let keep: Vec<_> = rest.iter().filter_map(|(_, reach)| reach.process()).map(|fd| fd.as_fd()).collect();
        let patience =
            deadline.min(mono() + PATIENCE + Duration::from_millis(1) * u32::try_from(rest.len()).unwrap_or(u32::MAX));
        let answers = errand::run(&keep, patience, |report| {
            for (_, reach) in rest {
                report.tell(socket::take(reach).map_or_else(|(step, errno)| Answer::Failed(step, errno), Answer::Done));
            }
        })?;
        let (done, left) = rest.split_at(answers.len().min(rest.len()));
        outcomes.extend(done.iter().zip(&answers).map(|((place, _), answer)| (*place, Ok(Some(*answer)))));
        if let Some(((place, _), left)) = left.split_first() {
            outcomes.push((*place, Ok(None)));
            rest = left;
        } else {
            rest = left;
        }
    }
    Ok(outcomes)
}

fn outcome(socket: &Socket, answer: Result<Option<Answer>, OsError>) -> Outcome {
    match answer {
        Ok(Some(Answer::Done(0))) => Outcome::Released,
        Ok(Some(Answer::Done(_))) => Outcome::Silenced,
        Ok(Some(Answer::Failed(_, Errno::BADF | Errno::NOENT | Errno::SRCH))) => Outcome::Released,
        Ok(Some(Answer::Failed(_, errno))) => Outcome::Failed(failed(socket, needs_root(errno))),
        Ok(None) => Outcome::Failed(failed(socket, timed_out("the process that is stuck holds its lock"))),
        Err(error) => Outcome::Failed(error),
    }
}

fn done(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Released | Outcome::Silenced)
}

fn failed(socket: &Socket, why: std::io::Error) -> OsError {
    OsError::new("take back", format!("socket {} ({} port {})", socket.inode, socket.proto, socket.port), why)
}

/// Tried, as the successor would, and closed at once; by a process of its own, so that no child that this one starts
/// meanwhile has a copy of what it tries with.
fn bindable(claim: &PortClaim, deadline: Mono) -> Result<Bindable, OsError> {
    let (any4, any6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let both = [any4, any6];
    let one = claim.address.map(|address| [address]);
    let addresses: &[IpAddr] = one.as_ref().map_or(&both, |one| one);
    let in_the_way = |reuse: bool| {
        let mut tried = addresses.iter().map(|ip| try_bind(SocketAddr::new(*ip, claim.port), claim.proto, reuse));
        // A machine without IPv6 has none in the way.
        tried.find_map(|tried| tried.err().filter(|errno| !matches!(*errno, Errno::AFNOSUPPORT | Errno::ADDRNOTAVAIL)))
    };
    let answers = errand::run(&[], deadline.max(mono() + PATIENCE), |report| {
        for reuse in [false, true] {
            report.tell(in_the_way(reuse).map_or(Answer::Done(0), |errno| Answer::Failed(0, errno)));
        }
    })?;
    Ok(match answers[..] {
        [Answer::Done(_), _] => Bindable::Plainly,
        [Answer::Failed(_, Errno::ACCESS), _] | [] | [_] => Bindable::Unknown,
        [_, Answer::Done(_)] => Bindable::WithReuse,
        _ => Bindable::No,
    })
}

fn try_bind(address: SocketAddr, proto: Proto, reuse: bool) -> Result<(), Errno> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let kind = if proto == Proto::Tcp { SocketType::STREAM } else { SocketType::DGRAM };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
    sockopt::set_socket_reuseaddr(&socket, reuse)?;
    if address.is_ipv6() {
        // The family alone: the other one is tried by itself.
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    bind(&socket, &address)
}
