//! Ending what is in the way: by identity and ladder, and seen to be gone.

use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::Ladder;
use vigie_core::run::Left;
use vigie_os::holder;
use vigie_os::strays::{Ended, Family, end};

use super::{Clash, Wanted, Whose, free_hint};
use crate::args::Confirm;
use crate::confirm;
use crate::failure::Failure;
use crate::runs::Runs;
use crate::scene::Scene;
use crate::verbs::stop;

/// How long a port may take to be free once nobody holds it any more: a child between fork and exec may have a copy of its
/// descriptor.
const FREE: std::time::Duration = std::time::Duration::from_secs(2);

/// Between two looks at a port.
const LOOK_AGAIN: std::time::Duration = std::time::Duration::from_millis(10);

/// Ends all of them. Nothing is ended when one of them must not be.
///
/// # Errors
/// Exit code 3 for a container, 4 for a run of another service when there is nobody to ask, 5 and 6 for what is left, 7 for
/// what may not be ended.
pub(super) fn replace(clashes: &[Clash], wanted: &[Wanted], scene: &mut Scene) -> Result<(), Failure> {
    for clash in clashes {
        let code = match &clash.whose {
            Whose::Nobodys | Whose::Run(..) => continue,
            Whose::Container(_) | Whose::Unknown(_) => ExitCode::AlreadyRunning,
            Whose::Protected(_) | Whose::Hidden => ExitCode::NotPermitted,
        };
        let why = if clash.process.is_some() { format!("; {}", clash.why()) } else { String::new() };
        let message = format!("{}{why}; nothing was done", clash.line(wanted));
        return Err(Failure::new(code, message).hint(free_hint(clash)));
    }
    still_nobodys(clashes, scene)?;
    stop_runs(clashes, wanted, scene)?;
    end_strangers(clashes, wanted, scene)?;
    see_free(wanted, scene)
}

/// Between the look and the answer somebody may have adopted what was nobody's.
fn still_nobodys(clashes: &[Clash], scene: &Scene) -> Result<(), Failure> {
    let runs = Runs::read(&scene.place, &scene.proc)?;
    for clash in clashes.iter().filter(|clash| clash.whose == Whose::Nobodys) {
        let Some(process) = &clash.process else { continue };
        if let Some(run) = runs.holding(&scene.proc, process.pid) {
            let message = format!("{} is a run of {} by now; nothing was done", clash.who, run.label);
            return Err(Failure::new(ExitCode::AlreadyRunning, message));
        }
    }
    Ok(())
}

/// Runs of other services are asked about by themselves, and stopped as `stop` does it.
fn stop_runs(clashes: &[Clash], wanted: &[Wanted], scene: &mut Scene) -> Result<(), Failure> {
    let mut keys = Vec::new();
    for clash in clashes {
        let Whose::Run(key, label) = &clash.whose else { continue };
        if keys.contains(key) {
            continue;
        }
        let held = clash.holds.first().map(|port| format!(", which holds port {port}")).unwrap_or_default();
        let question = format!("Stop {label} for {}{held}?", wanted[clash.of].label);
        confirm::ask(Confirm::default(), &question).map_err(|failure| match failure.code() {
            ExitCode::NeedsConfirmation => {
                let message = format!(
                    "{}; it is a run of {label}, which is not ended without being asked for",
                    clash.line(wanted)
                );
                Failure::new(ExitCode::NeedsConfirmation, message)
                    .hint(format!("'vigie stop {label} --yes' stops it; nothing was done"))
            }
            _ => failure,
        })?;
        keys.push(key.clone());
    }
    if keys.is_empty() {
        return Ok(());
    }
    let mut services = scene.report(false)?.services;
    services.retain(|service| keys.contains(&service.key) && service.run.is_some());
    let agreed = Confirm { yes: true, dry_run: false };
    match stop::stop(&services, agreed, None, None, scene)? {
        0 => Ok(()),
        code => {
            let code = if code == ExitCode::Stuck.number() { ExitCode::Stuck } else { ExitCode::StillAlive };
            Err(Failure::Told(code))
        }
    }
}

/// Processes that no run has, with those below them.
fn end_strangers(clashes: &[Clash], wanted: &[Wanted], scene: &Scene) -> Result<(), Failure> {
    let (mut named, mut families) = (Vec::new(), Vec::new());
    for clash in clashes.iter().filter(|clash| clash.whose == Whose::Nobodys) {
        let Some(process) = &clash.process else { continue };
        // A copy ends as the service does; a stranger as anybody.
        let ladder = if clash.is_copy() { wanted[clash.of].ladder.clone() } else { Ladder::default() };
        // By identity: one that has ended meanwhile is none, whoever has its number now.
        if let Some(family) = Family::open(&scene.proc, process)? {
            named.push(clash);
            families.push((family, ladder));
        }
    }
    let mut failure = None;
    for (clash, ended) in named.into_iter().zip(end(&scene.proc, families)?) {
        let label = &wanted[clash.of].label;
        match ended {
            Ended::Gone(_) => eprintln!("{label}: {} ended", clash.who),
            Ended::Left(left) => {
                let stuck = left.iter().any(|left| left.kill_pending);
                let code = if stuck { ExitCode::Stuck } else { ExitCode::StillAlive };
                failure =
                    Some(Failure::new(code, format!("{label}: the ladder is at its end, left: {}", names(&left))));
            }
            Ended::Refused(left) => {
                failure = Some(Failure::new(ExitCode::NotPermitted, format!("{label}: may not end {}", names(&left))));
            }
        }
    }
    failure.map_or(Ok(()), Err)
}

fn names(left: &[Left]) -> String {
    left.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// What is claimed is free now, or somebody started another holder again.
fn see_free(wanted: &[Wanted], scene: &Scene) -> Result<(), Failure> {
    let deadline = vigie_os::clock::mono() + FREE;
    for wanted in wanted.iter().filter(|wanted| !wanted.ports.is_empty()) {
        while let Some(holder) = holder::first(&scene.proc, &wanted.ports)? {
            if vigie_os::clock::mono() >= deadline {
                let message = format!("{}: port {} is held by {}", wanted.label, holder.claim, holder.who);
                return Err(Failure::new(ExitCode::AlreadyRunning, message)
                    .hint("what held it before was ended; somebody started this one since"));
            }
            let mut nothing = vigie_os::poll::PollSet::default();
            nothing.wait(Some(LOOK_AGAIN)).map_err(|errno| Failure::io("cannot wait", &std::io::Error::from(errno)))?;
        }
    }
    Ok(())
}
