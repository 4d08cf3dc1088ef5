//! The cycles, one after the other.

use std::time::Duration;

use vigie_api::Client;
use vigie_api::journal::JournalLine;
use vigie_api::report::Daemon;
use vigie_api::soak::{Ended, Leftover as Told, Report, Step, Times};
use vigie_api::stream::Line;
use vigie_api::{Lines, path};
use vigie_core::clock::Mono;
use vigie_core::exit_code::ExitCode;
use vigie_core::manifest::Service;
use vigie_core::name::Name;
use vigie_core::soak::{self, Ledger, Machine};
use vigie_core::supervisor::{Outcome, Request, Up};
use vigie_os::clock::mono;
use vigie_store::journal::SubjectFilter;

use super::Args;
use super::eye::{Eye, Seen};
use super::own::Own;
use super::show::Meter;
use super::signals::Signals;
use super::trail::{Trail, ended_early, orphans};
use crate::daemon::{connect, patiently};
use crate::failure::Failure;
use crate::scene::Scene;

/// While it is let run, it is looked at so often.
const ROUND: Duration = Duration::from_secs(1);

/// All cycles of one service.
pub(super) struct Course<'a> {
    args: &'a Args,
    service: &'a Service,
    mode: Option<Name>,
    up: Up,
    scene: &'a Scene,
    eye: Eye,
    /// Why it ended early, and with which code.
    ended: Option<(Ended, ExitCode, String)>,
    done: u32,
    /// After how many cycles it was looked at the machine.
    looked: u32,
    start: Vec<Duration>,
    ready: Vec<Duration>,
    stop: Vec<Duration>,
    left: Ledger,
    unclear: Ledger,
    unseen: Vec<String>,
    own: Own,
}

impl<'a> Course<'a> {
    pub(super) fn new(args: &'a Args, service: &'a Service, mode: Option<Name>, up: Up, scene: &'a Scene) -> Self {
        let eye = Eye::new(&scene.place, &up.project.key(service), &service.ports);
        Self {
            args,
            service,
            mode,
            up,
            scene,
            eye,
            ended: None,
            done: 0,
            looked: 0,
            start: Vec::new(),
            ready: Vec::new(),
            stop: Vec::new(),
            left: Ledger::default(),
            unclear: Ledger::default(),
            unseen: Vec::new(),
            own: Own::default(),
        }
    }

    /// Goes through them.
    ///
    /// # Errors
    /// When the daemon cannot be had, or the machine cannot be looked at.
    pub(super) async fn run(mut self) -> Result<Report, Failure> {
        let client = connect(&self.scene.place).await?;
        let mut signals = Signals::take(&self.scene.proc)?;
        let about = SubjectFilter {
            project: Some(self.up.project.name.clone()),
            service: Some(self.service.name.clone()),
            ..SubjectFilter::default()
        };
        let mut trail = Trail::new(&self.scene.place, about)?;
        let mut meter = Meter::new(self.args.cycles);
        let mut before = self.eye.machine(&self.scene.proc)?;
        for cycle in 1..=self.args.cycles {
            meter.show(cycle, &self.left);
            match self.cycle(cycle, &client, &mut trail, &mut signals, before).await {
                Ok(after) => before = after,
                Err(failure) => {
                    meter.clear();
                    // Nothing may run on behind the back of whoever looks at the error.
                    let _ = self.down(&client, &mut signals).await;
                    return Err(failure);
                }
            }
            if self.ended.is_none() && signals.asked {
                self.end(Ended::Interrupted, ExitCode::No, format!("it was to end after cycle {cycle}"));
            }
            if self.ended.is_none() && !self.left.entries().is_empty() && !self.args.keep_going {
                self.end(Ended::Leftover, ExitCode::No, format!("cycle {cycle} left something"));
            }
            if self.ended.is_some() {
                break;
            }
        }
        meter.clear();
        Ok(self.report())
    }

