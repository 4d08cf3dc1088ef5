//! What a worker tells is stored; what users want of sources is done; the worker runs while there is something to follow.

use tokio::sync::oneshot;

use vigie_api::source::{Answer, Change, LookedAt, Request};
use vigie_core::clock::Now;
use vigie_core::journal;
use vigie_core::service::Wanted;
use vigie_core::supervisor::{Event, OpId, View};
use vigie_core::units::Span;
use vigie_os::clock;
use vigie_store::samples::Round;
use vigie_wire::worker::Role;

use super::{Deed, Dispatch};
use crate::sources::{self, Followed, Heard};

/// How long somebody looks who asked once.
const WATCHED: Span = Span::secs(10);

impl Dispatch {
    pub(super) fn hear_worker(&mut self, mut heard: Heard) {
        let room = heard.take_room();
        let now = clock::now();
        let Followed { batch, round } = self.parts.sources.hear(heard, now.wall, &self.parts.log);
        let ticket = self.record(batch.entries, batch.documents);
        if let Some(room) = room {
            self.after(ticket, Deed::Free(room));
        }
        if let Some(round) = round {
            self.take_round(round, now);
        }
    }

    /// Whatever was measured of whomever comes through here.
    pub(super) fn take_round(&mut self, round: Round, now: Now) {
        self.judge(&round);
        self.parts.recorder.take(round, now);
    }

    /// Somebody looks at containers.
    pub(super) fn watch_containers(&mut self, looked_at: &[LookedAt]) {
        self.parts.sources.watch(looked_at, WATCHED, &self.parts.log);
    }

    pub(super) fn change_sources(&mut self, request: Request, reply: oneshot::Sender<Answer>) {
        let Request { change, origin } = request;
        let name = match &change {
            Change::Add { source, .. } => source.name.clone(),
            Change::Set { name, .. } | Change::Remove(name) | Change::Pause(name) | Change::Resume(name) => {
                name.clone()
            }
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

    /// Each worker runs exactly while there is something for it to do. One that runs already goes on.
    pub(super) fn see_to_worker(&mut self) {
        for role in Role::ALL {
            let wanted = self.parts.sources.needs(role);
            let place = &self.parts.place;
            let is_up = |view: &View| sources::role_of(place, &view.key) == Some(role) && view.wanted == Wanted::Up;
            if self.parts.supervisor.views().any(|view| is_up(&view)) == wanted && !wanted {
                continue;
            }
            let request = sources::up(place, &self.parts.worker, role, wanted);
            self.next_op += 1;
            let op = OpId(self.next_op);
            // Nobody waits for what comes of it: it is in the journal.
            self.step(Event::Request { op, request });
        }
    }

    /// Workers are shown while there are sources, or something of them is left.
    pub(super) fn is_shown(&self, view: &View) -> bool {
        let is_worker = sources::role_of(&self.parts.place, &view.key).is_some();
        !is_worker || !self.parts.sources.is_empty() || view.state.may_live()
    }
}
