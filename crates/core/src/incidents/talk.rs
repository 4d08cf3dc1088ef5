//! What is told of an incident, and when.

use super::incident::{Cause, Incident, Standing};
use super::message::{Message, Occasion};
use super::rule::RuleName;
use super::{Engine, HISTORY, Moment, Turn};
use crate::clock::Mono;
use crate::journal::Subject;
use crate::units::format_rounded;

impl Engine {
    /// Until when nothing may be told of an incident; absent: it may be told now.
    fn held_back(&self, incident: &Incident, at: Moment) -> Option<Mono> {
        let now = at.now.mono;
        let cooldown = self.cooldowns.get(&super::key(incident)).copied().filter(|_| !incident.clock.told);
        let quiet = self.rules.get(&incident.rule).quiet.and_then(|hours| hours.left(at)).map(|left| now + left);
        let silenced = self.silences.values().filter(|silence| silence.scope.covers(&incident.subject));
        let silenced = silenced.map(|silence| silence.until).max();
        [cooldown, quiet, silenced].into_iter().flatten().filter(|until| *until > now).max()
    }

    /// What is to be told of an incident, and since when.
    fn occasion(&self, incident: &Incident) -> Option<(Occasion, Mono)> {
        let clock = &incident.clock;
        match incident.standing {
            Standing::Open if !clock.told => Some((Occasion::Opened, Mono(0))),
            Standing::Open => {
                let renotify = self.rules.get(&incident.rule).renotify?;
                Some((Occasion::Reminder, clock.told_at + renotify))
            }
            Standing::Resolved if clock.told => Some((Occasion::Resolved, Mono(0))),
            Standing::Resolved | Standing::Pending => None,
        }
    }

    /// When there is something to tell of an incident, and it may be told.
    pub(super) fn talk_at(&self, incident: &Incident, at: Moment) -> Option<Mono> {
        let (_, due) = self.occasion(incident)?;
        Some(due.max(self.held_back(incident, at).unwrap_or(due)))
    }

    /// Tells what is due, and lets go of what is over and told.
    pub(super) fn talk(&mut self, at: Moment, turn: &mut Turn) {
        let acts = |(key, incident): (&(Subject, Cause), &Incident)| {
            let due = self.occasion(incident).filter(|(_, due)| *due <= at.now.mono);
            match due.filter(|_| self.held_back(incident, at).is_none()) {
                Some((occasion, _)) => Some((key.clone(), Some(occasion))),
                // It came and went while nothing might be told of it.
                None if incident.standing == Standing::Resolved && !incident.clock.told => Some((key.clone(), None)),
                None => None,
            }
        };
        // Mostly there is nothing to do, and this is asked with every entry.
        let acts: Vec<_> = self.live.iter().filter_map(acts).collect();
        for (key, occasion) in acts {
            match occasion {
                Some(occasion) => self.tell(&key, occasion, at, turn),
                None => self.let_go(&key, turn),
            }
        }
        self.cooldowns.retain(|_, until| *until > at.now.mono);
    }

    fn tell(&mut self, key: &(Subject, Cause), occasion: Occasion, at: Moment, turn: &mut Turn) {
        let origin = self.origin;
        let Some(incident) = self.live.get_mut(key) else { return };
        let rule = self.rules.get(&incident.rule);
        let clock = &mut incident.clock;
        clock.told_at = at.now.mono;
        let name = match occasion {
            Occasion::Reminder => {
                clock.reminders += 1;
                format!("reminder-{}", clock.reminders)
            }
            occasion => occasion.name().to_owned(),
        };
        clock.told = true;
        let open = format_rounded(at.now.mono.since(clock.first));
        // Of what is measured the count is that of samples; the text of a crash loop has it.
        let times = match (&key.1, incident.count) {
            (Cause::Limit(_), _) | (_, 0 | 1) => String::new(),
            (_, count) => format!(", {count} times"),
        };
        let text = match (occasion, &incident.outcome) {
            (Occasion::Resolved, Some(outcome)) if incident.rule == RuleName::CrashLoop => {
                format!("{outcome} (after {open}; it was: {})", incident.text)
            }
            (Occasion::Resolved, Some(outcome)) => {
                format!("{outcome} (after {open}{times}; it was: {})", incident.text)
            }
            (Occasion::Reminder, _) => format!("{} (open for {open}{times})", incident.text),
            _ => incident.text.clone(),
        };
        turn.messages.push(Message {
            key: format!("{origin:016x}-{}-{name}", incident.id),
            occasion,
            severity: incident.severity,
            subject: Some(incident.subject.clone()),
            incident: Some(incident.id),
            rule: Some(incident.rule.clone()),
            text,
            count: incident.count,
            opened: incident.opened,
            at: at.now.wall,
            run: incident.run,
            wants_lines: if occasion == Occasion::Resolved { 0 } else { rule.lines },
            lines: Vec::new(),
        });
        self.changed.insert(key.clone());
        turn.store = true;
        if occasion == Occasion::Resolved {
            self.cooldowns.insert(key.clone(), at.now.mono + rule.cooldown);
            self.let_go(key, turn);
        }
    }

    /// It belongs to the past.
    fn let_go(&mut self, key: &(Subject, Cause), turn: &mut Turn) {
        let Some(incident) = self.live.remove(key) else { return };
        self.changed.remove(key);
        self.past.push_back(incident.id);
        turn.incidents.push(incident);
        turn.store = true;
        while self.past.len() > HISTORY {
            turn.forgotten.extend(self.past.pop_front());
        }
    }
}
