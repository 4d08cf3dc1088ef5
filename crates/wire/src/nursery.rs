//! What the daemon and the process that forks keepers for it say to each other.
//!
//! Over a Unix socket of whole messages (`SOCK_SEQPACKET`, unix(7)): one message [`REQUEST`] with the keeper's end of a
//! connection beside it, one [`Born`] for each, in the same order. Both ends are of one installation; there is no version.

use serde::{Deserialize, Serialize};

/// A keeper is wanted.
pub const REQUEST: &[u8] = b"keeper";

/// More bytes than any message has.
pub const LIMIT: usize = 64;

/// What became of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Born {
    /// It is this process; a descriptor of it comes along.
    Pid(u32),
    /// There is none: the `errno` of fork(2), or of what has to come with it.
    Failed(i32),
}
