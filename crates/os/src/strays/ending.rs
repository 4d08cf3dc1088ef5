//! Ending the tree of a process that is no run of ours, so nothing holds it together but descent.
//!
//! Every member is held by a descriptor whose identity was compared (R4.6). Before each signal, and several times a
//! second while it is waited, the children of those that live are looked for, so that who is forked meanwhile is held as
//! well. When all are gone, the sessions and process groups that members led are looked through for those who were forked
//! meanwhile and lost their parent between two looks: such a number belongs to nobody else as long as one of them is
//! there. Who was there before and did not descend from the top was not shown, and is none of it: a shell puts every
//! command of a pipeline into the group that the first of them leads.

use std::time::Duration;

use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;
use vigie_core::ladder::{Audience, Climb, Deed, Ladder, Signal};
use vigie_core::run::Left;
use vigie_core::text::OsText;

use super::held::run_of;
use crate::clock::mono;
use crate::error::OsError;
use crate::pidfd::Target;
use crate::poll::{Interest, PollSet};
use crate::proc::Proc;
use crate::proc::status::Status;

/// Between two looks for children while a rung is waited for.
const ROUND: Duration = Duration::from_millis(50);

/// What became of a tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ended {
    /// Nobody is left. So many were ended.
    Gone(usize),
    /// The ladder is at its end, and these are left.
    Left(Vec<Left>),
    /// These may not be signalled by this user; nothing was done about them.
    Refused(Vec<Left>),
}

/// A process and whoever descends from it, held by descriptors.
#[derive(Debug)]
pub struct Family {
    members: Vec<Target>,
    /// When it was taken hold of, in clock ticks since boot, as `start_ticks` counts.
    opened: u64,
    /// Who is never a member: this process and where it comes from.
    spared: Vec<u32>,
}

impl Family {
    /// Takes hold of a process and its tree. `None` when the process with this identity is gone, whoever has its number
    /// now.
    ///
    /// # Errors
    /// When `/proc` cannot be read.
    pub fn open(proc: &Proc, top: &ProcKey) -> Result<Option<Self>, OsError> {
        let Some(target) = Target::open(proc, top)? else { return Ok(None) };
        if target.is_dead()? {
            return Ok(None);
        }
        let mut spared = super::ancestors(proc)?;
        spared.push(std::process::id());
        if spared.contains(&top.pid) {
            return Ok(None);
        }
        let mut family = Self { members: vec![target], opened: ticks(mono()), spared };
        family.look(proc)?;
        Ok(Some(family))
    }

    /// Its members, the top first, those that have ended included.
    pub fn members(&self) -> impl Iterator<Item = &ProcKey> {
        self.members.iter().map(Target::key)
    }

    /// Looks for children of those that live.
    fn look(&mut self, proc: &Proc) -> Result<(), OsError> {
        let mut place = 0;
        while let Some(member) = self.members.get(place) {
            place += 1;
            if member.is_dead()? {
                continue;
            }
            for key in below(proc, member.key(), &self.spared)? {
                self.take(proc, &key)?;
            }
        }
        if !self.someone_lives()? {
            for key in self.strayed(proc)? {
                self.take(proc, &key)?;
            }
        }
        Ok(())
    }

    fn take(&mut self, proc: &Proc, key: &ProcKey) -> Result<(), OsError> {
        if !self.members().any(|known| known == key)
            && let Some(target) = Target::open(proc, key)?
        {
            self.members.push(target);
        }
        Ok(())
    }

    /// Who was forked since, is in a session or group that a member led, and has no parent among the members any more.
    fn strayed(&self, proc: &Proc) -> Result<Vec<ProcKey>, OsError> {
        let mut buffer = Vec::new();
        let mut pids = Vec::new();
        let mut found = Vec::new();
        proc.pids(&mut pids)?;
        for pid in pids {
            let Ok(Some(stat)) = proc.stat(pid, &mut buffer) else { continue };
            let led = |number: u32| self.members().any(|key| key.pid == number && number != 0);
            if stat.is_zombie() || stat.start_ticks <= self.opened || !(led(stat.session) || led(stat.pgrp)) {
                continue;
            }
            let (leader, start_ticks) = (if led(stat.session) { stat.session } else { stat.pgrp }, stat.start_ticks);
            // A leader with that number who is not the member has it from nobody of ours.
            let reused = proc.key(leader)?.is_some_and(|key| !self.members().any(|known| *known == key));
            if !reused && !self.spared.contains(&pid) && !is_vigie(proc, pid) {
                found.push(proc.key_of(pid, start_ticks));
            }
        }
        Ok(found)
    }

