//! Incidents: from entries of the journal to one story per cause, and to the few messages that are worth sending (R10.3,
//! R6.3).
//!
//! # Theory of operation
//!
//! The [`Engine`] follows the journal. [`Engine::hear`] gets each entry once, with its number; [`Engine::tick`] gets the
//! time when [`Engine::deadline`] is reached. Both return a [`Turn`]: entries that tell of incidents, messages to send, what
//! to store. It reads no clock, and it is a function of what it heard: a daemon that comes back takes what was stored last
//! ([`Engine::restore`]), hears the entries behind [`Engine::cursor`] again, and is where the one before it was, pending
//! timers included. Whatever can be seen from outside (an incident, a message) is stored in the step in which it comes to
//! be, together with the cursor; so it comes to be once.
//!
//! ```text
//!   entry ─► signs ─► incident: pending ──for──► open ──clear──► resolved ─► message, unless held back:
//!            (per service,        │ better         ▲  │ worse                 cooldown, quiet hours, silence
//!             one cause)          ▼                └──┘
//!                              nothing
//! ```
//!
//! Signs of one cause at one subject are one incident: the many exits of a crash loop, what gives it up at last, and a
//! readiness that never comes are one story of a service that does not stay up. It is told when it opens and when it is
//! over, and after long times with a count in between. Three things hold messages back: the cooldown after the last one
//! about the same, quiet hours, silences. What is true when they end is told then; what came and went meanwhile is not.
//!
//! What is measured is no entry. [`Engine::judge`] gets each round of samples once, and holds it against the rules about limits;
//! an incident that comes of it is one like any other.
//!
//! Durations come from the clock that never jumps. Entries bear wall times only, so the age of an entry, which is short, is
//! taken off the present, unless it bears the time of an engine's clock; and only between two boots, where there is no other clock, a wall-clock difference stands in for
//! the time that passed.
//!
//! | file | what it does |
//! |---|---|
//! | `rule`, `settings`, `rules` | the rules that there are, how they are written, all of them together |
//! | `measure`, `limit`, `judge` | limits of what is measured, and how rounds of samples are held against them |
//! | `signs` | what an entry is a sign of |
//! | `containers`, `others` | what events of containers are signs of; what becomes of them with their source |
//! | `edit` | what somebody changes |
//! | `incident`, `course` | one incident with its timers; how it is raised, opens and is over |
//! | `talk` | what is told of it, and when |
//! | `hours`, `silence` | when nothing is told |
//! | `message` | what is told |
//! | `stored` | what outlives the daemon |

mod containers;
mod course;
mod edit;
mod hours;
mod incident;
mod judge;
mod limit;
mod measure;
mod message;
mod others;
mod rule;
mod rules;
mod settings;
mod signs;
mod silence;
mod stored;
mod talk;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

pub use hours::{Hours, Moment};
pub use incident::{Cause, Clockwork, Incident, Standing};
pub use judge::Standards;
pub use limit::{Bound, Limit, LimitKey, Pattern, Side};
pub use measure::{Kind, Measure};
pub use message::{Message, Occasion, masked};
pub use rule::{Rule, RuleId, RuleName, Severity};
pub use rules::{Edits, RuleError, Rules};
pub use settings::{KEYS, Key, Of};
pub use silence::{Scope, Silence};
pub use stored::Kept;

use crate::clock::{Mono, Now};
use crate::identity::RunId;
use crate::journal::{Entry, Subject};
use crate::units::Span;
use containers::ContainerTrack;
use judge::Stretch;
use signs::{Sign, Track, nanos};

/// So many incidents that are over are kept.
pub const HISTORY: usize = 500;

/// After so many entries that changed nothing visible the cursor is stored all the same, so that no daemon that comes back
/// has to hear more than these again.
const UNSTORED: u32 = 512;

/// Counts that grow are stored this long after they grew.
const FLUSH: Duration = Duration::from_secs(1);

/// After so many entries, containers of which nothing needs to be remembered any more are forgotten.
const SWEEP: u32 = 64;

/// What follows from one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[must_use]
pub struct Turn {
    /// For the journal.
    pub entries: Vec<Entry>,
    /// To be sent, once all of this is stored.
    pub messages: Vec<Message>,
    /// Incidents that are new or changed, as they are shown.
    pub incidents: Vec<Incident>,
    /// Incidents that are not kept any longer.
    pub forgotten: Vec<u64>,
    /// Silences that are over.
    pub ended: Vec<u64>,
    /// [`Engine::kept`] is to be stored now.
    pub store: bool,
}

