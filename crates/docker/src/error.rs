//! Why an engine did not do what it was asked.

use std::path::PathBuf;
use std::time::Duration;

use vigie_core::exit_code::ExitCode;

/// Why an engine did not do what it was asked. Each names the socket.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket is not for this user.
    #[error("not permitted to ask the container engine at {}: this needs root or the docker group", .socket.display())]
    NotPermitted {
        /// Where it listens.
        socket: PathBuf,
    },
    /// Nobody listens there.
    #[error("no container engine answers at {}: {source}", .socket.display())]
    Absent {
        /// Where it should listen.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// It has not answered in time: it hangs, or is very busy.
    #[error("the container engine at {} has not answered {request} within {after:?}", .socket.display())]
    Late {
        /// Where it listens.
        socket: PathBuf,
        /// Method and path.
        request: String,
        /// How long it had.
        after: Duration,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the container engine at {} broke off {request}: {why}", .socket.display())]
    Broken {
        /// Where it listens.
        socket: PathBuf,
        /// Method and path.
        request: String,
        /// What the library said.
        why: String,
    },
    /// It answered that it will not.
    #[error("the container engine at {} refused {request}: {message} (status {status})", .socket.display())]
    Refused {
        /// Where it listens.
        socket: PathBuf,
        /// Method and path.
        request: String,
        /// The status of HTTP.
        status: u16,
        /// What it said, made safe to be shown.
        message: String,
    },
    /// Its answer is not what the API documents.
    #[error("the answer of the container engine at {} to {request} is not understood: {why}", .socket.display())]
    Malformed {
        /// Where it listens.
        socket: PathBuf,
        /// Method and path.
        request: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The exit code that fits (R3.4).
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotPermitted { .. } => ExitCode::NotPermitted,
            Self::Refused { status: 404, .. } => ExitCode::NotFound,
            Self::Refused { status: 401 | 403, .. } => ExitCode::NotPermitted,
            Self::Absent { .. } | Self::Late { .. } | Self::Broken { .. } => ExitCode::Unreachable,
            Self::Refused { .. } | Self::Malformed { .. } => ExitCode::Unreachable,
        }
    }

    /// Nobody listens: there is no engine, which is nothing to worry about.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}
