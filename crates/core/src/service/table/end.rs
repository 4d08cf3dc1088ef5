//! The way down: from the first sign of an end to what follows it.

use crate::clock::Now;
use crate::exit::Exit;
use crate::ghost;
use crate::journal::What;
use crate::ladder::Ladder;
use crate::policy::{self, End, Verdict};
use crate::run::{Left, StopCause};
use crate::service::{Adoption, Next, Reaction, Service, State, Wanted};
use crate::supervisor::{Action, LastExit, Purpose};
use crate::units::Span;

impl Service {
    /// Somebody asks for its end, and nothing of it lives.
    pub(super) fn ask_down(&mut self, reaction: &mut Reaction<'_>) {
        self.wanted = Wanted::Down;
        if self.state != State::Stopped {
            self.enter(State::Stopped, reaction.now, None);
        }
        self.release(reaction);
    }

    /// The keeper is told to climb the ladder.
    pub(super) fn stop(&mut self, cause: StopCause, ladder: Option<Ladder>, reaction: &mut Reaction<'_>) {
        reaction.actions.push(Action::Stop { key: self.key.clone(), ladder, cause });
        self.stopping(cause, reaction);
    }

    /// Its ladder was at its end; somebody has another one.
    pub(super) fn stop_ghost(&mut self, cause: StopCause, ladder: Ladder, reaction: &mut Reaction<'_>) {
        if self.held {
            return self.stop(cause, Some(ladder), reaction);
        }
        self.stopping(cause, reaction);
        self.recover_by(ladder, reaction);
    }

    /// Its end has begun.
    pub(super) fn stopping(&mut self, cause: StopCause, reaction: &mut Reaction<'_>) {
        if cause == StopCause::Tie {
            self.wanted = Wanted::Down;
        }
        self.stop_probes(reaction);
        let why = self.run.as_ref().and_then(|run| run.failed.clone());
        self.enter(State::Stopping, reaction.now, why);
        self.stop_due = None;
        if let Some(run) = &mut self.run {
            run.ending_since.get_or_insert(reaction.now.mono);
        }
    }

    fn stop_probes(&self, reaction: &mut Reaction<'_>) {
        let manifest = self.manifest();
        let probes = [(Purpose::Ready, manifest.ready.is_some()), (Purpose::Alive, manifest.alive.is_some())];
        for (purpose, _) in probes.into_iter().filter(|(_, asked)| *asked) {
            reaction.actions.push(Action::StopProbe { key: self.key.clone(), purpose });
        }
    }

    /// The end of the present run counts as a failure, for this reason.
    pub(super) fn fail_run(&mut self, why: String) {
        if let Some(run) = &mut self.run {
            run.failed.get_or_insert(why);
        }
    }

    pub(super) fn note_exit(&mut self, exit: Exit) {
        if let Some(run) = &mut self.run {
            run.exit = Some(exit);
        }
    }

    /// The main process ended by itself. The run is over when its tree is empty.
    pub(super) fn exited(&mut self, exit: Exit, reaction: &mut Reaction<'_>) {
        self.note_exit(exit);
        if self.keeps_orphans() {
            self.stop_probes(reaction);
            self.timers.ready_by = None;
        } else {
            self.stopping(StopCause::Orphans, reaction);
        }
    }

    /// Nothing of it is alive, and what it claims is not free: somebody else has it.
    pub(super) fn still_held(&mut self, what: String, reaction: &mut Reaction<'_>) {
        self.journal(reaction, What::StillHeld { what: what.clone() });
        self.still_held = Some(what);
    }

    /// It ended by itself, and another has what it claims.
    pub(super) fn explain(&mut self, what: String, reaction: &mut Reaction<'_>) {
        self.journal(reaction, What::ClaimHeld { what: what.clone() });
        if let Some(run) = &mut self.run {
            run.explained = Some(what);
        }
    }

