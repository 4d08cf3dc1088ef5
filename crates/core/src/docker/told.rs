//! What is told of a source, and where a follower goes on after it.

use serde::{Deserialize, Serialize};

use crate::clock::{Mono, Wall};
use crate::docker::event::{Key, Nanos};
use crate::docker::known::{Change, Container, Containers};
use crate::journal::{Entry, Subject, What};
use crate::name::Name;
use crate::units::Span;

/// An event of a container that is worth remembering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerEvent {
    /// The container's id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// `start`, `die`, `health_status` …
    pub action: String,
    /// When, on the engine's clock; absent on what was inferred.
    pub at: Option<Nanos>,
    /// `exitCode` of `die`.
    pub exit_code: Option<i32>,
    /// The number of the signal of `kill`.
    pub signal: Option<i32>,
    /// Of `die`: whether the kernel ran out of memory for it. Absent where that cannot be known.
    pub oom: Option<bool>,
    /// `healthy`, `unhealthy` …, of `health_status`.
    pub health: Option<String>,
    /// Its name until now, of `rename`.
    pub old_name: Option<String>,
    /// The engine did not tell of it: the list of containers shows it.
    pub inferred: bool,
}

/// Where to go on: the last event that was seen, of any type, kept or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cursor {
    /// Nothing before this is missing, but for what a gap tells.
    pub at: Nanos,
    /// The event, that must come back; absent when the engine had none.
    pub event: Option<Key>,
}

/// Who an engine is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "Engine"))]
pub struct Identity {
    /// Its own id: two names for one engine have one. Podman has none.
    pub id: Option<String>,
    /// The name of its machine.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// The version of the API that is spoken with it.
    pub api: Option<String>,
    /// It is Podman, whose events are not a ring of 256.
    #[serde(default)]
    pub podman: bool,
    /// The time on its clock when it told this.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Nanos>,
}

/// Where the connection to a source stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is asked who it is, and its events are subscribed to.
    Connecting,
    /// Its events come; its list is compared with them.
    Syncing,
    /// As syncing, and what happened before is lost.
    Gap,
    /// Nothing is missed.
    Live,
    /// It did not answer, and is asked again after a while; or it is only polled.
    Backoff,
}

/// How a source stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Where its connection stands.
    pub stage: Stage,
    /// Whether it is there; absent until that is known.
    pub online: Option<bool>,
    /// Why it is not as it should be.
    pub why: Option<String>,
    /// Attempts in a row that failed.
    pub failures: u32,
    /// Who it is.
    pub engine: Option<Identity>,
    /// Lines that were no events, since the follower began.
    pub bad_lines: u64,
    /// When it is asked again after what failed; absent where nothing did, or nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_at: Option<Mono>,
}

/// What is to be told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Saying {
    /// Something happened to a container.
    Event(Box<ContainerEvent>),
    /// Events between these times may be missing.
    Gap {
        /// The last that is known before.
        from: Nanos,
        /// The first that is known after, or when it was noticed.
        to: Nanos,
        /// Why.
        why: String,
    },
    /// It answers again.
    Online {
        /// So long after its first failure.
        after: Option<Span>,
    },
    /// It does not answer.
    Offline {
        /// Why.
        why: String,
    },
    /// Lines of it are no events. Told of the first, and then at most once an hour.
    BadLines {
        /// How many since the last time.
        count: u64,
        /// The beginning of one.
        sample: String,
        /// What is wrong with it.
        why: String,
    },
    /// Nothing to remember: only the cursor or what is known moved on.
    Nothing,
}

/// One thing that is told, with all that is to be stored with it or not at all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// What.
    pub saying: Saying,
    /// Where to go on after it; absent: as before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<Cursor>,
    /// What it changes in what is known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// Whether it is there, when that changes what was known, or who it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub standing: Option<Standing>,
}

/// What is remembered of whether a source answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// It was told to be offline, and not yet that it is back.
    pub offline: bool,
    /// The id of the engine that the cursor is of.
    pub engine: Option<String>,
    /// What happened up to then, on the engine's clock, was before it was a source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor: Option<Nanos>,
}

