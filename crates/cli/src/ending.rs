//! What `down`, `stop`, `restart` and `kill-all` share: the plan, the question, and the direct way to a keeper.

use std::io::Write as _;
use std::time::Duration;

use vigie_api::status::Service;
use vigie_core::clock::Mono;
use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::{Ladder, Signal};
use vigie_core::run::{Left, StopCause, What};
use vigie_core::service::State;
use vigie_core::supervisor::Outcome;
use vigie_core::units::Span;
use vigie_os::pidfd::Target;
use vigie_wire::keeper::{Answer, Request};

use crate::act;
use crate::args::Confirm;
use crate::clear::{Cleared, end_survivors};
use crate::confirm::{self, Consent};
use crate::daemon::{Halt, halted};
use crate::failure::Failure;
use crate::judged;
use crate::keeper::Link;
use crate::look;
use crate::out::{Screen, style};
use crate::plan::{Plan, label};
use crate::scene::Scene;

/// Shows what will end, and asks. `verb`: "Stop", "Restart", "Kill".
///
/// # Errors
/// Exit code 1 when the answer is no, 4 when there is nobody to ask.
pub(crate) fn agree(verb: &str, services: &[Service], confirm: Confirm, scene: &Scene) -> Result<Consent, Failure> {
    agree_on(verb, services, &[], confirm, scene)
}

/// As [`agree`], with processes that belong to no run, each with what is said of it.
///
/// # Errors
/// As of [`agree`].
pub(crate) fn agree_on(
    verb: &str,
    services: &[Service],
    others: &[(u32, String)],
    confirm: Confirm,
    scene: &Scene,
) -> Result<Consent, Failure> {
    let all: Vec<&Service> = services.iter().collect();
    let mut plan = Plan::of(&all, &scene.place, &scene.proc)?;
    for (pid, why) in others {
        plan.push(*pid, why.clone(), &scene.proc)?;
    }
    let screen = Screen::stdout();
    if screen.terminal && !confirm.yes {
        plan.measure(&scene.proc);
    }
    let mut out = std::io::stdout().lock();
    if !plan.is_empty() {
        write!(out, "{}", plan.render(screen, vigie_os::clock::now().wall))?;
    }
    for service in services.iter().filter(|service| service.run.is_none()) {
        writeln!(out, "{}: {}; no process of it runs", label(service), service.state)?;
    }
    out.flush()?;
    drop(out);
    let mut names: Vec<String> = all.iter().map(|service| label(service)).collect();
    if !others.is_empty() {
        names.push("strays".to_owned());
    }
    let processes = match plan.count() {
        1 => "1 process".to_owned(),
        count => format!("{count} processes"),
    };
    let question = format!("{verb} {} ({processes})?", listed(&names));
    // Where no process ends there is nothing to be sorry for.
    let consent = if plan.is_empty() && !confirm.dry_run { Consent::Given } else { confirm::ask(confirm, &question)? };
    if consent == Consent::DryRun {
        writeln!(std::io::stdout(), "dry run: nothing was done")?;
    }
    Ok(consent)
}

/// `a, b and c`
fn listed(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [many @ .., last] => format!("{} and {last}", many.join(", ")),
    }
}

/// More rungs than this has no ladder that anybody writes; a skip beyond the last one changes nothing.
pub(crate) const RUNGS: usize = 16;

/// Whether it is said on standard output what became of each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Voice {
    /// One line for each.
    Aloud,
    /// Only what has gone wrong, on standard error: standard output is for a program.
    Silent,
}

impl Voice {
    /// Says what came of a request; the exit code of the program.
    pub(crate) fn tell(self, outcome: &Outcome) -> Result<u8, Failure> {
        match self {
            Self::Aloud => act::tell(outcome),
            Self::Silent => {
                let mut wrong = outcome.clone();
                wrong.services.retain(|service| service.code != ExitCode::Done);
                act::tell(&wrong)
            }
        }
    }
}

