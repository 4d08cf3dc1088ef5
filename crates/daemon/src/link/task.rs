//! What a link does.

use std::path::PathBuf;
use std::time::Duration;

use tokio::sync::mpsc;

use vigie_core::identity::RunId;
use vigie_core::launch::{Launch, ServiceKey};
use vigie_core::run::What;
use vigie_core::supervisor::{Claims, Event};
use vigie_wire::keeper::{Answer, Request};

use super::connection::{Connection, Heard, Keeper, Launching, Talk};
use super::{Command, Surroundings};
use crate::claims;
use crate::input::Input;

/// How long a keeper whose connection closed may take to die.
const DYING: Duration = Duration::from_secs(5);

/// How often, and after which delays, a living keeper is connected to again.
const RECONNECT: [Duration; 6] = [
    Duration::ZERO,
    Duration::from_millis(10),
    Duration::from_millis(50),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(5),
];

/// How long it may take to say where it stands.
const INTRODUCTION: Duration = Duration::from_secs(2);

/// The task of one service.
pub(super) struct Link {
    key: ServiceKey,
    folder: PathBuf,
    surroundings: Surroundings,
    commands: mpsc::Receiver<Command>,
    connection: Option<Connection>,
    /// What the run that is being launched must hold alone.
    claims: Claims,
    /// The run was told to stop.
    stopped: bool,
    /// It ended by itself, and badly.
    crashed: bool,
    /// Something may be there to hear that no descriptor tells of: it was read already, or the end is near.
    unheard: bool,
}

enum Happened {
    Command(Option<Command>),
    Readable,
}

impl Link {
    pub(super) fn new(
        key: ServiceKey,
        folder: PathBuf,
        surroundings: Surroundings,
        commands: mpsc::Receiver<Command>,
        connection: Option<Connection>,
    ) -> Self {
        let unheard = connection.is_some();
        Self {
            key,
            folder,
            surroundings,
            commands,
            connection,
            claims: Claims::default(),
            stopped: false,
            crashed: false,
            unheard,
        }
    }

    /// Serves until the daemon ends.
    pub(super) async fn serve(mut self) {
        loop {
            if std::mem::take(&mut self.unheard) {
                self.listen().await;
            }
            let happened = match &self.connection {
                None => Happened::Command(self.commands.recv().await),
                Some(connection) => tokio::select! {
                    command = self.commands.recv() => Happened::Command(command),
                    () = connection.talk.readable() => Happened::Readable,
                },
            };
            match happened {
                Happened::Command(None) => return,
                Happened::Command(Some(command)) => self.obey(command).await,
                Happened::Readable => self.listen().await,
            }
        }
    }

    async fn obey(&mut self, command: Command) {
        match command {
            Command::Launch(launch, claims) => {
                (self.claims, self.stopped, self.crashed) = (claims, false, false);
                self.launch(launch).await;
            }
            Command::Tell(request) => {
                self.stopped |= matches!(*request, Request::Stop { .. });
                self.say(&request).await;
            }
            Command::Release => {
                self.say(&Request::Release).await;
                if let Some(connection) = &mut self.connection {
                    connection.released = true;
                }
            }
        }
    }

    async fn say(&mut self, request: &Request) {
        let Some(connection) = &mut self.connection else { return };
        if connection.talk.say(request).await.is_err() {
            // It may have said something before it went; behind that is the end.
            self.unheard = true;
        }
    }

    async fn launch(&mut self, launch: Box<Launch>) {
        match &mut self.connection {
            None => self.spawn(launch).await,
            Some(connection) if connection.released => {
                // Its lock must be free before the next one asks for it.
                if connection.keeper.is_dead_within(DYING).await {
                    self.connection = None;
                    self.spawn(launch).await;
                } else {
                    self.fail(&launch, "the keeper of the run before does not end").await;
                }
            }
            // A daemon that came back found the lock taken and nothing spawned.
            Some(connection) if connection.run == launch.run && !connection.over => self.go(&launch).await,
            Some(_) => {
                if self.gives_way(&launch).await {
                    return;
                }
                let request = Request::Again(launch.clone());
                if let Some(connection) = &mut self.connection {
                    connection.launching = Some(Launching { launch, again: true });
                }
                self.say(&request).await;
            }
        }
    }

    /// The lock is held: spawn, unless a claim is not free.
    async fn go(&mut self, launch: &Launch) {
        if !self.gives_way(launch).await {
            self.say(&Request::Go).await;
        }
    }

    /// Looks at the claims of a run once more, under its lock (R4.4). When another holds one, the keeper is let go. What is
    /// to be adopted holds its own, and starts nothing.
    async fn gives_way(&mut self, launch: &Launch) -> bool {
        if launch.adopt.is_some() {
            return false;
        }
        let occupied = match claims::occupied(&self.claims, launch) {
            Ok(Some(occupied)) => occupied,
            Ok(None) => return false,
            // What cannot be seen does not keep a service down: if the port is taken, it will say so itself.
            Err(error) => {
                self.surroundings.log.line(&format!("{}: its claims cannot be looked at: {error}", self.key.service));
                return false;
            }
        };
        self.say(&Request::Release).await;
        if let Some(connection) = &mut self.connection {
            connection.released = true;
        }
        let claims::Occupied { what, pid } = occupied;
        self.tell(Event::Occupied { key: self.key.clone(), run: launch.run, what, pid }).await;
        true
    }

    /// The tree of a run that was stopped is empty. Are its ports free, too (R5.3)?
    async fn look_at_ports(&mut self, run: RunId) {
        if let Ok(Some(what)) = claims::held(&self.claims) {
            self.tell(Event::StillHeld { key: self.key.clone(), run, what }).await;
        }
    }

