//! From the head of the answer to the moment in which nothing is missed any more.

use super::survey::Survey;
use super::{Follower, Live, Phase, SURVEY};
use crate::clock::Now;
use crate::docker::event::{Happened, Key, Nanos};
use crate::docker::known::{self, Containers, Difference, Listed};
use crate::docker::source::Mode;
use crate::docker::told::{Cursor, Saying, Told};
use crate::units::Span;

/// What an engine keeps of events, of every type (`eventsLimit` in moby's `daemon/events`).
pub(super) const RING: usize = 256;

const UNTOLD: &str = "the engine did not tell of changes that its list of containers shows";

/// Why nothing is known of before: the source has another engine now.
pub(crate) const OTHER_ENGINE: &str = "another engine answers under this name";

/// More are not held back: what came by then decides.
const MOST: usize = 2048;

/// What is waited for.
#[derive(Debug)]
pub(super) struct Sync {
    /// Events, held back until it is known whether some before them are missing.
    pending: Vec<Happened>,
    /// The event of the cursor, until it came back.
    expected: Option<Key>,
    /// Nothing was known of this engine before: what its list shows is a beginning, not a change.
    is_first: bool,
    /// Another engine was known before.
    is_other: bool,
    /// What happened up to then is history of before we began.
    history: Option<Nanos>,
    /// Nothing more comes: the window was read to its end.
    pub(super) is_complete: bool,
    pub(super) survey: Survey,
}

impl Sync {
    /// An event. True when so many wait that it is time.
    pub(super) fn take(&mut self, event: Happened) -> bool {
        if self.expected.as_ref() == Some(&event.key) {
            self.expected = None;
        }
        if self.history.is_none_or(|history| event.key.at > history) {
            self.survey.touch(&event);
        }
        self.pending.push(event);
        self.pending.len() >= MOST
    }

    /// What the cursor stands at seems to be lost.
    pub(super) fn is_lost(&self) -> bool {
        self.expected.as_ref().is_some_and(|key| self.pending.iter().any(|event| event.key.at > key.at))
    }
}

impl Follower {
    pub(super) fn begin_sync(&mut self) -> Sync {
        let engine = self.engine.clone().unwrap_or_default();
        let cursor = self.resume.cursor.as_ref();
        // Another engine under this name has nothing to do with the one before: it is a beginning, too.
        let is_other = cursor.is_some() && self.is_other(&engine);
        let is_first = cursor.is_none() || is_other;
        if is_first {
            self.resume.standing.floor = engine.at;
        }
        Sync {
            pending: Vec::new(),
            expected: cursor.and_then(|cursor| cursor.event.clone()).filter(|_| !is_first),
            is_first,
            is_other,
            history: self.resume.standing.floor,
            is_complete: false,
            survey: Survey::default(),
        }
    }

    /// Compares a list with what is known and what has come since.
    pub(super) fn compare(&mut self, now: Now, list: &[Listed], out: &mut Vec<super::Output>) {
        let Phase::Syncing(sync) = &mut self.phase else { return };
        let mut projected: Containers = self.resume.containers.clone();
        for event in &sync.pending {
            if let Some(change) = known::after(&projected, event)
                && sync.history.is_none_or(|history| event.key.at > history)
            {
                change.apply(&mut projected);
            }
        }
        let found = known::differences(&projected, list);
        if sync.is_first {
            let untouched = found.into_iter().filter(|one| !sync.survey.is_touched(&one.id)).collect();
            return self.finish(now, untouched, out);
        }
        // Without a difference nothing shows that more is on its way; a cursor that did not come back needs the second.
        let waits = found.is_empty() && sync.expected.is_some() && !sync.is_complete && !sync.survey.was_asked_twice();
        let proven = if waits { sync.survey.wait(now.mono) } else { sync.survey.answered(now.mono, found) };
        if let Some(proven) = proven {
            self.finish(now, proven, out);
        }
    }

