//! Small answers and bodies.

use serde::{Deserialize, Serialize};

use vigie_core::exit_code::ExitCode;
use vigie_core::identity::ProcKey;
use vigie_core::name::Name;
use vigie_core::text::OsText;

use crate::time::Millis;

/// Who the daemon is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Daemon {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// Its PID.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it began its work.
    pub started: Millis,
    /// Its runtime folder.
    pub home: OsText,
}

/// The projects that the daemon knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Projects {
    /// [`crate::SCHEMA`]
    pub schema: u32,
    /// By name, then by folder.
    pub projects: Vec<Project>,
}

/// A project that the daemon knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "KnownProject"))]
pub struct Project {
    /// Its name.
    pub name: Name,
    /// Its folder.
    pub dir: OsText,
    /// Its services that were ever asked for, by name.
    pub services: Vec<Name>,
}

/// The body that opens a session.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct SessionOpened {
    /// The command: a daemon that comes back asks the kernel whether it still lives.
    pub pid: ProcKey,
}

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Failure {
    /// What went wrong.
    pub error: FailureDetail,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FailureDetail {
    /// The exit code that the command is to end with.
    pub code: ExitCode,
    /// What failed, on what, what to do.
    pub message: String,
}
