//! The `vigie` command (R3): one file per verb in `verbs`, and what the verbs share.
//!
//! # Theory of operation
//!
//! [`main`] reads the arguments, runs one verb and turns what it returns into an exit code. A verb that *looks*
//! (`status`, `logs`, `events`) asks the daemon when there is one and else reads the folders, the kernel and the
//! database itself (R3.3). A verb that *supervises* (`up`, `stop`, …) starts the daemon when it is not there and sends
//! it one [`vigie_core::supervisor::Request`]. `run` needs neither daemon nor manifest, only a keeper.
//!
//! | module | what it is |
//! |---|---|
//! | `args` | the command line as data: help, completions, man pages and tests come from it |
//! | `verbs` | one verb, one file |
//! | `context` | where vigie's files lie, which project is meant, who asks |
//! | `daemon` | talking with the daemon |
//! | `look` | what runs, seen without it |
//! | `settings` | rules, silences and incidents in the database |
//! | `select` | from targets as they are written to services |
//! | `watched` | sources and containers as somebody names them |
//! | `plan`, `confirm` | what a verb will end, and whether it may (R3.2) |
//! | `judged` | why a process does not go on |
//! | `containers` | which containers hold ports |
//! | `out` | colour, tables, times, numbers |
//! | `failure` | why a verb did not do it, with its exit code (R3.4) |

/// As that of the standard library; who cannot be told, since the disk is full or the reader gone, is not told. It must not
/// end in the middle of what it does.
macro_rules! eprint {
    ($($arg:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!($($arg)*));
    }};
}

/// As [`eprint`], a line.
macro_rules! eprintln {
    ($($arg:tt)*) => {{
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($arg)*)));
    }};
}

mod act;
mod args;
mod clash;
mod clear;
mod confirm;
mod containers;
mod context;
mod cure;
mod daemon;
mod ending;
mod failure;
mod ghosts;
mod holder;
mod judged;
mod keeper;
mod look;
mod out;
mod pattern;
mod plan;
mod ports;
mod respawn;
mod runs;
mod scene;
mod select;
mod settings;
mod strays;
mod verbs;
mod watch;
mod watched;
mod written;

use std::io::Write as _;

use clap::{CommandFactory as _, Parser as _};
use vigie_core::exit_code::ExitCode;

use args::{Cli, Verb};
use failure::{Failure, Verdict};
use out::{Screen, style};

/// The whole program: reads the arguments of the process, runs a verb, says what went wrong.
pub fn main() -> std::process::ExitCode {
    std::panic::set_hook(Box::new(panicked));
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version go to standard output and are no error; whether somebody reads them does not matter.
            let _ = error.print();
            return if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done }.number().into();
        }
    };
    let transparent = matches!(cli.verb, Verb::Run(_));
    match dispatch(cli.verb) {
        Ok(code) => code.into(),
        Err(failure) => {
            say(&failure);
            exit_code(failure.code(), transparent).number().into()
        }
    }
}

/// The command line as data, for man pages and documents.
pub fn command() -> clap::Command {
    Cli::command()
}

