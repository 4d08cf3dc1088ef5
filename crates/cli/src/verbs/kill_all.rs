//! `vigie kill-all`: the last resort.

use std::io::Write as _;

use vigie_api::status::{Report, Service};
use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::Ladder;
use vigie_core::service::State;
use vigie_core::supervisor::{Outcome, Request};

use crate::act::{self, Progress};
use crate::args::{Confirm, ManifestLong};
use crate::confirm::Consent;
use crate::ending::{self, Voice};
use crate::failure::{Failure, Verdict};
use crate::scene::{Scene, is_up};
use crate::{daemon, select, strays};

/// Last resort: end every process of this project at once
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Last resort: end every process of this project with SIGKILL, started by `up` or by `run`, what \
        runs left behind whose keepers were killed, and copies that vigie did not start (`vigie strays` names them). \
        Nothing gets the chance to end well: try `vigie down` first. What will be ended is shown first; afterwards it is seen whether it is gone.",
    after_help = "Examples:\n  vigie kill-all --dry-run\n  vigie kill-all --yes"
)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let report = scene.report(false)?;
    let services: Vec<Service> =
        select::of_project(&report, &scene.here.dir).into_iter().filter(|service| is_up(service)).cloned().collect();
    let known = strays::all(&report, &scene);
    let found = found(&known, &report, &scene);
    let others = strays::act::described(&found, &known);
    if services.is_empty() && others.is_empty() {
        writeln!(std::io::stdout(), "nothing of this project is running")?;
        return Ok(0);
    }
    let question = "KILL everything of this project:";
    if ending::agree_on(question, &services, &others, args.confirm, &scene)? == Consent::DryRun {
        return Ok(0);
    }
    ending::wake_keepers(&services, true, &scene);
    let (direct, managed) = ending::divided(&services);
    let mut worst = ending::stop_directly(&direct, Some(&Ladder::kill()), None, true, &scene, Voice::Aloud)?.number();
    if !managed.is_empty() {
        let told =
            if scene.silent { Err(Failure::Told(ExitCode::Unreachable)) } else { kill(&managed, &direct, &scene) };
        let code = match told {
            // The last resort does not depend on a daemon that is stopped, or cannot be started.
            Err(failure) if failure.code() == ExitCode::Unreachable => {
                crate::warn(&failure);
                ending::say_that_nobody_remembers();
                let running = ending::running(managed);
                ending::stop_directly(&running, Some(&Ladder::kill()), None, true, &scene, Voice::Aloud)?.number()
            }
            code => code?,
        };
        worst = worst.max(code);
    }
    let (outcomes, code) = strays::act::carry_out(&found, &known, Some(&Ladder::kill()), &scene)?;
    strays::show::outcomes(&outcomes)?;
    worst = worst.max(code.number());
    let report = scene.report(false)?;
    let left: Vec<String> = select::of_project(&report, &scene.here.dir)
        .into_iter()
        .filter(|service| service.run.is_some())
        .map(|service| format!("{} ({})", crate::plan::label(service), service.state))
        .collect();
    if left.is_empty() {
        writeln!(std::io::stdout(), "nothing of this project is left")?;
        return Ok(worst);
    }
    Err(Failure::new(ExitCode::StillAlive, format!("still there: {}", left.join(", "))))
}

/// The strays of this project. The last resort goes on without them when they cannot be looked for.
fn found(known: &[strays::Known], report: &Report, scene: &Scene) -> strays::Found {
    let here = |known: &strays::Known| known.root.as_path() == scene.here.dir;
    let found = strays::survey(known, report, scene, here).unwrap_or_else(|failure| {
        crate::warn(&failure);
        strays::Found::default()
    });
    // What runs left behind is among the services, and files are no processes.
    strays::Found { strays: found.strays, ..strays::Found::default() }
}

/// Through the daemon. Who is being stopped already goes up its ladder at once.
fn kill(managed: &[Service], direct: &[Service], scene: &Scene) -> Verdict {
    let keys = managed.iter().map(|service| service.key.clone()).collect();
    let climbing: Vec<_> =
        managed.iter().filter(|service| service.state == State::Stopping).map(|service| service.key.clone()).collect();
    let down = Request::Down { keys, origin: scene.origin()?, timeout: None, ladder: Some(Ladder::kill()) };
    let progress = Progress::new();
    let outcome = scene.runtime.block_on(async {
        let client = daemon::connect(&scene.place).await?;
        if !climbing.is_empty() {
            let skip = Request::Skip { keys: climbing };
            for _ in 0..ending::RUNGS {
                act::request(&scene.place, &client, &skip, &progress).await?;
            }
        }
        act::persistent(&scene.place, &down, &progress).await
    })?;
    act::tell(&ended_on_the_way(ending::without(outcome, direct)))
}

/// All of them ran when they were chosen. One that does not any more when the daemon is asked to end it, for it climbed
/// faster, or ended by itself, or by a request during which the daemon died, is as it was to be. Whether anything is left
/// is looked at afterwards, whatever the daemon says.
fn ended_on_the_way(mut outcome: Outcome) -> Outcome {
    for service in outcome.services.iter_mut().filter(|service| service.code == ExitCode::NotFound) {
        (service.code, service.why) = (ExitCode::Done, None);
    }
    if outcome.code == ExitCode::NotFound && outcome.why.is_none() {
        outcome.code = ExitCode::Done;
    }
    outcome
}