/// Stops runs that no daemon manages, through their keepers; `hurry`: those that are being stopped go to their last rung
/// at once. The worst exit code.
///
/// # Errors
/// When a keeper cannot be spoken with.
pub(crate) fn stop_directly(
    services: &[Service],
    ladder: Option<&Ladder>,
    timeout: Option<Span>,
    hurry: bool,
    scene: &Scene,
    voice: Voice,
) -> Result<ExitCode, Failure> {
    let mut links = Vec::new();
    for service in services {
        let folder = scene.place.service_dir(&service.key);
        match Link::open(&folder)? {
            Some(mut link) => {
                link.send(&Request::Watch { after: u64::MAX })?;
                link.send(&Request::Stop { ladder: ladder.cloned(), cause: StopCause::Asked })?;
                if hurry && service.state == State::Stopping {
                    // A stop that is under way keeps its ladder; it can only be climbed faster.
                    for _ in 0..RUNGS {
                        link.send(&Request::Skip)?;
                    }
                }
                links.push((service, Some(link)));
            }
            None => links.push((service, None)),
        }
    }
    let deadline = timeout.map_or(Mono(u64::MAX), |timeout| vigie_os::clock::mono() + timeout.0);
    let mut worst = ExitCode::Done;
    // All climb at the same time; they are only waited for one after the other.
    for (service, link) in links {
        let end = match link {
            Some(link) => watch(link, deadline)?,
            None => without_keeper(service, scene)?,
        };
        let code = say(service, &end, voice, scene)?;
        if code.number() > worst.number() {
            worst = code;
        }
    }
    Ok(worst)
}

/// Those that are stopped through their keepers, since the daemon does not have them; and those that the daemon is to
/// know of. Some are both: the daemon wants to run them and was refused.
pub(crate) fn divided(services: &[Service]) -> (Vec<Service>, Vec<Service>) {
    let direct = |service: &&Service| service.wanted.is_none() || look::is_refused(service) && service.run.is_some();
    let managed = |service: &&Service| service.wanted.is_some();
    (services.iter().filter(direct).cloned().collect(), services.iter().filter(managed).cloned().collect())
}

/// Those of which something runs.
pub(crate) fn running(mut services: Vec<Service>) -> Vec<Service> {
    services.retain(|service| service.run.is_some());
    services
}

/// What the daemon says of services that were stopped `directly` is of its own wish only, and would be said twice.
pub(crate) fn without(mut outcome: Outcome, directly: &[Service]) -> Outcome {
    outcome.services.retain(|told| directly.iter().all(|service| service.key != told.key));
    outcome
}

/// There is no daemon and none can be started, on a full disk for one: keepers can stop their runs all the same. Says
/// what is lost by that.
pub(crate) fn nobody_remembers(failure: &Failure, scene: &Scene) -> bool {
    let alone = failure.code() == ExitCode::Unreachable
        && matches!(vigie_os::lock::is_held(&scene.proc, &scene.place.daemon_lock()), Ok(false));
    if alone {
        crate::warn(failure);
        say_that_nobody_remembers();
    }
    alone
}

/// What is lost where the daemon is not told.
pub(crate) fn say_that_nobody_remembers() {
    eprintln!("stopping without the daemon: once there is one again, it may start what it was to keep running");
}

