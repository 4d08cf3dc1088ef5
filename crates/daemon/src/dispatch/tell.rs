//! From what is durable in the journal to incidents, from incidents to messages.
//!
//! Entries are heard when they are on the disk, never before: so what is told is what happened, and a daemon that comes back
//! hears from the journal what this one did not live to hear. What an incident consists of is recorded like anything else,
//! and its messages are sent when that is durable.

use tokio::sync::oneshot;

use vigie_api::SCHEMA;
use vigie_api::settings::{Change, Changed};
use vigie_core::clock::Mono;
use vigie_core::exit_code::ExitCode;
use vigie_core::incidents::Turn;
use vigie_core::journal::Subject;
use vigie_core::launch::ServiceKey;
use vigie_core::name::Name;
use vigie_core::outbox::Verdict;
use vigie_store::journal::Stored;
use vigie_store::samples::Round;

use super::{Deed, Dispatch};
use crate::input::Refused;
use crate::post::{self, Order};

impl Dispatch {
    /// Hears what an earlier daemon journalled and did not hear, and looks at the clock.
    pub(super) fn catch_up(&mut self) {
        let missed = self.parts.incidents.missed();
        self.heard(missed);
        let turn = self.parts.incidents.tick();
        self.tell(turn);
    }

    /// These are in the journal now.
    pub(super) fn heard(&mut self, news: Vec<Stored>) {
        for Stored { seq, entry } in news {
            let turn = self.parts.incidents.hear(seq, &entry);
            self.tell(turn);
        }
    }

    /// Holds what was measured against the rules about limits. Every round passes here, whoever measured it.
    pub(super) fn judge(&mut self, round: &Round) {
        let turn = self.parts.incidents.judge(round, &self.parts.sources);
        self.tell(turn);
    }

    /// Does what is due by the clock.
    pub(super) fn look_at_incidents(&mut self, now: Mono) {
        if self.parts.incidents.due(self.retry_at.is_some()).is_some_and(|due| due <= now) {
            let turn = self.parts.incidents.tick();
            self.tell(turn);
            self.post();
        }
    }

    fn tell(&mut self, turn: Turn) {
        let (entries, documents) = self.parts.incidents.take(turn);
        if entries.is_empty() && documents.is_empty() {
            return;
        }
        let ticket = self.record(entries, documents);
        self.after(ticket, Deed::Post);
    }

    /// A setting, a rule or a silence changes.
    pub(super) fn change(&mut self, change: Change, reply: oneshot::Sender<Result<Changed, Refused>>) {
        match change {
            Change::Set { settings } => self.set(&settings, reply),
            Change::Reset { keys } => self.reset(&keys, reply),
            change => self.change_incidents(change, reply),
        }
    }

    fn change_incidents(&mut self, change: Change, reply: oneshot::Sender<Result<Changed, Refused>>) {
        match self.parts.incidents.change(change) {
            Err(refused) => {
                // Whoever asked may be gone.
                let _ = reply.send(Err(refused));
            }
            Ok((silence, document, turn)) => {
                let (entries, mut documents) = self.parts.incidents.take(turn);
                documents.extend(document);
                let ticket = self.record(entries, documents);
                let changed = Changed { schema: SCHEMA, silence };
                self.after(ticket, Deed::Answer { reply, changed });
                self.after(ticket, Deed::Post);
            }
        }
    }

    /// Sends what may be sent. What could not be stored is not sent: nobody would know afterwards that it was.
    pub(super) fn post(&mut self) {
        if self.retry_at.is_some() {
            return;
        }
        for parcel in self.parts.incidents.pump() {
            let message = &parcel.message;
            let key = message.subject.as_ref().filter(|_| message.wants_lines > 0);
            let key = key.and_then(|subject| self.key_of(subject));
            let logs = key.map(|key| self.parts.place.logs_dir(&key));
            let (host, inputs) = (self.parts.incidents.host().to_owned(), self.parts.inputs.clone());
            post::send(Order { parcel, logs, host }, self.parts.children.clone(), inputs, self.parts.log.clone());
        }
    }

    fn key_of(&self, subject: &Subject) -> Option<ServiceKey> {
        let Subject::Service { project, service, .. } = subject else { return None };
        let view =
            self.parts.supervisor.views().find(|view| view.project == *project && view.key.service == *service)?;
        Some(view.key)
    }

    /// Something came of an attempt.
    pub(super) fn posted(&mut self, channel: &Name, verdict: Verdict) {
        if let Verdict::Later { why, .. } | Verdict::Refused { why } = &verdict {
            self.parts.log.line(&format!("a message to {channel} was not delivered: {why}"));
        }
        let (entries, documents) = self.parts.incidents.posted(channel, verdict);
        let ticket = self.record(entries, documents);
        self.after(ticket, Deed::Post);
    }

    /// The lines that explain an incident were read.
    pub(super) fn explained(&mut self, incident: u64, lines: Vec<String>) {
        let turn = self.parts.incidents.explain(incident, lines);
        let (entries, documents) = self.parts.incidents.take(turn);
        self.record(entries, documents);
    }
}

impl Refused {
    pub(crate) fn usage(why: impl std::fmt::Display) -> Self {
        Self { code: ExitCode::Usage, why: why.to_string() }
    }

    pub(crate) fn not_found(why: impl std::fmt::Display) -> Self {
        Self { code: ExitCode::NotFound, why: why.to_string() }
    }
}
