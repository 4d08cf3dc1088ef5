//! Where a process comes from: its parents by identity, its session, terminal, cgroup, namespaces.
//!
//! Parents are read from the child upwards, and a number alone proves nothing: the child is read again after its parent,
//! and a parent that is younger than its child is another process with an old number.
//!
//! Nothing here hangs (R8.3): links are only read, nothing is opened through them, and the files for which the kernel
//! must look into the memory of a process (`cmdline`, `environ`) are read aside, with a deadline ([`aside`]).

pub(crate) mod aside;
mod circumstances;

use std::time::Duration;

use rustix::param::clock_ticks_per_second;

use vigie_core::clock::{Now, Wall};
use vigie_core::identity::ProcKey;
use vigie_core::ladder::Signal;
use vigie_core::text::OsText;
use vigie_core::why::facts::{Hidden, Process, Story, Task, Told, Top};

use crate::clock::{mono, now};
use crate::error::OsError;
use crate::proc::Proc;
use crate::proc::stat::{Stat, parse};
use crate::proc::status::Status;
use crate::user;

/// No line of parents is longer; one that seems to be is a mistake.
const GENERATIONS: usize = 256;

/// How often a parent is looked for again whose child got another one meanwhile.
const LOOKS: u32 = 4;

/// How long all that may block is waited for; in tests, where nothing does, as long as a busy machine may take.
const PATIENCE: Duration = if cfg!(test) { Duration::from_secs(60) } else { Duration::from_millis(500) };

/// What is known of the process with this number, and of where it comes from. `None` when there is none.
///
/// # Errors
/// What the kernel says, except that something is gone or hidden: that is part of the answer.
pub fn story(proc: &Proc, pid: u32) -> Result<Option<Story>, OsError> {
    let at = now();
    for _ in 0..LOOKS {
        let Some(process) = seen(proc, pid, at)? else { return Ok(None) };
        let (ancestors, top) = ancestors(proc, &process, at)?;
        let mut buffer = Vec::new();
        let status = proc.status(pid, &mut buffer)?.unwrap_or_default();
        let mut story = Story {
            tasks: tasks(proc, pid)?,
            session_leader: leader(proc, &process, &ancestors, at)?,
            tracer: status.tracer.and_then(|tracer| seen(proc, tracer, at).transpose()).transpose()?,
            kill_pending: Status::has(status.pending | status.shared_pending, Signal::Kill.number()),
            executable: circumstances::link(proc, pid, "exe")?,
            folder: circumstances::link(proc, pid, "cwd")?,
            cgroups: circumstances::cgroups(proc, pid)?,
            namespaces: circumstances::namespaces(proc, pid)?,
            login: circumstances::login(proc, pid)?,
            environment: Told::Nothing,
            process,
            ancestors,
            top,
        };
        read_memory(proc, &mut story)?;
        // All of it must have been read of one process.
        if proc.key(pid)?.as_ref() == Some(&story.process.key) {
            return Ok(Some(story));
        }
    }
    Ok(None)
}

/// A process and its parents; nothing of where else it lives. `None` when there is none with this number.
///
/// # Errors
/// As of [`story`].
pub fn lineage(proc: &Proc, pid: u32) -> Result<Option<(Process, Vec<Process>)>, OsError> {
    let at = now();
    let Some(mut process) = seen(proc, pid, at)? else { return Ok(None) };
    let (mut ancestors, _) = ancestors(proc, &process, at)?;
    let all: Vec<&mut Process> = std::iter::once(&mut process).chain(&mut ancestors).collect();
    aside::arguments(proc, all, mono() + PATIENCE)?;
    Ok(Some((process, ancestors)))
}

/// When a process was started, from its clock ticks since boot: they count on the clock that goes on during suspend.
pub fn started(start_ticks: u64, at: Now) -> Option<Wall> {
    let nanos_per_tick = 1_000_000_000 / clock_ticks_per_second().max(1);
    let age = at.mono.0.checked_sub(start_ticks.saturating_mul(nanos_per_tick))?;
    at.wall.0.checked_sub(age).map(Wall)
}

/// One process, without its arguments.
pub(crate) fn seen(proc: &Proc, pid: u32, at: Now) -> Result<Option<Process>, OsError> {
    let mut buffer = Vec::new();
    let Some(stat) = proc.stat(pid, &mut buffer)? else { return Ok(None) };
    let mut process = process(proc, pid, &stat, at);
    process.uid = proc.status(pid, &mut buffer)?.map(|status| status.euid);
    process.user = process.uid.and_then(user::name);
    Ok(Some(process))
}