/// A keeper that somebody has stopped does not hear of anything: it is made to go on. One that is held by a debugger, or
/// by its own service as if by one, can only be killed, and is when this is the `last_resort`; what it held is ended
/// without it.
pub(crate) fn wake_keepers(services: &[Service], last_resort: bool, scene: &Scene) {
    for service in services.iter().filter(|service| service.run.is_some()) {
        let Ok(Some(record)) = look::record(&scene.place.service_dir(&service.key), &scene.proc) else { continue };
        let keeper = &record.state.holder.keeper;
        let Some(halt) = halted(keeper.pid) else { continue };
        // By its identity: the number could be a stranger's.
        let Ok(Some(target)) = Target::open(&scene.proc, keeper) else { continue };
        let who = format!("{}: its keeper, PID {}", label(service), keeper.pid);
        // Whoever cannot be signalled is still there afterwards, and is named then.
        match halt {
            Halt::Signal => {
                eprintln!("{who}, was stopped by a signal; it is made to go on");
                let _ = target.send(Signal::Cont);
            }
            Halt::Debugger if last_resort => {
                eprintln!("{who}, is held by a debugger; it is killed");
                let _ = target.send(Signal::Kill);
                let _ = target.wait(vigie_os::clock::mono() + AFTER_KILL);
            }
            Halt::Debugger => eprintln!("{who}, is held by a debugger and does nothing; 'vigie kill-all' ends both"),
        }
    }
}

/// How long a keeper may take to die.
const AFTER_KILL: Duration = Duration::from_secs(2);

/// How a stop ended.
enum End {
    Stopped,
    Stuck(Vec<Left>, u32),
    Late,
}

fn watch(mut link: Link, deadline: Mono) -> Result<End, Failure> {
    loop {
        while let Some(answer) = link.next()? {
            match answer {
                Answer::Event(event) => match event.what {
                    What::Empty => return Ok(End::Stopped),
                    What::Stuck { left, count } => return Ok(End::Stuck(left, count)),
                    _ => {}
                },
                Answer::State(state) if state.phase == vigie_wire::keeper::Phase::Empty => return Ok(End::Stopped),
                Answer::State(_) | Answer::Refused { .. } | Answer::Failed { .. } => {}
            }
        }
        // A keeper ends when there is nothing left that it could hold.
        if link.gone {
            return Ok(End::Stopped);
        }
        if !link.wait(deadline)? {
            return Ok(End::Late);
        }
        link.read()?;
    }
}

/// Its keeper was killed: what it held is ended under the lock.
fn without_keeper(service: &Service, scene: &Scene) -> Result<End, Failure> {
    if let Some(record) = look::record(&scene.place.service_dir(&service.key), &scene.proc)? {
        match end_survivors(&record, &scene.place, &scene.proc)? {
            Cleared::Ended(_) => {}
            Cleared::Taken => return Ok(End::Late),
        }
    }
    Ok(End::Stopped)
}

fn say(service: &Service, end: &End, voice: Voice, scene: &Scene) -> Result<ExitCode, Failure> {
    let name = label(service);
    let screen = Screen::stdout();
    let mut out = std::io::stdout().lock();
    match end {
        End::Stopped => {
            if voice == Voice::Aloud {
                writeln!(out, "{name}: {}", screen.paint(style::GOOD, "stopped"))?;
            }
            Ok(ExitCode::Done)
        }
        End::Late => {
            eprintln!("{name}: the time is over and it still runs; its ladder goes on");
            judged::explain_service(&service.project, &service.key);
            Ok(ExitCode::StillAlive)
        }
        End::Stuck(left, count) => {
            let named: Vec<String> = left
                .iter()
                .map(|left| format!("{} (PID {}, state {})", left.name, left.process.pid, left.state))
                .collect();
            eprintln!("{name}: the ladder is at its end and {count} are left: {}", named.join(", "));
            judged::explain_left(left, Some(Signal::Kill), &scene.proc);
            let stuck = left.iter().any(|left| left.kill_pending);
            if stuck {
                crate::ghosts::hint(&name);
            }
            Ok(if stuck { ExitCode::Stuck } else { ExitCode::StillAlive })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_in_a_question() {
        let names = |names: &[&str]| listed(&names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>());
        assert_eq!(names(&[]), "");
        assert_eq!(names(&["a"]), "a");
        assert_eq!(names(&["a", "b"]), "a and b");
        assert_eq!(names(&["a", "b", "c"]), "a, b and c");
    }
}
