//! `vigie quarantine`: go on without what no signal ends (R5.4, R8.4).

mod survey;
mod take;
mod tell;

use std::time::Duration;

use vigie_api::status::Service;
use vigie_core::exit_code::ExitCode;
use vigie_core::run::What;
use vigie_core::service::State;
use vigie_core::supervisor::Request;
use vigie_core::target::Target;
use vigie_core::units::Span;
use vigie_os::clock::mono;
use vigie_wire::keeper::{self, Answer};

use crate::act::{self, Progress};
use crate::args::{Confirm, ManifestLong, target};
use crate::confirm::{self, Consent};
use crate::failure::{Failure, Verdict};
use crate::judged;
use crate::keeper::Link;
use crate::plan::label;
use crate::scene::Scene;
use survey::Survey;

/// How long keeper or daemon may take. They look at processes and write a file.
const PATIENCE: Duration = Duration::from_secs(20);

/// Go on without what no signal ends
#[derive(Debug, clap::Args)]
#[command(
    long_about = "A service whose processes no signal ends is a ghost: its lock is held, so that no second one starts. This \
        sets it aside. What the next run needs is taken back from it: the ports that the service claims, and memory. The \
        processes stay on record and are watched; 'vigie status' shows them, 'vigie events' tells when they are gone, and \
        they are no strays.\n\n\
        Only when KILL is pending on all of them. Exit code 6: a port that the service claims could not be taken back, \
        and nothing was set aside. Exit code 8: nothing of the service runs.",
    after_help = "Examples:\n  \
        vigie quarantine api --dry-run   what is left, and what would be taken back\n  \
        vigie quarantine api --yes       then 'vigie start api' starts a new run"
)]
pub(crate) struct Args {
    /// A service
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Target,
    /// For programs: schema 1
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let report = scene.report(false)?;
    let services = scene.chosen(&report, std::slice::from_ref(&args.target), true)?;
    let [service] = &services[..] else {
        return Err(Failure::usage(format!("{} means several services; name one", args.target)));
    };
    let name = label(service);
    if service.state != State::Ghost {
        let message = format!("{name} is no ghost: it is {}, and signals may still end it", service.state);
        return Err(Failure::new(ExitCode::No, message).hint(format!("'vigie stop {}' tries", service.service)));
    }
    let survey = Survey::of(service, &scene)?;
    let judged = judged::judge_left(&survey.left, None, &scene.proc);
    if !args.json {
        tell::plan(&survey)?;
        judged::tell(&judged);
    }
    let question = format!("Set {name} aside, so that a new run may start?");
    if confirm::ask(args.confirm, &question)? == Consent::DryRun {
        if args.json {
            tell::json(&survey, &judged, None, true, &[])?;
        }
        return Ok(0);
    }
    let taken = take::take(&survey, &scene.proc)?;
    let mut why = taken.failures.clone();
    let outcome = match taken.collision() {
        Some(collision) => Err((ExitCode::Stuck, collision)),
        None => set_aside(service, &scene)?,
    };
    if let Err((_, because)) = &outcome {
        why.push(because.clone());
    }
    if args.json {
        tell::json(&survey, &judged, Some((&taken, outcome.is_ok())), false, &why)?;
    } else {
        tell::came(&survey, &taken, outcome.as_ref().err().map(|(_, why)| why.as_str()))?;
    }
    Ok(outcome.err().map_or(ExitCode::Done, |(code, _)| code).number())
}

/// Why it was not done, and how the program ends for it.
type Refused = (ExitCode, String);

/// Through the daemon, that is to watch them; what it does not manage, through its keeper.
fn set_aside(service: &Service, scene: &Scene) -> Result<Result<(), Refused>, Failure> {
    if service.wanted.is_none() {
        return by_keeper(service, scene);
    }
    let request = Request::Quarantine { keys: vec![service.key.clone()], timeout: Some(Span(PATIENCE)) };
    let outcome = scene.runtime.block_on(act::persistent(&scene.place, &request, &Progress::new()))?;
    Ok(match outcome.services.into_iter().find(|told| told.code != ExitCode::Done) {
        None => Ok(()),
        Some(told) => Err((told.code, told.why.unwrap_or_else(|| format!("it is {}", told.state)))),
    })
}

fn by_keeper(service: &Service, scene: &Scene) -> Result<Result<(), Refused>, Failure> {
    let Some(mut link) = Link::open(&scene.place.service_dir(&service.key))? else {
        return Ok(Err((ExitCode::No, "its keeper is dead; a start ends what it left, if it can".to_owned())));
    };
    link.send(&keeper::Request::Watch { after: u64::MAX })?;
    link.send(&keeper::Request::Quarantine)?;
    let deadline = mono() + PATIENCE;
    loop {
        while let Some(answer) = link.next()? {
            match answer {
                Answer::Event(event) => match event.what {
                    // Gone, or set aside: either way nothing of it is in the way.
                    What::Quarantined { .. } | What::Empty => return Ok(Ok(())),
                    What::QuarantineRefused { why } => return Ok(Err((ExitCode::No, why))),
                    _ => {}
                },
                Answer::Failed { message, .. } => return Ok(Err((ExitCode::No, message))),
                Answer::State(_) | Answer::Refused { .. } => {}
            }
        }
        if link.gone || !link.wait(deadline)? {
            return Ok(Err((ExitCode::No, "its keeper does not answer".to_owned())));
        }
        link.read()?;
    }
}
