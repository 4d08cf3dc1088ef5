//! The way up: from being asked for to being stable.

use crate::clock::Now;
use crate::identity::ProcKey;
use crate::journal::What;
use crate::launch::{Containment, Holder};
use crate::name::Name;
use crate::run::StopCause;
use crate::service::{Adoption, Reaction, Run, Service, State, Wanted};
use crate::supervisor::{Action, Purpose};
use crate::text::OsText;
use crate::units::Span;

impl Service {
    /// Somebody asks for it, and nothing of it lives: the counters begin anew.
    pub(super) fn ask_up(&mut self, now: Now) {
        self.wanted = Wanted::Up;
        (self.restarts, self.attempt) = (0, 0);
        (self.still_held, self.adopt) = (None, None);
        self.enter(State::Waiting, now, None);
    }

    /// Somebody asks that a process which runs already become its run: a new run, with nothing to wait for.
    pub(super) fn ask_adopted(&mut self, process: ProcKey, reaction: &mut Reaction<'_>) {
        self.ask_up(reaction.now);
        self.adopt = Some(Adoption { process, again: false });
        self.launch(reaction);
    }

    /// What it depends on is there: a new run.
    pub(crate) fn launch(&mut self, reaction: &mut Reaction<'_>) {
        if let Some(next) = self.next_definition.take() {
            self.definition.service = *next;
        }
        let id = reaction.draws.run_id(reaction.now.wall);
        self.run = Some(Run::new(id));
        self.next = crate::service::Next::Policy;
        self.enter(State::Starting, reaction.now, None);
        reaction.actions.push(Action::Launch { key: self.key.clone(), run: id });
    }

    /// What it depends on will not come.
    pub(super) fn block(&mut self, on: Name, why: String, reaction: &mut Reaction<'_>) {
        let text = format!("it needs {on}, which {why}");
        self.journal(reaction, What::DependencyFailed { on, why });
        self.enter(State::Failed, reaction.now, Some(text));
        self.release(reaction);
    }

    /// Another holds the lock.
    pub(super) fn conflict(&mut self, holder: Option<Box<Holder>>, reaction: &mut Reaction<'_>) {
        let by = match holder.as_deref() {
            Some(holder) => crate::journal::origin(&holder.origin),
            None => "a holder that has not told its name".to_owned(),
        };
        let pid = holder.as_deref().and_then(|holder| holder.main.as_ref()).map(|main| main.pid);
        self.journal(reaction, What::Conflict { holder: by.clone(), holder_pid: pid });
        (self.run, self.adopt) = (None, None);
        self.held = false;
        let how = if holder.as_deref().is_some_and(|holder| holder.adopted) { "adopted" } else { "started" };
        let running = pid.map_or_else(String::new, |pid| format!(" as PID {pid}"));
        self.enter(State::Conflict, reaction.now, Some(format!("it runs already{running}, {how} by {by}")));
        self.holder = holder;
    }

    /// Another holds what it claims.
    pub(super) fn occupied(&mut self, what: String, pid: Option<u32>, reaction: &mut Reaction<'_>) {
        self.journal(reaction, What::Conflict { holder: what.clone(), holder_pid: pid });
        (self.run, self.adopt) = (None, None);
        self.held = false;
        self.enter(State::Conflict, reaction.now, Some(what));
    }

    /// The main process was spawned.
    pub(super) fn spawned(&mut self, main: ProcKey, containment: Containment, cgroup: Option<OsText>, at: Now) {
        if let Some(run) = &mut self.run {
            run.main = Some(main);
            run.started = Some(at);
            run.containment = Some(containment);
            run.cgroup = cgroup;
        }
    }

    /// A process that ran already is the main process from now on.
    pub(super) fn adopted(
        &mut self,
        main: ProcKey,
        containment: Containment,
        cgroup: Option<OsText>,
        started: Option<Now>,
        at: Now,
    ) {
        self.adopt = None;
        self.spawned(main, containment, cgroup, started.unwrap_or(at));
        if let Some(run) = &mut self.run {
            run.adopted = Some(at);
        }
    }

    /// It runs: probes and timers begin. Also when a daemon that comes back finds it running.
    pub(crate) fn run_up(&mut self, reaction: &mut Reaction<'_>) {
        self.enter(State::Running, reaction.now, None);
        let started = self.run.as_ref().and_then(Run::ours_since).map_or(reaction.now.mono, |since| since.mono);
        self.timers.duration_over = self.definition.duration().map(|duration| started + duration.0);
        match self.readiness().cloned() {
            None => self.settle(started, reaction),
            Some(ready) => {
                self.timers.ready_by = Some(started + ready.within.0);
                self.probe(Purpose::Ready, ready.probe, ready.every, ready.timeout, reaction);
            }
        }
    }

