//! Foreground commands to which services are tied (R5.5).
//!
//! A session lives as long as its connection. Its command's identity is kept in the database: a daemon that comes back
//! asks the kernel whether the command still lives, and waits for its end even if it never connects again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use vigie_core::identity::ProcKey;
use vigie_core::name::Name;
use vigie_core::supervisor::SessionId;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;
use vigie_store::state::DocumentChange;

use crate::input::Input;
use crate::readable::Readable;

/// The kind of the documents that keep sessions.
pub(crate) const KIND: &str = "session";

/// Larger numbers do not survive readers of JSON that know only floating-point numbers.
const LARGEST: u64 = (1 << 53) - 1;

/// The services of a session, by project and name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tied(Arc<Mutex<HashSet<(Name, Name)>>>);

impl Tied {
    /// Whether this service is one of them.
    pub(crate) fn contains(&self, project: &Name, service: &Name) -> bool {
        let tied = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        tied.contains(&(project.clone(), service.clone()))
    }

    fn add(&self, project: &Name, service: &Name) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert((project.clone(), service.clone()));
    }
}

/// A session as its stream sees it.
#[derive(Debug, Clone)]
pub(crate) struct Session {
    pub(crate) id: SessionId,
    pub(crate) tied: Tied,
}

/// All that are open.
#[derive(Debug, Default)]
pub(crate) struct Sessions(HashMap<SessionId, Tied>);

impl Sessions {
    /// A new one, and what is to be kept of it.
    ///
    /// # Errors
    /// When the system gives no random number.
    pub(crate) fn open(&mut self, command: &ProcKey) -> Result<(Session, DocumentChange), String> {
        let id = SessionId(vigie_os::random::u64().map_err(|error| error.to_string())? & LARGEST);
        let document = DocumentChange::put(KIND, &document_key(id), command).map_err(|error| error.to_string())?;
        Ok((self.insert(id), document))
    }

    /// One of an earlier daemon, whose command still lives.
    pub(crate) fn restore(&mut self, id: SessionId) {
        self.insert(id);
    }

    fn insert(&mut self, id: SessionId) -> Session {
        let tied = self.0.entry(id).or_default().clone();
        Session { id, tied }
    }

    /// One that is open.
    pub(crate) fn get(&self, id: SessionId) -> Option<Session> {
        self.0.get(&id).map(|tied| Session { id, tied: tied.clone() })
    }

    /// A service was tied to it.
    pub(crate) fn tie(&self, id: SessionId, project: &Name, service: &Name) {
        if let Some(tied) = self.0.get(&id) {
            tied.add(project, service);
        }
    }

    /// It is over; what is to be forgotten of it. `None` when it was over before.
    pub(crate) fn close(&mut self, id: SessionId) -> Option<DocumentChange> {
        self.0.remove(&id).map(|_| DocumentChange::delete(KIND, &document_key(id)))
    }
}

fn document_key(id: SessionId) -> String {
    id.0.to_string()
}

/// The number of a kept session.
pub(crate) fn id_of(document_key: &str) -> Option<SessionId> {
    document_key.parse().ok().map(SessionId)
}

/// Waits for the end of the command of a session that an earlier daemon opened. `false` when it is gone already.
pub(crate) fn watch(id: SessionId, command: &ProcKey, proc: &Proc, inputs: mpsc::Sender<Input>) -> bool {
    let Ok(Some(target)) = Target::open(proc, command) else { return false };
    if target.is_dead().unwrap_or(true) {
        return false;
    }
    let Ok(target) = Readable::new(target) else { return false };
    tokio::spawn(async move {
        target.wait().await;
        let _ = inputs.send(Input::CloseSession(id)).await;
    });
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::Command;

    use crate::test::run;

    #[test]
    fn a_command_that_ends_closes_its_session() {
        run(async {
            let proc = Proc::system().expect("/proc");
            let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
            let key = proc.key(child.id()).expect("readable").expect("alive");
            let (inputs, mut queue) = mpsc::channel(4);
            let mut sessions = Sessions::default();
            let (session, document) = sessions.open(&key).expect("opened");
            assert!(matches!(document, DocumentChange::Put { .. }));
            let name = |text| Name::new(text).expect("name");
            sessions.tie(session.id, &name("demo"), &name("api"));
            assert!(session.tied.contains(&name("demo"), &name("api")));
            assert!(!session.tied.contains(&name("demo"), &name("db")));
            assert!(watch(session.id, &key, &proc, inputs.clone()));
            child.kill().expect("own child");
            child.wait().expect("own child");
            assert!(matches!(queue.recv().await, Some(Input::CloseSession(id)) if id == session.id));
            assert!(!watch(session.id, &key, &proc, inputs), "it is gone");
            assert!(sessions.close(session.id).is_some());
            assert!(sessions.close(session.id).is_none());
        });
    }
}
