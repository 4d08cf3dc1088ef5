//! How a process ended.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The end of a main process as its keeper saw it in `waitid(2)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// It called `exit`.
    Code(i32),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signal: i32,
        /// A core was dumped.
        core_dumped: bool,
    },
    /// Nobody saw it: the keeper was gone before it could wait.
    Unknown,
}

impl Exit {
    /// The exit code, when there was one.
    pub fn code(self) -> Option<i32> {
        match self {
            Exit::Code(code) => Some(code),
            Exit::Signal { .. } | Exit::Unknown => None,
        }
    }

    /// The signal, when one ended it.
    pub fn signal(self) -> Option<i32> {
        match self {
            Exit::Signal { signal, .. } => Some(signal),
            Exit::Code(_) | Exit::Unknown => None,
        }
    }

    /// What a shell puts into `$?`: the code, or 128 + signal.
    pub fn shell_code(self) -> Option<u8> {
        match self {
            Exit::Code(code) => Some((code & 0xff) as u8),
            Exit::Signal { signal, .. } => Some((128 + (signal & 0x7f)) as u8),
            Exit::Unknown => None,
        }
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal { signal, core_dumped } => {
                match crate::ladder::Signal::from_number(*signal) {
                    Some(signal) => write!(f, "signal {signal}")?,
                    None => write!(f, "signal {signal}")?,
                }
                if *core_dumped { f.write_str(" (core dumped)") } else { Ok(()) }
            }
            Exit::Unknown => f.write_str("unknown end"),
        }
    }
}
