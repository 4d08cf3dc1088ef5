//! The daemon's hands: one link per service to its keeper.
//!
//! A link is a task that holds the connection to a keeper, spawns one when there is none, and tells the supervisor what
//! it hears. Its task lives as long as the daemon knows the service; keepers come and go behind it. Order is kept: what
//! is sent to a service is done one after the other, and a new keeper is only spawned when the old one is dead, so that
//! it cannot meet its predecessor's lock.

mod connection;
mod nursery;
mod spawn;
mod task;

use std::collections::HashMap;
use std::path::PathBuf;

use tokio::sync::mpsc;

use vigie_core::identity::RunId;
use vigie_core::launch::{Launch, ServiceKey};
use vigie_core::supervisor::{Claims, Event};
use vigie_wire::keeper::Request;

use crate::children::Children;
use crate::input::Input;
use crate::log::Log;

pub(crate) use connection::{Connection, Talk};
pub(crate) use spawn::Spawner;

/// How many commands may wait for one keeper.
const COMMANDS: usize = 32;

/// What a link is told.
#[derive(Debug)]
pub(crate) enum Command {
    /// Bring up a run, if what it claims is free.
    Launch(Box<Launch>, Claims),
    /// Pass on to the keeper.
    Tell(Box<Request>),
    /// Let the keeper go.
    Release,
}

/// What every link needs.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) inputs: mpsc::Sender<Input>,
    pub(crate) children: Children,
    pub(crate) spawner: Spawner,
    pub(crate) log: Log,
}

/// All links.
pub(crate) struct Links {
    surroundings: Surroundings,
    links: HashMap<ServiceKey, mpsc::Sender<Command>>,
}

impl Links {
    pub(crate) fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, links: HashMap::new() }
    }

    /// Takes up a keeper that was found. `folder` is the service's.
    pub(crate) fn adopt(&mut self, key: ServiceKey, folder: PathBuf, connection: Connection) {
        self.start(key, folder, Some(connection));
    }

    /// Brings up a run.
    pub(crate) fn launch(&mut self, launch: Launch, claims: Claims) {
        let key = launch.key.clone();
        let folder = launch.folder.as_path().to_owned();
        self.send(&key, folder, Command::Launch(Box::new(launch), claims));
    }

    /// Passes a request on to the keeper of a service. When there is none, its loss is known or on its way.
    pub(crate) fn tell(&mut self, key: &ServiceKey, request: Request) {
        if let Some(link) = self.links.get(key)
            && link.try_send(Command::Tell(Box::new(request))).is_err()
        {
            self.surroundings.log.line(&format!("{}: its keeper takes no more commands", key.service));
        }
    }

    /// Lets the keeper of a service go.
    pub(crate) fn release(&mut self, key: &ServiceKey) {
        if let Some(link) = self.links.get(key)
            && link.try_send(Command::Release).is_err()
        {
            self.surroundings.log.line(&format!("{}: its keeper takes no more commands", key.service));
        }
    }

    fn send(&mut self, key: &ServiceKey, folder: PathBuf, command: Command) {
        if !self.links.contains_key(key) {
            self.start(key.clone(), folder, None);
        }
        let Some(link) = self.links.get(key) else { return };
        if let Err(error) = link.try_send(command)
            && let Command::Launch(launch, _) = error.into_inner()
        {
            self.fail(key, launch.run, "its keeper takes no more commands");
        }
    }

    fn fail(&self, key: &ServiceKey, run: RunId, why: &str) {
        let event = Event::LaunchFailed { key: key.clone(), run, why: why.to_owned() };
        let inputs = self.surroundings.inputs.clone();
        // The dispatcher itself calls this: it must not wait for a place in its own queue.
        tokio::spawn(async move { inputs.send(Input::Event(event)).await });
    }

    fn start(&mut self, key: ServiceKey, folder: PathBuf, connection: Option<Connection>) {
        let (sender, commands) = mpsc::channel(COMMANDS);
        let link = task::Link::new(key.clone(), folder, self.surroundings.clone(), commands, connection);
        tokio::spawn(link.serve());
        self.links.insert(key, sender);
    }
}