    /// It is up as far as anybody asked. From now on its health is watched, and time counts towards stability.
    pub(crate) fn settle(&mut self, since: crate::clock::Mono, reaction: &mut Reaction<'_>) {
        self.timers.stable_at = Some(since + self.manifest().restart.stable.0);
        if let Some(alive) = self.manifest().alive.clone() {
            self.probe(Purpose::Alive, alive.probe, alive.every, alive.timeout, reaction);
        }
    }

    fn probe(
        &self,
        purpose: Purpose,
        probe: crate::manifest::Probe,
        every: Span,
        timeout: Span,
        reaction: &mut Reaction<'_>,
    ) {
        if let Some(run) = self.run.as_ref().map(|run| run.id) {
            let key = self.key.clone();
            reaction.actions.push(Action::StartProbe { key, run, purpose, probe, every, timeout });
        }
    }

    /// The readiness probe was answered by this run.
    pub(super) fn become_ready(&mut self, reaction: &mut Reaction<'_>) {
        let now = reaction.now;
        let started = self.run.as_ref().and_then(Run::ours_since).unwrap_or(now);
        self.journal(reaction, What::Ready { after: Span(now.mono.since(started.mono)) });
        let duration_over = self.timers.duration_over;
        self.enter(State::Ready, now, None);
        self.timers.duration_over = duration_over;
        self.settle(now.mono, reaction);
    }

    pub(super) fn note_probe(&mut self, why: String) {
        if let Some(run) = &mut self.run {
            run.last_probe = Some(why);
        }
    }

    /// It had its time.
    pub(super) fn not_ready(&mut self, reaction: &mut Reaction<'_>) {
        let within = self.manifest().ready.as_ref().map_or(Span::default(), |ready| ready.within);
        let last = self.run.as_ref().and_then(|run| run.last_probe.clone());
        let why = last.unwrap_or_else(|| "no probe was answered".to_owned());
        if let Some(run) = self.run.as_mut().filter(|run| run.adopted.is_some()) {
            // It ran before anybody here asked whether it is ready: to have it held must not be its end.
            run.late = true;
            (self.timers.ready_by, self.why) = (None, Some(format!("not ready within {within}: {why}")));
            return self.journal(reaction, What::NotReady { within, why });
        }
        self.fail_run(format!("not ready within {within}: {why}"));
        self.journal(reaction, What::NotReady { within, why });
        self.stop(StopCause::NotReady, None, reaction);
    }

    pub(super) fn well(&mut self) {
        if let Some(run) = &mut self.run {
            run.failures = 0;
        }
    }

    /// It was degraded, and is well again. Time counts towards stability from here.
    pub(super) fn recover_health(&mut self, reaction: &mut Reaction<'_>) {
        let now = reaction.now;
        let since = self.run.as_mut().and_then(|run| {
            run.failures = 0;
            run.degraded_since.take()
        });
        self.journal(reaction, What::Healthy { after: Span(now.mono.since(since.unwrap_or(now.mono))) });
        let duration_over = self.timers.duration_over;
        let state = if self.readiness().is_some() { State::Ready } else { State::Running };
        self.enter(state, now, None);
        self.timers.duration_over = duration_over;
        self.timers.stable_at = Some(now.mono + self.manifest().restart.stable.0);
    }

    /// A health probe failed.
    pub(super) fn ill(&mut self, why: String, reaction: &mut Reaction<'_>) {
        let limit = self.manifest().alive.as_ref().map_or(u32::MAX, |alive| alive.failures);
        let Some(run) = &mut self.run else { return };
        run.failures += 1;
        let failures = run.failures;
        if self.state != State::Degraded {
            run.degraded_since = Some(reaction.now.mono);
            self.journal(reaction, What::Degraded { failures, why: why.clone() });
            let duration_over = self.timers.duration_over;
            self.enter(State::Degraded, reaction.now, Some(why.clone()));
            self.timers.duration_over = duration_over;
        }
        if failures >= limit {
            self.fail_run(format!("{failures} failed health probes in a row: {why}"));
            self.stop(StopCause::Unhealthy, None, reaction);
        }
    }

    /// It has been up and ready for long enough: its restarts are forgotten (R6.2).
    pub(super) fn stable(&mut self, reaction: &mut Reaction<'_>) {
        self.timers.stable_at = None;
        if self.attempt > 0 {
            self.attempt = 0;
            let stable = self.manifest().restart.stable;
            self.journal(reaction, What::Reset { cause: format!("stable for {stable}") });
        }
    }
}