    /// Tells what there is to tell, in order: the gap, that it is back, what happened, what must have happened.
    pub(super) fn finish(&mut self, now: Now, proven: Vec<Difference>, out: &mut Vec<super::Output>) {
        let waiting = Phase::Waiting { until: now.mono, unreached: false };
        let Phase::Syncing(sync) = std::mem::replace(&mut self.phase, waiting) else { return };
        let Sync { pending, expected, is_first, is_other, survey, .. } = *sync;
        let why = if is_other { Some(OTHER_ENGINE.to_owned()) } else { self.lost(&pending, expected.as_ref()) };
        self.is_back(now, out);
        if let Some(why) = why {
            let from = self.resume.cursor.as_ref().map_or(Nanos(now.wall.0), |cursor| cursor.at);
            let first = pending.iter().map(|event| &event.key).filter(|key| key.at > from && !is_other).min();
            let to = first.map_or_else(|| self.engine_now(now), |first| first.at).max(from);
            // It is told next, and must come back if that is not stored.
            self.resume.cursor = (!is_other).then(|| Cursor { at: to, event: first.cloned() });
            self.gap_told = true;
            out.push(super::Output::Tell(self.told(Saying::Gap { from, to, why }, Vec::new())));
        }
        for event in &pending {
            self.take(event, out);
        }
        if self.resume.cursor.is_none() {
            self.resume.cursor = Some(Cursor { at: self.engine_now(now), event: None });
        }
        let doubts = std::mem::take(&mut self.doubts);
        let is_doubted = |one: &Difference| doubts.contains(one);
        let (sure, doubtful): (Vec<_>, Vec<_>) = proven.into_iter().partition(|one| is_first || is_doubted(one));
        if !sure.is_empty() && !is_first && !self.gap_told {
            let to = self.engine_now(now);
            let from = self.agreed.or(self.resume.cursor.as_ref().map(|cursor| cursor.at)).unwrap_or(to).min(to);
            out.push(super::Output::Tell(self.told(Saying::Gap { from, to, why: UNTOLD.to_owned() }, Vec::new())));
        }
        self.infer(sure, is_first, out);
        if doubtful.is_empty() && !survey.is_unsure {
            self.agreed = Some(self.engine_now(now));
            self.gap_told = false;
        }
        if is_first {
            self.untold = 0;
            let standing = Some(self.resume.standing.clone());
            out.push(super::Output::Tell(Told { standing, ..self.told(Saying::Nothing, Vec::new()) }));
        }
        if doubts.is_empty() && !doubtful.is_empty() {
            self.doubts = doubtful;
            return self.look_again(out);
        }
        self.phase = match self.mode {
            Mode::Stream => {
                let survey_at = now.mono + if survey.is_unsure { super::DELAYS.0 } else { SURVEY };
                Phase::Live(Box::new(Live { since: now.mono, heard: now.mono, pinged: None, survey: None, survey_at }))
            }
            Mode::Poll { every: Span(every) } => {
                self.delays = 0;
                if let Some(told) = self.farewell() {
                    out.push(super::Output::Tell(told));
                }
                Phase::Waiting { until: now.mono + every, unreached: false }
            }
        };
    }

    /// Why history is missing, if it is.
    fn lost(&mut self, pending: &[Happened], expected: Option<&Key>) -> Option<String> {
        let adrift = std::mem::take(&mut self.adrift);
        if expected.is_some() {
            let is_full = pending.len() >= RING;
            return Some(if is_full {
                format!("more happened than the {RING} events that the engine keeps")
            } else {
                "the engine has forgotten its events: it was restarted, or more happened than it keeps".to_owned()
            });
        }
        let cursor = self.resume.cursor.as_ref().filter(|cursor| cursor.event.is_none())?;
        let newer = pending.iter().filter(|event| event.key.at >= cursor.at).count();
        if newer >= RING {
            return Some(format!("more happened than the {RING} events that the engine keeps"));
        }
        adrift.then(|| "the connection was lost before the engine had told of anything".to_owned())
    }
}