/// All incidents.
#[derive(Debug, Clone)]
pub struct Engine {
    rules: Rules,
    silences: BTreeMap<u64, Silence>,
    tracks: BTreeMap<Subject, Track>,
    /// Those that are not over, or whose end was not told yet.
    live: BTreeMap<(Subject, Cause), Incident>,
    /// Until when nothing new is told about what was told to be over.
    cooldowns: BTreeMap<(Subject, Cause), Mono>,
    /// The numbers of those that are over, the oldest first.
    past: VecDeque<u64>,
    /// The number of the next incident, and of the next silence.
    next: u64,
    /// What makes the keys of messages different from those of every other machine.
    origin: u64,
    cursor: u64,
    unstored: u32,
    flush_at: Option<Mono>,
    changed: BTreeSet<(Subject, Cause)>,
    containers: BTreeMap<Subject, ContainerTrack>,
    /// Of each rule about a limit, for whom something beyond it was measured, by the name of its samples.
    stretches: BTreeMap<RuleId, BTreeMap<String, Stretch>>,
    /// What changed, and is stored with whatever is stored next.
    grown: BTreeSet<(Subject, Cause)>,
}

impl Engine {
    /// Without incidents, behind entry number `cursor`. `origin` is random.
    pub fn new(origin: u64, cursor: u64) -> Self {
        Self {
            rules: Rules::default(),
            silences: BTreeMap::new(),
            tracks: BTreeMap::new(),
            live: BTreeMap::new(),
            cooldowns: BTreeMap::new(),
            past: VecDeque::new(),
            next: 1,
            origin,
            cursor,
            unstored: 0,
            flush_at: None,
            changed: BTreeSet::new(),
            containers: BTreeMap::new(),
            stretches: BTreeMap::new(),
            grown: BTreeSet::new(),
        }
    }

    /// The number of the last entry that it heard.
    pub fn cursor(&self) -> u64 {
        self.cursor
    }

    /// The rules.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The silences that are not over.
    pub fn silences(&self) -> impl Iterator<Item = &Silence> {
        self.silences.values()
    }

    /// The incidents that are not over, or whose end was not told yet.
    pub fn live(&self) -> impl Iterator<Item = &Incident> {
        self.live.values()
    }

    /// Whether any rule looks at the time of day.
    pub fn has_quiet_hours(&self) -> bool {
        self.rules.have_quiet_hours()
    }

    /// Hears entry number `seq`. One that it heard before changes nothing.
    pub fn hear(&mut self, at: Moment, seq: u64, entry: &Entry) -> Turn {
        let mut turn = Turn::default();
        if seq <= self.cursor {
            return turn;
        }
        self.cursor = seq;
        let when = happened(at.now, entry);
        self.advance(when, at, &mut turn);
        let subject = folded(&entry.subject);
        let failing = self.standing(&(subject.clone(), Cause::Failing)).map(|incident| incident.rule.clone());
        let (signs, run) = match subject {
            Subject::Container { .. } => (self.read_container(&subject, when, entry, failing.as_ref()), None),
            _ => self.read(&subject, when, entry, failing.as_ref()),
        };
        // What is decided after the end of a run is about that run.
        let entry = &Entry { run: entry.run.or(run), ..entry.clone() };
        for sign in signs {
            self.apply(sign, &subject, when, entry, at, &mut turn);
        }
        self.unstored += 1;
        self.finish(at, turn)
    }

    fn read(
        &mut self,
        subject: &Subject,
        when: Mono,
        entry: &Entry,
        failing: Option<&RuleId>,
    ) -> (Vec<Sign>, Option<RunId>) {
        let loops = self.rules.known(RuleName::CrashLoop);
        let track = self.tracks.entry(subject.clone()).or_default();
        track.forget(Mono(when.0.saturating_sub(nanos(loops.within))));
        let signs = track.read(when, entry, loops, failing);
        let run = track.run;
        if track.is_idle() {
            self.tracks.remove(subject);
        }
        (signs, run)
    }

    /// Looks at the clock.
    pub fn tick(&mut self, at: Moment) -> Turn {
        let mut turn = Turn::default();
        self.advance(at.now.mono, at, &mut turn);
        self.finish(at, turn)
    }

    /// The last lines of the output that explain an incident were read.
    pub fn explain(&mut self, id: u64, output: Vec<String>) -> Turn {
        let found = self.live.values_mut().find(|incident| incident.id == id);
        let Some(incident) = found else { return Turn::default() };
        incident.output = output;
        Turn { incidents: vec![incident.clone()], store: true, ..Turn::default() }
    }

    /// When [`Engine::tick`] is to be called, if nothing else happens.
    pub fn deadline(&self, at: Moment) -> Option<Mono> {
        let timers = self.live.values().map(Incident::due);
        let talks = self.live.values().map(|incident| self.talk_at(incident, at));
        let silences = self.silences.values().map(|silence| Some(silence.until));
        timers.chain(talks).chain(silences).chain([self.flush_at]).flatten().min()
    }

