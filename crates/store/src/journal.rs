//! The journal: every event once, in order, with a number (R10.1). The format is described at the crate's top.

mod file;
mod filter;
mod read;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{TransactionBehavior, params};

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::journal::{Entry, Subject, What};

use crate::error::{Error, database};
use crate::state::DocumentChange;

pub use file::{FILE_NAME, SCHEMA_VERSION};
pub use filter::{Called, SubjectFilter};
pub use read::{Query, Reader, Stored};

/// A transaction of so many entries gets more memory than others, as long as it lasts.
const LARGE: usize = 256;

/// The journal, open for writing. One at a time: the daemon's lock sees to that.
pub struct Journal {
    reader: Reader,
    dir: PathBuf,
}

/// A damaged journal was found and set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong with it.
    pub why: String,
    /// Where it lies now.
    pub kept_as: PathBuf,
    /// How many documents could be taken over from it.
    pub documents: u32,
    /// Reading its documents came to an end without an error, so that probably none is missing.
    pub documents_complete: bool,
}

impl Damage {
    /// The entry that tells of it.
    pub fn entry(&self, at: Wall) -> Entry {
        let what = What::JournalDamaged { why: self.why.clone(), kept_as: self.kept_as.as_path().into() };
        Entry::new(at, Subject::Daemon, None, what)
    }
}

/// What [`Journal::prune`] leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retention {
    /// Older entries go.
    pub max_age: Duration,
    /// Of more entries than this, the oldest go.
    pub max_rows: u64,
}

impl Journal {
    /// Opens the journal in `dir`; makes folder (0700) and file (0600) when they are not there. A damaged file is set
    /// aside and a new one begun: the second value then says so, and [`Damage::entry`] is to be journaled.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Io`], [`Error::Full`], [`Error::Database`].
    pub fn open(dir: &Path, now: Wall) -> Result<(Self, Option<Damage>), Error> {
        crate::file::make_folder(dir)?;
        let path = dir.join(FILE_NAME);
        let (connection, damage) = match file::open(&path) {
            Ok(connection) => (connection, None),
            Err(Error::Damaged { why, .. }) => {
                let (connection, damage) = file::begin_anew(&path, why, now)?;
                (connection, Some(damage))
            }
            Err(error) => return Err(error),
        };
        Ok((Self { reader: Reader::new(connection, path), dir: dir.to_owned() }, damage))
    }

    /// Sets a journal aside that turned out to be damaged while it was open, and goes on with a new one.
    ///
    /// # Errors
    /// As of [`Journal::open`]. The journal then is closed for good.
    pub fn begin_anew(self, why: String, now: Wall) -> Result<(Self, Damage), Error> {
        let path = self.dir.join(FILE_NAME);
        self.reader.abandon();
        let (connection, damage) = file::begin_anew(&path, why, now)?;
        Ok((Self { reader: Reader::new(connection, path), dir: self.dir }, damage))
    }

    /// For looking into what is written.
    pub fn reader(&self) -> &Reader {
        &self.reader
    }

    /// [`Journal::commit`] without documents.
    ///
    /// # Errors
    /// As of [`Journal::commit`].
    pub fn append(&mut self, entries: &[Entry]) -> Result<Vec<Option<u64>>, Error> {
        self.commit(entries, &[])
    }

    /// Writes everything in one transaction. When it returns, all of it is on the disk; when it fails, nothing is.
    ///
    /// The numbers are those of the entries, in their order; absent where the journal already had the event.
    ///
    /// # Errors
    /// [`Error::Full`], [`Error::Damaged`], [`Error::Database`].
    pub fn commit(&mut self, entries: &[Entry], documents: &[DocumentChange]) -> Result<Vec<Option<u64>>, Error> {
        self.commit_all(entries.iter(), documents.iter())
    }

    /// [`Journal::commit`] of what lies in several places. Of several changes of one document only the last is made: the others
    /// would never be seen.
    ///
    /// # Errors
    /// As of [`Journal::commit`].
    pub(crate) fn commit_all<'a>(
        &mut self,
        entries: impl Iterator<Item = &'a Entry>,
        documents: impl Iterator<Item = &'a DocumentChange>,
    ) -> Result<Vec<Option<u64>>, Error> {
        let last: HashMap<(&str, &str), &DocumentChange> = documents.map(|change| (change.name(), change)).collect();
        let (connection, path) = self.reader.parts_mut();
        // Pages that have no place in memory are written twice, and read again between.
        let is_large = entries.size_hint().0 >= LARGE;
        // Without it things take longer, and that is all: nothing is written twice because of it.
        if is_large {
            let _ = file::make_room(connection);
        }
        let written = write(connection, entries, last.into_values()).map_err(database(path));
        if is_large {
            let _ = file::give_room_back(connection);
        }
        written
    }

    /// Removes the oldest entries. Returns how many.
    ///
    /// By age it goes as far as the first entry that is young enough: wall time may have jumped, and a hole in the
    /// middle would be worse than a few old entries.
    ///
    /// # Errors
    /// As of [`Journal::commit`].
    pub fn prune(&mut self, now: Wall, retention: Retention) -> Result<u64, Error> {
        let (connection, path) = self.reader.parts_mut();
        prune(connection, now, retention).map_err(database(path))
    }

    /// Closes it in order. The next opening needs no check.
    ///
    /// # Errors
    /// When the last writes could not be moved into the main file. They are not lost.
    pub fn close(self) -> Result<(), Error> {
        self.reader.close()
    }

    /// Leaves room for `pages` pages: to see how a full disk is met.
    #[cfg(test)]
    pub(crate) fn limit_pages(&self, pages: u32) {
        self.reader.limit_pages(pages);
    }
}

