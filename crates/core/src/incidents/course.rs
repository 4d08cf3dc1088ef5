//! The course of one incident: it is raised, told of again, opens, and is over.

use std::time::Duration;

use crate::clock::{Mono, Wall};
use crate::identity::RunId;
use crate::journal::{Entry, Subject, What};

use super::signs::{loop_text, nanos};
use super::{Cause, Clockwork, Engine, Incident, Moment, RuleId, RuleName, Severity, Standing, Turn, shown};

impl Engine {
    /// One that is pending or open.
    pub(super) fn standing(&self, key: &(Subject, Cause)) -> Option<&Incident> {
        self.live.get(key).filter(|incident| incident.standing != Standing::Resolved)
    }

    #[allow(clippy::too_many_arguments, reason = "all of it is of one sign")]
    pub(super) fn raise(
        &mut self,
        name: RuleName,
        text: String,
        (count, span): (u64, Duration),
        key: (Subject, Cause),
        when: Mono,
        entry: &Entry,
        at: Moment,
        turn: &mut Turn,
    ) {
        let rule = self.rules.known(name).clone();
        if !rule.on {
            return;
        }
        let run = entry.run.filter(|_| name == RuleName::Ghost);
        if let Some(incident) = self.standing(&key) {
            // Another rule that waits for less time takes a pending one over. A crash loop has counted all of it.
            let takes_over = incident.standing == Standing::Pending && incident.rule != name;
            let counted = if takes_over && name == RuleName::CrashLoop { incident.count.min(count) } else { 0 };
            self.more(key.clone(), text, count - counted, when, entry);
            if let Some(incident) = self.live.get_mut(&key).filter(|_| takes_over) {
                incident.rule = name.into();
                incident.clock.raise_at = incident.clock.raise_at.map(|due| due.min(when + rule.hold));
            }
        } else {
            let before = self.live.remove(&key);
            let returned = before.is_some();
            // Its story begins with the first of its signs.
            let (since, first) = (entry.at.0.saturating_sub(nanos(span)), when.0.saturating_sub(nanos(span)));
            let incident =
                before.unwrap_or_else(|| fresh(&entry.subject, name.into(), rule.severity, Wall(since), Mono(first)));
            let clock =
                Clockwork { raise_at: Some(when + rule.hold), clear_at: None, clear_why: None, ..incident.clock };
            // One that comes back before its end was told goes on where it was.
            let standing = Standing::Pending;
            let total = if returned { incident.count + count } else { count };
            let subject = shown(&entry.subject);
            let incident =
                Incident { standing, subject, count: total, text, last: entry.at, run: entry.run, clock, ..incident };
            self.live.insert(key.clone(), incident);
        }
        if let Some(incident) = self.live.get_mut(&key) {
            incident.clock.runs.extend(run);
            incident.severity = incident.severity.max(rule.severity);
        }
        self.advance(when, at, turn);
    }

    /// One more sign of what is true already.
    pub(super) fn more(&mut self, key: (Subject, Cause), text: String, count: u64, when: Mono, entry: &Entry) {
        let Some(incident) = self.live.get_mut(&key).filter(|incident| incident.standing != Standing::Resolved) else {
            return;
        };
        incident.count += count;
        let crash = incident.rule == RuleName::CrashLoop
            && match &entry.what {
                What::RestartScheduled { .. } => true,
                What::ContainerEvent { action, .. } => action == "die",
                _ => false,
            };
        let span = when.since(incident.clock.first);
        incident.text = if crash { loop_text(incident.count, span, &text) } else { text };
        incident.subject = shown(&entry.subject);
        incident.last = entry.at;
        incident.run = entry.run.or(incident.run);
        (incident.clock.clear_at, incident.clock.clear_why) = (None, None);
        self.changed.insert(key);
    }

    /// It has been true for long enough.
    pub(super) fn open(&mut self, key: &(Subject, Cause), at: Moment, turn: &mut Turn) {
        let Some(incident) = self.live.get_mut(key) else { return };
        if incident.id == 0 {
            incident.id = self.next;
            self.next += 1;
        }
        incident.standing = Standing::Open;
        incident.clock.openings += 1;
        incident.opened.get_or_insert(at.now.wall);
        (incident.resolved, incident.outcome) = (None, None);
        let what = What::IncidentOpened {
            incident: incident.id,
            rule: incident.rule.name().to_owned(),
            severity: incident.severity.name().to_owned(),
            text: incident.text.clone(),
        };
        turn.entries.push(Entry::new(at.now.wall, incident.subject.clone(), incident.run, what));
        self.changed.insert(key.clone());
        turn.store = true;
    }

    /// It is over. One that was only pending never was.
    pub(super) fn resolve(&mut self, key: &(Subject, Cause), why: String, at: Moment, turn: &mut Turn) {
        let Some(incident) = self.live.get(key) else { return };
        if let Cause::Limit(_) = &key.1 {
            let id = incident.rule.clone();
            self.forget_stretch(&id, &key.0);
        }
        let Some(incident) = self.live.get_mut(key) else { return };
        (incident.clock.raise_at, incident.clock.clear_at, incident.clock.clear_why) = (None, None, None);
        match incident.standing {
            Standing::Resolved => {}
            // Its end was to be told, and it came back only for a moment.
            Standing::Pending if incident.id > 0 => incident.standing = Standing::Resolved,
            Standing::Pending => {
                self.live.remove(key);
            }
            Standing::Open => {
                incident.standing = Standing::Resolved;
                incident.resolved = Some(at.now.wall);
                incident.outcome = Some(why.clone());
                let (id, rule) = (incident.id, incident.rule.name().to_owned());
                let what = What::IncidentResolved { incident: id, rule, count: incident.count, text: why };
                turn.entries.push(Entry::new(at.now.wall, incident.subject.clone(), incident.run, what));
                self.changed.insert(key.clone());
                turn.store = true;
            }
        }
    }
}

pub(super) fn fresh(subject: &Subject, rule: RuleId, severity: Severity, since: Wall, first: Mono) -> Incident {
    Incident {
        id: 0,
        subject: shown(subject),
        rule,
        severity,
        standing: Standing::Pending,
        since,
        opened: None,
        last: since,
        resolved: None,
        count: 0,
        text: String::new(),
        outcome: None,
        run: None::<RunId>,
        output: Vec::new(),
        clock: Clockwork { first, ..Clockwork::default() },
    }
}