    /// One of them; what the machine has after it.
    async fn cycle(
        &mut self,
        cycle: u32,
        client: &Client,
        trail: &mut Trail,
        signals: &mut Signals,
        before: Machine,
    ) -> Result<Machine, Failure> {
        let begun = mono();
        let request = Request::Up(Box::new(self.up.clone()));
        let mut tries = Tries::default();
        let up = self.ask(client, &request, |entry| tries.given_up(entry));
        let up = signals.or(up).await.transpose()?;
        let mut seen = Seen::default();
        if let Some((outcome, started)) = &up {
            if outcome.code == ExitCode::Done {
                self.start.extend(started.map(|at| at.since(begun)));
                self.ready.push(mono().since(begun));
                seen = self.eye.run(&self.scene.proc, seen)?;
                if let Some(keeper) = &seen.keeper {
                    self.own.at_work(keeper.pid, &self.scene.proc);
                }
                seen = self.let_run(seen, signals).await?;
            } else {
                self.end(Ended::Failed, outcome.code, said(cycle, "it did not become ready", outcome));
            }
        }
        let stopped = mono();
        let outcome = self.down(client, signals).await?;
        if outcome.code == ExitCode::Done {
            self.stop.push(mono().since(stopped));
        } else {
            self.end(Ended::Failed, outcome.code, said(cycle, "it could not be stopped", &outcome));
        }
        let (entries, over) = trail.cycle()?;
        if !over && outcome.code == ExitCode::Done && up.is_some() && seen.run.is_some() {
            self.unseen.push(format!("cycle {cycle}: the journal does not tell of the end of the run"));
        }
        if let Some(why) = ended_early(&entries).filter(|_| self.ended.is_none()) {
            self.end(Ended::Failed, ExitCode::No, format!("cycle {cycle}: {why}"));
        }
        let (keeper, above, others) = (seen.keeper.clone(), seen.above, seen.others());
        let (verdict, after) = self.eye.over(&self.scene.proc, before, seen)?;
        self.looked += 1;
        self.left.note(cycle, orphans(&entries, others));
        self.left.note(cycle, verdict.left);
        self.unclear.note(cycle, verdict.unclear);
        let daemon: Daemon = patiently(&self.scene.place, client, client.get_json(path::DAEMON)).await??;
        self.own.at_rest(daemon.pid, keeper.as_ref(), above, &self.scene.proc);
        if up.is_some() && outcome.code == ExitCode::Done && self.ended.is_none() {
            self.done = cycle;
        }
        Ok(after)
    }

    /// Lets it work, and looks at it meanwhile: what it has at the end it did not have at the beginning.
    async fn let_run(&self, mut seen: Seen, signals: &mut Signals) -> Result<Seen, Failure> {
        let Some(span) = self.args.run else { return Ok(seen) };
        let deadline = mono() + span.0;
        loop {
            let left = deadline.since(mono());
            if left.is_zero() || signals.asked {
                return Ok(seen);
            }
            let _ = signals.or(tokio::time::sleep(left.min(ROUND))).await;
            seen = self.eye.run(&self.scene.proc, seen)?;
        }
    }

    async fn down(&self, client: &Client, signals: &mut Signals) -> Result<Outcome, Failure> {
        let keys = vec![self.up.project.key(self.service)];
        let request = Request::Down { keys, origin: self.up.origin.clone(), timeout: None, ladder: None };
        let mut down = std::pin::pin!(self.ask(client, &request, |_| None));
        // Whoever asks for the end while it is stopped is heard; the ladder is not given up.
        loop {
            if let Some(result) = signals.or(&mut down).await {
                return result.map(|(outcome, _)| outcome);
            }
        }
    }

    /// Sends a request and waits for its outcome, or for what `judge` says of an entry about the service; the second
    /// value: when the main process was spawned.
    async fn ask(
        &self,
        client: &Client,
        request: &Request,
        mut judge: impl FnMut(&JournalLine) -> Option<Outcome>,
    ) -> Result<(Outcome, Option<Mono>), Failure> {
        let place = &self.scene.place;
        let mut lines: Lines<Line> = patiently(place, client, client.post_stream(path::REQUESTS, request)).await??;
        let mut started = None;
        while let Some(line) = patiently(place, client, lines.next()).await?? {
            match line {
                Line::Entry(entry) if entry.service.as_ref() == Some(&self.service.name) => {
                    if entry.kind == "started" {
                        started = Some(mono());
                    }
                    if let Some(outcome) = judge(&entry) {
                        return Ok((outcome, started));
                    }
                }
                Line::Outcome(outcome) => return Ok((outcome, started)),
                Line::Error(error) => return Err(Failure::new(error.code, error.message)),
                Line::Entry(_) | Line::Session(_) => {}
            }
        }
        Err(Failure::new(ExitCode::Unreachable, "the daemon ended its answer without an outcome"))
    }

