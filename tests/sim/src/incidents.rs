//! What the incident engine makes of the journal of a schedule.

use std::collections::BTreeMap;
use std::time::Duration;

use vigie_core::clock::{Now, Wall};
use vigie_core::incidents::{Edits, Engine, Message, Moment, Occasion, RuleId, Rules, Standing, Turn};
use vigie_core::journal::{Entry, Subject};
use vigie_core::policy::Draws;

use crate::neighbour::{self, CALM, News};
use crate::world::World;

/// The engine as it is stored, and what it told.
#[derive(Debug)]
pub struct Incidents {
    engine: Engine,
    messages: Vec<Message>,
    /// What it journalled: heard by itself, too.
    entries: Vec<Entry>,
    seq: u64,
    /// Until when the clock was looked at.
    now: Now,
}

impl Default for Incidents {
    fn default() -> Self {
        let kept = Engine::new(1, 0).kept(Now::default());
        let engine = Engine::restore(kept, edits(&neighbour::rules()), [], Now::default(), true);
        Self { engine, messages: Vec::new(), entries: Vec::new(), seq: 0, now: Now::default() }
    }
}

impl Incidents {
    fn take(&mut self, turn: Turn, now: Now) {
        self.messages.extend(turn.messages);
        for entry in turn.entries {
            self.hear(&entry, now);
            self.entries.push(entry);
        }
    }

    fn hear(&mut self, entry: &Entry, now: Now) {
        self.seq += 1;
        let turn = self.engine.hear(Moment { now, offset: 0 }, self.seq, entry);
        self.take(turn, now);
    }

    /// An entry is durable. Then something happens beside the services, too.
    pub fn committed(&mut self, entry: &Entry, now: Now) {
        self.pass(now);
        self.hear(entry, now);
        match neighbour::next(&mut Draws::new(now.wall.0 ^ self.seq), now) {
            News::Entries(entries) => entries.iter().for_each(|entry| self.hear(entry, now)),
            News::Round(rows) => {
                let rows = rows.iter().map(|(subject, row)| (subject, row.as_slice()));
                let every = Duration::from_secs(neighbour::EVERY);
                let turn = self.engine.judge(Moment { now, offset: 0 }, every, rows, &());
                self.take(turn, now);
            }
        }
    }

    /// Keeps every deadline until then.
    fn pass(&mut self, until: Now) {
        loop {
            let due = self.engine.deadline(Moment { now: self.now, offset: 0 });
            let Some(due) = due.filter(|due| *due <= until.mono) else { break };
            let mono = due.max(self.now.mono);
            let before = u64::try_from(until.mono.since(mono).as_nanos()).unwrap_or(u64::MAX);
            self.now = Now { mono, wall: Wall(until.wall.0.saturating_sub(before)) };
            let turn = self.engine.tick(Moment { now: self.now, offset: 0 });
            self.take(turn, self.now);
        }
        self.now = until;
    }

    /// Everything was asked down. After a day everything that was told to be open was told to be over.
    ///
    /// # Errors
    /// What is not as it should be.
    pub fn at_rest(&self, now: Now) -> Result<(), String> {
        const DAY: Duration = Duration::from_secs(86_400);
        let mut last = Self {
            messages: self.messages.clone(),
            entries: Vec::new(),
            seq: self.seq,
            engine: self.engine.clone(),
            now: self.now,
        };
        let nanos = u64::try_from(DAY.as_nanos()).unwrap_or(u64::MAX);
        last.hear(&neighbour::end(now), now);
        last.pass(Now { mono: now.mono + DAY, wall: Wall(now.wall.0 + nanos) });
        if let Some(open) = last.engine.live().find(|incident| incident.standing != Standing::Resolved) {
            return Err(format!("an incident is open when everything is at rest: {open:?}"));
        }
        let mut told: BTreeMap<Option<u64>, Vec<Occasion>> = BTreeMap::new();
        for message in &last.messages {
            if let Some(Subject::Container { name, .. }) = &message.subject
                && name == CALM
            {
                return Err(format!("what was asked for is told of: {}", message.title()));
            }
            told.entry(message.incident).or_default().push(message.occasion);
        }
        let odd = told.into_iter().find(|(_, told)| {
            let count = |wanted| told.iter().filter(|occasion| **occasion == wanted).count();
            (count(Occasion::Opened), count(Occasion::Resolved)) != (1, 1)
        });
        odd.map_or(Ok(()), |(id, told)| Err(format!("of incident {id:?} was told: {told:?}")))
    }
}

/// A daemon begins with what the last one stored.
pub fn restore(world: &mut World) {
    let now = world.now();
    let incidents = &mut world.disk.incidents;
    let kept = incidents.engine.kept(now);
    let edits = edits(incidents.engine.rules());
    incidents.engine = Engine::restore(kept, edits, [], now, true);
    incidents.pass(now);
}

fn edits(rules: &Rules) -> Vec<(RuleId, Edits)> {
    let with = |id: RuleId| Some((id.clone(), rules.edits(&id)?.clone()));
    rules.ids().into_iter().filter_map(with).collect()
}
