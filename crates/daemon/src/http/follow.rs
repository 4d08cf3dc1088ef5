//! What all who follow the journal share: that what runs without a daemon is looked at, and when they must go.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use crate::access::{Access, Pass};
use crate::input::Input;

/// While somebody follows, runs that no daemon manages are looked at this often.
const IMPORT: Duration = Duration::from_secs(2);

/// Looks at runs that no daemon manages while somebody follows: one task, however many do, and none while nobody does.
#[derive(Debug, Default)]
pub(crate) struct Imports(Mutex<Weak<Importer>>);

/// Held by each who follows.
#[derive(Debug)]
pub(super) struct Importer(JoinHandle<()>);

impl Drop for Importer {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Imports {
    /// The task that looks; begun when there is none.
    pub(super) fn join(&self, inputs: &mpsc::Sender<Input>) -> Arc<Importer> {
        let mut shared = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(importer) = shared.upgrade() {
            return importer;
        }
        let inputs = inputs.clone();
        let task = tokio::spawn(async move {
            loop {
                tokio::time::sleep(IMPORT).await;
                let (done, imported) = oneshot::channel();
                if inputs.send(Input::Import(done)).await.is_err() {
                    return;
                }
                // Never two at once, however long the disk takes.
                let _ = imported.await;
            }
        });
        let importer = Arc::new(Importer(task));
        *shared = Arc::downgrade(&importer);
        importer
    }
}

/// Until when somebody may stay.
#[derive(Clone)]
pub(super) struct Stay {
    ending: watch::Receiver<bool>,
    pass: Option<(Pass, Access)>,
}

impl Stay {
    /// `pass`: by what somebody came in, when it was not the Unix socket.
    pub(super) fn new(ending: &watch::Receiver<bool>, pass: Option<(Pass, Access)>) -> Self {
        Self { ending: ending.clone(), pass }
    }

    /// Waits until the daemon ends, or the token is worth nothing any more.
    pub(super) async fn over(&self) {
        let mut ending = self.ending.clone();
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => {}
            () = self.revoked() => {}
        }
    }

    /// Waits until the token is worth nothing any more.
    pub(super) async fn revoked(&self) {
        match &self.pass {
            Some((pass, access)) => access.revoked(pass).await,
            None => std::future::pending().await,
        }
    }
}
