//! Holds what was measured against the rules about limits.
//!
//! A value beyond a limit begins a [`Stretch`]; one that is well again ends it; what lies between changes nothing. An incident
//! is opened when the stretch is as long as the rule demands, and so much of that time was measured to be beyond: two samples
//! with nothing in between prove nothing about the time between them. So what is not measured is neither wrong nor well.
//!
//! Most rounds have nothing to tell, and with a thousand subjects they must cost next to nothing: a subject whose kind no rule
//! looks at costs a look at its first letters, and nothing is allocated as long as nothing is beyond.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::course::fresh;
use super::incident::{Clockwork, Standing};
use super::limit::Bound;
use super::measure::Kind;
use super::rule::RuleId;
use super::{Engine, Incident, Moment, Turn, folded, nanos};
use crate::clock::{Mono, Wall};
use crate::journal::Subject;
use crate::name::Name;
use crate::samples::{self, millis};
use crate::units::Span;

/// What grows without anybody having to know at once is stored so long after it grew.
const FLUSH: Duration = Duration::from_secs(60);

/// An incident about something of which nothing is measured any more is over after this.
const STALE: Duration = Duration::from_secs(86_400);

/// What was beyond for a while and is not measured any more is forgotten after this, or after the time that its rule demands.
const FORGET: Duration = Duration::from_secs(600);

/// The last part of a stretch is looked at in so many pieces.
const PIECES: u64 = 16;

/// One more, because the last one is not full.
const SLOTS: usize = PIECES as usize + 1;

/// Limits that a subject brings with it, in the place of that of a rule.
pub trait Standards {
    /// The bound by which a rule is to judge this subject; absent: its own.
    fn bound(&self, rule: &RuleId, subject: &samples::Subject) -> Option<Bound>;
}

/// Nobody brings anything.
impl Standards for () {
    fn bound(&self, _: &RuleId, _: &samples::Subject) -> Option<Bound> {
        None
    }
}

/// A time in which nothing was well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stretch {
    /// When it began.
    since: Mono,
    /// When it was last measured.
    last: Mono,
    /// How long after that it was to be measured next, in milliseconds.
    every: u64,
    /// There is an incident about it.
    open: bool,
    /// The last piece of time that was looked at, counted from the beginning.
    newest: u64,
    /// For how many milliseconds of each of the last pieces it was measured to be beyond.
    beyond: [u64; SLOTS],
}

impl Stretch {
    fn begin(now: Mono, every: u64) -> Self {
        Self { since: now, last: now, every, open: false, newest: 0, beyond: [0; SLOTS] }
    }

    /// Its points in time were those of another boot.
    pub(super) fn moved(self, moved: impl Fn(Mono) -> Mono) -> Self {
        Self { since: moved(self.since), last: moved(self.last), ..self }
    }

    /// It was measured.
    fn note(&mut self, now: Mono, every: u64, is_beyond: bool, hold: Duration) {
        let passed = millis(now.since(self.last));
        // What comes too late tells nothing of all the time since the last one.
        let told = if passed > 2 * self.every.max(every) { passed.min(every) } else { passed };
        let end = millis(now.since(self.since));
        let piece = (millis(hold) / PIECES).max(1);
        let mut at = end - told.min(millis(hold)).min(end);
        while is_beyond && at < end {
            let number = at / piece;
            let next = end.min((number + 1) * piece);
            self.turn_to(number);
            self.beyond[(number % SLOTS as u64) as usize] += next - at;
            at = next;
        }
        self.turn_to(end / piece);
        (self.last, self.every) = (now, every);
    }

    fn turn_to(&mut self, number: u64) {
        let first = number.saturating_sub(SLOTS as u64).max(self.newest);
        for new in first..number {
            self.beyond[((new + 1) % SLOTS as u64) as usize] = 0;
        }
        self.newest = self.newest.max(number);
    }

    /// It is as long as demanded, and was measured often enough.
    fn holds(&self, now: Mono, hold: Duration, coverage: u32) -> bool {
        let wanted = millis(hold) * u64::from(coverage) / 100;
        now.since(self.since) >= hold && self.beyond.iter().sum::<u64>() >= wanted
    }
}

/// What a sample means for an incident.
enum Means {
    Opens,
    GoesOn,
    IsOver,
}

