//! `vigie stop`: stop named services.

use vigie_api::status::Service;
use vigie_core::exit_code::ExitCode;
use vigie_core::ladder::{Ladder, Rung};
use vigie_core::supervisor::Request;
use vigie_core::target::Target;
use vigie_core::units::Span;

use crate::act::{self, Progress};
use crate::args::{Confirm, ManifestLong, duration, rung, target};
use crate::confirm::Consent;
use crate::ending::{self, Voice};
use crate::failure::{Failure, Verdict};
use crate::scene::Scene;

/// Stop services and see that nothing is left
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Stop the named services by their ladders. It is over when the kernel says that no process of them is \
        left; what is left is named, and the exit code is 5 or 6. Nothing of the name runs: exit code 8.",
    after_help = "Examples:\n  \
        vigie stop api\n  \
        vigie stop api --yes --timeout 20s\n  \
        vigie stop port:8000                       what holds that port, if it is a service\n  \
        vigie stop api --ladder 'INT 2s,KILL 1s'   by another ladder than the manifest's"
)]
pub(crate) struct Args {
    /// Services
    #[arg(value_name = "TARGET", required = true, value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Stop waiting after this and say what is left; the ladders go on
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    /// Stop by this ladder instead of the manifest's
    #[arg(long, value_name = "RUNG", value_delimiter = ',', value_parser = rung)]
    pub(crate) ladder: Vec<Rung>,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let ladder = match &args.ladder[..] {
        [] => None,
        rungs => Some(Ladder::new(rungs.to_vec()).map_err(|error| Failure::usage(error.to_string()))?),
    };
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let report = scene.report(false)?;
    let services = scene.chosen(&report, &args.targets, true)?;
    stop(&services, args.confirm, args.timeout, ladder, &scene)
}

/// Asks, stops, and says what came of it: managed services through the daemon, those of `run` through their keepers.
pub(crate) fn stop(
    services: &[Service],
    confirm: Confirm,
    timeout: Option<Span>,
    ladder: Option<Ladder>,
    scene: &Scene,
) -> Verdict {
    if scene.silent && services.iter().any(|service| service.wanted.is_some()) {
        // Behind its back it would start again what is stopped; why it cannot be told was said.
        return Err(Failure::Told(ExitCode::Unreachable));
    }
    if ending::agree("Stop", services, confirm, scene)? == Consent::DryRun {
        return Ok(0);
    }
    perform(services, timeout, ladder, scene, Voice::Aloud)
}

/// Stops without a question: whoever calls it has asked.
pub(crate) fn perform(
    services: &[Service],
    timeout: Option<Span>,
    ladder: Option<Ladder>,
    scene: &Scene,
    voice: Voice,
) -> Verdict {
    ending::wake_keepers(services, false, scene);
    let (direct, managed) = ending::divided(services);
    let mut worst = ending::stop_directly(&direct, ladder.as_ref(), timeout, false, scene, voice)?.number();
    if !managed.is_empty() {
        let keys = managed.iter().map(|service| service.key.clone()).collect();
        let request = Request::Down { keys, origin: scene.origin()?, timeout, ladder: ladder.clone() };
        let code = match scene.runtime.block_on(act::persistent(&scene.place, &request, &Progress::new())) {
            Ok(outcome) => voice.tell(&ending::without(outcome, &direct))?,
            Err(failure) if ending::nobody_remembers(&failure, scene) => {
                ending::stop_directly(&ending::running(managed), ladder.as_ref(), timeout, false, scene, voice)?
                    .number()
            }
            Err(failure) => return Err(failure),
        };
        worst = worst.max(code);
    }
    Ok(worst)
}
