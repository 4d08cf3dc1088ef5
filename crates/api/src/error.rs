//! Why the daemon could not be asked.

use std::path::PathBuf;

use vigie_core::exit_code::ExitCode;

use crate::report::FailureDetail;

/// Why the daemon could not be asked, or what it said instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody listens there.
    #[error("no daemon answers at {}: {source}", .socket.display())]
    Unreachable {
        /// The socket.
        socket: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The connection broke before the answer was whole: the daemon ended or was killed.
    #[error("the daemon went away during {request}: {why}")]
    Broken {
        /// Method and path.
        request: String,
        /// What the library said.
        why: String,
    },
    /// The daemon refused.
    #[error("{}", .0.message)]
    Refused(FailureDetail),
    /// The answer is not what this version understands.
    #[error("the daemon's answer to {request} is not understood: {why}")]
    Malformed {
        /// Method and path.
        request: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// The exit code that fits.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Error::Unreachable { .. } | Error::Broken { .. } => ExitCode::Unreachable,
            Error::Refused(failure) => failure.code,
            Error::Malformed { .. } => ExitCode::Internal,
        }
    }

    /// Nobody listens: a daemon may be started.
    pub fn is_unreachable(&self) -> bool {
        matches!(self, Error::Unreachable { .. })
    }
}
