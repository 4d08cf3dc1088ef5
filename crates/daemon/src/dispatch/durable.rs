//! Intent before the deed: what a step decided is written down, and what has to wait for the disk is done when it is
//! there.

use vigie_core::journal::{Entry, Subject, What};
use vigie_core::supervisor::{Action, Step};
use vigie_os::clock;
use vigie_store::state::DocumentChange;
use vigie_store::writer::Batch;
use vigie_wire::keeper;

use crate::ledger::{Settled, Ticket};

use super::deferred::Deed;
use super::{Dispatch, RETRY, UNSAVED};

impl Dispatch {
    pub(super) fn carry_out(&mut self, step: Step, heard: Option<Deed>) {
        self.deadline = step.deadline;
        // What the supervisor decided about a run that goes on does not wait for the disk: a restart at zero delay is
        // done before anything is written.
        let mut after = Vec::new();
        for action in step.actions {
            let waits = step.durable_first && action.needs_durable_intent()
                || matches!(action, Action::Reply { .. } | Action::Release { .. } | Action::ForgetGhost { .. });
            if waits || self.deferred.holds_up(&action) {
                after.push(action);
            } else {
                self.perform(action);
            }
        }
        let mut documents = self.changed_documents(&step.changed);
        documents.extend(self.ghost_documents(step.ghosts));
        let ticket = self.record(step.entries, documents);
        for deed in heard.into_iter().chain(after.into_iter().map(Deed::Action)) {
            self.after(ticket, deed);
        }
    }

    /// Does it as soon as what was recorded until now is durable.
    pub(super) fn after(&mut self, ticket: Ticket, deed: Deed) {
        if self.parts.ledger.is_settled(ticket) && self.deferred.is_empty() {
            self.do_it(deed);
        } else {
            self.deferred.push(ticket, deed);
        }
    }

    pub(super) fn record(&mut self, entries: Vec<Entry>, documents: Vec<DocumentChange>) -> Ticket {
        self.parts.ledger.record(Batch { entries, documents })
    }

    pub(super) fn settled(&mut self, settled: Settled) {
        match settled {
            Settled::Stored { anew, news } => {
                if anew {
                    self.parts.log.line("the journal was damaged and begun anew");
                    let changes = self.all_documents();
                    self.record(Vec::new(), changes);
                }
                self.heard(news);
            }
            Settled::Lost(lost) => {
                self.parts.log.line(&format!("the journal cannot be written: {}", lost.error));
                self.documents.forget(&lost.batch.documents);
                let now = clock::now();
                for entry in lost.batch.entries {
                    if self.unsaved.len() < UNSAVED {
                        self.unsaved.push(entry);
                    } else {
                        self.lost.get_or_insert((0, now.wall)).0 += 1;
                    }
                }
                self.retry_at = Some(now.mono + RETRY);
            }
        }
        while let Some(deed) = self.deferred.pop(|ticket| self.parts.ledger.is_settled(ticket)) {
            self.do_it(deed);
        }
        self.launch_waiting();
    }

    /// Tries to store again what could not be stored.
    pub(super) fn retry(&mut self) {
        self.retry_at = None;
        let mut entries = std::mem::take(&mut self.unsaved);
        if let Some((count, from)) = self.lost.take() {
            let why = format!("the journal could not be written and {count} entries were lost");
            let to = clock::now().wall;
            entries.push(Entry::new(to, Subject::Daemon, None, What::Gap { from, to, why }));
        }
        let documents = self.all_documents();
        self.record(entries, documents);
    }

    pub(super) fn do_it(&mut self, deed: Deed) {
        match deed {
            Deed::Action(action) => self.perform(action),
            Deed::Free(room) => drop(room),
            Deed::Tell(done) => {
                let _ = done.send(());
            }
            Deed::Answer { reply, changed } => {
                let _ = reply.send(Ok(changed));
            }
            Deed::Post => self.post(),
            Deed::AnswerOfSources(reply, answer) => {
                let _ = reply.send(*answer);
            }
            Deed::Acknowledge { key, run, seq } => {
                // What could not be stored is not acknowledged: the keeper keeps it for the next daemon.
                if self.unsaved.is_empty() && self.lost.is_none() {
                    self.parts.links.tell(&key, keeper::Request::Acknowledge { run, seq });
                }
            }
        }
    }
}
