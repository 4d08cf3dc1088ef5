//! Why a command ends otherwise than well, and how that is said.

use std::io;

use vigie_core::exit_code::ExitCode;

/// What a verb returns: the exit code of the program, or why there is nothing to return.
pub(crate) type Verdict = Result<u8, Failure>;

/// Why a verb did not do what it was asked for.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Everything was said already; only the code is left.
    Told(ExitCode),
    /// Whoever read our output is gone: end quietly, as a program that gets SIGPIPE does.
    ReaderGone,
    /// An `error:` line, perhaps a `hint:` line, and a code.
    Error {
        /// How the program ends.
        code: ExitCode,
        /// What failed, on what; may have more lines.
        message: String,
        /// What to do.
        hint: Option<String>,
    },
}

impl Failure {
    /// An error with this code.
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Self::Error { code, message: message.into(), hint: None }
    }

    /// A usage error: code 2.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self::new(ExitCode::Usage, message)
    }

    /// A target that is not there: code 8.
    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ExitCode::NotFound, message)
    }

    /// An error of the system about `on`. "Not permitted" has a code of its own.
    pub(crate) fn io(on: impl std::fmt::Display, error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::ReaderGone;
        }
        let code = match error.kind() {
            io::ErrorKind::PermissionDenied => ExitCode::NotPermitted,
            io::ErrorKind::NotFound => ExitCode::NotFound,
            _ => ExitCode::Internal,
        };
        Self::new(code, format!("{on}: {error}"))
    }

    /// Says what to do.
    #[must_use]
    pub(crate) fn hint(self, text: impl Into<String>) -> Self {
        match self {
            Self::Error { code, message, .. } => Self::Error { code, message, hint: Some(text.into()) },
            other => other,
        }
    }

    /// The code with which the program ends.
    pub(crate) fn code(&self) -> ExitCode {
        match self {
            Self::Told(code) | Self::Error { code, .. } => *code,
            Self::ReaderGone => ExitCode::Done,
        }
    }
}

/// For writes to standard output, the only calls whose errors need no name.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::io("cannot write to standard output", &error)
    }
}

impl From<std::fmt::Error> for Failure {
    fn from(_: std::fmt::Error) -> Self {
        Self::new(ExitCode::Internal, "a text could not be put together")
    }
}

impl From<vigie_store::Error> for Failure {
    fn from(error: vigie_store::Error) -> Self {
        use vigie_store::Error;
        // Without a path: the output could not be written, not the log read.
        if let Error::Io { path, source, .. } = &error
            && path.as_os_str().is_empty()
        {
            return Self::io("cannot write to standard output", source);
        }
        let code = match &error {
            Error::Absent { .. } => ExitCode::NotFound,
            Error::FolderNotWritable { .. } => ExitCode::NotPermitted,
            Error::Io { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => ExitCode::NotPermitted,
            _ => ExitCode::Internal,
        };
        Self::new(code, error.to_string())
    }
}

impl From<vigie_api::Error> for Failure {
    fn from(error: vigie_api::Error) -> Self {
        Self::new(error.exit_code(), error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closed_pipe_is_no_error() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert!(matches!(failure, Failure::ReaderGone));
        assert_eq!(failure.code(), ExitCode::Done);
    }

    #[test]
    fn a_reader_of_raw_output_may_go() {
        let source = io::Error::from(io::ErrorKind::BrokenPipe);
        let failure = Failure::from(vigie_store::Error::Io { doing: "write output to", path: "".into(), source });
        assert!(matches!(failure, Failure::ReaderGone));
    }

    #[test]
    fn refusals_of_the_system_have_their_code() {
        let failure = Failure::io("/srv/x", &io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(failure.code(), ExitCode::NotPermitted);
    }
}
