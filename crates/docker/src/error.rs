//! Why an engine did not do what it was asked.

use std::time::Duration;

use vigie_core::exit_code::ExitCode;
use vigie_core::units::format_rounded;

/// Why an engine did not do what it was asked. Each names the place.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket is not for this user.
    #[error("not permitted to ask the container engine at {}: this needs root or the docker group", .at)]
    NotPermitted {
        /// Where it listens.
        at: String,
    },
    /// Nobody listens there.
    #[error("no container engine answers at {}: {source}", .at)]
    Absent {
        /// Where it should listen.
        at: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// It has not answered in time: it hangs, or is very busy.
    #[error("the container engine at {} has not answered {request} within {}", .at, patience(*after))]
    Late {
        /// Where it listens.
        at: String,
        /// Method and path.
        request: String,
        /// How long it had.
        after: Duration,
    },
    /// The connection broke, or what came is not HTTP.
    #[error("the container engine at {} broke off {request}: {why}", .at)]
    Broken {
        /// Where it listens.
        at: String,
        /// Method and path.
        request: String,
        /// What the library said.
        why: String,
    },
    /// It answered that it will not.
    #[error("the container engine at {} refused {request}: {message} (status {status})", .at)]
    Refused {
        /// Where it listens.
        at: String,
        /// Method and path.
        request: String,
        /// The status of HTTP.
        status: u16,
        /// What it said, made safe to be shown.
        message: String,
    },
    /// What is configured for it cannot be used: a certificate, a key, a context.
    #[error("the container engine at {at} cannot be asked: {why}")]
    Settings {
        /// Where it listens.
        at: String,
        /// What is wrong, and where.
        why: String,
    },
    /// Its answer is not what the API documents.
    #[error("the answer of the container engine at {} to {request} is not understood: {why}", .at)]
    Malformed {
        /// Where it listens.
        at: String,
        /// Method and path.
        request: String,
        /// What is wrong with it.
        why: String,
    },
}

impl Error {
    /// Why, in a few words: for whoever names the source itself.
    pub fn reason(&self) -> String {
        match self {
            Self::NotPermitted { .. } => "not permitted to ask it".to_owned(),
            // Of which of its places that is said, the name of a source does not tell.
            Self::Absent { at, source } => format!("{at}: {source}"),
            Self::Late { request, after, .. } => format!("no answer to {request} within {}", patience(*after)),
            Self::Broken { request, why, .. } => format!("{request}: {why}"),
            Self::Refused { request, status, message, .. } => format!("{request}: {message} (status {status})"),
            Self::Malformed { request, why, .. } => format!("the answer to {request} is not understood: {why}"),
            Self::Settings { why, .. } => why.clone(),
        }
    }

    /// The exit code that fits (R3.4).
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::NotPermitted { .. } => ExitCode::NotPermitted,
            Self::Refused { status: 404, .. } => ExitCode::NotFound,
            Self::Refused { status: 401 | 403, .. } => ExitCode::NotPermitted,
            Self::Absent { .. } | Self::Late { .. } | Self::Broken { .. } => ExitCode::Unreachable,
            Self::Refused { .. } | Self::Malformed { .. } => ExitCode::Unreachable,
            Self::Settings { .. } => ExitCode::Usage,
        }
    }

    /// Nobody listens: there is no engine, which is nothing to worry about.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent { .. })
    }
}

/// What is left of a deadline when somebody begins to wait is a hair less than it: the round number is what was meant.
fn patience(after: Duration) -> String {
    let tenth = Duration::from_millis(100);
    let tenths = (after + tenth / 2).as_millis() / tenth.as_millis();
    match u32::try_from(tenths) {
        Ok(tenths @ 1..) => format_rounded(tenth * tenths),
        _ => format_rounded(after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_it_had_is_round() {
        for (nanos, text) in [
            (13_999_999_579, "14s"),
            (14_000_000_000, "14s"),
            (1_949_000_000, "1.9s"),
            (99_000_000, "100ms"),
            (2_000_000, "2ms"),
        ] {
            let at = "/run/docker.sock".to_owned();
            let late = Error::Late { at, request: "GET /info".to_owned(), after: Duration::from_nanos(nanos) };
            assert_eq!(late.reason(), format!("no answer to GET /info within {text}"));
            assert!(late.to_string().ends_with(&format!("within {text}")), "{late}");
        }
    }

    #[test]
    fn who_is_absent_is_named() {
        let source = std::io::Error::from_raw_os_error(2);
        let absent = Error::Absent { at: "/run/docker.sock".to_owned(), source };
        assert_eq!(absent.reason(), "/run/docker.sock: No such file or directory (os error 2)");
    }
}