    /// No signal ends what is left.
    pub(super) fn haunt(&mut self, left: Vec<Left>, now: Now) {
        let names = ghost::names(&left);
        if let Some(run) = &mut self.run {
            run.left = left;
            run.ghost = true;
        }
        if self.state == State::Ghost {
            self.why = Some(names);
        } else {
            self.enter(State::Ghost, now, Some(names));
        }
    }

    /// Whoever holds them sets aside those that are left: its keeper, or, when that is dead, whoever takes the lock.
    pub(super) fn quarantine(&mut self, reaction: &mut Reaction<'_>) {
        let Some(run) = &mut self.run else { return };
        run.refused = None;
        reaction.actions.push(Action::Quarantine { key: self.key.clone(), run: run.id, held: self.held });
    }

    /// They are on record, and whoever held the lock for us gives it back: for the service the run is over.
    pub(super) fn quarantined(&mut self, reaction: &mut Reaction<'_>) {
        self.held = false;
        self.end(reaction);
    }

    pub(super) fn not_quarantined(&mut self, why: String) {
        if let Some(run) = &mut self.run {
            run.refused = Some(why);
        }
    }

    /// It was told of the present run that no signal ends it.
    pub(super) fn was_ghost(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.ghost)
    }

    /// What no signal ended is gone after all. For how long it was there is known unless it was to be ended once more.
    pub(super) fn ghost_gone(&mut self, reaction: &mut Reaction<'_>) {
        let after = (self.state == State::Ghost).then(|| Span(reaction.now.mono.since(self.since.mono)));
        self.journal(reaction, What::GhostGone { after, reboot: false });
        self.end(reaction);
    }

    /// The keeper was killed. Its tree may live on: it is found and ended before anything else happens. What was adopted
    /// ran before without anybody who holds it: it is adopted again.
    pub(super) fn lose_keeper(&mut self, reaction: &mut Reaction<'_>) {
        self.held = false;
        if let Some(run) = self.run.as_mut().filter(|_| self.state == State::Ghost) {
            // What it was told last it may not have done. If it has, that is found now.
            run.refused = Some("its keeper died meanwhile; ask again".to_owned());
        }
        self.journal_loss(reaction);
        if self.take_back(reaction) {
            return;
        }
        if self.state != State::Stopping {
            self.stopping(StopCause::Orphans, reaction);
        }
        self.recover(reaction);
    }

    /// Has what was adopted, or was about to be, adopted again, now that its keeper is dead. `false`: that is not what is
    /// wanted of it.
    pub(crate) fn take_back(&mut self, reaction: &mut Reaction<'_>) -> bool {
        let goes_on = match self.state {
            State::Starting | State::Running | State::Ready | State::Degraded => self.wanted == Wanted::Up,
            State::Stopped
            | State::Waiting
            | State::Stopping
            | State::Backoff
            | State::Done
            | State::Failed
            | State::Conflict
            | State::Ghost => false,
        };
        let ours = self.run.as_ref().filter(|run| run.adopted.is_some() && run.exit.is_none());
        let process = match (&self.adopt, ours.and_then(|run| run.main.clone())) {
            (Some(adoption), _) if !adoption.again => Some(adoption.process.clone()),
            (_, main) => main,
        };
        let Some(process) = process.filter(|_| goes_on) else { return false };
        self.stop_probes(reaction);
        self.adopt = Some(Adoption { process, again: true });
        self.launch(reaction);
        true
    }

    /// No keeper could be brought to hold the lock.
    pub(super) fn launch_failed(&mut self, why: String, reaction: &mut Reaction<'_>) {
        self.held = false;
        self.fail_run(why);
        if self.adopt.as_ref().is_some_and(|adoption| adoption.again) {
            // What it was to hold again lives on with nobody who holds it.
            if self.state != State::Stopping {
                self.stopping(StopCause::Orphans, reaction);
            }
            return self.recover(reaction);
        }
        self.end(reaction);
    }

    /// Asks for the end of what a dead keeper left behind.
    pub(crate) fn recover(&self, reaction: &mut Reaction<'_>) {
        self.recover_by(self.manifest().stop.clone(), reaction);
    }

    fn recover_by(&self, ladder: Ladder, reaction: &mut Reaction<'_>) {
        if let Some(run) = self.run.as_ref().map(|run| run.id) {
            let process =
                self.adopt.as_ref().filter(|adoption| adoption.again).map(|adoption| adoption.process.clone());
            reaction.actions.push(Action::Recover { key: self.key.clone(), run, ladder, process });
        }
    }

    /// The tree is empty: the run is over. What follows?
    pub(crate) fn end(&mut self, reaction: &mut Reaction<'_>) {
        let now = reaction.now;
        let end = self.bury(now);
        let finished = self.run.take();
        let (failed, explained) = finished.map_or((None, None), |run| (run.failed, run.explained));
        self.stop_due = None;
        let next = match self.adopt.take() {
            // It never was ours, and lives: nothing is to run beside it.
            Some(adoption) if !adoption.again => Next::Fail,
            _ => self.next,
        };
        self.next = Next::Policy;
        match next {
            _ if self.wanted == Wanted::Down => {
                self.enter(State::Stopped, now, self.still_held.clone());
                self.release(reaction);
            }
            Next::Restart => self.ask_up(now),
            Next::Finish => {
                self.enter(State::Done, now, Some("its duration is over".to_owned()));
                self.release(reaction);
            }
            Next::Fail => {
                self.enter(State::Failed, now, failed);
                self.release(reaction);
            }
            Next::Policy => self.follow_policy(end, failed, explained, reaction),
        }
    }

    /// Writes down how the run ended.
    fn bury(&mut self, now: Now) -> End {
        let Some(run) = &self.run else { return End::Failure };
        // A keeper whose tree is empty names no main process any more; that there was one, the time of its start tells.
        let spawned = run.main.is_some() || run.started.is_some();
        let exit = run.exit.unwrap_or(Exit::Unknown);
        if spawned {
            self.last_exit = Some(LastExit { run: run.id, exit, at: run.exited.unwrap_or(now.wall) });
        }
        if run.failed.is_some() || !spawned { End::Failure } else { End::Exit(exit) }
    }

    fn follow_policy(
        &mut self,
        end: End,
        failed: Option<String>,
        explained: Option<String>,
        reaction: &mut Reaction<'_>,
    ) {
        let with_holder = |text: String| match &explained {
            Some(what) => format!("{text}; {what}"),
            None => text,
        };
        let now = reaction.now;
        let draw = reaction.draws.unit();
        let manifest = &self.definition.service;
        let of = manifest.restart.attempts;
        match policy::judge(manifest.kind, &manifest.restart, end, self.attempt, draw) {
            Verdict::Done => {
                self.enter(State::Done, now, None);
                self.release(reaction);
            }
            Verdict::GiveUp { reason } => {
                let reason = failed.map_or(reason.clone(), |failed| match end {
                    End::Failure => reason.replacen("failure", &failed, 1),
                    End::Exit(_) => reason,
                });
                let reason = with_holder(reason);
                self.journal(reaction, What::GaveUp { reason: reason.clone() });
                self.enter(State::Failed, now, Some(reason));
                self.release(reaction);
            }
            Verdict::Restart { delay, attempt } => {
                self.journal(
                    reaction,
                    What::RestartScheduled { delay: Span(delay), attempt, of: Some(of).filter(|of| *of < u32::MAX) },
                );
                self.attempt = attempt;
                self.restarts += 1;
                if delay.is_zero() {
                    self.enter(State::Waiting, now, failed);
                } else {
                    let why = failed.unwrap_or_else(|| match end {
                        End::Exit(exit) => exit.to_string(),
                        End::Failure => "it failed".to_owned(),
                    });
                    self.enter(State::Backoff, now, Some(with_holder(why)));
                    self.timers.backoff_over = Some(now.mono + delay);
                }
            }
        }
    }

    /// No other run follows: the lock is given back.
    pub(super) fn release(&mut self, reaction: &mut Reaction<'_>) {
        if self.held {
            self.held = false;
            reaction.actions.push(Action::Release { key: self.key.clone() });
        }
    }
}