    /// The tree of a run that crashed is empty. Did it find a port taken (R4.4)?
    async fn look_for_holder(&mut self, run: RunId) {
        if let Ok(Some(what)) = claims::held(&self.claims) {
            self.tell(Event::ClaimHeld { key: self.key.clone(), run, what }).await;
        }
    }

    async fn spawn(&mut self, launch: Box<Launch>) {
        let spawned = self.surroundings.spawner.spawn(&self.surroundings.children).await;
        let (keeper, stream) = match spawned {
            Ok(spawned) => spawned,
            Err(error) => {
                let program = self.surroundings.spawner.program().display();
                return self.fail(&launch, &format!("cannot start its keeper {program}: {error}")).await;
            }
        };
        let request = Request::Launch(launch.clone());
        self.connection = Some(Connection {
            talk: Talk::new(stream),
            keeper,
            run: launch.run,
            seq: 0,
            over: false,
            launching: Some(Launching { launch, again: false }),
            released: false,
        });
        self.say(&request).await;
    }

    /// Hears everything that is there.
    async fn listen(&mut self) {
        while let Some(connection) = &mut self.connection {
            match connection.talk.hear() {
                Heard::Answer(answer) => self.understand(*answer).await,
                Heard::Silence => return,
                Heard::End => return self.lose().await,
            }
        }
    }

    async fn understand(&mut self, answer: Answer) {
        let Some(connection) = &mut self.connection else { return };
        match answer {
            Answer::Event(event) => {
                let mut go = None;
                if let Some(launching) = connection.launching.take_if(|launching| launching.launch.run == event.run) {
                    connection.run = event.run;
                    connection.over = false;
                    // One that was told to stop meanwhile does so without having spawned anything.
                    if !launching.again && !self.stopped && matches!(event.what, What::Locked { .. }) {
                        go = Some(launching.launch);
                    }
                }
                let set_aside = matches!(event.what, What::Quarantined { .. });
                let over = set_aside || matches!(event.what, What::Empty);
                if event.run == connection.run {
                    connection.seq = event.seq;
                    connection.over |= over;
                    // It gives the lock back and ends.
                    connection.released |= set_aside;
                }
                if let What::Exited { exit } = event.what {
                    self.crashed = !self.stopped && exit.code() != Some(0);
                }
                if over && !set_aside {
                    match (std::mem::take(&mut self.stopped), std::mem::take(&mut self.crashed)) {
                        (true, _) => self.look_at_ports(event.run).await,
                        (false, true) => self.look_for_holder(event.run).await,
                        (false, false) => {}
                    }
                }
                self.tell(Event::Keeper { key: self.key.clone(), event }).await;
                if let Some(launch) = go {
                    self.go(&launch).await;
                }
            }
            Answer::Refused { holder } => {
                if let Some(launching) = connection.launching.take() {
                    // It ends now, and there is nothing to be lost with it.
                    connection.released = true;
                    let run = launching.launch.run;
                    self.tell(Event::Refused { key: self.key.clone(), run, holder }).await;
                }
            }
            Answer::Failed { run, message } => {
                self.surroundings.log.line(&format!("{}: its keeper says: {message}", self.key.service));
                // It may speak of a request before: what is launched by now fails only by its own name.
                if let Some(launching) = connection.launching.take_if(|launching| Some(launching.launch.run) == run) {
                    // One that could not hold its first run ends.
                    connection.released |= !launching.again;
                    self.fail(&launching.launch, &message).await;
                }
            }
            // The answer to a `Watch` after a reconnection; the events follow.
            Answer::State(_) => {}
        }
    }

    /// The connection is closed: is the keeper gone, too?
    async fn lose(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        let dead = connection.keeper.is_dead_within(DYING).await;
        match connection.launching.take() {
            // It was killed, or ended because nobody wanted it, in the moment in which it was to go on.
            Some(launching) if dead && launching.again => return self.spawn(launching.launch).await,
            Some(launching) => {
                let how = match &mut connection.keeper {
                    Keeper::Child(child) if dead => child.ended().await.to_string(),
                    Keeper::Child(_) | Keeper::Found(_) => "its connection closed".to_owned(),
                };
                return self
                    .fail(&launching.launch, &format!("its keeper ended before it held the lock ({how})"))
                    .await;
            }
            None => {}
        }
        if connection.released {
            return;
        }
        if !dead {
            match self.reconnect(&mut connection).await {
                Some(talk) => {
                    self.connection = Some(Connection { talk, ..connection });
                    self.unheard = true;
                    return;
                }
                None => {
                    let name = &self.key.service;
                    self.surroundings.log.line(&format!("{name}: its keeper lives and cannot be reached"));
                }
            }
        }
        self.tell(Event::KeeperLost { key: self.key.clone(), run: connection.run }).await;
    }

    async fn reconnect(&self, connection: &mut Connection) -> Option<Talk> {
        for delay in RECONNECT {
            if !delay.is_zero() && connection.keeper.is_dead_within(delay).await {
                return None;
            }
            if let Ok(mut talk) = Talk::connect(&self.folder)
                && let Ok(state) = talk.introduce(connection.seq, INTRODUCTION).await
                && state.holder.run == connection.run
            {
                return Some(talk);
            }
        }
        None
    }

    async fn fail(&self, launch: &Launch, why: &str) {
        self.tell(Event::LaunchFailed { key: self.key.clone(), run: launch.run, why: why.to_owned() }).await;
    }

    async fn tell(&self, event: Event) {
        // Nobody listens when the daemon ends; then nothing is lost, the keepers keep it.
        let _ = self.surroundings.inputs.send(Input::Event(event)).await;
    }
}

#[cfg(test)]
mod tests;