struct Found<'a> {
    means: Means,
    id: RuleId,
    subject: &'a samples::Subject,
    bound: Bound,
    value: u64,
    since: Mono,
}

impl Engine {
    /// Judges a round of samples: whose, and the rows as [`samples::pack_readings`] writes them. The next is due after `every`.
    pub fn judge<'a>(
        &mut self,
        at: Moment,
        every: Duration,
        round: impl Iterator<Item = (&'a samples::Subject, &'a [u8])>,
        standards: &dyn Standards,
    ) -> Turn {
        if self.rules.watch_nothing() {
            return Turn::default();
        }
        let (now, every) = (at.now.mono, millis(every));
        let Self { rules, stretches, .. } = self;
        let mut found: Vec<Found<'a>> = Vec::new();
        let mut grew = false;
        for (subject, row) in round {
            let Some((kind, name)) = Kind::of_subject(&subject.name) else { continue };
            let watching = rules.watched(kind);
            if watching.is_empty() {
                continue;
            }
            let whole = without_mode(kind, &subject.name);
            let (above, own) = parts(kind, without_mode(kind, name), &subject.key);
            for watched in watching {
                if !watched.limit.of.covers(above, own) {
                    continue;
                }
                let bound = standards.bound(&watched.id, subject).unwrap_or(watched.limit.bound);
                let Some(value) = bound.measure.read(row) else { continue };
                let is_beyond = bound.is_beyond(value);
                let known = stretches.get_mut(&watched.id).and_then(|of_rule| of_rule.get_mut(whole));
                let stretch = match known {
                    Some(stretch) => {
                        stretch.note(now, every, is_beyond, watched.hold);
                        stretch
                    }
                    None if is_beyond => stretches
                        .entry(watched.id.clone())
                        .or_default()
                        .entry(whole.to_owned())
                        .or_insert(Stretch::begin(now, every)),
                    None => continue,
                };
                grew = true;
                let opens = !stretch.open && is_beyond && stretch.holds(now, watched.hold, watched.limit.coverage);
                let means = match (stretch.open, bound.is_clear(value)) {
                    (true, true) => Some(Means::IsOver),
                    (true, false) => Some(Means::GoesOn),
                    (false, true) => None,
                    (false, false) => opens.then_some(Means::Opens),
                };
                stretch.open |= opens;
                let since = stretch.since;
                if bound.is_clear(value)
                    && let Some(of_rule) = stretches.get_mut(&watched.id)
                {
                    of_rule.remove(whole);
                }
                if let Some(means) = means {
                    found.push(Found { means, id: watched.id.clone(), subject, bound, value, since });
                }
            }
        }
        if !grew && found.is_empty() {
            return Turn::default();
        }
        self.forget_stretches(now);
        let mut turn = Turn::default();
        for found in found {
            self.found(found, at, &mut turn);
        }
        self.flush_by(now + FLUSH);
        self.finish(at, turn)
    }

    fn found(&mut self, found: Found<'_>, at: Moment, turn: &mut Turn) {
        let Found { means, id, subject, bound, value, since } = found;
        let Some(subject) = journalled(subject) else { return };
        let rule = self.rules.get(&id).clone();
        let (now, key) = (at.now, (folded(&subject), id.cause()));
        let stale = now.mono + STALE;
        match means {
            Means::IsOver => self.resolve(&key, bound.well(value), at, turn),
            Means::GoesOn => {
                let Some(incident) = self.live.get_mut(&key) else { return };
                incident.text = if bound.is_beyond(value) {
                    incident.count += 1;
                    incident.last = now.wall;
                    bound.wrong(value, rule.hold)
                } else {
                    bound.between(value)
                };
                incident.clock.clear_at = Some(stale);
                self.grown.insert(key);
            }
            Means::Opens => {
                let wall = Wall(now.wall.0.saturating_sub(nanos(now.mono.since(since))));
                let before = self.live.remove(&key);
                let incident = before.unwrap_or_else(|| fresh(&subject, id, rule.severity, wall, since));
                let clock = Clockwork { raise_at: Some(now.mono), clear_at: None, ..incident.clock };
                let incident = Incident {
                    standing: Standing::Pending,
                    severity: incident.severity.max(rule.severity),
                    count: incident.count + 1,
                    text: bound.wrong(value, rule.hold),
                    last: now.wall,
                    subject,
                    clock,
                    ..incident
                };
                self.live.insert(key.clone(), incident);
                self.advance(now.mono, at, turn);
                if let Some(incident) = self.live.get_mut(&key) {
                    incident.clock.clear_at = Some(stale);
                    incident.clock.clear_why = Some(format!("nothing was measured of it for {}", Span(STALE)));
                }
            }
        }
    }

    /// Those that are not measured any more and of which nothing came.
    fn forget_stretches(&mut self, now: Mono) {
        let rules = &self.rules;
        self.stretches.retain(|id, of_rule| {
            let limit = rules.get(id).hold.max(FORGET);
            of_rule.retain(|_, stretch| stretch.open || now.since(stretch.last) <= limit);
            !of_rule.is_empty()
        });
    }

    /// What was measured of these is no more: nobody has to wait until it is well.
    pub(super) fn end_measured(&mut self, which: impl Fn(&Subject) -> bool, why: &str, at: Moment, turn: &mut Turn) {
        if self.stretches.is_empty() {
            return;
        }
        let mut over = Vec::new();
        self.stretches.retain(|id, of_rule| {
            of_rule.retain(|name, stretch| {
                let subject = journalled(&samples::Subject { name: name.clone(), key: String::new() });
                let Some(subject) = subject.filter(|subject| which(subject)) else { return true };
                if stretch.open {
                    over.push((folded(&subject), id.cause()));
                }
                false
            });
            !of_rule.is_empty()
        });
        for key in over {
            self.resolve(&key, why.to_owned(), at, turn);
        }
    }

    /// An incident about a limit is over: what comes next is a stretch of its own.
    pub(super) fn forget_stretch(&mut self, id: &RuleId, subject: &Subject) {
        let Some(of_rule) = self.stretches.get_mut(id) else { return };
        of_rule.retain(|name, _| {
            let other = journalled(&samples::Subject { name: name.clone(), key: String::new() });
            other.is_none_or(|other| folded(&other) != folded(subject))
        });
        if of_rule.is_empty() {
            self.stretches.remove(id);
        }
    }

    pub(super) fn kept_stretches(&self) -> Vec<(RuleId, String, Stretch)> {
        let of_rule = |(id, of_rule): (&RuleId, &BTreeMap<String, Stretch>)| {
            let id = id.clone();
            of_rule.clone().into_iter().map(move |(name, stretch)| (id.clone(), name, stretch)).collect::<Vec<_>>()
        };
        self.stretches.iter().flat_map(of_rule).collect()
    }
}