    /// Does what is due by the clock until `until`, in its order.
    fn advance(&mut self, until: Mono, at: Moment, turn: &mut Turn) {
        loop {
            let due = |incident: &Incident| incident.due().filter(|due| *due <= until);
            let next = self.live.iter().filter_map(|(key, incident)| Some((due(incident)?, key))).min();
            let Some((_, key)) = next else { break };
            let key = key.clone();
            let Some(incident) = self.live.get_mut(&key) else { break };
            if incident.ends_next() {
                let why = incident.clock.clear_why.take().unwrap_or_default();
                self.resolve(&key, why, at, turn);
            } else {
                incident.clock.raise_at = None;
                self.open(&key, at, turn);
            }
        }
        let over: Vec<u64> =
            self.silences.values().filter(|silence| silence.until <= until).map(|silence| silence.id).collect();
        for id in over {
            self.silences.remove(&id);
            turn.ended.push(id);
        }
    }

    fn apply(&mut self, sign: Sign, subject: &Subject, when: Mono, entry: &Entry, at: Moment, turn: &mut Turn) {
        let of = |cause| (subject.clone(), cause);
        match sign {
            Sign::Raise { rule, text, count, span } => {
                self.raise(rule, text, (count, span), of(rule.cause()), when, entry, at, turn);
            }
            Sign::More { cause, text } => self.more(of(cause), text, 1, when, entry),
            Sign::Better { cause, why, least } => {
                let Some(incident) = self.standing(&of(cause.clone())) else { return };
                let clear = self.rules.get(&incident.rule).clear.max(least);
                if clear.is_zero() {
                    return self.resolve(&of(cause), why, at, turn);
                }
                let Some(incident) = self.live.get_mut(&of(cause)) else { return };
                incident.clock.clear_at = Some(when + clear);
                incident.clock.clear_why = Some(format!("{why}, for {} now", Span(clear)));
            }
            Sign::Worse(cause) => {
                if let Some(incident) = self.live.get_mut(&of(cause)) {
                    (incident.clock.clear_at, incident.clock.clear_why) = (None, None);
                }
            }
            Sign::Over { cause, why } => self.resolve(&of(cause), why, at, turn),
            Sign::Unmeasured => self.see_to_measured(subject, at, turn),
            Sign::Containers(fate) => self.see_to_containers(fate, subject, at, turn),
            Sign::Gone(run) => {
                let Some(incident) = self.live.get_mut(&of(Cause::Ghost)) else { return };
                if incident.clock.runs.remove(&run) && incident.clock.runs.is_empty() {
                    self.resolve(&of(Cause::Ghost), "they are gone".to_owned(), at, turn);
                }
            }
        }
    }

    /// What changed is stored at this time, if not before.
    fn flush_by(&mut self, at: Mono) {
        self.flush_at = Some(self.flush_at.map_or(at, |before| before.min(at)));
    }

    /// Tells what is to be told, and collects what is to be stored.
    fn finish(&mut self, at: Moment, mut turn: Turn) -> Turn {
        self.talk(at, &mut turn);
        let now = at.now.mono;
        if !self.changed.is_empty() {
            self.flush_by(now + FLUSH);
        }
        turn.store |= self.flush_at.is_some_and(|flush| flush <= now);
        turn.store |= self.unstored >= UNSTORED;
        if turn.store {
            let mut changed = std::mem::take(&mut self.changed);
            changed.append(&mut self.grown);
            let shown = changed.iter().filter_map(|key| self.live.get(key)).filter(|incident| incident.id > 0);
            turn.incidents.extend(shown.cloned());
            (self.unstored, self.flush_at) = (0, None);
        }
        turn
    }
}

fn key(incident: &Incident) -> (Subject, Cause) {
    (folded(&incident.subject), incident.cause())
}

/// When an entry happened, on the clock that never jumps: its age is taken off the present. What happened to a container
/// bears the time of another clock: it happened when it is heard.
fn happened(now: Now, entry: &Entry) -> Mono {
    match entry.subject {
        Subject::Container { .. } => now.mono,
        _ => Mono(now.mono.0.saturating_sub(now.wall.0.saturating_sub(entry.at.0))),
    }
}

/// A service is the same in every mode.
fn shown(subject: &Subject) -> Subject {
    match subject {
        Subject::Service { project, service, .. } => {
            Subject::Service { project: project.clone(), service: service.clone(), mode: None }
        }
        other => other.clone(),
    }
}

/// And a container under every name.
fn folded(subject: &Subject) -> Subject {
    match subject {
        Subject::Container { source, id, .. } => {
            Subject::Container { source: source.clone(), name: String::new(), id: id.clone() }
        }
        other => shown(other),
    }
}

#[cfg(test)]
mod tests;
