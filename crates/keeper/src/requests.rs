//! What clients ask for.

use vigie_core::launch::Launch;
use vigie_os::clock::mono;
use vigie_wire::keeper::{Answer, Phase, Request};

use crate::keeper::Keeper;

impl Keeper {
    /// Carries out what this client has sent.
    pub(crate) fn serve(&mut self, place: usize) {
        while let Some(request) = self.clients.get(place).and_then(crate::clients::Client::next) {
            let begins = match &request {
                Request::Again(launch) => Some(launch.run),
                _ => None,
            };
            if let Err(message) = self.carry_out(place, request)
                && let Some(client) = self.clients.get(place)
            {
                match begins {
                    Some(run) => client.refuse_run(run, message),
                    None => client.refuse(message),
                }
            }
        }
    }

    fn carry_out(&mut self, place: usize, request: Request) -> Result<(), String> {
        let Some(client) = self.clients.get(place) else { return Ok(()) };
        match request {
            Request::Launch(_) => return Err("this keeper was launched already; say again for another run".to_owned()),
            Request::Control => client.controls = true,
            Request::Tie => client.ties = true,
            Request::Watch { after } => {
                client.watches = true;
                self.catch_up(place, after);
            }
            Request::Go => return self.go(),
            Request::Again(launch) => return self.again(launch),
            Request::Release => self.release = true,
            Request::Stop { ladder, cause } => self.stop(ladder, cause),
            Request::Quarantine => return self.quarantine(),
            Request::Skip if self.phase() == Phase::Stopping => self.climb_on(mono()),
            Request::Skip => return Err("no stop is under way that could be hurried".to_owned()),
            Request::Signal { signal, to } => {
                if self.phase().is_over() || !self.course.is_spawned() {
                    return Err(format!("cannot send {signal}: nothing runs"));
                }
                self.signal(signal, to);
            }
            Request::Acknowledge { run, seq } => {
                self.parts.folder.events.acknowledge(run, seq);
                if self.phase() == Phase::Empty {
                    self.parts.folder.events.forget();
                }
            }
        }
        Ok(())
    }

    /// Tells a watcher where the run stands, and what it has missed.
    fn catch_up(&mut self, place: usize, after: u64) {
        let Some(state) = self.state.clone() else { return };
        let events = self.parts.folder.events.after(state.holder.run, after);
        let mut answers = vec![Answer::State(Box::new(state))];
        answers.extend(events.into_iter().map(Answer::Event));
        if let Some(client) = self.clients.get(place) {
            client.send(&answers);
        }
    }

    /// Another run of the same service: the lock never was free in between.
    fn again(&mut self, launch: Box<Launch>) -> Result<(), String> {
        let Some(state) = &self.state else { return Err("nothing was launched yet".to_owned()) };
        if state.phase != Phase::Empty {
            return Err(format!("run {} is not over yet; stop it first", state.holder.run));
        }
        if self.release {
            return Err("this keeper was released and ends; launch another".to_owned());
        }
        if state.holder.key != launch.key {
            return Err("this keeper holds another service".to_owned());
        }
        if state.holder.run == launch.run {
            return Err(format!("run {} was there already; each run needs an id of its own", launch.run));
        }
        self.begin(launch);
        self.go()
    }
}
