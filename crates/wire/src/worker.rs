//! What a worker and the daemon say to each other.
//!
//! ```text
//! worker `events`                 daemon
//!   ready                  ──►      knows its version and role
//!                          ◄──      refresh_sources: all of them, with where to go on
//!   container_event, …     ──►      stores each with the place that was reached, in one transaction
//!                          ◄──      refresh_sources: what is new, changed or gone
//!                          ◄──      reachable: a source that was away answered the other worker
//!                          ◄──      shutdown
//!
//! worker `metrics`                daemon
//!   ready                  ──►
//!                          ◄──      update_interval, refresh_sources
//!   metric, disk_usage     ──►      stores samples
//!   error                  ──►      shows why a source was not measured
//!                          ◄──      update_interval, watch, refresh_sources, shutdown
//! ```
//!
//! Of each source one worker tells whether it is there: the one that follows its events, or, where nobody does, the one that
//! measures it ([`Assigned::tells`]).
//!
//! Lines of JSON, as with keepers. A worker keeps nothing that its death would lose, and the end of the connection ends it:
//! the next one begins where the database stands. What is told twice by that has the same key in the journal.

use serde::{Deserialize, Serialize};

use vigie_core::docker::source::Source;
use vigie_core::docker::stats::How;
use vigie_core::docker::told::{Resume, Status, Told};
use vigie_core::docker::usage::DiskHow;
use vigie_core::name::Name;
use vigie_core::units::Span;

/// The version of this protocol.
pub const VERSION: u32 = 3;

/// What a worker is there for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// It follows the events of engines.
    Events,
    /// It measures what containers use, and how full disks are.
    Metrics,
}

impl Role {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Events, Self::Metrics];

    /// Its name, which is that of the service, too.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Metrics => "metrics",
        }
    }
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
    /// What the containers of a source use, or some of them: of many it comes in several messages.
    Metric {
        /// Which source.
        source: Name,
        /// [`Assigned::number`]
        number: u64,
        /// What was measured.
        cycle: Box<Cycle>,
    },
    /// How full the disk of a source is.
    DiskUsage {
        /// Which source.
        source: Name,
        /// [`Assigned::number`]
        number: u64,
        /// What was measured.
        disk: Box<Disk>,
    },
    /// Something went wrong.
    Error {
        /// The source that could not be measured; absent when none is to blame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        source: Option<Name>,
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

/// What was measured: numbers of [`vigie_core::samples::Metric`] with what is stored for them, ascending.
pub type Readings = Vec<(u8, u64)>;

/// A cycle of measuring the containers of a source, or a part of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cycle {
    /// When it began, in milliseconds of UTC since 1970.
    pub at: u64,
    /// When the next is due, in milliseconds after it.
    pub every: u64,
    /// It is the first since this source was assigned.
    pub begins: bool,
    /// What was measured of containers.
    pub containers: Vec<Measured>,
    /// What was measured of all together; absent on all messages of a cycle but the last, and on one of containers that
    /// somebody looks at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub whole: Option<Whole>,
}

/// What was measured of one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Measured {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// What.
    pub readings: Readings,
}

/// A cycle as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Whole {
    /// Of the source: the share of its containers, its host.
    pub readings: Readings,
    /// How many containers were measured.
    pub measured: u32,
    /// Of how many that ran.
    pub running: u32,
    /// How most of them were read; absent when none was.
    pub how: Option<How>,
    /// Why they were not read in a cheaper way, or not all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remark: Option<String>,
    /// How long it took, in milliseconds.
    pub took: u64,
    /// Beats at which nothing was measured because the cycle before went on, since this source was assigned.
    pub skipped: u64,
    /// Samples that found no place in the queue, since this source was assigned.
    pub dropped: u64,
}

/// How full a disk is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Disk {
    /// When it was asked, in milliseconds of UTC since 1970.
    pub at: u64,
    /// When the next is due, in milliseconds after it.
    pub every: u64,
    /// It is the first since this source was assigned.
    pub begins: bool,
    /// What was measured.
    pub readings: Readings,
    /// Who told.
    pub how: DiskHow,
    /// How long it took, in milliseconds.
    pub took: u64,
}

/// A source that a worker is to follow.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned {
    /// Its settings.
    pub source: Source,
    /// Where to go on.
    pub resume: Resume,
    /// Another for each place that was a source of this name: what is told of it bears the number.
    #[serde(default)]
    pub number: u64,
    /// This worker is to tell whether it is there. Of the one that follows events that is understood.
    #[serde(default)]
    pub tells: bool,
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
    /// From the next time on, so often is measured. What goes on is not disturbed.
    UpdateInterval {
        /// Containers.
        metrics: Span,
        /// Disks.
        disk: Span,
    },
    /// Somebody looks at these containers: they are measured every second for a while.
    Watch {
        /// Of which source.
        source: Name,
        /// Their ids.
        containers: Vec<String>,
        /// For so long.
        length: Span,
    },
    /// The other worker had an answer of this source just now: whoever waits because it could not be reached waits no longer.
    Reachable {
        /// Which.
        source: Name,
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
        let every = Asked::UpdateInterval { metrics: Span::secs(10), disk: Span::secs(300) };
        assert_eq!(line(&every), "{\"do\":\"update_interval\",\"metrics\":\"10s\",\"disk\":\"5m\"}\n");
        let ready = Said::Ready { version: 3, program: "0.1.0".to_owned(), role: Role::Events, pid: 7 };
        assert_eq!(
            String::from_utf8(crate::frame::encode(&ready).expect("encodes")).expect("text"),
            "{\"is\":\"ready\",\"version\":3,\"program\":\"0.1.0\",\"role\":\"events\",\"pid\":7}\n"
        );
    }
}
