//! `vigie daemon`: the background part.

use std::io::Write as _;
use std::time::Duration;

use serde_json::json;

use vigie_api::{Client, path, report};
use vigie_core::exit_code::ExitCode;
use vigie_core::service::Wanted;
use vigie_core::supervisor::Request;
use vigie_daemon::Options;
use vigie_os::pidfd::Target;

use crate::act::{self, Progress};
use crate::args::Confirm;
use crate::confirm::Consent;
use crate::failure::{Failure, Verdict};
use crate::out::time;
use crate::scene::{Scene, is_up};
use crate::{context, daemon, ending};

/// How long the daemon may take to end after its last service has.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long it may take to say who it is.
const ANSWER: Duration = Duration::from_secs(5);

/// Start, stop or show the background part
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Start, stop or show the background part: one per user, started by itself when a verb needs it.",
    after_help = "Examples:\n  vigie daemon status\n  vigie daemon stop"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Start it in the background, unless it runs
    Start,
    /// Stop what is tied to it, then end it
    ///
    /// Services that are tied to nothing go on, and the next daemon takes them up again.
    Stop {
        #[command(flatten)]
        confirm: Confirm,
    },
    /// Show whether it runs: exit code 0, else 8
    Status {
        /// For programs
        #[arg(long)]
        json: bool,
    },
    /// Be the daemon, in the foreground
    Run {
        /// Leave the terminal: what commands that need a daemon start it with
        #[arg(long, hide = true)]
        detach: bool,
    },
}

pub(crate) fn run(args: &Args) -> Verdict {
    match &args.verb {
        Verb::Start => start(),
        Verb::Stop { confirm } => stop(*confirm),
        Verb::Status { json } => status(*json),
        Verb::Run { detach } => be(*detach),
    }
}

fn start() -> Verdict {
    let scene = Scene::new(None)?;
    let about = scene.runtime.block_on(async {
        let client = daemon::connect(&scene.place).await?;
        Ok::<report::Daemon, Failure>(client.get_json(path::DAEMON).await?)
    })?;
    show(&about)
}

fn status(json: bool) -> Verdict {
    let scene = Scene::new(None)?;
    let about = about(&scene)?;
    if json {
        let value = json!({ "schema": vigie_api::SCHEMA, "daemon": about });
        writeln!(std::io::stdout(), "{value}")?;
    }
    match about {
        Some(_) if json => Ok(0),
        Some(about) => show(&about),
        None => {
            if !json {
                writeln!(std::io::stdout(), "daemon: not running")?;
            }
            Ok(ExitCode::NotFound.number())
        }
    }
}

fn about(scene: &Scene) -> Result<Option<report::Daemon>, Failure> {
    let client = Client::new(scene.place.daemon_socket());
    match scene.runtime.block_on(async { tokio::time::timeout(ANSWER, client.get_json(path::DAEMON)).await }) {
        Ok(Ok(about)) => Ok(Some(about)),
        Ok(Err(error)) if error.is_unreachable() => Ok(None),
        Ok(Err(error)) => Err(error.into()),
        Err(_) => Err(daemon::silent(&scene.place)),
    }
}

fn show(about: &report::Daemon) -> Verdict {
    let since = time::local(about.started.0);
    let age = time::age(about.started.0, vigie_os::clock::now().wall);
    writeln!(
        std::io::stdout(),
        "daemon: running, PID {}, version {}, since {since} ({age} ago), in {}",
        about.pid,
        about.version,
        about.home
    )?;
    Ok(0)
}

/// Ends the daemon in order: what is tied to it is stopped first.
fn stop(confirm: Confirm) -> Verdict {
    let mut scene = Scene::new(None)?;
    let Some(about) = about(&scene)? else {
        writeln!(std::io::stdout(), "daemon: not running")?;
        return Ok(0);
    };
    // Before it is asked to end, so that the number cannot be another's by then.
    let target = Target::open_pid(&scene.proc, about.pid)?;
    let report = scene.report(false)?;
    // The daemon's own worker is a part of it.
    let is_own = |one: &vigie_api::status::Service| one.project_dir.as_path() == scene.place.state;
    let is_meant = |one: &vigie_api::status::Service| one.wanted == Some(Wanted::Up) && is_up(one) && !is_own(one);
    let services: Vec<_> = report.services.into_iter().filter(is_meant).collect();
    if services.is_empty() {
        if confirm.dry_run {
            writeln!(std::io::stdout(), "dry run: the daemon, PID {}, would end; nothing runs", about.pid)?;
            return Ok(0);
        }
    } else {
        let question = "End the daemon, and stop what is tied to it or to a terminal:";
        if ending::agree(question, &services, confirm, &scene)? == Consent::DryRun {
            return Ok(0);
        }
    }
    let mut outcome = scene.runtime.block_on(async {
        let client = Client::new(scene.place.daemon_socket());
        act::request(&scene.place, &client, &Request::ShutDown, &Progress::new()).await
    })?;
    // What had ended by itself needs no stop; nobody named it.
    outcome.services.retain(|service| service.code != ExitCode::NotFound);
    if outcome.code == ExitCode::NotFound {
        outcome.code = ExitCode::Done;
    }
    let code = act::tell(&outcome)?;
    if let Some(target) = target
        && !target.wait(vigie_os::clock::mono() + PATIENCE)?
    {
        return Err(Failure::new(ExitCode::StillAlive, format!("the daemon, PID {}, still runs", about.pid)));
    }
    writeln!(std::io::stdout(), "daemon: stopped")?;
    Ok(code)
}

/// This process is the daemon, until it is told to end.
fn be(detached: bool) -> Verdict {
    let keeper =
        vigie_daemon::keeper_program().map_err(|error| Failure::io("cannot tell where vigie-keeper lies", &error))?;
    let worker = daemon::program()?;
    vigie_daemon::run(Options { place: context::place()?, keeper, worker, detached })
        .map_err(|error| Failure::new(error.exit_code(), error.to_string()))?;
    Ok(0)
}
