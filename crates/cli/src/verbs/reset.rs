//! `vigie reset`: forget how often services were restarted.

use vigie_core::supervisor::Request;
use vigie_core::target::Target;

use crate::act::{self, Progress};
use crate::args::{Manifest, target};
use crate::failure::Verdict;
use crate::scene::Scene;

/// Forget how often services were restarted
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Set the restart counters of services to zero, so that one that was given up, or is about to be, gets \
        all its attempts again. It starts nothing by itself.",
    after_help = "Examples:\n  vigie reset api"
)]
pub(crate) struct Args {
    /// Services
    #[arg(value_name = "TARGET", required = true, value_parser = target)]
    pub(crate) targets: Vec<Target>,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let report = scene.report(false)?;
    let services = scene.chosen(&report, &args.targets, false)?;
    let request = Request::Reset { keys: services.into_iter().map(|service| service.key).collect() };
    let outcome = scene.runtime.block_on(act::persistent(&scene.place, &request, &Progress::new()))?;
    act::tell(&outcome)
}
