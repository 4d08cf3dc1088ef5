//! The command line as data: names, help and examples of every verb. Help, completions, man pages and the tests of the
//! documented lines all come from here and from the `Args` of the verbs.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::Rung;
use vigie_core::target::Target;
use vigie_core::units::Span;

use crate::verbs;

/// Runs each service exactly once, stops it for real, and keeps watch.
#[derive(Debug, Parser)]
#[command(
    name = "vigie",
    version,
    about = "Runs each service exactly once, stops it for real, keeps watch",
    long_about = "Runs each service exactly once, stops it for real, and keeps watch.\n\n\
        A project is a folder with a vigie.toml; verbs use the nearest one from the current folder upwards.\n\
        A target is a service (api), a service in a mode (robot:headless), a service of another project\n\
        (shop/api), what a process or port belongs to (pid:123, port:8000), or, for events, a container or\n\
        a source (container:web, source:nas).",
    after_long_help = overview(),
    disable_help_subcommand = true,
    subcommand_required = true,
    arg_required_else_help = true,
    infer_long_args = false,
)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// What to do. What each verb is, its own `Args` say.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    Up(verbs::up::Args),
    Down(verbs::down::Args),
    Start(verbs::start::Args),
    Stop(verbs::stop::Args),
    Restart(verbs::restart::Args),
    Run(verbs::run::Args),
    Status(verbs::status::Args),
    Logs(verbs::logs::Args),
    Events(verbs::events::Args),
    Metrics(verbs::metrics::Args),
    Incidents(verbs::incidents::Args),
    Rules(verbs::rules::Args),
    Settings(verbs::settings::Args),
    Notify(verbs::notify::Args),
    Ports(verbs::ports::Args),
    Free(verbs::free::Args),
    Why(verbs::why::Args),
    Doctor(verbs::doctor::Args),
    End(verbs::end::Args),
    Adopt(verbs::adopt::Args),
    Strays(verbs::strays::Args),
    Sweep(verbs::sweep::Args),
    Ignore(verbs::ignore::Args),
    Forget(verbs::forget::Args),
    Quarantine(verbs::quarantine::Args),
    Reset(verbs::reset::Args),
    Soak(verbs::soak::Args),
    Source(verbs::source::Args),
    KillAll(verbs::kill_all::Args),
    Daemon(verbs::daemon::Args),
    Api(verbs::api::Args),
    #[command(hide = true)]
    Worker(verbs::worker::Args),
    Config(verbs::config::Args),
    Completions(verbs::completions::Args),
    Man(verbs::man::Args),
    Help(verbs::help::Args),
}

/// The manifest, with a short flag: for verbs to which `-f` means nothing else.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct Manifest {
    /// Use this manifest instead of the nearest vigie.toml
    #[arg(short, long, value_name = "MANIFEST")]
    pub(crate) file: Option<PathBuf>,
}

/// The manifest, where `-f` means something else.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ManifestLong {
    /// Use this manifest instead of the nearest vigie.toml
    #[arg(long, value_name = "MANIFEST")]
    pub(crate) file: Option<PathBuf>,
}

/// What every verb takes that ends processes (R3.2).
#[derive(Debug, Clone, Copy, Default, Args)]
pub(crate) struct Confirm {
    /// Do not ask
    #[arg(short = 'y', long, visible_short_alias = 'f', visible_alias = "force")]
    pub(crate) yes: bool,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
}

/// Reads a duration such as `5s`.
pub(crate) fn duration(text: &str) -> Result<Span, String> {
    Span::try_from(text.to_owned()).map_err(|error| error.to_string())
}

/// Reads how many lines are wanted.
pub(crate) fn lines<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| "write how many lines, as 20".to_owned())
}

/// Reads a target (R3.1).
pub(crate) fn target(text: &str) -> Result<Target, String> {
    text.parse().map_err(|error: vigie_core::target::TargetError| error.to_string())
}

/// Reads a rung such as `TERM 10s`.
pub(crate) fn rung(text: &str) -> Result<Rung, String> {
    text.parse().map_err(|error: vigie_core::ladder::LadderError| error.to_string())
}

fn overview() -> String {
    format!(
        "Examples:\n  \
           vigie up                       start all, show their output, Ctrl-C stops all\n  \
           vigie up -d                    start all in the background, return when they are ready\n  \
           vigie status --watch           what runs, every second\n  \
           vigie logs -f api              follow the output of one service\n  \
           vigie stop api                 stop it, and see that nothing is left\n  \
           vigie run -n sim -- ./sim.py   any command, exactly once, without a manifest\n\n\
         Environment:\n  \
           VIGIE_HOME       keep everything below this folder; two of them never meet\n  \
           NO_COLOR         no colour; CLICOLOR_FORCE=1: colour also in pipes\n\n\
         {}",
        exit_codes()
    )
}

/// The exit codes, from the one table of them (R3.4).
pub(crate) fn exit_codes() -> String {
    let mut text = String::from("Exit codes:\n");
    for (code, meaning) in ExitCode::TABLE {
        text.push_str(&format!("  {:>3}  {meaning}\n", code.number()));
    }
    text.truncate(text.trim_end().len());
    text
}

#[cfg(test)]
mod tests;
