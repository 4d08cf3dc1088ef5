//! What a worker and the daemon say to each other.
//!
//! ```text
//! worker                          daemon
//!   ready                  ──►      knows its version and role
//!                          ◄──      refresh_sources: all of them, with where to go on
//!   container_event, …     ──►      stores each with the place that was reached, in one transaction
//!                          ◄──      refresh_sources: what is new, changed or gone
//!                          ◄──      shutdown
//! ```
//!
//! Lines of JSON, as with keepers. A worker keeps nothing that its death would lose, and the end of the connection ends it:
//! the next one begins where the database stands. What is told twice by that has the same key in the journal.

use serde::{Deserialize, Serialize};

use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Resume, Status, Told};
use vigie_core::name::Name;

/// The version of this protocol.
pub const VERSION: u32 = 1;

/// What a worker is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It follows the events of engines.
    Events,
}

/// What a worker says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Said {
    /// The first line.
    Ready {
        /// [`VERSION`]
        version: u32,
        /// The program's version, for people.
        program: String,
        /// What it is there for.
        role: Role,
        /// Its PID.
        pid: u32,
    },
    /// Something happened to a container, or to what is known of a source.
    ContainerEvent {
        /// Which source.
        source: Name,
        /// What, with all that is to be stored with it.
        told: Box<Told>,
    },
    /// How a source stands.
    SourceStatus {
        /// Which.
        source: Name,
        /// How.
        status: Box<Status>,
        /// Messages that found no place in the queue, since the worker began. What they told is asked for again.
        dropped: u64,
    },
    /// How much memory it has.
    Memory {
        /// Resident, in bytes.
        bytes: u64,
        /// How many cycles it has done.
        cycle: u64,
    },
    /// Something went wrong that no source is to blame for.
    Error {
        /// What, on what.
        message: String,
    },
}

/// A source that a worker is to follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Its settings.
    pub source: Source,
    /// Where to go on.
    pub resume: Resume,
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Asked {
    /// What is different now. Sources that are not named are left alone.
    RefreshSources {
        /// New, or with other settings.
        put: Vec<Assigned>,
        /// Not to be followed any more.
        remove: Vec<Name>,
    },
    /// End in order.
    Shutdown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_readable_lines() {
        let line = |message: &Asked| String::from_utf8(crate::frame::encode(message).expect("encodes")).expect("text");
        assert_eq!(line(&Asked::Shutdown), "{\"do\":\"shutdown\"}\n");
        let nas = Name::new("nas").expect("name");
        let refresh = Asked::RefreshSources { put: Vec::new(), remove: vec![nas] };
        assert_eq!(line(&refresh), "{\"do\":\"refresh_sources\",\"put\":[],\"remove\":[\"nas\"]}\n");
        let ready = Said::Ready { version: 1, program: "0.1.0".to_owned(), role: Role::Events, pid: 7 };
        assert_eq!(
            String::from_utf8(crate::frame::encode(&ready).expect("encodes")).expect("text"),
            "{\"is\":\"ready\",\"version\":1,\"program\":\"0.1.0\",\"role\":\"events\",\"pid\":7}\n"
        );
    }
}
