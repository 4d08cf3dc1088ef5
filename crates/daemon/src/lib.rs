//! The background part: dispatches events to the core, performs what it decides.
//!
//! # Theory of operation
//!
//! One thread, one runtime, one owner of the state. Everything that happens becomes an input ([`input`]) in one bounded
//! queue; [`dispatch`] takes them one by one, asks the pure supervisor what follows, and has it done:
//!
//! 1. What is to be remembered goes to the thread that writes the journal ([`ledger`]). A user's intent is on the disk
//!    before the deed; what keepers tell is acknowledged to them only when it is.
//! 2. Deeds are carried out by tasks: links to keepers ([`link`]), probes ([`probe`]), recoveries ([`recover`]). What comes
//!    of them is the next input.
//! 3. What happens to containers, and what they use, comes from workers ([`worker`]), processes of their own, over a socket
//!    ([`sources`]).
//! 4. What is durable in the journal is heard for incidents ([`incidents`]); messages about them are sent by processes that live
//!    for one message ([`post`]).
//! 5. Runs are measured ([`sampler`]) in the same wake-ups that compare deadlines, and what was measured goes in batches to
//!    the thread that writes samples ([`recorder`]); it bypasses the journal.
//! 6. Clients speak HTTP over a Unix socket ([`http`]); they see the journal as it becomes durable.
//!
//! The daemon holds nothing that its death would lose, except for some seconds of samples: keepers hold runs, locks and
//! output, the database holds what is wanted. A daemon that begins its work takes a census of the world ([`census`]) and goes
//! on from there (R6.7). It is itself under an exactly-once lock ([`start`]).
//!
//! Nothing wakes while nothing happens: no timer runs unless a deadline, a sample or a client asks for it.

mod aside;
mod census;
mod children;
mod claims;
mod dispatch;
mod door;
mod ensure;
mod ghosts;
mod http;
mod import;
mod incidents;
mod input;
mod ledger;
mod link;
mod log;
mod look;
mod post;
mod probe;
mod readable;
mod record;
mod recorder;
mod recover;
mod runs;
mod sampler;
mod serve;
mod sessions;
mod settings;
mod sources;
mod start;
mod worker;

#[cfg(test)]
mod test;

pub use dispatch::documents::{Kept, SERVICE};
pub use ensure::{EnsureError, ensure_running};
pub use import::written_down;
pub use incidents::{HEALTH, INCIDENT, OUTBOX, RULE, SILENCE, last_lines};
pub use settings::SETTING;
pub use start::{Options, StartError, keeper_program, run};
pub use worker::{WorkerError, run as work};
