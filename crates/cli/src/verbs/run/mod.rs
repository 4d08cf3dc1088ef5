//! `vigie run`: any command, exactly once.

mod forward;
mod guard;
mod output;

use std::ffi::OsString;

use rustix::io::Errno;

use vigie_core::claim::PortClaim;
use vigie_core::exit_code::ExitCode;
use vigie_core::identity::RunId;
use vigie_core::ladder::{Ladder, Rung};
use vigie_core::launch::{Group, Input, Launch, Limits, Orphans, Output, Overflow, Scope, ServiceKey};
use vigie_core::name::Name;
use vigie_core::run::SpawnFailure;
use vigie_core::text::OsText;
use vigie_core::units::Span;
use vigie_os::place::Place;
use vigie_os::proc::Proc;

use crate::args::{duration, rung};
use crate::clash::{self, Flags, Starter, Wanted};
use crate::failure::{Failure, Verdict};
use crate::scene::Scene;
use crate::{clear, context, holder, look, plan};
use guard::{End, Guard};

/// Run any command exactly once, without a manifest
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Run any command exactly once, without a manifest and without the daemon.\n\n\
        A transparent guard: standard input, output and error, the terminal and signals pass through untouched, so it \
        works in pipes, cron and shells. The exit code is the command's. While the command runs, any other `run` of \
        the name ends with exit code 3 and names the holder on standard error. When this command ends in whatever way, \
        the terminal closing and `kill -9` included, the command and all that it started are stopped by the ladder.\n\n\
        A copy that vigie did not start, of the same program with the same script or arguments in the same folder, and \
        whoever holds a --port are in the way: at a terminal it is asked what to do, elsewhere it is refused. There is \
        no --adopt: what runs already has an input and output of its own, and a guard hands on yours.\n\n\
        Exit codes of its own: 3 (or that of -E) refused, 125 vigie failed, 126 not executable, 127 not found.",
    after_help = "Examples:\n  \
        vigie run -n backup -- ./backup.sh /srv            at most one at a time in this folder\n  \
        vigie run -n sync --scope user -E 0 -- rsync …     from cron: skip quietly while one runs\n  \
        vigie run -n db --port 5432 -- postgres -D data    refused also when somebody else has the port\n  \
        vigie run -n build --wait 5m -- make               wait for the other one instead"
)]
pub(crate) struct Args {
    /// What must run only once
    #[arg(short, long, value_name = "NAME", value_parser = name)]
    pub(crate) name: Name,
    /// How far "exactly once" reaches: this project (the nearest vigie.toml's folder, else the current one), this user,
    /// or the machine
    #[arg(long, default_value = "project", value_parser = scope)]
    pub(crate) scope: Scope,
    /// A port that it must hold alone, such as 8000, 5004/udp, 127.0.0.1:8000; refused when it is held already
    #[arg(long = "port", value_name = "PORT", value_parser = port)]
    pub(crate) ports: Vec<PortClaim>,
    /// Exit with this code instead of 3 when it is refused
    #[arg(short = 'E', long, value_name = "CODE")]
    pub(crate) exit_code: Option<u8>,
    /// Wait so long for the other one to end before being refused
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) wait: Option<Span>,
    /// End copies that vigie did not start and whoever holds a --port, by identity, then start
    #[arg(long, conflicts_with = "keep")]
    pub(crate) replace: bool,
    /// Start beside copies that vigie did not start; a --port that is held refuses all the same
    #[arg(long)]
    pub(crate) keep: bool,
    /// Keep the output too: `vigie logs NAME` shows it
    #[arg(long)]
    pub(crate) log: bool,
    /// How it is stopped when this command ends first
    #[arg(long, visible_alias = "stop", value_name = "RUNG", value_delimiter = ',', value_parser = rung)]
    pub(crate) ladder: Vec<Rung>,
    /// The command and its arguments
    #[arg(value_name = "CMD", required = true, trailing_var_arg = true)]
    pub(crate) command: Vec<OsString>,
}

