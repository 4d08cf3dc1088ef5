//! Sources as programs see and change them: `vigie source ls --json`, `GET` and `POST /v1/sources`.

use serde::{Deserialize, Serialize};

use vigie_core::docker::source::Source;
use vigie_core::docker::told::{Identity, Stage};
use vigie_core::launch::Origin;
use vigie_core::name::Name;

use crate::report::FailureDetail;
use crate::time::Nanos;

/// All sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Sources {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// In the order of their names.
    pub sources: Vec<Shown>,
    /// The process that follows them; absent when there is none now.
    pub worker: Option<Worker>,
}

/// The process that follows events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Worker {
    /// Its PID.
    pub pid: u32,
    /// Its memory as it last reported it, in bytes.
    pub memory_bytes: Option<u64>,
}

/// A source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "ShownSource"))]
pub struct Shown {
    /// Its settings.
    #[serde(flatten)]
    pub source: Source,
    /// Whether it answers; absent when that is not known now.
    pub online: Option<bool>,
    /// Where its connection stands; absent while nobody follows it.
    pub stage: Option<Stage>,
    /// Why it is not as it should be.
    pub why: Option<String>,
    /// Who it is, when it has told since the worker began.
    pub engine: Option<Identity>,
    /// Another source that is the same engine.
    pub same_engine_as: Option<Name>,
    /// How many containers are known; absent where nobody can tell now.
    pub containers: Option<u64>,
    /// The time of the last event on the engine's clock.
    pub last_event: Option<Nanos>,
    /// Lines that were not understood, since the worker began; absent while nobody follows it.
    pub bad_lines: Option<u64>,
    /// Messages of the worker that found no place in its queue; absent while nobody follows it.
    pub dropped: Option<u64>,
}

/// What somebody wants of sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SourceRequest"))]
pub struct Request {
    /// What.
    pub change: Change,
    /// By whom.
    pub origin: Origin,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SourceChange"))]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A new one.
    Add {
        /// Its settings.
        source: Box<Source>,
        /// One of this name may be there: it gets these settings.
        replace: bool,
    },
    /// It goes, with all that is known of it. The journal keeps what happened.
    Remove(Name),
    /// Nothing is asked of it any more.
    Pause(Name),
    /// It is asked again, from where it was.
    Resume(Name),
}

/// What came of it: the answer to a [`Request`], in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "SourceAnswer"))]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// It is done and durable; the source as it is now, absent when it is gone.
    Done(Option<Box<Shown>>),
    /// It is not.
    Error(FailureDetail),
}