    fn someone_lives(&self) -> Result<bool, OsError> {
        for member in &self.members {
            if !member.is_dead()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Signals the top, or all; who is stopped is made to go on, or would never hear of it. `false`: somebody may not be
    /// signalled by us.
    fn signal(&self, signal: Signal, audience: Audience) -> bool {
        let whom = if audience == Audience::Main { &self.members[..1] } else { &self.members[..] };
        let mut allowed = true;
        for member in whom {
            allowed &= member.send(signal).is_ok();
            if signal != Signal::Kill {
                let _ = member.send(Signal::Cont);
            }
        }
        allowed
    }

    /// How those that live stand, for people.
    fn left(&self, proc: &Proc) -> Vec<Left> {
        let mut buffer = Vec::new();
        let mut left = Vec::new();
        for target in self.members.iter().filter(|target| !target.is_dead().unwrap_or(false)) {
            let key = target.key().clone();
            let Ok(Some(stat)) = proc.stat(key.pid, &mut buffer) else { continue };
            let (name, state) = (OsText(stat.comm.to_vec()), char::from(stat.state));
            let status = proc.status(key.pid, &mut buffer).ok().flatten().unwrap_or_default();
            let kill_pending = Status::has(status.pending | status.shared_pending, Signal::Kill.number());
            left.push(Left { process: key, name, state, kill_pending });
        }
        left
    }
}

/// Ends these, each by its ladder, all at the same time. Rungs that need a keeper (`close-stdin`) are passed over; what
/// is meant for a group goes to the tree, since nobody knows which group the process was given.
///
/// # Errors
/// When `/proc` cannot be read.
pub fn end(proc: &Proc, families: Vec<(Family, Ladder)>) -> Result<Vec<Ended>, OsError> {
    let mut climbers: Vec<Climber> =
        families.into_iter().map(|(family, ladder)| Climber::new(family, ladder)).collect();
    let mut set = PollSet::default();
    loop {
        let mut next: Option<Mono> = None;
        for climber in climbers.iter_mut().filter(|climber| climber.ended.is_none()) {
            climber.step(proc)?;
            if climber.ended.is_none() {
                let deadline = climber.climb.deadline();
                next = Some(next.map_or(deadline, |next| next.min(deadline)));
            }
        }
        let Some(next) = next else { break };
        set.clear();
        for climber in climbers.iter().filter(|climber| climber.ended.is_none()) {
            for member in &climber.family.members {
                if !member.is_dead()? {
                    set.add(member, Interest::Read);
                }
            }
        }
        let time = next.since(mono()).min(ROUND);
        set.wait(Some(time)).map_err(OsError::on_process("wait for", std::process::id()))?;
    }
    Ok(climbers.into_iter().filter_map(|climber| climber.ended).collect())
}

struct Climber {
    family: Family,
    climb: Climb,
    /// The deed of the rung that it stands on is still to be done.
    due: bool,
    ended: Option<Ended>,
}

impl Climber {
    fn new(family: Family, ladder: Ladder) -> Self {
        Self { family, climb: Climb::start(ladder, mono()), due: true, ended: None }
    }

    fn step(&mut self, proc: &Proc) -> Result<(), OsError> {
        self.family.look(proc)?;
        if !self.family.someone_lives()? {
            self.ended = Some(Ended::Gone(self.family.members.len()));
            return Ok(());
        }
        let now = mono();
        if !self.due && now >= self.climb.deadline() {
            if self.climb.up(now).is_none() {
                self.ended = Some(Ended::Left(self.family.left(proc)));
                return Ok(());
            }
            self.due = true;
        }
        let again = self.climb.rung().deed == Deed::Signal(Signal::Kill, Audience::Tree);
        if self.due || again {
            self.due = false;
            let main_alive = !self.family.members[0].is_dead()?;
            match self.climb.deed(main_alive) {
                Deed::Signal(signal, audience) => {
                    if !self.family.signal(signal, audience) && self.family.someone_lives()? {
                        self.ended = Some(Ended::Refused(self.family.left(proc)));
                    }
                }
                Deed::CloseStdin => {
                    if self.climb.up(now).is_some() {
                        self.due = true;
                        return self.step(proc);
                    }
                    self.ended = Some(Ended::Left(self.family.left(proc)));
                }
            }
        }
        Ok(())
    }
}

/// Whoever descends from a process, parents before their children: without vigie's own, without another run (one that was
/// adopted has its old parent still), without `spared`, and without what is below those.
pub(super) fn below(proc: &Proc, top: &ProcKey, spared: &[u32]) -> Result<Vec<ProcKey>, OsError> {
    let mut left_out: Vec<u32> = Vec::new();
    let mut found = Vec::new();
    let members = proc.descendants(top.pid)?;
    // The list was of this process only if it is still there, and nobody has its number.
    if !members.is_empty() && proc.key(top.pid)?.as_ref() != Some(top) {
        return Ok(found);
    }
    let run = run_of(proc, top.pid);
    for member in members {
        let own = spared.contains(&member.pid) || member.pid == std::process::id();
        let of_another_run = || run_of(proc, member.pid).is_some_and(|other| Some(other) != run);
        if own || left_out.contains(&member.ppid) || is_vigie(proc, member.pid) || of_another_run() {
            left_out.push(member.pid);
        } else if !member.zombie {
            found.push(proc.key_of(member.pid, member.start_ticks));
        }
    }
    Ok(found)
}

/// A time as `start_ticks` counts it; proc_pid_stat(5).
fn ticks(time: Mono) -> u64 {
    time.0 / (1_000_000_000 / rustix::param::clock_ticks_per_second().max(1))
}

fn is_vigie(proc: &Proc, pid: u32) -> bool {
    let executable = proc.link(pid, "exe").ok().flatten();
    executable.is_some_and(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        matches!(name.strip_suffix(b" (deleted)").unwrap_or(name), b"vigie" | b"vigie-keeper")
    })
}
