//! Doing what was agreed to: runs first, then containers, then processes; and looking what came of it.

use std::io::Write as _;
use std::time::Duration;

use vigie_api::status::Service;
use vigie_core::exit_code::ExitCode;
use vigie_core::units::Span;

use super::act::{self, Fate};
use super::course::{Course, Planned, contained, ending, places, stopped};
use super::obstacle::{Port, worst};
use super::survey::{Housed, Survey};
use super::suspect::Suspect;
use super::verify::{self, After, Again};
use super::{Args, tell};
use crate::ending::Voice;
use crate::failure::Failure;
use crate::out::safe;
use crate::runs::Runs;
use crate::scene::Scene;
use crate::verbs::stop;

/// How long a holder has to end before it is killed, unless something else is said; a container has what its own settings
/// give it.
const GRACE: Duration = Duration::from_secs(10);

/// What came of it.
pub(super) struct Acted {
    /// Of what was done.
    pub(super) code: ExitCode,
    /// Of the ports that something was done about.
    pub(super) ports: Vec<Option<After>>,
}

/// Does what was agreed to, and looks what came of it.
pub(super) fn perform(args: &Args, survey: &Survey, plan: &[Planned<'_>], scene: &Scene) -> Result<Acted, Failure> {
    let acting: Vec<&Planned<'_>> = plan.iter().filter(|one| one.course == Course::Act).collect();
    let nothing = || Acted { code: ExitCode::Done, ports: plan.iter().map(|_| None).collect() };
    if acting.is_empty() {
        return Ok(nothing());
    }
    let ending = ending(survey, &acting);
    let suspects: Vec<_> = ending.iter().map(|place| &survey.suspects[*place]).collect();
    still_nobodys(&suspects, scene)?;
    let voice = if args.json { Voice::Silent } else { Voice::Aloud };
    let grace = args.timeout.map_or(GRACE, |timeout| timeout.0);
    let mut acted = nothing();
    let services: Vec<Service> =
        places(&acting, stopped).into_iter().map(|place| survey.services[place].clone()).collect();
    if !services.is_empty() {
        let code = stop_runs(&services, scene, voice)?;
        acted.code = worst([acted.code, code]);
    }
    for place in places(&acting, contained) {
        let code = stop_container(&survey.containers[place], args.timeout, scene, voice)?;
        acted.code = worst([acted.code, code]);
    }
    let fates = act::end(&scene.proc, &suspects, grace)?;
    for (suspect, fate) in suspects.iter().zip(&fates) {
        tell::fate(suspect, fate, voice == Voice::Aloud)?;
    }
    let again = Again::after(&suspects);
    let beside = acting.iter().any(|one| one.beside && !one.port.beside.is_empty());
    let ports: Vec<&Port> = acting.iter().map(|one| one.port).collect();
    let mut after = verify::look(&scene.proc, &ports, beside, again)?.into_iter();
    for (slot, one) in acted.ports.iter_mut().zip(plan) {
        if one.course == Course::Act {
            *slot = after.next();
        }
    }
    // Whoever is left does not matter once the port is free; else it says why it is not.
    if acted.ports.iter().flatten().any(|after| !after.is_free()) {
        acted.code = worst(fates.iter().map(Fate::code).chain([acted.code, ExitCode::StillAlive]));
    }
    Ok(acted)
}

/// Between the look and the answer somebody may have adopted what was nobody's.
fn still_nobodys(suspects: &[&Suspect], scene: &Scene) -> Result<(), Failure> {
    let runs = Runs::read(&scene.place, &scene.proc)?;
    for suspect in suspects {
        if let Some(run) = runs.holding(&scene.proc, suspect.target.key().pid) {
            let who = safe(&suspect.process.label());
            let message = format!("{who} is a part of a run of {} by now; nothing was done", run.label);
            return Err(Failure::new(ExitCode::AlreadyRunning, message));
        }
    }
    Ok(())
}

/// As `vigie stop` does it, by their own ladders, so that nobody starts them again.
fn stop_runs(services: &[Service], scene: &Scene, voice: Voice) -> Result<ExitCode, Failure> {
    if scene.silent && services.iter().any(|service| service.wanted.is_some()) {
        // Behind its back it would start again what is stopped; why it cannot be told was said.
        return Err(Failure::Told(ExitCode::Unreachable));
    }
    let number = stop::perform(services, None, None, scene, voice)?;
    Ok(ExitCode::TABLE.iter().map(|(code, _)| *code).find(|code| code.number() == number).unwrap_or(ExitCode::Internal))
}

fn stop_container(housed: &Housed, timeout: Option<Span>, scene: &Scene, voice: Voice) -> Result<ExitCode, Failure> {
    let Housed { found, details } = housed;
    let own = details.as_ref().and_then(|details| details.grace_seconds);
    let grace =
        timeout.map(|timeout| timeout.0).or(own.map(|seconds| Duration::from_secs(seconds.into()))).unwrap_or(GRACE);
    let name = safe(&found.container.to_string());
    match scene.runtime.block_on(found.engine.stop(&found.container.id, grace)) {
        Ok(_) if voice == Voice::Aloud => writeln!(std::io::stdout(), "container {name}: stopped")?,
        Ok(_) => {}
        // Somebody removed it meanwhile: whether the port is free is looked at in any case.
        Err(error) if error.exit_code() == ExitCode::NotFound => {}
        Err(error) => {
            eprintln!("container {name}: {error}");
            return Ok(error.exit_code());
        }
    }
    Ok(ExitCode::Done)
}