/// A service is the same in every mode.
fn without_mode(kind: Kind, name: &str) -> &str {
    match kind {
        Kind::Service => name.split_once(':').map_or(name, |(name, _)| name),
        Kind::Container | Kind::Source => name,
    }
}

/// Project or source, and the name of a subject below it. A container whose name is not known has its id.
fn parts<'a>(kind: Kind, name: &'a str, key: &'a str) -> (&'a str, &'a str) {
    match (kind, name.split_once('/')) {
        (Kind::Source, _) | (_, None) => ("", name),
        (Kind::Service, Some(parts)) => parts,
        (Kind::Container, Some((source, id))) => (source, if key.is_empty() { id } else { key }),
    }
}

/// The subject as the journal has it.
fn journalled(subject: &samples::Subject) -> Option<Subject> {
    let (kind, name) = Kind::of_subject(&subject.name)?;
    let name = without_mode(kind, name);
    match (kind, name.split_once('/')) {
        (Kind::Source, _) => Some(Subject::Source(Name::new(name).ok()?)),
        (Kind::Service, Some((project, service))) => {
            let (project, service) = (Name::new(project).ok()?, Name::new(service).ok()?);
            Some(Subject::Service { project, service, mode: None })
        }
        (Kind::Container, Some((source, id))) => {
            let name = if subject.key.is_empty() { id } else { &subject.key };
            Some(Subject::Container { source: Name::new(source).ok()?, name: name.to_owned(), id: id.to_owned() })
        }
        (Kind::Service | Kind::Container, None) => None,
    }
}
