//! What is worth remembering: the vocabulary of the journal (R6.11, R10.1).
//!
//! An [`Entry`] says when, about whom, of which run, and [`What`] happened. The variants of [`What`] are the one
//! definition of everything that the journal can hold: its JSON (`{"kind":"exited","exit":{"code":7},"ran":"1m3s"}`)
//! is what is stored and what programs get, [`describe`] is what people read.
//!
//! Kinds are added, never renamed; fields are added with a default, never removed. What a newer version wrote is kept
//! as it is ([`What::Other`]) and shown plainly, so that a journal can be read after going back to an older version.

mod lines;
mod subject;
mod what;

use serde::{Deserialize, Serialize};

use crate::clock::Wall;
use crate::identity::RunId;
pub use lines::{describe, origin};
pub use subject::Subject;
pub use what::{KINDS, What};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// When.
    pub at: Wall,
    /// About whom.
    pub subject: Subject,
    /// Of which run, when it belongs to one.
    pub run: Option<RunId>,
    /// The number that the keeper gave it within its run. Two entries with the same run and number are the same
    /// event: the journal keeps the first (invariant 5). Absent on what the daemon itself decided or saw.
    pub run_seq: Option<u64>,
    /// What happened.
    pub what: What,
}

impl Entry {
    /// An entry that no keeper numbered.
    pub fn new(at: Wall, subject: Subject, run: Option<RunId>, what: What) -> Self {
        Self { at, subject, run, run_seq: None, what }
    }

    /// An entry for the event `run_seq` of `run`.
    pub fn of_keeper(at: Wall, subject: Subject, run: RunId, run_seq: u64, what: What) -> Self {
        Self { at, subject, run: Some(run), run_seq: Some(run_seq), what }
    }
}

#[cfg(test)]
mod tests;
