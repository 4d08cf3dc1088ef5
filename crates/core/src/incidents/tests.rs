mod containers;
mod limits;
mod properties;
mod rules;
mod sources;
mod stories;

use std::collections::BTreeSet;

use super::*;
use crate::clock::Wall;
use crate::exit::Exit;
use crate::journal::What;
use crate::launch::Containment;
use crate::name::Name;

pub(super) const SECOND: u64 = 1_000_000_000;

/// Noon of some day, UTC.
const NOON: u64 = 1_800_014_400;

pub(super) fn name(text: &str) -> Name {
    Name::new(text).expect("a name")
}

/// An engine with a journal and a clock.
pub(super) struct Bench {
    pub(super) engine: Engine,
    pub(super) second: f64,
    seq: u64,
    pub(super) messages: Vec<Message>,
    pub(super) entries: Vec<Entry>,
    pub(super) run: u64,
    /// The incidents that are shown.
    pub(super) shown: BTreeMap<u64, Incident>,
}

impl Bench {
    pub(super) fn new() -> Self {
        Self {
            engine: Engine::new(0xabc, 0),
            second: 1000.0,
            seq: 0,
            messages: Vec::new(),
            entries: Vec::new(),
            run: 1,
            shown: BTreeMap::new(),
        }
    }

    pub(super) fn at(&self) -> Moment {
        let nanos = (self.second * 1e9) as u64;
        Moment { now: Now { mono: Mono(nanos), wall: Wall(NOON * SECOND + nanos) }, offset: 0 }
    }

    pub(super) fn take(&mut self, turn: Turn) {
        self.messages.extend(turn.messages);
        for incident in turn.incidents {
            self.shown.insert(incident.id, incident);
        }
        for id in turn.forgotten {
            self.shown.remove(&id);
        }
        // The journal is heard again, as it is in the daemon.
        for entry in turn.entries {
            self.entries.push(entry.clone());
            self.seq += 1;
            let turn = self.engine.hear(self.at(), self.seq, &entry);
            self.take(turn);
        }
    }

    pub(super) fn hear_of(&mut self, service: &str, what: What) {
        let subject = Subject::Service { project: name("demo"), service: name(service), mode: None };
        // What the supervisor decides after the end of a run names none.
        let after = matches!(what, What::RestartScheduled { .. } | What::GaveUp { .. } | What::WantedDown { .. });
        let run = Some(RunId(self.run)).filter(|_| !after);
        let entry = Entry::new(self.at().now.wall, subject, run, what);
        self.seq += 1;
        let turn = self.engine.hear(self.at(), self.seq, &entry);
        self.take(turn);
    }

    pub(super) fn hear(&mut self, what: What) {
        self.hear_of("api", what);
    }

    /// About something that is no service.
    pub(super) fn hear_about(&mut self, subject: Subject, what: What) {
        self.hear_entry(Entry::new(self.at().now.wall, subject, None, what));
    }

    pub(super) fn hear_entry(&mut self, entry: Entry) {
        self.seq += 1;
        let turn = self.engine.hear(self.at(), self.seq, &entry);
        self.take(turn);
    }

    /// Time passes; every deadline is kept.
    pub(super) fn pass(&mut self, seconds: f64) {
        let end = self.second + seconds;
        loop {
            let due = self.engine.deadline(self.at()).map(|due| due.0 as f64 / 1e9);
            match due.filter(|due| *due <= end) {
                Some(due) => self.second = self.second.max(due + 1e-6),
                None => break,
            }
            let turn = self.engine.tick(self.at());
            self.take(turn);
        }
        self.second = end;
    }

    pub(super) fn start(&mut self) {
        self.run += 1;
        self.hear(What::Locked);
        let by = "anna".to_owned();
        self.hear(What::Started { main_pid: 9, containment: Containment::Cgroup2, by, attempt: 0 });
    }

    pub(super) fn exit(&mut self) {
        self.hear(What::Exited { exit: Exit::Code(7), ran: None });
        self.hear(What::Empty { after: None });
    }

    /// It ends by itself, and is started again.
    pub(super) fn crash(&mut self) {
        self.exit();
        self.hear(What::RestartScheduled { delay: Span::millis(1), attempt: 1, of: None });
        self.start();
    }

    /// The daemon dies, and the next one goes on from what was stored.
    pub(super) fn restart(&mut self, same_boot: bool) {
        let at = self.at();
        let json = serde_json::to_string(&self.engine.kept(at.now)).expect("encodes");
        let kept = serde_json::from_str(&json).expect("reads");
        let rules = self.engine.rules();
        let edits = rules.ids().into_iter().filter_map(|rule| Some((rule.clone(), rules.edits(&rule)?.clone())));
        let silences: Vec<Silence> = self.engine.silences().cloned().collect();
        if !same_boot {
            // The machine was off for an hour.
            self.second += 3600.0;
        }
        self.engine = Engine::restore(kept, edits.collect::<Vec<_>>(), silences, self.at().now, same_boot);
    }

    pub(super) fn told(&self) -> Vec<(Occasion, u64)> {
        self.messages.iter().map(|message| (message.occasion, message.count)).collect()
    }

    pub(super) fn set(&mut self, rule: impl Into<RuleId>, key: &str, value: &str) {
        let change = [(key.to_owned(), value.to_owned())];
        let turn = self.engine.set_rule(self.at(), &rule.into(), &change).expect("it fits");
        self.take(turn);
    }
}

/// `key=value` pairs.
pub(super) fn pairs(text: &str) -> Vec<(String, String)> {
    text.split(' ').filter_map(|pair| pair.split_once('=')).map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

/// No key is used for two messages.
pub(super) fn keys_differ(messages: &[Message]) -> bool {
    messages.iter().map(|message| &message.key).collect::<BTreeSet<_>>().len() == messages.len()
}