/// Where a follower goes on.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resume {
    /// Absent: it was never asked.
    pub cursor: Option<Cursor>,
    /// What was told of it.
    #[serde(default)]
    pub standing: Standing,
    /// The containers as they were known.
    #[serde(default)]
    pub containers: Containers,
}

impl Resume {
    /// Where to go on after this was told.
    pub fn absorb(&mut self, told: &Told) {
        if let Some(cursor) = &told.cursor {
            self.cursor = Some(cursor.clone());
        }
        for change in &told.changes {
            change.apply(&mut self.containers);
        }
        if let Some(standing) = &told.standing {
            self.standing = standing.clone();
        }
    }
}

impl Told {
    /// About how many bytes it has: its texts.
    pub fn weight(&self) -> usize {
        let of_container = |container: &Container| container.name.len() + container.image.len();
        let said = match &self.saying {
            Saying::Event(event) => {
                event.id.len() + event.name.len() + event.image.len() + event.old_name.as_ref().map_or(0, String::len)
            }
            Saying::Gap { why, .. } | Saying::Offline { why } => why.len(),
            Saying::BadLines { sample, why, .. } => sample.len() + why.len(),
            Saying::Online { .. } | Saying::Nothing => 0,
        };
        let cursor = self.cursor.as_ref().and_then(|cursor| cursor.event.as_ref());
        let cursor = cursor.map_or(0, |key| key.kind.len() + key.action.len() + key.id.len());
        let changes = self.changes.iter().map(|change| change.id.len() + change.now.as_ref().map_or(0, of_container));
        said + cursor + changes.sum::<usize>()
    }
}

impl Saying {
    /// As an entry of the journal; nothing when there is nothing to remember. What has no time of its own happened now.
    pub fn entry(&self, source: &Name, now: Wall) -> Option<Entry> {
        let of_source = |what| Some(Entry::new(now, Subject::Source(source.clone()), None, what));
        match self {
            Self::Event(event) => {
                let (name, id) = (event.name.clone(), event.id.clone());
                let subject = Subject::Container { source: source.clone(), name, id };
                Some(Entry::new(event.at.map_or(now, |at| Wall(at.0)), subject, None, event.what()))
            }
            Self::Gap { from, to, why } => {
                of_source(What::Gap { from: Wall(from.0), to: Wall(to.0), why: why.clone() })
            }
            Self::Online { after } => of_source(What::SourceOnline { after: *after }),
            Self::Offline { why } => of_source(What::SourceOffline { why: why.clone() }),
            Self::BadLines { count, sample, why } => {
                of_source(What::SourceBadLines { count: *count, sample: sample.clone(), why: why.clone() })
            }
            Self::Nothing => None,
        }
    }
}

impl ContainerEvent {
    fn what(&self) -> What {
        What::ContainerEvent {
            action: self.action.clone(),
            id: self.id.clone(),
            image: self.image.clone(),
            time_nano: self.at.map(|at| at.0),
            exit_code: self.exit_code,
            signal: self.signal,
            oom: self.oom,
            health: self.health.clone(),
            old_name: self.old_name.clone(),
            inferred: self.inferred,
        }
    }
}

impl Entry {
    /// The key under which a journal has it once, for what a source may tell again.
    pub fn once(&self) -> Option<String> {
        match (&self.subject, &self.what) {
            (
                Subject::Container { source, .. },
                What::ContainerEvent { action, id, time_nano: Some(at), signal, health, old_name, .. },
            ) => {
                let detail = health.as_deref().or(old_name.as_deref()).unwrap_or_default();
                let signal = signal.map(|signal| signal.to_string()).unwrap_or_default();
                Some(format!("{source} {at} container {action} {id} {detail}{signal}"))
            }
            (Subject::Source(source), What::Gap { from, to, .. }) => Some(format!("{source} {} gap {}", from.0, to.0)),
            _ => None,
        }
    }
}
