//! Sources as programs see and change them: `vigie source ls --json`, `GET` and `POST /v1/sources`.

use serde::{Deserialize, Serialize};

use vigie_core::docker::source::Source;
use vigie_core::docker::stats::How;
use vigie_core::docker::told::{Identity, Stage};
use vigie_core::docker::usage::DiskHow;
use vigie_core::launch::Origin;
use vigie_core::name::Name;

use crate::report::FailureDetail;
use crate::time::{Millis, Nanos};

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
    /// The process that measures them; absent when there is none now.
    #[serde(default)]
    pub metrics_worker: Option<Worker>,
}

/// A process that sees to sources.
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
    /// When it is asked again after what failed; absent where nothing did, or that is not known.
    #[serde(default)]
    pub retry_at: Option<Millis>,
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
    /// What was measured of its containers the last time, since the worker began.
    #[serde(default)]
    pub last_cycle: Option<LastCycle>,
    /// How full its disk was the last time, since the worker began.
    #[serde(default)]
    pub last_disk: Option<DiskUsage>,
    /// Why it could not be measured the last time; absent when it could.
    #[serde(default)]
    pub not_measured: Option<String>,
}

/// What was measured of the containers of a source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LastCycle {
    /// When.
    pub at: Millis,
    /// How many containers were measured.
    pub measured: u32,
    /// Of how many that ran.
    pub running: u32,
    /// How most of them were read; absent when none was.
    pub how: Option<How>,
    /// Why they were not read in a cheaper way, or not all.
    pub remark: Option<String>,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// Beats at which nothing was measured because the cycle before went on.
    pub skipped: u64,
    /// Samples that found no place in the queue of the worker.
    pub dropped: u64,
}

/// How full the disk of a source is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DiskUsage {
    /// When it was asked.
    pub at: Millis,
    /// In use, in bytes; where the engine has counted, what it keeps.
    pub used_bytes: Option<u64>,
    /// How much there is; absent where only the engine has counted.
    pub total_bytes: Option<u64>,
    /// In percent.
    pub used_percent: Option<f64>,
    /// Who told.
    pub how: DiskHow,
    /// How long that took, in milliseconds.
    pub took_ms: u64,
}

/// Containers that somebody looks at: `POST /v1/samples/watch`. They are measured every second for the next ten seconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Watch {
    /// Which.
    pub looked_at: Vec<LookedAt>,
}

/// Somebody's look was noted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Watched {
    /// [`crate::SCHEMA`]
    pub schema: u32,
}

/// Containers of one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct LookedAt {
    /// Which source.
    pub source: Name,
    /// Their ids.
    pub containers: Vec<String>,
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
    /// Some of its settings, all or none.
    Set {
        /// Which source.
        name: Name,
        /// Key and value, as they were written.
        settings: Vec<(String, String)>,
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
