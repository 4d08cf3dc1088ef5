//! The one thread that writes the journal: everything that waits goes into one transaction (group commit), so that a
//! thousand services cost as few waits for the disk as one.
//!
//! # What is promised
//!
//! - Every batch is answered exactly once, in the order in which batches were submitted, on the writer's thread.
//! - `Ok` means that it is on the disk, all of it. `Err` means that nothing of it is; the batch comes back with the
//!   error, and whoever submitted it decides whether to try again. One that fails does not hold up those behind it:
//!   a supervisor whose disk is full must still be able to stop things.
//! - The queue is bounded. When it is full, [`Writer::submit`] returns at once with [`Refused`] and everything that was
//!   given to it: the daemon never blocks on the disk. It keeps what it got back and submits it again after the next
//!   answer; there is one coming for each batch in the queue.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::JoinHandle;

use vigie_core::clock::Wall;
use vigie_core::journal::Entry;

use crate::error::Error;
use crate::journal::{Damage, Journal, Retention};
use crate::state::DocumentChange;

/// How many batches may wait.
pub const QUEUE: usize = 1024;

/// How many batches go into one transaction at most, so that the first does not wait for ever.
const GROUP: usize = 256;

/// How many entries: with so many in it no further batch is taken, for the same reason. They take some 20 ms.
const FULL: usize = 4096;

/// What belongs together: stored as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Entries of the journal.
    pub entries: Vec<Entry>,
    /// The state that they tell of.
    pub documents: Vec<DocumentChange>,
}

/// A batch is on the disk.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// It.
    pub batch: Batch,
    /// The numbers of its entries; absent where the journal already had the event.
    pub numbers: Vec<Option<u64>>,
    /// The journal turned out to be damaged, and this is the first batch in a new one. The entry that tells of it is
    /// written. Documents may be missing there: submit those that matter again.
    pub damage: Option<Damage>,
}

/// A batch is not on the disk.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct NotStored {
    /// It.
    pub batch: Batch,
    /// Why.
    #[source]
    pub error: Error,
}

/// Called on the writer's thread: be quick.
pub type OnDone = Box<dyn FnOnce(Result<Done, NotStored>) + Send>;

/// The queue is full or the writer is gone. Everything comes back.
pub struct Refused {
    /// The batch.
    pub batch: Batch,
    /// Its callback.
    pub on_done: OnDone,
}

enum Task {
    Commit(Batch, OnDone),
    Prune(Wall, Retention, Box<dyn FnOnce(Result<u64, Error>) + Send>),
}

/// The handle of the thread.
pub struct Writer {
    queue: SyncSender<Task>,
    thread: JoinHandle<Option<Journal>>,
}

impl Writer {
    /// Starts the thread.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(journal: Journal) -> std::io::Result<Self> {
        let (queue, tasks) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("journal".to_owned())
            .stack_size(256 << 10)
            .spawn(move || work(journal, &tasks))?;
        Ok(Self { queue, thread })
    }

    /// Hands over a batch. Never blocks.
    ///
    /// # Errors
    /// [`Refused`]: see the module.
    pub fn submit(&self, batch: Batch, on_done: OnDone) -> Result<(), Box<Refused>> {
        self.queue.try_send(Task::Commit(batch, on_done)).map_err(|error| match error {
            TrySendError::Full(Task::Commit(batch, on_done))
            | TrySendError::Disconnected(Task::Commit(batch, on_done)) => Box::new(Refused { batch, on_done }),
            TrySendError::Full(Task::Prune(..)) | TrySendError::Disconnected(Task::Prune(..)) => {
                unreachable!("what comes back is what was sent")
            }
        })
    }

    /// Removes the oldest entries, when what waits before is written. Returns `false` when the queue is full: then it
    /// is for another time.
    pub fn prune(
        &self,
        now: Wall,
        retention: Retention,
        on_done: impl FnOnce(Result<u64, Error>) + Send + 'static,
    ) -> bool {
        self.queue.try_send(Task::Prune(now, retention, Box::new(on_done))).is_ok()
    }

    /// Writes what waits, ends the thread and closes the journal in order.
    ///
    /// # Errors
    /// [`Error::Closed`] when the journal was lost before; else as of [`Journal::close`].
    pub fn close(self) -> Result<(), Error> {
        drop(self.queue);
        match self.thread.join() {
            Ok(Some(journal)) => journal.close(),
            Ok(None) | Err(_) => Err(Error::Closed),
        }
    }
}

fn work(journal: Journal, tasks: &Receiver<Task>) -> Option<Journal> {
    let mut journal = Some(journal);
    let mut next = tasks.recv().ok();
    while let Some(first) = next.take() {
        match first {
            Task::Prune(now, retention, on_done) => {
                on_done(journal.as_mut().map_or(Err(Error::Closed), |journal| journal.prune(now, retention)));
            }
            Task::Commit(batch, on_done) => {
                let mut group = vec![(batch, on_done)];
                let mut entries = group[0].0.entries.len();
                while group.len() < GROUP && entries < FULL {
                    match tasks.try_recv() {
                        Ok(Task::Commit(batch, on_done)) => {
                            entries += batch.entries.len();
                            group.push((batch, on_done));
                        }
                        Ok(other) => {
                            next = Some(other);
                            break;
                        }
                        Err(_) => break,
                    }
                }
                commit(&mut journal, group);
            }
        }
        if next.is_none() {
            next = tasks.recv().ok();
        }
    }
    journal
}

/// All together; when that fails, each alone, in order.
fn commit(journal: &mut Option<Journal>, group: Vec<(Batch, OnDone)>) {
    if group.len() > 1
        && let Some(journal) = journal
    {
        let entries: Vec<&Entry> = group.iter().flat_map(|(batch, _)| &batch.entries).collect();
        let documents = group.iter().flat_map(|(batch, _)| &batch.documents);
        if let Ok(numbers) = journal.commit_all(entries.into_iter(), documents) {
            let mut numbers = numbers.into_iter();
            for (batch, on_done) in group {
                let numbers = numbers.by_ref().take(batch.entries.len()).collect();
                on_done(Ok(Done { batch, numbers, damage: None }));
            }
            return;
        }
    }
    for (batch, on_done) in group {
        on_done(match commit_one(journal, &batch) {
            Ok((numbers, damage)) => Ok(Done { batch, numbers, damage }),
            Err(error) => Err(NotStored { batch, error }),
        });
    }
}

fn commit_one(slot: &mut Option<Journal>, batch: &Batch) -> Result<(Vec<Option<u64>>, Option<Damage>), Error> {
    let journal = slot.as_mut().ok_or(Error::Closed)?;
    match journal.commit(&batch.entries, &batch.documents) {
        Ok(numbers) => Ok((numbers, None)),
        Err(Error::Damaged { path, why }) => {
            // The time of the newest entry is the nearest that this thread knows.
            let Some(now) = batch.entries.iter().map(|entry| entry.at).max() else {
                return Err(Error::Damaged { path, why });
            };
            let damaged = slot.take().ok_or(Error::Closed)?;
            let (mut fresh, damage) = damaged.begin_anew(why, now)?;
            let written =
                fresh.append(&[damage.entry(now)]).and_then(|_| fresh.commit(&batch.entries, &batch.documents));
            *slot = Some(fresh);
            Ok((written?, Some(damage)))
        }
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests;
