//! One service: what is wanted, where it stands, and what each event makes of it (R6.1).
//!
//! ```text
//!            start              deps hold            spawned             probe good
//!  stopped ────────► waiting ────────────► starting ────────► running ────────────► ready ◄──► degraded
//!                      ▲                      │ refused          │                    │            │
//!                      │ delay over           ▼                  └──────────┬─────────┴────────────┘
//!                   backoff                conflict            stop asked, or the main process ended
//!                      ▲                                                    ▼
//!                      └───────────── tree empty, policy: restart ────── stopping ──── ladder at its end ──► ghost
//!                                     tree empty: stopped, done, failed ◄───┘
//! ```
//!
//! *Wanted* and *state* are two things: a service that is to stop is wanted down while it still is ready. The whole
//! table of state × input is in [`table`]; it has no default arm, and a pair that cannot happen is a named fault.

mod held;
mod table;

pub use held::*;
pub use table::{Fault, Input};

use serde::{Deserialize, Serialize};

/// Whether a service is to run. Not the same as whether it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// It is to run, or to have run to its end.
    Up,
    /// It is not.
    Down,
}

/// Where a service stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// Nothing runs and nothing is to.
    Stopped,
    /// It waits for what it depends on.
    Waiting,
    /// Its keeper takes the lock and spawns.
    Starting,
    /// Its main process runs; no readiness was asked for, or it is not yet ready.
    Running,
    /// It runs and is ready.
    Ready,
    /// It was ready, and its health probe fails.
    Degraded,
    /// Its tree is being ended, or ends by itself: the main process is gone or about to be.
    Stopping,
    /// It ended and is started again after a delay.
    Backoff,
    /// It ran to its end, and that was good.
    Done,
    /// It failed and was given up, or could not be started.
    Failed,
    /// Another holds its lock or a claim.
    Conflict,
    /// KILL is pending and the kernel does not end it (R5.4).
    Ghost,
}

impl State {
    /// Every state.
    pub const ALL: [State; 12] = [
        State::Stopped,
        State::Waiting,
        State::Starting,
        State::Running,
        State::Ready,
        State::Degraded,
        State::Stopping,
        State::Backoff,
        State::Done,
        State::Failed,
        State::Conflict,
        State::Ghost,
    ];

    /// A process of it may be alive.
    pub fn may_live(self) -> bool {
        match self {
            State::Starting | State::Running | State::Ready | State::Degraded | State::Stopping | State::Ghost => true,
            State::Stopped | State::Waiting | State::Backoff | State::Done | State::Failed | State::Conflict => false,
        }
    }

    /// Its name, as it is shown.
    pub fn name(self) -> &'static str {
        match self {
            State::Stopped => "stopped",
            State::Waiting => "waiting",
            State::Starting => "starting",
            State::Running => "running",
            State::Ready => "ready",
            State::Degraded => "degraded",
            State::Stopping => "stopping",
            State::Backoff => "backoff",
            State::Done => "done",
            State::Failed => "failed",
            State::Conflict => "conflict",
            State::Ghost => "ghost",
        }
    }
}

impl std::fmt::Display for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests;
