//! One process, looked at as deeply as this user may.

use std::time::Duration;

use vigie_core::clock::Now;
use vigie_core::stuck::facts::{Object, ProcessFacts, SignalSet, TaskFacts};
use vigie_core::why::facts::{Process, Told};

use super::aside::Aside;
use super::scene::Scene;
use super::task::{out_of_sight, tasks, wait_status};
use super::waits::waits;
use super::{frozen, inside};
use crate::ancestry::{self, seen};
use crate::clock::{mono, now};
use crate::error::OsError;
use crate::proc::Proc;

/// How often it is looked again when the number has gone to another process meanwhile.
const LOOKS: u32 = 4;

/// What is seen of the process with this number, and of what it waits for. `None` when there is none. It takes `patience`
/// at most, give or take what no process can hold up: what has not come by then is
/// [`Hidden::NoAnswer`](vigie_core::why::facts::Hidden). `sent` is left to those who know.
///
/// # Errors
/// What the kernel says, except that something is gone or hidden: that is part of the answer.
pub fn look(proc: &Proc, pid: u32, patience: Duration) -> Result<Option<ProcessFacts>, OsError> {
    let deadline = mono() + patience;
    for _ in 0..LOOKS {
        let Some(facts) = once(proc, pid, &Aside::new(proc, deadline), now())? else { return Ok(None) };
        // All of it must have been read of one process.
        if proc.key(pid)?.as_ref() == Some(&facts.process.key) {
            let mut facts = facts;
            let left = deadline.since(mono()).max(Duration::from_millis(1));
            ancestry::aside::arguments(proc, everybody(&mut facts), mono() + left)?;
            return Ok(Some(facts));
        }
    }
    Ok(None)
}

fn once(proc: &Proc, pid: u32, aside: &Aside<'_>, at: Now) -> Result<Option<ProcessFacts>, OsError> {
    let Some(process) = seen(proc, pid, at)? else { return Ok(None) };
    let Some(status) = proc.status(pid, &mut Vec::new())? else { return Ok(None) };
    let other = |other: Option<u32>| other.and_then(|other| seen(proc, other, at).transpose()).transpose();
    let mut facts = ProcessFacts {
        parent: other(Some(process.parent).filter(|parent| *parent != 0))?,
        tracer: other(status.tracer)?,
        tasks: tasks(proc, pid, aside)?,
        pending: SignalSet(status.shared_pending),
        ignored: SignalSet(status.ignored),
        caught: SignalSet(status.caught),
        namespace_init: status.innermost_pid == Some(1) && pid != 1,
        dumping: status.dumping,
        wait_status: wait_status(proc, pid)?,
        frozen: aside.ask(move |proc| frozen::frozen(proc, pid))?.known().cloned().unwrap_or_default(),
        sent: None,
        process,
    };
    let scene = Scene::new(proc, pid, at, aside);
    if !facts.process.kernel {
        for task in &mut facts.tasks {
            task.waits = waits(&scene, task)?;
        }
    }
    see_inside(&scene, &mut facts.tasks)?;
    Ok(Some(facts))
}

/// What only a program in the kernel sees.
fn see_inside(scene: &Scene<'_>, tasks: &mut [TaskFacts]) -> Result<(), OsError> {
    let told = if scene.proc.is_this_machines() { inside(scene.pid) } else { None };
    let Some(told) = told else {
        for task in tasks {
            task.raw_state = Told::Hidden(out_of_sight());
        }
        return Ok(());
    };
    for task in tasks {
        let Some(one) = told.iter().find(|one| one.tid == task.tid) else { continue };
        task.raw_state = Told::Known(one.raw_state);
        let Some(blocker) = one.blocker else { continue };
        let owner = match blocker.owner_tid {
            Some(tid) => owner(scene, tid)?,
            None => None,
        };
        task.waits.push(Object::KernelLock { kind: blocker.lock.name(), owner });
    }
    Ok(())
}

/// A thread that has a lock, and its process.
fn owner(scene: &Scene<'_>, tid: u32) -> Result<Option<(u32, Process)>, OsError> {
    let Some(status) = scene.proc.status(tid, &mut Vec::new())? else { return Ok(None) };
    let process = seen(scene.proc, status.leader.unwrap_or(tid), scene.at)?;
    Ok(process.map(|process| (tid, process)))
}

/// All processes that are told of.
fn everybody(facts: &mut ProcessFacts) -> Vec<&mut Process> {
    let mut all: Vec<&mut Process> = vec![&mut facts.process];
    all.extend(&mut facts.parent);
    all.extend(&mut facts.tracer);
    for object in facts.tasks.iter_mut().flat_map(|task| &mut task.waits) {
        match object {
            Object::Child(child) => all.push(child),
            Object::Pipe { readers: them, .. }
            | Object::Lock { holders: them, .. }
            | Object::Listener { listeners: them }
            | Object::PageSupplier { suppliers: them } => all.extend(people(them)),
            Object::KernelLock { owner, .. } => all.extend(owner.iter_mut().map(|(_, process)| process)),
            Object::File { mount, .. } => {
                let mut next = mount.as_mut();
                while let Some(mount) = next {
                    all.extend(mount.fuse.iter_mut().flat_map(|fuse| people(&mut fuse.servers)));
                    next = mount.backing.as_mut().and_then(|backing| backing.mount.as_mut());
                }
            }
        }
    }
    all
}

fn people(told: &mut Told<Vec<Process>>) -> &mut [Process] {
    match told {
        Told::Known(them) => them,
        Told::Nothing | Told::Hidden(_) => &mut [],
    }
}
