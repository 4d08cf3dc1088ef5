//! Samples: what was measured, for as long as the ladder keeps it (R10.2).
//!
//! # The format of `samples.db`
//!
//! An SQLite database beside the journal, and apart from it because it is lost differently: it can be deleted at any
//! time, and nothing but the history of measured values is gone. WAL mode with `synchronous=NORMAL`: after a loss of
//! power the last commits may be missing, the file is whole. `application_id` is `0x7667736d` ("vgsm"), `user_version` is
//! [`SCHEMA_VERSION`]; one with a higher version is refused, never touched; a damaged one is set aside as
//! `samples.damaged-<time>` and told of.
//!
//! | table | what |
//! |---|---|
//! | `subjects` | whose samples they are: the `name` and `key` of a [`vigie_core::samples::Subject`], `born` and `seen` (its first sample, and about its last), and the number under which `samples` has it. Numbers are never given twice |
//! | `times` | when it was measured: a row a level and moment, with the milliseconds until the next was due (`every`), and whether whoever measured began with it (`begins`) |
//! | `samples` | what was measured: a row a level, moment and subject; `data` is the row as bytes, whose form is described at `vigie_core::samples::pack_rollups` |
//! | `open` | buckets in which a sample was stored since they were made: their rows are not there yet, or are old. `done`: up to which subject they are made |
//! | `losses` | how many samples were not stored, and why |
//!
//! Moments are milliseconds since 1970, UTC; levels are 0 (as measured), 1 (a minute), 2 (ten minutes), 3 (two hours).
//!
//! # Why it is laid out like that
//!
//! The key of `samples` begins with level and moment, so that new rows are appended, and old ones are a contiguous range that
//! is deleted page by page. One subject is read by looking it up at each moment that `times` names: some microseconds each,
//! however many subjects there are. Measured with 50,000 subjects of eight metrics, 5,000 samples a commit, on two cores:
//!
//! | layout | samples/s | commit p50, p99 | bytes a sample | 120 samples of one subject |
//! |---|---|---|---|---|
//! | **a row a subject, (level, moment, subject)** | 473,000 | 8.8 ms, 39 ms | 45 | 0.5–0.9 ms |
//! | a row a subject, (level, subject, moment) | 103,000 | 47 ms, 122 ms | 43 | 0.06 ms |
//! | a row a metric, (level, moment, series) | 61,000 | 73 ms, 182 ms | 190 | 1.5 ms |
//! | blobs of 60 samples, rowid table with index | 1,940,000 | – | 35 | 0.06 ms |
//!
//! Blobs are faster and smaller. But a blob is written when it is full: until then its samples are in memory, for minutes,
//! or have to lie in a second form on the disk. Rows are fast enough by two orders of magnitude, and there is one form.
//!
//! # How it goes on
//!
//! One thread writes ([`Writer`]), a batch of rounds in one transaction. Rollups are made of what is stored, never of what
//! is in memory, in slices between two batches: so a crash at any moment loses what was not written yet, some seconds, and
//! nothing else. Readers ([`Reader`]) see open buckets too, since they make them for themselves.
//!
//! Retention is by age ([`vigie_core::samples::Level`]) and by size ([`LIMIT`]): where the file would grow beyond it, every
//! level loses its beginning, in the same proportion.

mod read;
mod tidy;
mod write;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use vigie_core::clock::Wall;
use vigie_core::samples::{Level, Subject};

use crate::error::{Error, database};
use crate::file::{self, Format};

pub use read::{Known, Reader, Row, Size, joined, series};
pub use write::{Batch, Round, Sample};
pub use writer::{OnDone, OnTold, Told, Writer};

/// The version of the schema that this program writes.
pub const SCHEMA_VERSION: i64 = 1;

/// So large the samples may become, in bytes.
pub const LIMIT: u64 = 256 << 20;

/// In pages: what the log may have before it is moved into the file. Only then the disk is waited for.
const CHECKPOINT: i64 = 512;

