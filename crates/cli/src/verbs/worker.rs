//! `vigie worker`: what the daemon starts under a keeper. Not for people.

use crate::context;
use crate::failure::{Failure, Verdict};
use vigie_core::exit_code::ExitCode;

/// Be a worker of the daemon
#[derive(Debug, clap::Args)]
#[command(hide = true, long_about = "Be a worker of the daemon. The daemon starts it; alone it is of no use.")]
pub(crate) struct Args {
    #[command(subcommand)]
    role: Role,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Follow the events of container engines
    Events,
    /// Measure what containers use, and how full disks are
    Metrics,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let role = match args.role {
        Role::Events => vigie_wire::worker::Role::Events,
        Role::Metrics => vigie_wire::worker::Role::Metrics,
    };
    let socket = context::place()?.worker_socket();
    vigie_daemon::work(&socket, role).map_err(|error| Failure::new(ExitCode::Unreachable, error.to_string()))?;
    Ok(0)
}
