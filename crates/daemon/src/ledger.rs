//! The daemon's side of the journal: what was handed to the thread that writes, and what of it is on the disk.
//!
//! Everything that is recorded gets a [`Ticket`]. Tickets settle in their order; whoever must not act before something
//! is durable waits for its ticket. Nothing here waits for the disk.

use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::{broadcast, mpsc};

use vigie_api::journal::JournalLine;
use vigie_store::journal::{Retention, Stored};
use vigie_store::writer::{Batch, Done, NotStored, QUEUE, Writer};

use crate::log::Log;

/// How many lines a listener may be behind before it has to read the journal.
const LISTENER: usize = 1024;

/// More batches than these wait only when the disk stands still: then no new input is taken.
const BACKLOG: usize = 4 * QUEUE;

/// What the journal keeps (R10.1).
const RETENTION: Retention = Retention { max_age: Duration::from_secs(365 * 86_400), max_rows: 1_000_000 };

/// After so many entries it is looked whether something is to go. No timer: a journal that nobody writes does not grow.
const PRUNE_EVERY: usize = 4096;

/// The number of a batch.
pub(crate) type Ticket = u64;

/// Entries as they become durable.
pub(crate) type Lines = broadcast::Sender<Arc<News>>;

/// An entry that became durable.
#[derive(Debug)]
pub(crate) struct News {
    line: JournalLine,
    /// It as it is sent to many: written when the first of them gets it.
    frame: OnceLock<Bytes>,
}

impl News {
    pub(crate) fn new(line: JournalLine) -> Self {
        Self { line, frame: OnceLock::new() }
    }

    /// What `write` makes of it, once for all.
    pub(crate) fn frame(&self, write: impl FnOnce(&JournalLine) -> Bytes) -> Bytes {
        self.frame.get_or_init(|| write(&self.line)).clone()
    }
}

impl std::ops::Deref for News {
    type Target = JournalLine;

    fn deref(&self) -> &JournalLine {
        &self.line
    }
}

/// What was handed to the writer.
pub(crate) struct Ledger {
    writer: Writer,
    answers: mpsc::Receiver<Result<Done, NotStored>>,
    answer: mpsc::Sender<Result<Done, NotStored>>,
    /// Did not fit into the writer's queue.
    waiting: VecDeque<Batch>,
    in_flight: usize,
    recorded: Ticket,
    settled: Ticket,
    /// Entries since it was last looked whether some are to go; that is done at the first, too.
    since_pruned: usize,
    lines: Lines,
    log: Log,
}

/// A batch was dealt with.
pub(crate) enum Settled {
    /// It is on the disk. Its documents must be recorded again when the journal had to be begun anew.
    Stored {
        /// The journal was damaged and is a new one.
        anew: bool,
        /// What is new in the journal by it.
        news: Vec<Stored>,
    },
    /// It is not.
    Lost(Box<NotStored>),
}

impl Ledger {
    pub(crate) fn new(writer: Writer, log: Log) -> Self {
        // As many as can be in flight: the writer never waits for a place.
        let (answer, answers) = mpsc::channel(QUEUE);
        let (lines, _) = broadcast::channel(LISTENER);
        Self {
            writer,
            answers,
            answer,
            waiting: VecDeque::new(),
            in_flight: 0,
            recorded: 0,
            settled: 0,
            since_pruned: 0,
            lines,
            log,
        }
    }

    /// For listeners.
    pub(crate) fn lines(&self) -> Lines {
        self.lines.clone()
    }

    /// Hands over a batch. The ticket of an empty one is that of the last before it.
    pub(crate) fn record(&mut self, batch: Batch) -> Ticket {
        if !batch.entries.is_empty() || !batch.documents.is_empty() {
            if self.recorded == 0 || self.since_pruned >= PRUNE_EVERY {
                self.since_pruned = 0;
                self.prune();
            }
            self.since_pruned += batch.entries.len();
            self.recorded += 1;
            self.waiting.push_back(batch);
            self.submit();
        }
        self.recorded
    }

    /// Whether a ticket is settled.
    pub(crate) fn is_settled(&self, ticket: Ticket) -> bool {
        ticket <= self.settled
    }