const FORMAT: Format = Format {
    what: "sample",
    stem: "samples",
    // "vgsm"
    application_id: 0x7667_736d,
    schema_version: SCHEMA_VERSION,
    schema: "
    CREATE TABLE subjects (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        key TEXT NOT NULL,
        born INTEGER NOT NULL,
        seen INTEGER NOT NULL,
        UNIQUE (name, key)
    ) STRICT;
    CREATE TABLE times (
        level INTEGER NOT NULL, at INTEGER NOT NULL, every INTEGER NOT NULL, begins INTEGER NOT NULL,
        PRIMARY KEY (level, at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE samples (
        level INTEGER NOT NULL, at INTEGER NOT NULL, subject INTEGER NOT NULL, data BLOB NOT NULL,
        PRIMARY KEY (level, at, subject)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE open (
        level INTEGER NOT NULL, at INTEGER NOT NULL, done INTEGER NOT NULL, PRIMARY KEY (level, at)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE losses (at INTEGER PRIMARY KEY, samples INTEGER NOT NULL, why TEXT NOT NULL) STRICT;
",
    synchronous: "NORMAL",
    checkpoint_pages: CHECKPOINT,
    log_limit: CHECKPOINT * 4096,
    cache: 128,
};

/// The samples, open for writing. One at a time: the daemon's lock sees to that.
pub struct Samples {
    connection: Connection,
    path: PathBuf,
    limit: u64,
    /// The numbers of subjects that were met.
    known: HashMap<Subject, i64>,
    /// Something may have become too old since it was last looked.
    to_prune: bool,
}

/// A damaged file was found and set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// What is wrong with it.
    pub why: String,
    /// Where it lies now.
    pub kept_as: PathBuf,
}

impl Samples {
    /// Opens the samples in `dir`; makes folder (0700) and file (0600) when they are not there. A damaged file is set aside
    /// and a new one begun: the second value says so. `limit` is how large it may become, in bytes.
    ///
    /// # Errors
    /// [`Error::Newer`], [`Error::Io`], [`Error::Full`], [`Error::Database`].
    pub fn open(dir: &Path, now: Wall, limit: u64) -> Result<(Self, Option<Damage>), Error> {
        file::make_folder(dir)?;
        let path = FORMAT.path(dir);
        let (connection, damage) = match FORMAT.open(&path, |_| Ok(())) {
            Ok(connection) => (connection, None),
            Err(Error::Damaged { why, .. }) => {
                let (connection, kept_as) = FORMAT.begin_anew(&path, now, |_| Ok(()))?;
                (connection, Some(Damage { why, kept_as }))
            }
            Err(error) => return Err(error),
        };
        Ok((Self::new(connection, path, limit), damage))
    }

    fn new(connection: Connection, path: PathBuf, limit: u64) -> Self {
        connection.set_prepared_statement_cache_capacity(24);
        Self { connection, path, limit, known: HashMap::new(), to_prune: true }
    }

    /// Sets a file aside that turned out to be damaged while it was open, and goes on with a new one.
    ///
    /// # Errors
    /// As of [`Samples::open`]. They then are closed for good.
    pub fn begin_anew(self, why: String, now: Wall) -> Result<(Self, Damage), Error> {
        let Self { connection, path, limit, .. } = self;
        crate::file::abandon(connection);
        let (connection, kept_as) = FORMAT.begin_anew(&path, now, |_| Ok(()))?;
        Ok((Self::new(connection, path, limit), Damage { why, kept_as }))
    }

    /// Closes them in order.
    ///
    /// # Errors
    /// When the last writes could not be moved into the main file. They are not lost.
    pub fn close(self) -> Result<(), Error> {
        let path = self.path;
        self.connection.close().map_err(|(_, error)| database(&path)(error))
    }
}

/// SQLite knows signed numbers only. Times and counters end where those do.
fn integer(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn column(level: Level) -> i64 {
    level.number() as i64
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

#[cfg(test)]
mod tests;