fn write<'a>(
    connection: &mut rusqlite::Connection,
    entries: impl Iterator<Item = &'a Entry>,
    documents: impl Iterator<Item = &'a DocumentChange>,
) -> rusqlite::Result<Vec<Option<u64>>> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let mut numbers = Vec::with_capacity(entries.size_hint().0);
    {
        // One row of values each: an `INSERT … SELECT` keeps a journal of its own for every row, in a file.
        let mut insert = transaction.prepare_cached(
            "INSERT INTO entries (at, kind, project, service, mode, run, run_seq, what, source, container, once)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?;
        let mut told = transaction.prepare_cached("SELECT 1 FROM entries WHERE once = ?1")?;
        let mut of_run = transaction.prepare_cached(
            "SELECT 1 FROM entries WHERE run = ?1 AND run_seq = ?2
             UNION ALL SELECT 1 FROM forgotten WHERE run = ?1 AND last >= ?2",
        )?;
        for entry in entries {
            let (project, service, mode) = columns(&entry.subject);
            let (source, container) = source_columns(&entry.subject);
            let (run, run_seq) = (entry.run.map(run_column), entry.run_seq.map(integer));
            let once = entry.once();
            let known = match (&once, run_seq) {
                (Some(once), _) if told.exists([once])? => true,
                (_, Some(run_seq)) => of_run.exists(params![run, run_seq])?,
                _ => false,
            };
            if known {
                numbers.push(None);
                continue;
            }
            let what = serde_json::to_string(&entry.what)
                .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
            insert.execute(params![
                integer(entry.at.0),
                entry.what.kind(),
                project,
                service,
                mode,
                run,
                run_seq,
                what,
                source,
                container,
                once
            ])?;
            numbers.push(Some(transaction.last_insert_rowid().unsigned_abs()));
        }
        let mut put = transaction.prepare_cached(
            "INSERT INTO documents (kind, key, json) VALUES (?1, ?2, ?3)
             ON CONFLICT (kind, key) DO UPDATE SET json = excluded.json",
        )?;
        let mut delete = transaction.prepare_cached("DELETE FROM documents WHERE kind = ?1 AND key = ?2")?;
        for change in documents {
            match change {
                DocumentChange::Put { kind, key, json } => put.execute(params![kind, key, json])?,
                DocumentChange::Delete { kind, key } => delete.execute(params![kind, key])?,
            };
        }
    }
    transaction.commit()?;
    Ok(numbers)
}

fn prune(connection: &mut rusqlite::Connection, now: Wall, retention: Retention) -> rusqlite::Result<u64> {
    let age = u64::try_from(retention.max_age.as_nanos()).unwrap_or(u64::MAX);
    let oldest = integer(now.0.saturating_sub(age));
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    // The first number that stays.
    let by_age: i64 = transaction.query_row(
        "SELECT coalesce((SELECT seq FROM entries WHERE at >= ?1 ORDER BY seq LIMIT 1),
                         (SELECT max(seq) + 1 FROM entries), 0)",
        [oldest],
        |row| row.get(0),
    )?;
    // Numbers have no holes, but for what was removed at the beginning: an entry that is refused takes none.
    let by_count: i64 = transaction.query_row(
        "SELECT coalesce(max(seq) + 1 - ?1, 0) FROM entries",
        [integer(retention.max_rows)],
        |row| row.get(0),
    )?;
    let first = by_age.max(by_count);
    transaction.execute(
        "INSERT INTO forgotten (run, last)
         SELECT run, max(run_seq) FROM entries WHERE seq < ?1 AND run_seq IS NOT NULL GROUP BY run
         ON CONFLICT (run) DO UPDATE SET last = max(last, excluded.last)",
        [first],
    )?;
    // After these a keeper has nothing more to repeat: what was journaled then is acknowledged.
    transaction.execute(
        "DELETE FROM forgotten WHERE run IN
         (SELECT run FROM entries WHERE seq < ?1 AND kind IN ('empty', 'spawn_failed', 'keeper_lost'))",
        [first],
    )?;
    let removed = transaction.execute("DELETE FROM entries WHERE seq < ?1", [first])?;
    transaction.commit()?;
    // At most a mebibyte through the WAL; the rest goes next time.
    let mut vacuum = connection.prepare("PRAGMA incremental_vacuum(256)")?;
    let mut rows = vacuum.query([])?;
    while rows.next()?.is_some() {}
    Ok(removed as u64)
}

fn columns(subject: &Subject) -> (Option<&str>, Option<&str>, Option<&str>) {
    match subject {
        Subject::Daemon | Subject::Source(_) | Subject::Container { .. } => (None, None, None),
        Subject::Project(project) => (Some(project.as_str()), None, None),
        Subject::Service { project, service, mode } => {
            (Some(project.as_str()), Some(service.as_str()), mode.as_ref().map(|mode| mode.as_str()))
        }
    }
}

fn source_columns(subject: &Subject) -> (Option<&str>, Option<&str>) {
    match subject {
        Subject::Daemon | Subject::Project(_) | Subject::Service { .. } => (None, None),
        Subject::Source(source) => (Some(source.as_str()), None),
        Subject::Container { source, name, .. } => (Some(source.as_str()), Some(name.as_str())),
    }
}

/// SQLite knows signed numbers only. Times and counters end where those do.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// A run's identity keeps all its bits.
fn run_column(run: RunId) -> i64 {
    run.0.cast_signed()
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod tests_of_sources;
