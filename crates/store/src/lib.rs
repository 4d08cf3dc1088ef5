//! What vigie remembers: the journal, the state of the supervisor, samples, and the reader of stored output.
//!
//! # Theory of operation
//!
//! Three kinds of things are kept in the state folder, and they are kept apart because they are lost differently.
//!
//! **The journal** (`journal.db`, [`journal`]) is what vigie says happened, and what it means to do. It is small, and
//! nothing of it may be lost: an SQLite database in WAL mode with `synchronous=FULL`, so that what was acknowledged
//! survives `kill -9` and loss of power. One process writes (the daemon, through [`writer`]), any number read at the
//! same time, also when nobody writes.
//!
//! **The samples** (`samples.db`, [`samples`]) are what was measured. A second database, with `synchronous=NORMAL`: the
//! last seconds may be lost, and all of it can be deleted.
//!
//! **The output** (`logs/<service>/NNNNNN.{log,idx}`, [`logs`]) is what the services said. It is large and flows without
//! pause; keepers append to it without asking anyone, and this crate only reads it. The format is described at
//! [`vigie_core::logindex`].
//!
//! # The format of `journal.db`
//!
//! `application_id` is `0x76676a6c` ("vgjl"), `user_version` is the version of the schema: [`journal::SCHEMA_VERSION`].
//! A journal with a higher version is refused, never touched.
//!
//! | table | what |
//! |---|---|
//! | `entries` | one row an entry. `seq` numbers them from 1; numbers grow and are never given twice, so that "everything after 4711" is one answer for ever. `what` is the JSON of [`vigie_core::journal::What`]; the other columns repeat what one filters by |
//! | `documents` | the state of the supervisor: JSON texts by kind and key, written in the transaction of the entries that tell of the change ([`state`]) |
//! | `forgotten` | the last number of each unfinished run whose entries were pruned, so that "exactly once" outlives them |
//!
//! *Exactly once.* Keepers repeat what was not acknowledged, so the same event can arrive twice. The unique index over
//! `(run, run_seq)` lets it in once (invariant 5); [`journal::Journal::commit`] tells which entries were new.
//!
//! *Torn writes* are the WAL's: frames without a valid checksum and commit mark are ignored at the next opening.
//!
//! *Damage.* A file that SQLite or its quick check find damaged is renamed to `journal.damaged-<time>` with its `-wal`
//! and `-shm`, a new one is begun, and the caller gets a [`journal::Damage`] to tell of. Documents that are still
//! readable are taken over. The numbers of the new journal start at the milliseconds since 1970, which no count of
//! entries reaches, so that a reader who has seen number 4711 misses nothing.
//!
//! *Retention* removes the oldest entries, by age and by count ([`journal::Journal::prune`]): always a prefix, so that
//! what is left has no holes.

pub mod error;
mod file;
pub mod journal;
pub mod logs;
pub mod samples;
pub mod state;
pub mod writer;

pub use error::Error;
