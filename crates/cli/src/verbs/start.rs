//! `vigie start`: start named services in the background.

use vigie_core::target::Target;
use vigie_core::units::Span;

use crate::args::{Manifest, duration, target};
use crate::clash::Flags;
use crate::failure::Verdict;
use crate::verbs::up;

/// Start services in the background
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Start the named services and what they depend on in the background, and return when they are ready, \
        or fail with the reason: `up -d` for services by name. What is in the way is dealt with as `up` does it.",
    after_help = "Examples:\n  vigie start api\n  vigie start robot:headless --timeout 30s\n  \
        vigie start api --adopt    the copy that was started by hand becomes the service"
)]
pub(crate) struct Args {
    /// Services, perhaps with a mode
    #[arg(value_name = "TARGET", required = true, value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// They stop by themselves after this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) duration: Option<Span>,
    /// Give up waiting for readiness after this; what was started goes on
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    #[command(flatten)]
    pub(crate) clash: Flags,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

pub(crate) fn run(args: Args) -> Verdict {
    up::run(&up::Args {
        targets: args.targets,
        detach: true,
        profiles: Vec::new(),
        duration: args.duration,
        timeout: args.timeout,
        clash: args.clash,
        manifest: args.manifest,
    })
}