fn name(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

fn scope(text: &str) -> Result<Scope, String> {
    match text {
        "project" => Ok(Scope::Project),
        "user" => Ok(Scope::User),
        "machine" => Ok(Scope::Machine),
        _ => Err("it is project, user or machine".to_owned()),
    }
}

fn port(text: &str) -> Result<PortClaim, String> {
    text.parse().map_err(|error: vigie_core::claim::ClaimError| error.to_string())
}

pub(crate) fn run(args: &Args) -> Verdict {
    let refused = args.exit_code.unwrap_or(ExitCode::AlreadyRunning.number());
    let place = context::place()?;
    let proc = context::proc()?;
    place.prepare()?;
    let launch = launch(args, &place, &proc)?;
    // Signals still end us here: nothing was started, and whoever is asked may want to leave.
    if let Err(failure) = clear_the_way(args, &launch) {
        if failure.code() != ExitCode::AlreadyRunning {
            return Err(failure);
        }
        crate::say(&failure);
        return Ok(refused);
    }
    // Before anything is started, so that no signal falls between.
    let signals = forward::take(&proc)?;
    let follower = match &launch.output {
        Output::Segments { dir, .. } => Some(output::Follower::new(dir.as_path().to_owned(), launch.run)?),
        Output::Inherit => None,
    };
    let deadline = args.wait.map(|wait| vigie_os::clock::mono() + wait.0);
    let mut guard = Guard { proc, signals, ports: args.ports.clone(), follower };
    let end = guard.run(&launch, deadline)?;
    match end {
        End::Ran(exit) => exit.shell_code().ok_or_else(|| unknown_end(args)),
        End::NotSpawned(failure) => Err(not_spawned(args, &failure)),
        End::Refused(holder) => {
            guard::tell(&holder::line(args.name.as_str(), holder.as_deref(), vigie_os::clock::now().wall));
            Ok(refused)
        }
        End::PortHeld { port, by } => {
            guard::tell(&format!("{}: port {port} is held by {by}", args.name));
            Ok(refused)
        }
        End::Signalled(signal) => Ok(128 + u8::try_from(signal.number()).unwrap_or(0)),
        End::KeeperLost => {
            let record = look::record(&place.service_dir(&launch.key), &guard.proc)?;
            let what = match record.map(|record| clear::end_survivors(&record, &place, &guard.proc)).transpose()? {
                Some(clear::Cleared::Ended(1)) => "1 process of it was ended".to_owned(),
                Some(clear::Cleared::Ended(count)) => format!("{count} processes of it were ended"),
                Some(clear::Cleared::Taken) => "somebody else runs it by now".to_owned(),
                None => "nothing of it was found".to_owned(),
            };
            Err(Failure::new(ExitCode::RunFailed, format!("the keeper of {} was killed; {what}", args.name)))
        }
    }
}

/// What is in the way and is no run of this name (R4.4). One that has the lock is named by the one who does not get it, and
/// may be waited for.
fn clear_the_way(args: &Args, launch: &Launch) -> Result<(), Failure> {
    let flags = Flags { replace: args.replace, adopt: false, keep: args.keep };
    let wanted = [Wanted::of_launch(launch, &args.ports)];
    clash::clear(&wanted, flags, Starter::Guard, &mut Scene::new(None)?).map(|_| ())
}

fn launch(args: &Args, place: &Place, proc: &Proc) -> Result<Launch, Failure> {
    let here = context::here(None)?;
    let key = ServiceKey::new(args.scope, &here.dir, args.name.clone());
    let project = match here.manifest.as_ref().map(context::read) {
        Some(Ok(Ok(project))) => project.name,
        // A manifest that is wrong keeps nobody from running a command without one.
        _ => Name::lossy(&here.dir.file_name().unwrap_or_default().to_string_lossy()),
    };
    let ladder = if args.ladder.is_empty() {
        Ladder::default()
    } else {
        Ladder::new(args.ladder.clone()).map_err(|error| Failure::usage(error.to_string()))?
    };
    let log = vigie_core::manifest::Log::default();
    let output = if args.log {
        Output::Segments {
            dir: place.logs_dir(&key).into(),
            max_size: log.max_size,
            keep: log.keep,
            overflow: Overflow::Block,
        }
    } else {
        Output::Inherit
    };
    let origin = context::origin(proc)?;
    Ok(Launch {
        project,
        mode: None,
        run: run_id()?,
        lock: place.lock_path(&key).into(),
        folder: place.service_dir(&key).into(),
        key,
        argv: args.command.iter().map(|word| OsText::from(word.clone())).collect(),
        env: context::environment(),
        cwd: origin.cwd.clone(),
        input: Input::Inherit,
        output,
        group: group(proc)?,
        ladder,
        orphans: Orphans::End,
        limits: Limits::default(),
        origin,
        managed: false,
        attempt: 0,
        adopt: None,
    })
}

/// The command goes into our process group, so that it stays in the foreground of the terminal. A group whose leader is
/// outside of our PID namespace has no number that could be given: as the first process of a container may see it.
fn group(proc: &Proc) -> Result<Group, Failure> {
    let mut buffer = Vec::new();
    let own = proc.stat(std::process::id(), &mut buffer)?.map_or(0, |stat| stat.pgrp);
    Ok(if own == 0 { Group::Own } else { Group::Join { pgid: own } })
}

/// A new run's identity.
pub(crate) fn run_id() -> Result<RunId, Failure> {
    Ok(RunId::new(vigie_os::clock::now().wall, vigie_os::random::u32()?))
}

/// As shells do it: 127 when there is no such program, 126 when it cannot be executed.
fn not_spawned(args: &Args, failure: &SpawnFailure) -> Failure {
    let code = match Errno::from_raw_os_error(failure.errno) {
        _ if failure.step != "exec" => ExitCode::RunFailed,
        Errno::NOENT => ExitCode::RunNotFound,
        _ => ExitCode::RunNotExecutable,
    };
    let why = std::io::Error::from_raw_os_error(failure.errno);
    Failure::new(code, format!("cannot run {}: {} {}: {why}", plan::shown(&args.command), failure.step, failure.on))
}

fn unknown_end(args: &Args) -> Failure {
    Failure::new(ExitCode::RunFailed, format!("nobody saw how {} ended", plan::shown(&args.command)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_of_a_command_that_does_not_start() {
        let args = Args {
            name: Name::new("x").expect("name"),
            scope: Scope::Project,
            ports: Vec::new(),
            exit_code: None,
            wait: None,
            replace: false,
            keep: false,
            log: false,
            ladder: Vec::new(),
            command: vec!["nope".into()],
        };
        let code = |step: &str, errno: Errno| {
            let failure = SpawnFailure { step: step.to_owned(), on: "nope".into(), errno: errno.raw_os_error() };
            not_spawned(&args, &failure).code()
        };
        assert_eq!(code("exec", Errno::NOENT), ExitCode::RunNotFound);
        assert_eq!(code("exec", Errno::ACCESS), ExitCode::RunNotExecutable);
        assert_eq!(code("exec", Errno::NOEXEC), ExitCode::RunNotExecutable);
        assert_eq!(code("chdir", Errno::NOENT), ExitCode::RunFailed);
    }
}
