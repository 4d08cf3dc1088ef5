//! Why a measurement could not go on.

use std::fmt;

/// One sentence for a person: what failed, on what, why.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }

    /// For `map_err`: what was tried, on what.
    pub(crate) fn io(what: impl fmt::Display) -> impl FnOnce(std::io::Error) -> Self {
        move |error| Self(format!("{what}: {error}"))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl From<vigie_os::error::OsError> for Failure {
    fn from(error: vigie_os::error::OsError) -> Self {
        Self(error.to_string())
    }
}

/// What a measurement gives.
pub(crate) type Result<T> = std::result::Result<T, Failure>;