fn dispatch(verb: Verb) -> Verdict {
    match verb {
        Verb::Up(args) => verbs::up::run(&args),
        Verb::Down(args) => verbs::down::run(&args),
        Verb::Start(args) => verbs::start::run(args),
        Verb::Stop(args) => verbs::stop::run(&args),
        Verb::Restart(args) => verbs::restart::run(&args),
        Verb::Run(args) => verbs::run::run(&args),
        Verb::Status(args) => verbs::status::run(&args),
        Verb::Logs(args) => verbs::logs::run(&args),
        Verb::Events(args) => verbs::events::run(&args),
        Verb::Metrics(args) => verbs::metrics::run(&args),
        Verb::Incidents(args) => verbs::incidents::run(&args),
        Verb::Rules(args) => verbs::rules::run(&args),
        Verb::Settings(args) => verbs::settings::run(&args),
        Verb::Notify(args) => verbs::notify::run(&args),
        Verb::Ports(args) => verbs::ports::run(&args),
        Verb::Free(args) => verbs::free::run(&args),
        Verb::End(args) => verbs::end::run(&args),
        Verb::Doctor(args) => verbs::doctor::run(&args),
        Verb::Why(args) => verbs::why::run(&args),
        Verb::Adopt(args) => verbs::adopt::run(&args),
        Verb::Strays(args) => verbs::strays::run(&args),
        Verb::Sweep(args) => verbs::sweep::run(&args),
        Verb::Ignore(args) => verbs::ignore::run(&args),
        Verb::Forget(args) => verbs::forget::run(&args),
        Verb::Quarantine(args) => verbs::quarantine::run(&args),
        Verb::Reset(args) => verbs::reset::run(&args),
        Verb::Soak(args) => verbs::soak::run(&args),
        Verb::Source(args) => verbs::source::run(&args),
        Verb::KillAll(args) => verbs::kill_all::run(&args),
        Verb::Daemon(args) => verbs::daemon::run(&args),
        Verb::Api(args) => verbs::api::run(&args),
        Verb::Worker(args) => verbs::worker::run(&args),
        Verb::Config(args) => verbs::config::run(&args),
        Verb::Completions(args) => verbs::completions::run(&args),
        Verb::Man(args) => verbs::man::run(&args),
        Verb::Help(args) => verbs::help::run(&args),
    }
}

/// `run` promises that codes below 125 are those of the command, refusals aside.
fn exit_code(code: ExitCode, transparent: bool) -> ExitCode {
    match code {
        ExitCode::Done | ExitCode::Usage | ExitCode::AlreadyRunning => code,
        ExitCode::RunFailed | ExitCode::RunNotExecutable | ExitCode::RunNotFound => code,
        _ if transparent => ExitCode::RunFailed,
        code => code,
    }
}

fn say(failure: &Failure) {
    tell("error:", style::BAD, failure);
}

/// What keeps a verb from seeing everything, and not from going on.
fn warn(failure: &Failure) {
    tell("warning:", style::WARN, failure);
}

fn tell(kind: &str, colour: anstyle::Style, failure: &Failure) {
    let Failure::Error { message, hint, .. } = failure else { return };
    let screen = Screen::stderr();
    let mut lines = format!("{} {message}\n", screen.paint(colour, kind));
    if let Some(hint) = hint {
        lines.push_str(&format!("{} {hint}\n", screen.paint(style::HEAD, "hint:")));
    }
    // There is nobody left to tell that this cannot be written.
    let _ = std::io::stderr().write_all(lines.as_bytes());
}

/// A bug in vigie: one line, no backtrace unless asked for, and exit code 70.
#[allow(clippy::exit, clippy::disallowed_methods, reason = "the program's state is in doubt; nothing may run on")]
fn panicked(panic: &std::panic::PanicHookInfo<'_>) {
    let place = panic.location().map(|place| format!(" at {}:{}", place.file(), place.line())).unwrap_or_default();
    let what = panic.payload_as_str().unwrap_or("no message");
    let _ = writeln!(
        std::io::stderr(),
        "error: internal error{place}: {what}\nhint: this is a bug in vigie; please report it"
    );
    if std::env::var_os("RUST_BACKTRACE").is_some_and(|value| value != "0") {
        let _ = writeln!(std::io::stderr(), "{}", std::backtrace::Backtrace::force_capture());
    }
    std::process::exit(ExitCode::Internal.number().into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_guard_is_never_mistaken_for_its_command() {
        assert_eq!(exit_code(ExitCode::NotPermitted, true), ExitCode::RunFailed);
        assert_eq!(exit_code(ExitCode::Internal, true), ExitCode::RunFailed);
        assert_eq!(exit_code(ExitCode::AlreadyRunning, true), ExitCode::AlreadyRunning);
        assert_eq!(exit_code(ExitCode::Usage, true), ExitCode::Usage);
        assert_eq!(exit_code(ExitCode::NotPermitted, false), ExitCode::NotPermitted);
    }
}
