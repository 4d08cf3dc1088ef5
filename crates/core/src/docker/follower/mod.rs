//! Follows the events of one engine without losing one that it does not tell of.
//!
//! ```text
//!   Tick ──► Connecting ── identified, subscribed ──► Syncing ── list agrees ──► Live
//!               ▲                                        │ the cursor's event       │ silence: ping
//!               │ delay over                             ▼ did not come back        │ now and then: list
//!            Backoff ◄── anything fails, or ends ◄────── Gap ────────────────────►  │
//!               ▲                                                                   │
//!               └───────────────────────────────────────────────────────────────────┘
//! ```
//!
//! A list proves something about a container only when no event of it came between question and answer; and an event may
//! be on its way on one connection while the list comes back on the other. So what a list shows is believed when a second
//! list, a moment later, shows the same, and no event of that container came meanwhile (`survey`). Even then the engine is
//! asked once more for its events from the cursor on, on a new connection: only what is left then is inferred.
//!
//! To poll is the same with a stream that ends: from the cursor to the present on the engine's clock. Windows overlap, and
//! what comes twice is dropped by its key.

mod input;
mod survey;
mod sync;
mod take;
mod window;

use std::time::Duration;

pub use input::{Asked, Input, Output, Response};

use crate::clock::{Mono, Now};
use crate::docker::event::{Happened, Nanos, parse};
use crate::docker::filter::Filters;
use crate::docker::known::{self, Difference, Listed};
use crate::docker::lines::Line;
use crate::docker::source::{Mode, Source};
use crate::docker::told::{Identity, Resume, Saying, Stage, Status, Told};
use crate::policy::Draws;
use crate::text::escaped;
use crate::units::Span;
use survey::Survey;
pub(crate) use sync::OTHER_ENGINE;
use sync::Sync;
use window::Window;

/// `since` lies so much before the cursor: times are taken before events are put in order.
pub const OVERLAP: Duration = Duration::from_secs(2);

/// Before a second list is asked for.
pub const SETTLE: Duration = Duration::from_secs(1);

/// The first delay before a new attempt, and the longest.
pub const DELAYS: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(60));

/// Delays are changed by up to this part.
const JITTER: f64 = 0.2;

/// Live for so long, the next failure is a first one again.
const STABLE: Duration = Duration::from_secs(60);

/// After so much silence the engine is pinged on another connection.
const SILENCE: Duration = Duration::from_secs(90);

/// After so much silence the stream is opened anew: a ping says nothing of a connection that something between has
/// forgotten. It costs two questions and loses nothing.
const RENEW: Duration = Duration::from_secs(15 * 60);

/// How often a list is compared although nothing seems wrong: an engine says nothing when it leaves out a slow listener.
const SURVEY: Duration = Duration::from_secs(5 * 60);

/// Told to be offline after so many attempts, or so much time.
const OFFLINE: (u32, Duration) = (3, Duration::from_secs(30));

/// So many events are gone past until the place of the last is told for its own sake: a quarter of what an engine keeps.
const PROGRESS: u32 = 64;

/// Of bad lines at most this often.
const BAD_LINES: Duration = Duration::from_secs(3600);

/// How much of one is shown.
const SAMPLE: usize = 120;

/// Where it stands.
#[derive(Debug)]
enum Phase {
    /// Asked who it is, or subscribed to.
    Connecting { identified: bool },
    /// Its events come, and are compared with its list.
    Syncing(Box<Sync>),
    /// Nothing is missed.
    Live(Box<Live>),
    /// Nothing is asked until then. `unreached`: since it did not even say who it is.
    Waiting { until: Mono, unreached: bool },
}

#[derive(Debug)]
struct Live {
    since: Mono,
    heard: Mono,
    /// When it was last pinged, in this silence.
    pinged: Option<Mono>,
    survey: Option<Survey>,
    survey_at: Mono,
}

/// Follows one engine.
#[derive(Debug)]
pub struct Follower {
    mode: Mode,
    filters: Filters,
    resume: Resume,
    phase: Phase,
    /// Answers to earlier questions bear lower numbers.
    ticket: u32,
    engine: Option<Identity>,
    online: Option<bool>,
    why: Option<String>,
    failures: u32,
    failing_since: Option<Mono>,
    /// Delays since it was last stable.
    delays: u32,
    window: Window,
    untold: u32,
    bad: Bad,
    /// The connection ended by itself while nothing could be resumed.
    adrift: bool,
    /// The engine's clock, and ours when it was read.
    clock: Option<(Nanos, Mono)>,
    /// When events and list were last seen to agree, on the engine's clock.
    agreed: Option<Nanos>,
    /// A gap was told since then.
    gap_told: bool,
    /// What a list showed and the events that were asked for after it are to explain.
    doubts: Vec<Difference>,
    draws: Draws,
}