fn process(proc: &Proc, pid: u32, stat: &Stat<'_>, at: Now) -> Process {
    Process {
        key: proc.key_of(pid, stat.start_ticks),
        parent: stat.ppid,
        name: OsText(stat.comm.to_vec()),
        argv: Told::Nothing,
        state: char::from(stat.state),
        threads: stat.threads,
        kernel: stat.is_kernel_thread(),
        session: stat.session,
        terminal: user::terminal_name(stat.tty_nr),
        uid: None,
        user: None,
        started: started(stat.start_ticks, at),
    }
}

/// The parent, its parent, and so on, and where that ends.
fn ancestors(proc: &Proc, process: &Process, at: Now) -> Result<(Vec<Process>, Top), OsError> {
    let mut found: Vec<Process> = Vec::new();
    while found.len() < GENERATIONS {
        let child = found.last().unwrap_or(process);
        match parent(proc, child, at)? {
            Parent::Is(parent) => found.push(*parent),
            Parent::None => break,
            Parent::Vanished(pid) => return Ok((found, Top::Vanished(pid))),
        }
    }
    Ok((found, Top::Root))
}

enum Parent {
    Is(Box<Process>),
    None,
    Vanished(u32),
}

fn parent(proc: &Proc, child: &Process, at: Now) -> Result<Parent, OsError> {
    let mut number = child.parent;
    let mut buffer = Vec::new();
    for _ in 0..LOOKS {
        if number == 0 {
            return Ok(Parent::None);
        }
        let parent = seen(proc, number, at)?.filter(|parent| is_older(&parent.key, &child.key));
        // The child again: its parent may have ended, and another process may have got that number.
        match proc.stat(child.pid(), &mut buffer)? {
            Some(stat) if stat.start_ticks != child.key.start_ticks => return Ok(Parent::Vanished(number)),
            None => return Ok(Parent::Vanished(number)),
            Some(stat) if stat.ppid != number => number = stat.ppid,
            Some(_) => return Ok(parent.map_or(Parent::Vanished(number), |parent| Parent::Is(Box::new(parent)))),
        }
    }
    Ok(Parent::Vanished(number))
}

/// Ticks are coarse: both may have been started in one. Inside of a container PID 1 may be as old as anything.
fn is_older(parent: &ProcKey, child: &ProcKey) -> bool {
    parent.pid != child.pid && parent.start_ticks <= child.start_ticks
}

/// The leader of its session. The kernel gives the number of a session to nobody else while the session has members, so
/// whoever has it is the leader.
fn leader(proc: &Proc, process: &Process, ancestors: &[Process], at: Now) -> Result<Option<Process>, OsError> {
    if process.session == process.pid() {
        return Ok(Some(process.clone()));
    }
    if let Some(known) = ancestors.iter().find(|known| known.pid() == process.session) {
        return Ok(Some(known.clone()));
    }
    if process.session == 0 { Ok(None) } else { seen(proc, process.session, at) }
}

/// The threads, the main thread first.
fn tasks(proc: &Proc, pid: u32) -> Result<Vec<Task>, OsError> {
    let mut numbers = Vec::new();
    proc.tasks(pid, &mut numbers)?;
    numbers.sort_by_key(|tid| (*tid != pid, *tid));
    let mut buffer = Vec::new();
    let mut tasks = Vec::with_capacity(numbers.len());
    for tid in numbers {
        let Some(line) = proc.read(pid, &format!("task/{tid}/stat"), &mut buffer)? else { continue };
        if let Some(stat) = parse(line) {
            tasks.push(Task { tid, name: OsText(stat.comm.to_vec()), state: char::from(stat.state) });
        }
    }
    Ok(tasks)
}

/// Reads what lies in the memory of the processes of a story.
fn read_memory(proc: &Proc, story: &mut Story) -> Result<(), OsError> {
    let deadline = mono() + PATIENCE;
    story.environment = aside::environment(proc, &story.process, deadline)?;
    let mut all: Vec<&mut Process> = std::iter::once(&mut story.process).chain(&mut story.ancestors).collect();
    all.extend(&mut story.session_leader);
    all.extend(&mut story.tracer);
    aside::arguments(proc, all, deadline)
}

/// Out of sight for want of rights, or an error.
pub(crate) fn hidden<T>(error: OsError) -> Result<Told<T>, OsError> {
    match error.kind() {
        std::io::ErrorKind::PermissionDenied if rustix::process::geteuid().is_root() => {
            Ok(Told::Hidden(Hidden::FromRoot))
        }
        std::io::ErrorKind::PermissionDenied => Ok(Told::Hidden(Hidden::NeedsRoot)),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests;
