//! How vigie itself ends: the one table of exit codes (R3.4). Public API; documented by `docs/exit-codes.md`.

/// An exit code of the `vigie` command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done, or yes.
    Done = 0,
    /// The honest no: ports used, findings open, not ready, declined.
    No = 1,
    /// Usage or manifest error.
    Usage = 2,
    /// Refused: already running.
    AlreadyRunning = 3,
    /// Needs confirmation, and nobody could be asked.
    NeedsConfirmation = 4,
    /// A deadline passed and it is still alive.
    StillAlive = 5,
    /// KILL is pending and the kernel does not end it.
    Stuck = 6,
    /// Not permitted, or cannot see.
    NotPermitted = 7,
    /// Not found, or not running.
    NotFound = 8,
    /// The daemon or a source does not answer.
    Unreachable = 9,
    /// A bug in vigie.
    Internal = 70,
    /// `run` only: vigie itself failed.
    RunFailed = 125,
    /// `run` only: the command is not executable.
    RunNotExecutable = 126,
    /// `run` only: the command was not found.
    RunNotFound = 127,
}

impl ExitCode {
    /// Every code with its meaning, in order: for the docs and for `vigie help exit-codes`.
    pub const TABLE: &[(ExitCode, &str)] = &[
        (ExitCode::Done, "done / yes"),
        (ExitCode::No, "the honest no: ports used, findings open, not ready, declined"),
        (ExitCode::Usage, "usage or manifest error"),
        (ExitCode::AlreadyRunning, "refused: already running"),
        (ExitCode::NeedsConfirmation, "needs confirmation"),
        (ExitCode::StillAlive, "deadline passed, still alive"),
        (ExitCode::Stuck, "stuck: KILL is pending and the kernel does not end it"),
        (ExitCode::NotPermitted, "not permitted / cannot see"),
        (ExitCode::NotFound, "not found / not running"),
        (ExitCode::Unreachable, "daemon or source unreachable"),
        (ExitCode::Internal, "internal error"),
        (ExitCode::RunFailed, "run only: vigie failed"),
        (ExitCode::RunNotExecutable, "run only: not executable"),
        (ExitCode::RunNotFound, "run only: not found"),
    ];

    /// The number.
    pub fn number(self) -> u8 {
        self as u8
    }
}

#[cfg(feature = "schema")]
impl schemars::JsonSchema for ExitCode {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExitCode".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let codes: Vec<u8> = Self::TABLE.iter().map(|(code, _)| code.number()).collect();
        schemars::json_schema!({
            "type": "integer",
            "enum": codes,
            "description": "The exit code that a command is to end with (docs/exit-codes.md)."
        })
    }
}

impl serde::Serialize for ExitCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u8(self.number())
    }
}

impl<'de> serde::Deserialize<'de> for ExitCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = u8::deserialize(deserializer)?;
        Self::TABLE
            .iter()
            .map(|(code, _)| *code)
            .find(|code| code.number() == number)
            .ok_or_else(|| serde::de::Error::custom(format!("{number} is not an exit code of vigie")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// R3.4: the table is the one of the specification.
    #[test]
    fn the_table_is_complete_and_ordered() {
        let numbers: Vec<u8> = ExitCode::TABLE.iter().map(|(code, _)| code.number()).collect();
        assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 70, 125, 126, 127]);
    }
}
