//! The durable state of the supervisor: what is wanted, how often it was tried, which projects are known.
//!
//! Documents are JSON texts by kind and key (`wanted` / `demo/api`), in the database of the journal, so that an entry
//! and the state that it tells of are stored together or not at all ([`crate::journal::Journal::commit`]).

use rusqlite::OptionalExtension;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, database};
use crate::journal::Reader;

/// A change of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentChange {
    /// Writes it, new or over the old one.
    Put {
        /// What sort of document.
        kind: String,
        /// Which of them.
        key: String,
        /// Its text.
        json: String,
    },
    /// Removes it. Nothing happens when it is not there.
    Delete {
        /// What sort of document.
        kind: String,
        /// Which of them.
        key: String,
    },
}

impl DocumentChange {
    /// Writes `value`.
    ///
    /// # Errors
    /// [`Error::Document`] when it cannot be written as JSON.
    pub fn put(kind: &str, key: &str, value: &impl Serialize) -> Result<Self, Error> {
        match serde_json::to_string(value) {
            Ok(json) => Ok(Self::Put { kind: kind.to_owned(), key: key.to_owned(), json }),
            Err(source) => {
                Err(Error::Document { doing: "written", kind: kind.to_owned(), key: key.to_owned(), source })
            }
        }
    }

    /// Which document: its kind and its key.
    pub(crate) fn name(&self) -> (&str, &str) {
        match self {
            Self::Put { kind, key, .. } | Self::Delete { kind, key } => (kind, key),
        }
    }

    /// Removes a document.
    pub fn delete(kind: &str, key: &str) -> Self {
        Self::Delete { kind: kind.to_owned(), key: key.to_owned() }
    }
}

/// A document as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// What sort of document.
    pub kind: String,
    /// Which of them.
    pub key: String,
    /// Its text.
    pub json: String,
}

impl Document {
    /// Its value. One that cannot be read is the caller's to skip and report: it must not block the others.
    ///
    /// # Errors
    /// [`Error::Document`]
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Error> {
        serde_json::from_str(&self.json).map_err(|source| Error::Document {
            doing: "read",
            kind: self.kind.clone(),
            key: self.key.clone(),
            source,
        })
    }
}

impl Reader {
    /// One document.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn document(&self, kind: &str, key: &str) -> Result<Option<Document>, Error> {
        (|| {
            let json = self
                .connection()
                .prepare_cached("SELECT json FROM documents WHERE kind = ?1 AND key = ?2")?
                .query_row([kind, key], |row| row.get(0))
                .optional()?;
            Ok(json.map(|json| Document { kind: kind.to_owned(), key: key.to_owned(), json }))
        })()
        .map_err(database(self.path()))
    }

    /// Every document of a kind, in the order of their keys.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn documents(&self, kind: &str) -> Result<Vec<Document>, Error> {
        (|| {
            let mut select =
                self.connection().prepare_cached("SELECT key, json FROM documents WHERE kind = ?1 ORDER BY key")?;
            let rows = select
                .query_map([kind], |row| Ok(Document { kind: kind.to_owned(), key: row.get(0)?, json: row.get(1)? }))?;
            rows.collect::<rusqlite::Result<Vec<_>>>()
        })()
        .map_err(database(self.path()))
    }
}
