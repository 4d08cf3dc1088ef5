//! What can go wrong, each with its path.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

/// Why something could not be stored or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `open`, `read`, …
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no such file yet: no daemon ever ran here, or none that had something to write into it.
    #[error("there is no {what} at {}; it begins with the first start of the daemon", path.display())]
    Absent {
        /// `journal`, …
        what: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A newer version of vigie wrote it.
    #[error("{} has schema version {found}, this vigie knows up to {known}: use the newer vigie that wrote it", path.display())]
    Newer {
        /// The journal.
        path: PathBuf,
        /// Its version.
        found: i64,
        /// The highest that this program knows.
        known: i64,
    },
    /// It has changes that only somebody who may write beside it can read.
    #[error("cannot read {}: it was not closed in order, and its folder cannot be written to; make the folder writable or copy it elsewhere", path.display())]
    FolderNotWritable {
        /// The journal.
        path: PathBuf,
    },
    /// No room on the disk. Nothing of the batch was stored.
    #[error("cannot write {}: the disk is full", path.display())]
    Full {
        /// The journal.
        path: PathBuf,
    },
    /// The file is damaged.
    #[error("{} is damaged: {why}", path.display())]
    Damaged {
        /// The journal.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The database refused.
    #[error("cannot use {}: {source}", path.display())]
    Database {
        /// The journal.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
    /// A document is not what the reader expects.
    #[error("document {kind}/{key} cannot be {doing}: {source}")]
    Document {
        /// `read` or `written`.
        doing: &'static str,
        /// Its kind.
        kind: String,
        /// Its key.
        key: String,
        /// Where and why.
        source: serde_json::Error,
    },
    /// The thread that writes is gone.
    #[error("the journal is closed")]
    Closed,
}

/// Attaches doing and path.
pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.to_owned(), source }
}

/// Attaches the path, and tells the ends apart that callers act upon.
pub(crate) fn database(path: &Path) -> impl Fn(rusqlite::Error) -> Error {
    move |source| {
        let path = path.to_owned();
        match source.sqlite_error_code() {
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Error::Damaged { path, why: source.to_string() }
            }
            Some(ErrorCode::DiskFull) => Error::Full { path },
            _ => Error::Database { path, source },
        }
    }
}
