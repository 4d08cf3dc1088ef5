//! What the events of a container are signs of.
//!
//! One deed is many events: a stop is `kill`, perhaps a second one, `die`, `stop`; a restart has `start` and `restart` behind
//! them. A [`ContainerTrack`] follows one container through them. What decides is whether somebody asked for an end: a signal
//! that ends came shortly before it, or `stop` shortly after it. An end that nobody asked for, with an exit code that is not 0,
//! is a crash. Whether the engine then starts it again shows when it does. Whoever stops a container has seen to it: what it
//! did before does not count when it is started again.
//!
//! An engine starts a container that crashes again after 100 ms, and each time it waits twice as long, up to a minute; what
//! ran for ten seconds begins at 100 ms again. So five ends in a minute are there after two seconds, the tenth comes after
//! half a minute, and then there is one a minute: what is open must not be resolved while the container is down, and is not,
//! because only a container that is up can stay up.
//!
//! Events bear the engine's clock, which may be wrong, and may come out of order and late. So ends are counted by the
//! differences of their times; timers begin when an event is heard. What the list of containers showed, and nobody saw happen,
//! is counted in what is open and opens nothing: after a restart of the engine every container of it has such an end.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::incident::Cause;
use super::rule::{Rule, RuleId, RuleName};
use super::rules::Rules;
use super::signs::{Sign, loop_text};
use crate::clock::Mono;
use crate::journal::{Entry, What, describe};

/// So long after a signal that ends an end is due to it: those who stop wait so long in general before they kill.
const ASKED: Duration = Duration::from_secs(60);

/// `stop`, or what tells that memory ran out, comes so shortly after an end, or before it, when it is about that end.
const BESIDE: Duration = Duration::from_secs(5);

/// A container that exits with this was killed by SIGKILL, as the kernel does where memory ran out.
const KILLED: i32 = 137;

/// A point in time of one container: by the engine's clock where it told one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Time {
    engine: Option<u64>,
    heard: Mono,
}

impl Time {
    /// How long this is after another one; absent when it is before it.
    fn after(self, other: Self) -> Option<Duration> {
        let nanos = match (self.engine, other.engine) {
            (Some(this), Some(other)) => this.checked_sub(other),
            _ => self.heard.0.checked_sub(other.heard.0),
        };
        nanos.map(Duration::from_nanos)
    }

    fn beside(self, other: Self) -> bool {
        self.after(other).or(other.after(self)).is_some_and(|distance| distance <= BESIDE)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct End {
    at: Time,
    code: i32,
}

/// What is remembered of a container between two events.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ContainerTrack {
    /// The last signal, and when it was sent.
    kill: Option<(Time, Option<i32>)>,
    /// Crashes, the last ones: as many as the rule counts at most.
    ends: VecDeque<End>,
    /// When memory last ran out in it.
    oom: Option<Time>,
    /// When it was started last, while it is up.
    started: Option<Time>,
}

impl ContainerTrack {
    /// Nothing of it needs to be remembered.
    pub(super) fn is_idle(&self) -> bool {
        self.ends.is_empty() && self.kill.is_none() && self.oom.is_none()
    }

    /// Forgets what no longer counts.
    pub(super) fn forget(&mut self, now: Mono, loops: &Rule) {
        let old = |at: Time, limit: Duration| now.since(at.heard) > limit;
        while self.ends.front().is_some_and(|end| old(end.at, loops.within)) {
            self.ends.pop_front();
        }
        self.kill.take_if(|(at, _)| old(*at, ASKED));
        self.oom.take_if(|at| old(*at, BESIDE));
    }

    /// Its points in time were those of another boot.
    pub(super) fn moved(mut self, moved: impl Fn(Mono) -> Mono) -> Self {
        let times = self.ends.iter_mut().map(|end| &mut end.at);
        let kill = self.kill.as_mut().map(|(at, _)| at);
        for at in times.chain(kill).chain(&mut self.oom).chain(&mut self.started) {
            at.heard = moved(at.heard);
        }
        self
    }

    /// Reads one event. `failing`: an incident about ends that is open or pending already, found by this rule.
    pub(super) fn read(&mut self, heard: Mono, entry: &Entry, rules: &Rules, failing: Option<&RuleId>) -> Vec<Sign> {
        let What::ContainerEvent { action, time_nano, exit_code, signal, oom, health, inferred, .. } = &entry.what
        else {
            return Vec::new();
        };
        let at = Time { engine: *time_nano, heard };
        let unmeasured = ["die", "stop", "destroy"].contains(&action.as_str()).then_some(Sign::Unmeasured);
        let over = |cause, why: &str| Sign::Over { cause, why: why.to_owned() };
        let signs = match action.as_str() {
            "start" => {
                // It came late when it has ended since.
                if self.ends.back().is_some_and(|end| at.after(end.at).is_none()) {
                    return Vec::new();
                }
                (self.started, self.kill) = (Some(at), None);
                vec![self.stays_up(), over(Cause::Health, "it was started anew")]
            }
            "kill" => self.killed(at, *signal),
            "die" if *inferred => {
                self.started = None;
                let mut signs = vec![Sign::Worse(Cause::Failing), over(Cause::Health, "it ended")];
                if exit_code.is_some_and(|code| code != 0) {
                    signs.insert(1, Sign::More { cause: Cause::Failing, text: describe(entry) });
                }
                signs
            }
            "die" => self.died(at, entry, *exit_code, *oom == Some(true), rules, failing),
            "stop" => {
                self.ends.clear();
                self.kill = Some((at, None));
                vec![over(Cause::Failing, "somebody stopped it"), over(Cause::Health, "somebody stopped it")]
            }
            "oom" => {
                // It may be told after the end that it is about, which then was no crash.
                let last = self.ends.back().filter(|end| end.code == KILLED && end.at.beside(at));
                if last.is_some() && self.started.is_none() && rules.known(RuleName::ContainerOom).on {
                    self.ends.pop_back();
                }
                self.oom = Some(at);
                let text = describe(entry);
                vec![Sign::raise(RuleName::ContainerOom, text, 1), no_more_oom()]
            }
            "health_status" => match health.as_deref() {
                Some("unhealthy") => {
                    let text = "its health check fails".to_owned();
                    vec![Sign::raise(RuleName::Degraded, text, 1)]
                }
                Some("healthy") => vec![Sign::better(Cause::Health, "it is healthy again")],
                _ => Vec::new(),
            },
            "destroy" => {
                *self = Self::default();
                let causes = [Cause::Failing, Cause::Health, Cause::Memory];
                causes.into_iter().map(|cause| over(cause, "it was removed")).collect()
            }
            // What does not end it and is asked for; `restart` comes after `start`.
            _ => Vec::new(),
        };
        signs.into_iter().chain(unmeasured).collect()
    }