    /// Whether more can be recorded without piling up.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting.len() < BACKLOG
    }

    fn prune(&self) {
        let log = self.log.clone();
        // When the queue is full it is for another time.
        self.writer.prune(vigie_os::clock::now().wall, RETENTION, move |outcome| {
            if let Err(error) = outcome {
                log.line(&format!("old entries cannot be removed from the journal: {error}"));
            }
        });
    }

    fn submit(&mut self) {
        while self.in_flight < QUEUE
            && let Some(batch) = self.waiting.pop_front()
        {
            let answer = self.answer.clone();
            let on_done = Box::new(move |result| {
                // There is a place for each that is in flight.
                let _ = answer.try_send(result);
            });
            match self.writer.submit(batch, on_done) {
                Ok(()) => self.in_flight += 1,
                Err(refused) => {
                    self.waiting.push_front(refused.batch);
                    return;
                }
            }
        }
    }

    /// The next ticket that settles. Its entries are told to the listeners. Waits for ever when nothing is recorded; may
    /// be dropped while it waits.
    pub(crate) async fn settle(&mut self) -> Settled {
        let Some(answer) = self.answers.recv().await else {
            // This struct holds a sender.
            return std::future::pending().await;
        };
        self.in_flight -= 1;
        self.settled += 1;
        self.submit();
        match answer {
            Ok(done) => {
                self.tell(&done);
                let numbered = done.batch.entries.into_iter().zip(done.numbers);
                let news = numbered.filter_map(|(entry, seq)| Some(Stored { seq: seq?, entry })).collect();
                Settled::Stored { anew: done.damage.is_some(), news }
            }
            Err(lost) => Settled::Lost(Box::new(lost)),
        }
    }

    fn tell(&self, done: &Done) {
        if self.lines.receiver_count() == 0 {
            return;
        }
        for (entry, number) in done.batch.entries.iter().zip(&done.numbers) {
            if let Some(number) = number {
                // An error only says that nobody listens.
                let _ = self.lines.send(Arc::new(News::new(JournalLine::new(*number, entry))));
            }
        }
    }

    /// Writes what waits and closes the journal.
    pub(crate) fn close(mut self) -> Result<(), vigie_store::Error> {
        // What did not fit into the queue fits now that nothing more comes: the writer empties it without pause.
        while !self.waiting.is_empty() {
            self.submit();
            if self.waiting.is_empty() || self.answers.blocking_recv().is_none() {
                break;
            }
            self.in_flight -= 1;
        }
        self.writer.close()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use vigie_core::clock::Wall;
    use vigie_core::identity::RunId;
    use vigie_core::journal::{Entry, Subject, What};
    use vigie_store::journal::{Journal, Query, Reader};

    use crate::test::run;

    fn batch(seq: u64) -> Batch {
        let entry = Entry::of_keeper(Wall(seq), Subject::Daemon, RunId(1), seq, What::Locked);
        Batch { entries: vec![entry], documents: Vec::new() }
    }

    #[test]
    fn tickets_settle_in_order_and_listeners_hear_what_is_new_once() {
        let folder = tempfile::tempdir().expect("folder");
        let (journal, _) = Journal::open(folder.path(), Wall(1)).expect("opened");
        let mut ledger = Ledger::new(Writer::spawn(journal).expect("thread"), Log::open(folder.path()));
        let mut listener = ledger.lines().subscribe();
        // More than the writer's queue takes at once, and one twice.
        let count = QUEUE as u64 + 500;
        for seq in 1..=count {
            assert_eq!(ledger.record(batch(seq)), seq);
        }
        assert_eq!(ledger.record(batch(7)), count + 1);
        assert_eq!(ledger.record(Batch::default()), count + 1, "nothing to write");
        run(async {
            for ticket in 1..=count + 1 {
                assert!(!ledger.is_settled(ticket));
                assert!(matches!(ledger.settle().await, Settled::Stored { anew: false, .. }));
                assert!(ledger.is_settled(ticket));
                match listener.try_recv() {
                    Ok(line) => assert_eq!(line.seq, Some(ticket)),
                    Err(_) => assert_eq!(ticket, count + 1, "the journal had it"),
                }
            }
            let settle = tokio::time::timeout(Duration::from_millis(5), ledger.settle());
            assert!(settle.await.is_err(), "nothing more settles");
        });
        ledger.record(batch(count + 1));
        ledger.close().expect("closed");
        let reader = Reader::open(folder.path()).expect("journal");
        assert_eq!(
            reader.read(&Query::default()).expect("read").len() as u64,
            count + 1,
            "also what was still waiting"
        );
    }
}
