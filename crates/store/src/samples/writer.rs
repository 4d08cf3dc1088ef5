//! The one thread that writes samples.
//!
//! - The queue is bounded, and [`Writer::submit`] never blocks: a batch that finds no room is dropped, and its samples are
//!   counted. So are those of a batch that cannot be written. The count is stored with the next batch that can.
//! - The file is opened by the thread, with the first batch: nobody waits for it.
//! - Between two batches the thread tidies up, step by step, as long as no batch waits.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};
use std::thread::JoinHandle;

use vigie_core::clock::Wall;

use super::{Batch, Damage, Samples};
use crate::error::Error;

/// How many batches may wait.
const QUEUE: usize = 64;

/// What the thread has to tell. Each once, until it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A damaged file was set aside and a new one begun.
    Damaged(Damage),
    /// Samples cannot be stored: a newer version wrote the file, the disk is full, ….
    Failing(String),
    /// They can be again.
    Again,
}

/// Called on the writer's thread: be quick.
pub type OnTold = Box<dyn Fn(Told) + Send>;

/// Called on the writer's thread when everything that was handed over before is dealt with.
pub type OnDone = Box<dyn FnOnce() + Send>;

enum Task {
    Store(Batch),
    Tell(OnDone),
}

/// The handle of the thread. Dropping it writes what waits and closes the file.
pub struct Writer {
    /// Absent while it ends.
    queue: Option<SyncSender<Task>>,
    thread: Option<JoinHandle<()>>,
    lost: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the thread. `limit` is how large the file in `dir` may become, in bytes.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn spawn(dir: &Path, limit: u64, on_told: OnTold) -> std::io::Result<Self> {
        let (queue, tasks) = sync_channel(QUEUE);
        let lost = Arc::new(AtomicU64::new(0));
        let mut work = Work {
            dir: dir.to_owned(),
            limit,
            samples: None,
            refused: false,
            failing: false,
            lost: Arc::clone(&lost),
            on_told,
            to_tidy: None,
        };
        let thread = std::thread::Builder::new()
            .name("samples".to_owned())
            .stack_size(256 << 10)
            .spawn(move || work.run(&tasks))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), lost })
    }

    /// Hands over a batch. Returns `false` when there was no room: its samples are lost, and counted.
    pub fn submit(&self, batch: Batch) -> bool {
        let Some(queue) = &self.queue else { return false };
        match queue.try_send(Task::Store(batch)) {
            Ok(()) => true,
            Err(TrySendError::Full(task) | TrySendError::Disconnected(task)) => {
                if let Task::Store(batch) = task {
                    self.lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                }
                false
            }
        }
    }

    /// Has `on_done` called when everything that was handed over is dealt with. Where the queue is full it is dropped, and
    /// what it holds with it.
    pub fn tell(&self, on_done: OnDone) {
        if let Some(queue) = &self.queue {
            let _ = queue.try_send(Task::Tell(on_done));
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // One that panicked has told so; samples are disposable.
            let _ = thread.join();
        }
    }
}

struct Work {
    dir: PathBuf,
    limit: u64,
    samples: Option<Samples>,
    /// A newer version wrote the file: it is not touched again.
    refused: bool,
    failing: bool,
    lost: Arc<AtomicU64>,
    on_told: OnTold,
    /// There may be something to tidy up at this time, that of the last batch.
    to_tidy: Option<Wall>,
}

impl Work {
    fn run(&mut self, tasks: &Receiver<Task>) {
        while let Some(task) = self.next(tasks) {
            match task {
                Task::Tell(on_done) => on_done(),
                Task::Store(batch) => {
                    self.to_tidy = Some(batch.now);
                    self.store(&batch);
                }
            }
        }
        if let Some(samples) = self.samples.take() {
            // What is in the log is read from there.
            let _ = samples.close();
        }
    }

    /// The next task. Tidies up while there is none. Absent when there will be none.
    fn next(&mut self, tasks: &Receiver<Task>) -> Option<Task> {
        loop {
            match tasks.try_recv() {
                Ok(task) => return Some(task),
                Err(TryRecvError::Disconnected) => return None,
                Err(TryRecvError::Empty) => {
                    if !self.tidy() {
                        return tasks.recv().ok();
                    }
                }
            }
        }
    }

    fn store(&mut self, batch: &Batch) {
        let lost = self.lost.swap(0, Ordering::Relaxed);
        match self.try_store(batch, lost) {
            Ok(()) if std::mem::take(&mut self.failing) => (self.on_told)(Told::Again),
            Ok(()) => {}
            Err(error) => {
                self.lost.fetch_add(lost + batch.len() as u64, Ordering::Relaxed);
                self.failed(&error);
            }
        }
    }

    fn failed(&mut self, error: &Error) {
        if !std::mem::replace(&mut self.failing, true) {
            (self.on_told)(Told::Failing(error.to_string()));
        }
    }

    fn try_store(&mut self, batch: &Batch, lost: u64) -> Result<(), Error> {
        if self.refused {
            return Err(Error::Closed);
        }
        if self.samples.is_none() {
            let opened = Samples::open(&self.dir, batch.now, self.limit);
            self.refused = matches!(opened, Err(Error::Newer { .. }));
            let (samples, damage) = opened?;
            self.samples = Some(samples);
            damage.into_iter().for_each(|damage| (self.on_told)(Told::Damaged(damage)));
        }
        let Some(samples) = &mut self.samples else { return Err(Error::Closed) };
        match samples.write(batch, lost) {
            Err(Error::Damaged { why, .. }) => {
                self.begin_anew(why, batch.now)?;
                let Some(samples) = &mut self.samples else { return Err(Error::Closed) };
                samples.write(batch, lost)
            }
            stored => stored,
        }
    }

    fn begin_anew(&mut self, why: String, now: Wall) -> Result<(), Error> {
        let Some(samples) = self.samples.take() else { return Err(Error::Closed) };
        let (samples, damage) = samples.begin_anew(why, now)?;
        self.samples = Some(samples);
        (self.on_told)(Told::Damaged(damage));
        Ok(())
    }

    /// One step. Returns whether there is more to do.
    fn tidy(&mut self) -> bool {
        let (Some(now), Some(samples)) = (self.to_tidy.take(), &mut self.samples) else { return false };
        match samples.tidy(now) {
            Ok(more) => {
                self.to_tidy = more.then_some(now);
                more
            }
            Err(Error::Damaged { why, .. }) => {
                if let Err(error) = self.begin_anew(why, now) {
                    self.failed(&error);
                }
                false
            }
            // It is tried again after the next batch.
            Err(error) => {
                self.failed(&error);
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