#[derive(Debug, Default)]
struct Bad {
    all: u64,
    since_told: u64,
    told: Option<Mono>,
}

impl Follower {
    /// Begins where `resume` stands. The first [`Input::Tick`] makes it ask.
    pub fn new(source: &Source, resume: Resume, seed: u64) -> Self {
        let period = match source.mode {
            Mode::Stream => Duration::ZERO,
            Mode::Poll { every } => every.0,
        };
        Self {
            mode: source.mode,
            filters: source.filters.clone(),
            online: resume.standing.offline.then_some(false),
            resume,
            phase: Phase::Waiting { until: Mono(0), unreached: false },
            ticket: 0,
            engine: None,
            why: None,
            failures: 0,
            failing_since: None,
            delays: 0,
            window: Window::new(OVERLAP * 2 + period),
            untold: 0,
            bad: Bad::default(),
            adrift: false,
            clock: None,
            agreed: None,
            gap_told: false,
            doubts: Vec::new(),
            draws: Draws::new(seed),
        }
    }

    /// Takes what happened, and says what is to be done.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        match input {
            Input::Tick => self.tick(now, &mut out),
            Input::Reachable => {
                // What else it refuses, it goes on to refuse.
                if let Phase::Waiting { unreached: true, .. } = self.phase {
                    self.connect(&mut out);
                }
            }
            Input::Answered { ticket, response } if ticket == self.ticket => self.answered(now, response, &mut out),
            Input::Heard { ticket, line } if ticket == self.ticket => self.heard(now, line, &mut out),
            Input::Ended { ticket, why } if ticket == self.ticket => self.ended(now, why, &mut out),
            // Of a connection that was given up.
            Input::Answered { .. } | Input::Heard { .. } | Input::Ended { .. } => {}
        }
        self.judge(now, &mut out);
        out
    }

    /// When to give it [`Input::Tick`], if nothing else happens.
    pub fn deadline(&self) -> Option<Mono> {
        let phase = match &self.phase {
            Phase::Connecting { .. } => None,
            Phase::Syncing(sync) => sync.survey.due(),
            Phase::Waiting { until, .. } => Some(*until),
            Phase::Live(live) => {
                let ping = live.pinged.map_or(live.heard + SILENCE, |pinged| pinged + SILENCE);
                let survey = live.survey.as_ref().map_or(Some(live.survey_at), Survey::due);
                [Some(ping), Some(live.heard + RENEW), survey].into_iter().flatten().min()
            }
        };
        let offline = self.failing_since.filter(|_| self.online != Some(false)).map(|since| since + OFFLINE.1);
        phase.into_iter().chain(offline).min()
    }

    /// How it stands.
    pub fn status(&self) -> Status {
        Status {
            stage: match &self.phase {
                Phase::Connecting { .. } => Stage::Connecting,
                Phase::Syncing(sync) if sync.is_lost() => Stage::Gap,
                Phase::Syncing(_) => Stage::Syncing,
                Phase::Live(_) => Stage::Live,
                Phase::Waiting { .. } => Stage::Backoff,
            },
            online: self.online,
            why: self.why.clone(),
            failures: self.failures,
            engine: self.engine.clone(),
            bad_lines: self.bad.all,
            retry_at: match &self.phase {
                Phase::Waiting { until, .. } if self.failures > 0 => Some(*until),
                _ => None,
            },
        }
    }

    /// The place that was reached, when it was not told yet: for an orderly end.
    pub fn farewell(&mut self) -> Option<Told> {
        (std::mem::take(&mut self.untold) > 0).then(|| self.told(Saying::Nothing, Vec::new()))
    }

    fn tick(&mut self, now: Now, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Waiting { until, .. } if *until <= now.mono => self.connect(out),
            Phase::Syncing(sync) if sync.survey.is_due(now.mono) => {
                sync.survey.ask_again();
                out.push(Output::Ask { ticket: self.ticket, asked: Asked::List });
            }
            Phase::Live(live) => {
                if now.mono.since(live.heard) >= RENEW {
                    out.push(Output::HangUp);
                    self.connect(out);
                } else if now.mono.since(live.pinged.unwrap_or(live.heard)) >= SILENCE {
                    live.pinged = Some(now.mono);
                    out.push(Output::Ask { ticket: self.ticket, asked: Asked::Ping });
                } else if live.survey.as_ref().is_some_and(|survey| survey.is_due(now.mono)) {
                    if let Some(survey) = &mut live.survey {
                        survey.ask_again();
                    }
                    out.push(Output::Ask { ticket: self.ticket, asked: Asked::List });
                } else if live.survey.is_none() && live.survey_at <= now.mono {
                    live.survey = Some(Survey::default());
                    out.push(Output::Ask { ticket: self.ticket, asked: Asked::List });
                }
            }
            Phase::Waiting { .. } | Phase::Syncing(_) | Phase::Connecting { .. } => {}
        }
    }

    /// Perhaps the engine has what did not come: it is asked for before anything is inferred.
    fn look_again(&mut self, out: &mut Vec<Output>) {
        out.push(Output::HangUp);
        self.connect(out);
    }

    fn connect(&mut self, out: &mut Vec<Output>) {
        self.ticket += 1;
        self.phase = Phase::Connecting { identified: false };
        out.push(Output::Ask { ticket: self.ticket, asked: Asked::Identity });
    }

    fn answered(&mut self, now: Now, response: Response, out: &mut Vec<Output>) {
        match response {
            Response::Failed(why) => self.fail(now, why, out),
            Response::Identity(identity) => {
                if let Phase::Connecting { identified } = &mut self.phase
                    && !std::mem::replace(identified, true)
                {
                    self.identified(now, identity, out);
                }
            }
            Response::Subscribed => {
                if let Phase::Connecting { identified: true } = self.phase {
                    self.phase = Phase::Syncing(Box::new(self.begin_sync()));
                    // A poll is compared once its window was read.
                    if self.mode == Mode::Stream {
                        out.push(Output::Ask { ticket: self.ticket, asked: Asked::List });
                    }
                }
            }
            Response::List(list) => self.listed(now, &list, out),
            Response::Pong => {}
        }
    }

    fn identified(&mut self, now: Now, identity: Identity, out: &mut Vec<Output>) {
        let until = match self.mode {
            Mode::Stream => None,
            Mode::Poll { .. } if identity.at.is_none() => {
                return self.fail(now, "it does not tell its time, so that it cannot be polled".to_owned(), out);
            }
            Mode::Poll { .. } => identity.at,
        };
        self.clock = identity.at.map(|at| (at, now.mono));
        let since = match &self.resume.cursor {
            Some(cursor) if !self.is_other(&identity) => cursor.at.before(OVERLAP),
            // All that it has, to know the last of them. Podman has all that ever happened.
            _ if !identity.podman => Nanos(1_000_000_000),
            _ => identity.at.unwrap_or(Nanos(now.wall.0)).before(OVERLAP),
        };
        self.engine = Some(identity);
        out.push(Output::Subscribe { ticket: self.ticket, since, until });
    }

    fn heard(&mut self, now: Now, line: Line, out: &mut Vec<Output>) {
        if let Phase::Live(live) = &mut self.phase {
            (live.heard, live.pinged) = (now.mono, None);
        }
        let (line, what) = match line {
            Line::Whole(line) => match parse(&line) {
                Ok(event) => return self.happened(now, event, out),
                Err(why) => (line, why),
            },
            Line::TooLong(line) => (line, "it is longer than a mebibyte".to_owned()),
        };
        self.bad.all += 1;
        self.bad.since_told += 1;
        if self.bad.told.is_none_or(|told| now.mono.since(told) >= BAD_LINES) {
            self.bad.told = Some(now.mono);
            let count = std::mem::take(&mut self.bad.since_told);
            let sample = escaped(&line[..line.len().min(SAMPLE)]);
            out.push(Output::Tell(Told {
                saying: Saying::BadLines { count, sample, why: what },
                cursor: None,
                changes: Vec::new(),
                standing: None,
            }));
        }
    }

    fn happened(&mut self, now: Now, event: Happened, out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Syncing(sync) => {
                if sync.take(event) {
                    self.finish(now, Vec::new(), out);
                }
            }
            Phase::Live(live) => {
                if let Some(survey) = &mut live.survey {
                    survey.touch(&event);
                }
                self.take(&event, out);
            }
            Phase::Connecting { .. } | Phase::Waiting { .. } => {}
        }
    }

    fn listed(&mut self, now: Now, list: &[Listed], out: &mut Vec<Output>) {
        match &mut self.phase {
            Phase::Syncing(_) => self.compare(now, list, out),
            Phase::Live(live) => {
                let Some(survey) = &mut live.survey else { return };
                let found = known::differences(&self.resume.containers, list);
                let Some(proven) = survey.answered(now.mono, found) else { return };
                live.survey_at = now.mono + if survey.is_unsure { DELAYS.0 } else { SURVEY };
                live.survey = None;
                if proven.is_empty() {
                    self.agreed = Some(self.engine_now(now));
                } else {
                    self.doubts = proven;
                    self.look_again(out);
                }
            }
            Phase::Connecting { .. } | Phase::Waiting { .. } => {}
        }
    }

    fn ended(&mut self, now: Now, why: Option<String>, out: &mut Vec<Output>) {
        match (&mut self.phase, self.mode, why) {
            // The window is read; what there is to know of it is known.
            (Phase::Syncing(sync), Mode::Poll { .. }, None) => {
                sync.is_complete = true;
                out.push(Output::Ask { ticket: self.ticket, asked: Asked::List });
            }
            (Phase::Waiting { .. }, ..) => {}
            (_, _, why) => {
                self.fail(now, why.unwrap_or_else(|| "it ended the stream of events".to_owned()), out);
            }
        }
    }

    fn fail(&mut self, now: Now, why: String, out: &mut Vec<Output>) {
        if let Phase::Live(live) = &self.phase
            && now.mono.since(live.since) >= STABLE
        {
            self.delays = 0;
        }
        self.adrift |= self.resume.cursor.as_ref().is_some_and(|cursor| cursor.event.is_none());
        self.failures += 1;
        self.failing_since.get_or_insert(now.mono);
        self.why = Some(why);
        // Answers that are still on their way are nobody's.
        self.ticket += 1;
        out.push(Output::HangUp);
        let delay = (DELAYS.0 * 2_u32.saturating_pow(self.delays.min(8))).min(DELAYS.1);
        self.delays += 1;
        let delay = delay.mul_f64(1.0 + JITTER * (2.0 * self.draws.unit() - 1.0)).min(DELAYS.1);
        let unreached = matches!(self.phase, Phase::Connecting { identified: false });
        self.phase = Phase::Waiting { until: now.mono + delay, unreached };
    }

    /// Offline is told once, after some attempts or some time.
    fn judge(&mut self, now: Now, out: &mut Vec<Output>) {
        let Some(since) = self.failing_since.filter(|_| self.online != Some(false)) else { return };
        if self.failures < OFFLINE.0 && now.mono.since(since) < OFFLINE.1 {
            return;
        }
        self.online = Some(false);
        self.resume.standing.offline = true;
        let why = self.why.clone().unwrap_or_default();
        let standing = Some(self.resume.standing.clone());
        out.push(Output::Tell(Told { standing, cursor: None, ..self.told(Saying::Offline { why }, Vec::new()) }));
    }

    /// What the engine's clock shows now, as far as it is known.
    fn engine_now(&self, now: Now) -> Nanos {
        self.clock.map_or(Nanos(now.wall.0), |(at, mono)| at.after(now.mono.since(mono)))
    }

    /// Another engine than the one that the cursor is of.
    fn is_other(&self, identity: &Identity) -> bool {
        let known = self.resume.standing.engine.as_ref();
        known.is_some() && identity.id.is_some() && known != identity.id.as_ref()
    }

    /// It answers, and nothing is missed from now on.
    fn is_back(&mut self, now: Now, out: &mut Vec<Output>) {
        let after = self.failing_since.take().map(|since| Span(now.mono.since(since)));
        (self.failures, self.why, self.online) = (0, None, Some(true));
        let was_offline = std::mem::take(&mut self.resume.standing.offline);
        let engine = self.engine.as_ref().and_then(|engine| engine.id.clone());
        let engine = engine.or_else(|| self.resume.standing.engine.clone());
        let is_new = std::mem::replace(&mut self.resume.standing.engine, engine) != self.resume.standing.engine;
        if was_offline || is_new {
            let saying = if was_offline { Saying::Online { after } } else { Saying::Nothing };
            let standing = Some(self.resume.standing.clone());
            out.push(Output::Tell(Told { standing, cursor: None, ..self.told(saying, Vec::new()) }));
        }
    }
}

#[cfg(test)]
mod tests;
