//! From decision to deed.

use std::time::Duration;

use vigie_core::ghost::Ghost;
use vigie_core::identity::RunId;
use vigie_core::launch::{Launch, ServiceKey};
use vigie_core::supervisor::{Action, Event, LaunchPlace};
use vigie_core::text::OsText;
use vigie_os::cgroup::Cgroup;
use vigie_os::{clock, ghosts};
use vigie_wire::keeper::Request;

use super::Dispatch;
use crate::aside::off_thread;
use crate::input::{End, Input};
use crate::probe::Order;
use crate::recover::Lost;

/// How long an empty cgroup may take to let itself be removed.
const REMOVE: Duration = Duration::from_secs(2);

impl Dispatch {
    pub(super) fn perform(&mut self, action: Action) {
        match action {
            Action::Launch { key, run } => self.launches.push(key, run),
            Action::Stop { key, ladder, cause } => match self.launches.cancel(&key) {
                // Nothing of it is there yet.
                Some(run) => self.step(Event::Refused { key, run, holder: None }),
                None => self.parts.links.tell(&key, Request::Stop { ladder, cause }),
            },
            Action::Skip { key } => self.parts.links.tell(&key, Request::Skip),
            Action::Release { key } => self.parts.links.release(&key),
            Action::Recover { key, run, ladder, process } => {
                let live = self.parts.runs.get(&key).filter(|live| live.id == run).cloned();
                self.parts.recoverer.recover(key, Lost { run, live, process }, ladder);
            }
            Action::Quarantine { key, run, held } => {
                if held {
                    self.parts.links.tell(&key, Request::Quarantine);
                } else {
                    self.parts.recoverer.quarantine(key, Lost { run, live: None, process: None });
                }
            }
            Action::ForgetGhost { run, cgroup } => self.forget_ghost(run, cgroup),
            Action::StartProbe { key, run, purpose, probe, every, timeout } => {
                let Some(live) = self.parts.runs.get(&key).filter(|live| live.id == run).cloned() else { return };
                let Some(launch) = self.describe(&key, run) else { return };
                self.parts.probes.start(Order { launch, live, purpose, probe, every: every.0, timeout: timeout.0 });
            }
            Action::StopProbe { key, purpose } => self.parts.probes.stop(&key, purpose),
            Action::Reply { op, outcome } => {
                if let Some(reply) = self.replies.remove(&op) {
                    // Whoever asked may be gone.
                    let _ = reply.send(outcome);
                }
                if self.shut_down.take_if(|asked| *asked == op).is_some() {
                    let inputs = self.parts.inputs.clone();
                    // Behind the connection that carries the answer.
                    tokio::spawn(async move {
                        tokio::task::yield_now().await;
                        let _ = inputs.send(Input::End(End::Asked)).await;
                    });
                }
            }
        }
    }

    /// Its record goes, and its cgroup, which may stay busy for a moment.
    fn forget_ghost(&self, run: RunId, cgroup: Option<OsText>) {
        let cgroup = cgroup.and_then(|cgroup| Cgroup::existing(cgroup.as_path()));
        // Mostly it is empty by now. First, since nobody looks for it once the record is gone.
        let busy = cgroup.filter(|cgroup| cgroup.remove(clock::mono()).is_err());
        if let Err(error) = ghosts::remove(&self.parts.place.ghosts_dir(), run) {
            self.parts.log.line(&error.to_string());
        }
        if let Some(cgroup) = busy {
            tokio::spawn(off_thread(move || cgroup.remove(clock::mono() + REMOVE)));
        }
    }

    /// Takes note of the records of ghosts that are new, and watches them.
    pub(super) fn look_for_ghosts(&mut self) {
        for ghost in ghosts::all(&self.parts.place.ghosts_dir()) {
            if self.parts.supervisor.ghost(ghost.run()).is_none() {
                self.take_up_ghost(ghost);
            }
        }
    }

    /// A ghost that is on record. One of another boot ended with it.
    pub(super) fn take_up_ghost(&mut self, ghost: Ghost) {
        let run = ghost.run();
        let reboot = ghost.boot() != &self.parts.boot;
        let watched = (!reboot).then(|| ghost.clone());
        self.step(Event::GhostFound(Box::new(ghost)));
        match watched {
            Some(ghost) => crate::ghosts::watch(&ghost, self.parts.inputs.clone(), self.parts.log.clone()),
            None => self.step(Event::GhostGone { run, reboot: true }),
        }
    }

    /// Launches those whose turn it is.
    pub(super) fn launch_waiting(&mut self) {
        while let Some((key, run)) = self.launches.next(clock::mono()) {
            match self.describe(&key, run) {
                Some(launch) => {
                    let claims = self.parts.supervisor.claims(&key);
                    self.parts.links.launch(launch, claims);
                }
                // It was decided otherwise while this waited.
                None => self.step(Event::Refused { key, run, holder: None }),
            }
        }
    }

    fn describe(&self, key: &ServiceKey, run: RunId) -> Option<Launch> {
        let place = LaunchPlace {
            lock: self.parts.place.lock_path(key).into(),
            folder: self.parts.place.service_dir(key).into(),
            logs: self.parts.place.logs_dir(key).into(),
        };
        self.parts.supervisor.launch(key, run, place)
    }
}
