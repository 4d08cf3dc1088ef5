//! Storing what was measured.

use std::sync::Arc;

use rusqlite::{OptionalExtension, Transaction, TransactionBehavior, params};

use vigie_core::clock::Wall;
use vigie_core::samples::{Level, Moment, Subject};

use super::{Samples, column, integer};
use crate::error::{Error, database};

/// From so many samples in a batch on, more of the file is kept in memory.
const LARGE: usize = 500;

/// How much then, in KiB.
const LARGE_CACHE: i64 = 2_048;

/// What is stored together.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// The present.
    pub now: Wall,
    /// Rounds, in any order.
    pub rounds: Vec<Round>,
}

/// What was measured in one go.
#[derive(Debug, Clone)]
pub struct Round {
    /// When.
    pub at: Moment,
    /// When the next is due, in milliseconds.
    pub every: u64,
    /// It is the first of whoever measures.
    pub begins: bool,
    /// Of whom what.
    pub samples: Vec<Sample>,
}

/// What was measured of one subject.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Of whom.
    pub subject: Arc<Subject>,
    /// What, as [`vigie_core::samples::pack_readings`] writes it.
    pub row: Box<[u8]>,
}

impl Batch {
    /// How many samples it has.
    pub fn len(&self) -> usize {
        self.rounds.iter().map(|round| round.samples.len()).sum()
    }

    /// It has none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Samples {
    /// Stores a batch in one transaction. `lost` samples could not be stored before, which is noted with it.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Damaged`], [`Error::Database`]. Nothing of it is stored then.
    pub fn write(&mut self, batch: &Batch, lost: u64) -> Result<(), Error> {
        let stored = self.try_write(batch, lost).map_err(database(&self.path));
        if stored.is_err() {
            // Numbers of subjects that were not stored after all.
            self.known.clear();
        }
        stored
    }

    fn try_write(&mut self, batch: &Batch, lost: u64) -> rusqlite::Result<()> {
        if batch.len() > LARGE {
            self.connection.pragma_update(None, "cache_size", -LARGE_CACHE)?;
        }
        let now = Moment::from(batch.now);
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut strange = 0;
        for round in &batch.rounds {
            if !round.at.is_taken(now) {
                strange += round.samples.len() as u64;
                continue;
            }
            write_round(&transaction, &mut self.known, round)?;
        }
        note_loss(&transaction, now, lost, "the samples could not be written in time")?;
        note_loss(&transaction, now.after(1), strange, "the clock of the machine was set while they were measured")?;
        transaction.commit()
    }
}

fn write_round(
    transaction: &Transaction<'_>,
    known: &mut std::collections::HashMap<Subject, i64>,
    round: &Round,
) -> rusqlite::Result<()> {
    let at = integer(round.at.0);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO times (level, at, every, begins) VALUES (0, ?1, ?2, ?3)")?
        .execute(params![at, integer(round.every), round.begins])?;
    let mut insert = transaction
        .prepare_cached("INSERT OR REPLACE INTO samples (level, at, subject, data) VALUES (0, ?1, ?2, ?3)")?;
    for sample in &round.samples {
        let id = match known.get(&*sample.subject) {
            Some(id) => *id,
            None => {
                let id = number_of(transaction, &sample.subject, at)?;
                known.insert((*sample.subject).clone(), id);
                id
            }
        };
        insert.execute(params![at, id, sample.row])?;
    }
    let mut open = transaction.prepare_cached(
        "INSERT INTO open (level, at, done) VALUES (?1, ?2, 0) ON CONFLICT DO UPDATE SET done = 0 WHERE done <> 0",
    )?;
    for level in Level::ROLLED {
        open.execute(params![column(level), integer(level.bucket(round.at).0)])?;
    }
    Ok(())
}

fn number_of(transaction: &Transaction<'_>, subject: &Subject, at: i64) -> rusqlite::Result<i64> {
    let known: Option<i64> = transaction
        .prepare_cached("SELECT id FROM subjects WHERE name = ?1 AND key = ?2")?
        .query_row([&subject.name, &subject.key], |row| row.get(0))
        .optional()?;
    if let Some(id) = known {
        return Ok(id);
    }
    transaction
        .prepare_cached("INSERT INTO subjects (name, key, born, seen) VALUES (?1, ?2, ?3, ?3)")?
        .execute(params![subject.name, subject.key, at])?;
    Ok(transaction.last_insert_rowid())
}

fn note_loss(transaction: &Transaction<'_>, at: Moment, samples: u64, why: &str) -> rusqlite::Result<()> {
    if samples > 0 {
        transaction.execute(
            "INSERT INTO losses (at, samples, why) VALUES (?1, ?2, ?3)
             ON CONFLICT DO UPDATE SET samples = samples + excluded.samples",
            params![integer(at.0), integer(samples), why],
        )?;
    }
    Ok(())
}
