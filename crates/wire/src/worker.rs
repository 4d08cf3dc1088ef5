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
pub const VERSION: u32 = 2;

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
    /// Something happened to containers, or to what is known of a source.
    ContainerEvent {
        /// Which source.
        source: Name,
        /// What, in order, with all that is to be stored with it: of all that is told together, or of none of it.
        told: Vec<Told>,
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

impl Said {
    /// Reads a line. Events, of which there may be many, are read without looking for what they are at the end of the line, as
    /// it would have to be done for a field that may stand anywhere.
    ///
    /// # Errors
    /// When it is none.
    pub fn read(line: &[u8]) -> Result<Self, serde_json::Error> {
        /// How [`crate::frame::encode`] begins them.
        const EVENTS: &[u8] = br#"{"is":"container_event","#;
        #[derive(Deserialize)]
        struct Events {
            source: Name,
            told: Vec<Told>,
        }
        if line.starts_with(EVENTS) {
            return serde_json::from_slice(line).map(|Events { source, told }| Self::ContainerEvent { source, told });
        }
        serde_json::from_slice(line)
    }
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
    fn events_are_read_by_either_way() {
        let told = vec![Told {
            saying: vigie_core::docker::told::Saying::Nothing,
            cursor: None,
            changes: Vec::new(),
            standing: None,
        }];
        let said = Said::ContainerEvent { source: Name::new("nas").expect("name"), told };
        let line = crate::frame::encode(&said).expect("encodes");
        assert_eq!(Said::read(&line).expect("read"), said);
        assert_eq!(serde_json::from_slice::<Said>(&line).expect("read"), said);
        let other = String::from_utf8(line)
            .expect("text")
            .replace("{\"is\":\"container_event\",", "{ \"is\":\"container_event\",");
        assert_eq!(Said::read(other.as_bytes()).expect("read"), said, "also from somebody who writes it otherwise");
        let memory = Said::Memory { bytes: 1, cycle: 2 };
        assert_eq!(Said::read(&crate::frame::encode(&memory).expect("encodes")).expect("read"), memory);
    }

    #[test]
    fn messages_are_readable_lines() {
        let line = |message: &Asked| String::from_utf8(crate::frame::encode(message).expect("encodes")).expect("text");
        assert_eq!(line(&Asked::Shutdown), "{\"do\":\"shutdown\"}\n");
        let nas = Name::new("nas").expect("name");
        let refresh = Asked::RefreshSources { put: Vec::new(), remove: vec![nas] };
        assert_eq!(line(&refresh), "{\"do\":\"refresh_sources\",\"put\":[],\"remove\":[\"nas\"]}\n");
        let ready = Said::Ready { version: 2, program: "0.1.0".to_owned(), role: Role::Events, pid: 7 };
        assert_eq!(
            String::from_utf8(crate::frame::encode(&ready).expect("encodes")).expect("text"),
            "{\"is\":\"ready\",\"version\":2,\"program\":\"0.1.0\",\"role\":\"events\",\"pid\":7}\n"
        );
    }
}
