//! What a worker tells is stored; what users want of sources is done; the worker runs while there is something to follow.

use tokio::sync::oneshot;

use vigie_api::source::{Answer, Change, Request};
use vigie_core::journal;
use vigie_core::service::Wanted;
use vigie_core::supervisor::{Event, OpId, View};
use vigie_os::clock;

use super::{Deed, Dispatch};
use crate::sources::{self, Heard};

impl Dispatch {
    pub(super) fn hear_worker(&mut self, mut heard: Heard) {
        let room = heard.take_room();
        let batch = self.parts.sources.hear(heard, clock::now().wall, &self.parts.log);
        let ticket = self.record(batch.entries, batch.documents);
        if let Some(room) = room {
            self.after(ticket, Deed::Free(room));
        }
    }

    pub(super) fn change_sources(&mut self, request: Request, reply: oneshot::Sender<Answer>) {
        let Request { change, origin } = request;
        let name = match &change {
            Change::Add { source, .. } => source.name.clone(),
            Change::Remove(name) | Change::Pause(name) | Change::Resume(name) => name.clone(),
        };
        let by = journal::origin(&origin);
        match self.parts.sources.change(change, &by, clock::now().wall, &self.parts.log) {
            Err(detail) => drop(reply.send(Answer::Error(detail))),
            Ok(batch) => {
                let ticket = self.record(batch.entries, batch.documents);
                let answer = Answer::Done(self.parts.sources.show_one(&name).map(Box::new));
                self.after(ticket, Deed::AnswerOfSources(reply, Box::new(answer)));
                self.see_to_worker();
            }
        }
    }

    /// The worker runs exactly while there is something to follow. One that runs already goes on.
    pub(super) fn see_to_worker(&mut self) {
        let wanted = self.parts.sources.needs_worker();
        let place = &self.parts.place;
        let is_up = |view: &View| sources::is_internal(place, &view.key) && view.wanted == Wanted::Up;
        if self.parts.supervisor.views().any(|view| is_up(&view)) == wanted && !wanted {
            return;
        }
        let request = sources::up(place, &self.parts.worker, wanted);
        self.next_op += 1;
        let op = OpId(self.next_op);
        // Nobody waits for what comes of it: it is in the journal.
        self.step(Event::Request { op, request });
    }

    /// The worker is shown while there are sources, or something of it is left.
    pub(super) fn is_shown(&self, view: &View) -> bool {
        !sources::is_internal(&self.parts.place, &view.key) || !self.parts.sources.is_empty() || view.state.may_live()
    }
}
