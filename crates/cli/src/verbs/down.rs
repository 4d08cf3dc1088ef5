//! `vigie down`: stop a project, in the reverse order of its start.

use std::io::Write as _;

use vigie_core::target::Target;
use vigie_core::units::Span;

use crate::args::{Confirm, ManifestLong, duration, target};
use crate::failure::Verdict;
use crate::scene::Scene;
use crate::verbs::stop;

/// Stop services, those that depend on others first, and see that nothing is left
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Stop all services of the project, or those that are named, in the reverse order of their start, each \
        by its ladder. It is over when the kernel says that no process of them is left; what is left is named, and the \
        exit code is 5 or 6.",
    after_help = "Examples:\n  vigie down\n  vigie down api db --yes\n  vigie down --dry-run"
)]
pub(crate) struct Args {
    /// Services; absent: all of the project
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Stop waiting after this and say what is left; the ladders go on
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    #[command(flatten)]
    pub(crate) confirm: Confirm,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let report = scene.report(false)?;
    let services = scene.chosen(&report, &args.targets, !args.targets.is_empty())?;
    if services.is_empty() {
        writeln!(std::io::stdout(), "nothing of this project is running")?;
        return Ok(0);
    }
    stop::stop(&services, args.confirm, args.timeout, None, &scene)
}