    /// A signal was sent. One that only ends what it was not meant to end, as HUP, is remembered all the same: whoever exits
    /// because of it shows that by the code.
    fn killed(&mut self, at: Time, signal: Option<i32>) -> Vec<Sign> {
        // It may be told after the end that it led to.
        let was_up = |end: &End| self.started.is_some() && end.at.after(at).is_none();
        let last = self.ends.back().filter(|end| end.at.beside(at) && !was_up(end)).copied();
        if last.is_some_and(|end| leads_to(signal, Some(end.code))) {
            self.ends.clear();
            return vec![Sign::Over { cause: Cause::Failing, why: "somebody stopped it".to_owned() }];
        }
        self.kill = Some((at, signal));
        Vec::new()
    }

    fn died(
        &mut self,
        at: Time,
        entry: &Entry,
        code: Option<i32>,
        oom: bool,
        rules: &Rules,
        failing: Option<&RuleId>,
    ) -> Vec<Sign> {
        let ended = || Sign::Over { cause: Cause::Health, why: "it ended".to_owned() };
        let kill = self.kill.take().filter(|(sent, _)| at.after(*sent).is_some_and(|since| since <= ASKED));
        let is_late = self.started.is_some_and(|started| at.after(started).is_none());
        if !is_late {
            self.started = None;
        }
        if kill.is_some_and(|(_, signal)| leads_to(signal, code)) {
            self.ends.clear();
            return vec![Sign::Over { cause: Cause::Failing, why: "somebody stopped it".to_owned() }, ended()];
        }
        let told = self.oom.take().is_some_and(|oom| oom.beside(at));
        if rules.known(RuleName::ContainerOom).on && code == Some(KILLED) && (oom || told) {
            // The same as what was told just now.
            let count = u64::from(!told);
            let raise = Sign::raise(RuleName::ContainerOom, describe(entry), count);
            return vec![Sign::Worse(Cause::Failing), raise, no_more_oom(), ended()];
        }
        let code = match code {
            Some(0) => return vec![Sign::better(Cause::Failing, "it ended with exit code 0"), ended()],
            // Nobody knows how it ended.
            None => return vec![Sign::Worse(Cause::Failing), ended()],
            Some(code) => code,
        };
        let loops = rules.known(RuleName::CrashLoop);
        self.ends.push_back(End { at, code });
        while self.ends.len() > loops.exits as usize {
            self.ends.pop_front();
        }
        let text = describe(entry);
        let sign = match failing {
            Some(rule) if *rule != RuleName::ContainerExited => Sign::More { cause: Cause::Failing, text },
            _ => self.crashed(at, &text, loops),
        };
        let mut signs = vec![Sign::Worse(Cause::Failing), sign, ended()];
        if is_late {
            signs.push(self.stays_up());
        }
        signs
    }

    fn crashed(&self, at: Time, text: &str, loops: &Rule) -> Sign {
        let first = self.ends.front().and_then(|first| at.after(first.at)).filter(|span| *span <= loops.within);
        match first {
            Some(span) if loops.on && self.ends.len() >= loops.exits as usize => {
                let count = self.ends.len() as u64;
                Sign::Raise { rule: RuleName::CrashLoop, text: loop_text(count, span, text), count, span }
            }
            _ => Sign::raise(RuleName::ContainerExited, text.to_owned(), 1),
        }
    }

    fn stays_up(&self) -> Sign {
        Sign::better(Cause::Failing, "it stays up again")
    }
}

/// Whether a signal explains an end with this code. Those that are sent for something else than to end somebody explain only
/// the end of who did not handle them; when one of them is a stop signal, `stop` tells so.
fn leads_to(signal: Option<i32>, code: Option<i32>) -> bool {
    match signal {
        // HUP, USR1, USR2, CONT, STOP, TSTP, URG, WINCH.
        Some(signal @ (1 | 10 | 12 | 18 | 19 | 20 | 23 | 28)) => code == Some(128 + signal),
        None | Some(_) => true,
    }
}

fn no_more_oom() -> Sign {
    Sign::better(Cause::Memory, "it did not happen again")
}
