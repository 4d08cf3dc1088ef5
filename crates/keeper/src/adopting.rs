//! From a launch to a main process that was there before (R4.4).
//!
//! An adopted process is nobody's child here. It is held by a descriptor, opened for the identity that the launch names: its
//! end is told by that, and signals go through that, never to a number. Its tree is moved into the cgroup of the run, where
//! that can be done; from then on nobody who is forked is outside. Where it cannot be done, those are its tree who are seen
//! below it, and of whom it was known before their parents ended.
//!
//! What a spawn gives and an adoption cannot: the output (it writes to where it was told to when it was started), the mark
//! in the environment, and, on kernels before Linux 6.15, an exit code that its own parent was quicker to take.

use vigie_core::clock::{Mono, Wall};
use vigie_core::identity::{ProcKey, RunId};
use vigie_core::launch::{Containment, Holder, Launch};
use vigie_core::text::OsText;
use vigie_os::cgroup::Cgroup;
use vigie_os::clock::{mono, now};
use vigie_os::error::OsError;
use vigie_os::exit;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_os::remains::Remains;
use vigie_os::{memory, user};
use vigie_wire::keeper::{Phase, State, What};

use crate::course::Main;
use crate::folder::Folder;
use crate::keeper::Keeper;
use crate::survivors::{self, REMOVE};

/// Rounds of moving: each catches those that were forked by processes not yet moved in the one before.
const ROUNDS: usize = 64;

/// The parent of all threads of the kernel.
const KTHREADD: u32 = 2;

/// Why a process is not adopted.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("it has ended")]
    Gone,
    #[error("it belongs to user {0}")]
    Foreign(String),
    #[error("it is a part of the system")]
    System,
    #[error("vigie itself was started from it")]
    Ancestor,
    #[error("it belongs to run {run} of {service}")]
    Held { run: RunId, service: OsText },
    #[error(transparent)]
    Os(#[from] OsError),
}

impl Keeper {
    /// Makes this process the main process of the run.
    pub(crate) fn adopt(&mut self, key: &ProcKey, launch: &Launch) {
        // Written down before it is looked who else has it: of two keepers that want it at once, one sees the other.
        self.change(|state| state.adopting = Some(key.clone()));
        self.write_down();
        let taken = take(&self.parts.proc, key, launch);
        self.change(|state| state.adopting = None);
        match taken {
            Ok(target) => self.take_over(target),
            Err(refusal) => {
                self.course.failed = true;
                self.tell(What::AdoptFailed { process: key.clone(), why: refusal.to_string() });
                self.reap();
            }
        }
    }

    fn take_over(&mut self, target: Target) {
        let spared = self.parts.spared.take();
        let key = target.key().clone();
        let (pgrp, started) = {
            let mut buffer = Vec::new();
            let stat = self.parts.proc.stat(key.pid, &mut buffer).ok().flatten();
            (stat.map_or(key.pid, |stat| stat.pgrp), started(key.start_ticks))
        };
        self.course.pgid = Some(pgrp);
        self.course.main = Some(Main::Adopted(target));
        if let Some(last) = &spared {
            self.course.kin = remains(&self.parts.proc, last);
        }
        if !self.move_in() {
            self.course.drop_cgroup();
        }
        self.course.note_kin(&self.parts.proc);
        if let Some(cgroup) = spared.and_then(|last| survivors::cgroup(&last)) {
            // One that stays is an empty folder, or holds who could not be moved; those are known by descriptor.
            let _ = cgroup.remove(mono() + REMOVE);
        }
        let containment = self.course.cgroup.as_ref().map_or(Containment::Descent, Cgroup::containment);
        let cgroup = self.course.cgroup.as_ref().map(|cgroup| OsText::from(cgroup.path()));
        let adopted = now();
        self.change(|state| {
            if state.phase == Phase::Locked {
                state.phase = Phase::Running;
            }
            state.started = Some(started);
            state.adopted = Some((adopted.wall, adopted.mono));
            state.containment = Some(containment);
            state.cgroup.clone_from(&cgroup);
            state.holder.main = Some(key.clone());
            state.holder.adopted = true;
        });
        self.tell(What::Adopted { main: key, containment, cgroup, started: Some(started) });
        self.label();
        memory::trim();
        // It may have ended meanwhile.
        self.reap();
    }

