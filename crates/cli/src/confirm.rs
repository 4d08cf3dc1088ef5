//! May it be done? Asked once, with No as the default (R3.2).

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use vigie_core::exit_code::ExitCode;

use crate::args::Confirm;
use crate::failure::Failure;

/// What came of asking.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Consent {
    /// Do it.
    Given,
    /// It was only to be shown.
    DryRun,
}

/// Asks `question`, unless `--yes` or `--dry-run` answer it.
///
/// # Errors
/// Exit code 4 when there is nobody to ask, 1 when the answer is no.
pub(crate) fn ask(confirm: Confirm, question: &str) -> Result<Consent, Failure> {
    decide(confirm, std::io::stdin().is_terminal(), || {
        let mut answer = String::new();
        let mut terminal = std::io::stderr();
        // Names of processes and folders are part of some: none of them may paint over what is asked.
        write!(terminal, "{} [y/N] ", crate::out::safe(question))?;
        terminal.flush()?;
        if std::io::stdin().lock().read_line(&mut answer)? == 0 {
            // Ctrl-D: the cursor still stands behind the question.
            writeln!(terminal)?;
        }
        Ok(answer)
    })
}

fn decide(
    confirm: Confirm,
    terminal: bool,
    answer: impl FnOnce() -> std::io::Result<String>,
) -> Result<Consent, Failure> {
    if confirm.dry_run {
        return Ok(Consent::DryRun);
    }
    if confirm.yes {
        return Ok(Consent::Given);
    }
    if !terminal {
        return Err(Failure::new(
            ExitCode::NeedsConfirmation,
            "this needs a confirmation, and there is no terminal to ask at; nothing was done",
        )
        .hint("add --yes to do it without asking, or --dry-run to see what would be done"));
    }
    let answer = answer().map_err(|error| Failure::io("cannot ask at the terminal", &error))?;
    if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
        return Ok(Consent::Given);
    }
    Err(Failure::new(ExitCode::No, "declined; nothing was done"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(yes: bool, dry_run: bool, terminal: bool, answer: &str) -> Result<Consent, ExitCode> {
        decide(Confirm { yes, dry_run }, terminal, || Ok(answer.to_owned())).map_err(|failure| failure.code())
    }

    /// R3.2: No is the default, nobody to ask is exit 4, and a dry run wins over everything.
    #[test]
    fn nothing_is_done_without_a_clear_yes() {
        assert_eq!(with(false, false, true, "y\n"), Ok(Consent::Given));
        assert_eq!(with(false, false, true, "YES\n"), Ok(Consent::Given));
        for no in ["", "\n", "n\n", "yep\n", "oui\n", " \n"] {
            assert_eq!(with(false, false, true, no), Err(ExitCode::No), "{no:?}");
        }
        assert_eq!(with(false, false, false, "y\n"), Err(ExitCode::NeedsConfirmation), "a pipe cannot say yes");
        assert_eq!(with(true, false, false, ""), Ok(Consent::Given));
        assert_eq!(with(true, true, true, "y\n"), Ok(Consent::DryRun));
        assert_eq!(with(false, true, false, ""), Ok(Consent::DryRun), "to look needs no terminal");
    }
}