    fn end(&mut self, how: Ended, code: ExitCode, why: String) {
        if self.ended.is_none() {
            self.ended = Some((how, code, why));
        }
    }

    fn report(self) -> Report {
        let vigie = self.own.told();
        let leaks = vigie.iter().any(|process| {
            [process.descriptors, process.threads, process.memory_bytes].into_iter().flatten().any(|value| value.leaks)
        });
        let looked = self.looked;
        let (steady, unclear): (Vec<_>, Vec<_>) =
            self.unclear.entries().iter().partition(|entry| entry.keeps_time(looked));
        let mut leftovers: Vec<Told> = self.left.entries().iter().map(told).collect();
        leftovers.extend(steady.into_iter().map(|entry| Told {
            detail: format!("{}; who made it was not seen, and it came with every cycle", entry.first.detail),
            ..told(entry)
        }));
        let clean = leftovers.is_empty() && !leaks;
        let (ended, why, code) = match self.ended {
            Some((how, code, why)) => (Some(how), Some(why), code),
            None => (None, None, if clean { ExitCode::Done } else { ExitCode::No }),
        };
        Report {
            schema: vigie_api::SCHEMA,
            project: self.up.project.name.clone(),
            service: self.service.name.clone(),
            mode: self.mode,
            cycles: self.args.cycles,
            done: self.done,
            ended,
            why,
            clean,
            code,
            times: Times { start: step(&self.start), ready: step(&self.ready), stop: step(&self.stop) },
            leftovers,
            unclear: unclear.into_iter().map(told).collect(),
            unseen: self.unseen,
            vigie,
        }
    }
}

/// How a start goes. The policy of restarts is not waited for: a cycle is one start.
#[derive(Debug, Default)]
struct Tries {
    /// Why the last one failed.
    why: Option<String>,
}

impl Tries {
    /// The outcome, once another try is to follow.
    fn given_up(&mut self, entry: &JournalLine) -> Option<Outcome> {
        match entry.kind.as_str() {
            "exited" | "spawn_failed" | "not_ready" | "conflict" | "keeper_lost" => self.why = Some(entry.text.clone()),
            "restart_scheduled" => {
                let why = self.why.take().unwrap_or_else(|| entry.text.clone());
                return Some(Outcome { code: ExitCode::No, why: Some(why), services: Vec::new() });
            }
            _ => {}
        }
        None
    }
}

/// `cycle 3: it did not become ready: failed: it exited with code 7`
fn said(cycle: u32, what: &str, outcome: &Outcome) -> String {
    let of_services = outcome.services.iter().filter(|service| service.code != ExitCode::Done);
    let why = outcome.why.iter().cloned().chain(of_services.map(|service| match &service.why {
        Some(why) => format!("{}: {why}", service.state),
        None => service.state.to_string(),
    }));
    format!("cycle {cycle}: {what}: {}", why.collect::<Vec<_>>().join("; "))
}

fn step(all: &[Duration]) -> Option<Step> {
    let times = soak::times(all)?;
    let millis = |time: Duration| time.as_secs_f64() * 1e3;
    Some(Step { p50_ms: millis(times.p50), p99_ms: millis(times.p99), max_ms: millis(times.max) })
}

fn told(entry: &soak::Entry) -> Told {
    Told {
        kind: entry.first.kind,
        name: entry.first.name.clone(),
        detail: entry.first.detail.clone(),
        remedy: entry.first.remedy.clone(),
        first_cycle: entry.first_cycle,
        cycles: entry.cycles,
        count: entry.count,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::exit::Exit;
    use vigie_core::journal::{Entry, Subject, What};
    use vigie_core::units::Span;

    #[test]
    fn a_start_is_tried_once() {
        let line = |what| JournalLine::new(1, &Entry::new(Wall(0), Subject::Daemon, None, what));
        let exited = line(What::Exited { exit: Exit::Code(7), ran: None });
        let delay = Span(Duration::from_secs(1));
        let again = line(What::RestartScheduled { delay, attempt: 1, of: Some(10) });
        let mut tries = Tries::default();
        assert_eq!(tries.given_up(&line(What::Locked)), None);
        assert_eq!(tries.given_up(&exited), None);
        let outcome = tries.given_up(&again).expect("it failed");
        assert_eq!((outcome.code, outcome.why.as_deref()), (ExitCode::No, Some("exited with code 7")));
    }
}