    /// Moves everybody of the tree into the cgroup, until nobody new is seen outside. `false`: the main process cannot be
    /// moved. Who else cannot be is still seen below it.
    fn move_in(&self) -> bool {
        let (Some(cgroup), Some(Main::Adopted(main))) = (&self.course.cgroup, &self.course.main) else { return false };
        let proc = &self.parts.proc;
        // First, so that whoever it forks from now on is inside.
        if !matches!(cgroup.admit(proc, main), Ok(true)) {
            return false;
        }
        for kin in &self.course.kin {
            let _ = cgroup.admit(proc, kin);
        }
        let mut tried = Vec::new();
        for _ in 0..ROUNDS {
            let mut moved = false;
            for root in std::iter::once(main).chain(&self.course.kin) {
                for member in proc.descendants(root.key().pid).unwrap_or_default() {
                    let key = proc.key_of(member.pid, member.start_ticks);
                    if member.zombie || tried.contains(&key) || cgroup.contains(member.pid) {
                        continue;
                    }
                    if let Ok(Some(target)) = Target::open(proc, &key) {
                        moved |= cgroup.admit(proc, &target).unwrap_or(false);
                    }
                    tried.push(key);
                }
            }
            if !moved {
                break;
            }
        }
        true
    }

    /// Looks whether an adopted main process has ended.
    pub(crate) fn look_at_adopted(&mut self) {
        let Some(Main::Adopted(target)) = &self.course.main else { return };
        if !target.is_dead().unwrap_or(false) {
            return;
        }
        let exit = exit::of(&self.parts.proc, target);
        self.course.main = None;
        self.change(|state| state.exit = Some(exit));
        self.tell(What::Exited { exit });
    }
}

/// Opens the process, if it may be adopted by this launch.
fn take(proc: &Proc, key: &ProcKey, launch: &Launch) -> Result<Target, Refusal> {
    let target = Target::open(proc, key)?.ok_or(Refusal::Gone)?;
    if target.is_dead()? {
        return Err(Refusal::Gone);
    }
    let mut buffer = Vec::new();
    let status = proc.status(key.pid, &mut buffer)?.ok_or(Refusal::Gone)?;
    let own = user::uid();
    if let Some(other) = [status.uid, status.euid].into_iter().find(|uid| *uid != own) {
        return Err(Refusal::Foreign(user::name(other).unwrap_or_else(|| other.to_string())));
    }
    let parent = proc.stat(key.pid, &mut buffer)?.ok_or(Refusal::Gone)?.ppid;
    if key.pid <= KTHREADD || parent == KTHREADD {
        return Err(Refusal::System);
    }
    let me = std::process::id();
    if is_above(proc, key.pid, me)? || is_above(proc, key.pid, launch.origin.pid)? {
        return Err(Refusal::Ancestor);
    }
    if let Some(holder) = held_by(proc, key, launch)? {
        return Err(Refusal::Held { run: holder.run, service: holder.key.service.as_str().into() });
    }
    Ok(target)
}

/// Whether `upper` is `lower` or one of those above it.
fn is_above(proc: &Proc, upper: u32, lower: u32) -> Result<bool, OsError> {
    Ok(upper == lower || proc.ancestors(lower)?.contains(&upper))
}

/// Whose run the process is a part of, or is about to be: another service's, with a keeper that lives.
fn held_by(proc: &Proc, key: &ProcKey, launch: &Launch) -> Result<Option<Box<Holder>>, OsError> {
    let folder = launch.folder.as_path();
    let Some(services) = folder.parent() else { return Ok(None) };
    let Ok(entries) = std::fs::read_dir(services) else { return Ok(None) };
    for other in entries.flatten().map(|entry| entry.path()).filter(|path| path != folder) {
        let Some(state) = Folder::last_state(&other) else { continue };
        let wants = state.adopting.as_ref() == Some(key) || survivors::includes(proc, &state, key);
        if !state.phase.is_over() && wants && proc.is_alive(&state.holder.keeper)? {
            return Ok(Some(Box::new(state.holder)));
        }
    }
    Ok(None)
}

/// What is left of a run whose keeper is dead, each held by a descriptor.
fn remains(proc: &Proc, last: &State) -> Vec<Target> {
    let cgroup = survivors::cgroup(last);
    Remains::new(proc, last.holder.run, cgroup.as_ref()).with_main(last.holder.main.as_ref()).find().unwrap_or_default()
}

/// When a process was started: its ticks count from the boot, on the clock that goes on during suspend.
fn started(start_ticks: u64) -> (Wall, Mono) {
    let nanos_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let at = Mono(start_ticks.saturating_mul(nanos_per_tick));
    let now = now();
    (Wall(now.wall.0.saturating_sub(now.mono.since(at).as_nanos() as u64)), at)
}
