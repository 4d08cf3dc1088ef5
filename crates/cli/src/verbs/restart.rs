//! `vigie restart`: stop and start again.

use vigie_api::status::Service;
use vigie_core::exit_code::ExitCode;
use vigie_core::supervisor::Request;
use vigie_core::target::Target;
use vigie_core::units::Span;

use crate::act::{self, Progress};
use crate::args::{Confirm, ManifestLong, duration, target};
use crate::confirm::Consent;
use crate::failure::{Failure, Verdict};
use crate::scene::Scene;
use crate::{context, daemon, ending, plan};

/// Stop services and start them again
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Stop the named services by their ladders and start them again under the same lock, without touching \
        those that depend on them. What the manifest here says of them by now takes effect.",
    after_help = "Examples:\n  vigie restart api\n  vigie restart api --force"
)]
pub(crate) struct Args {
    /// Services
    #[arg(value_name = "TARGET", required = true, value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Stop waiting after this and say where they stand
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    // Before anything is asked: a manifest that is wrong restarts nothing.
    let project = match &scene.here.manifest {
        Some(_) => Some(Box::new(context::project(args.manifest.file.as_deref())?)),
        None => None,
    };
    let report = scene.report(false)?;
    let services = scene.chosen(&report, &args.targets, false)?;
    if let Some(service) = services.iter().find(|service| service.wanted.is_none()) {
        return Err(unmanaged(service));
    }
    if ending::agree("Restart", &services, args.confirm, &scene)? == Consent::DryRun {
        return Ok(0);
    }
    let keys = services.into_iter().map(|service| service.key).collect();
    let request = Request::Restart { keys, origin: scene.origin()?, timeout: args.timeout, project };
    let outcome = scene.runtime.block_on(async {
        let client = daemon::connect(&scene.place).await?;
        act::request(&scene.place, &client, &request, &Progress::new()).await
    })?;
    act::tell(&outcome)
}

/// Only whoever started it knows with what terminal, input and output it is to run.
fn unmanaged(service: &Service) -> Failure {
    let label = plan::label(service);
    Failure::new(
        ExitCode::NotFound,
        format!("{label} was started by 'vigie run' and cannot be started again from here"),
    )
    .hint(format!("vigie stop {label}, then run it again where it was"))
}
