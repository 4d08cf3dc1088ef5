//! `vigie forget`: undo `ignore`, and clear away records of runs of which nothing is left.

use std::io::Write as _;
use std::path::Path;

use vigie_core::target::Target;

use crate::args::{Manifest, target};
use crate::clear::{Cleared, end_survivors};
use crate::failure::{Failure, Verdict};
use crate::look::{self, Record};
use crate::scene::Scene;
use crate::strays::ignored::{Ignored, What};

/// Undo `ignore`, and clear away the records of runs of which nothing is left
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Undo `vigie ignore`: of a process (pid:N), or of everything of a service. Of a service, also the record \
        of a run is cleared away whose keeper was killed and of which nothing is left; a service that runs is not \
        touched.\n\n\
        Exit code 8: there is nothing to forget.",
    after_help = "Examples:\n  \
        vigie forget pid:4711\n  \
        vigie forget api"
)]
pub(crate) struct Args {
    /// Ignored strays (pid:N), or services
    #[arg(value_name = "TARGET", required = true, value_parser = target)]
    pub(crate) targets: Vec<Target>,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let scene = Scene::new(args.manifest.file.as_deref())?;
    let mut ignored = Ignored::read(&scene.place)?;
    let mut changed = false;
    for target in &args.targets {
        let before = ignored.entries.len();
        let records = match target {
            Target::Pid(pid) => {
                ignored.entries.retain(|entry| !matches!(&entry.what, What::Process(key) if key.pid == *pid));
                0
            }
            Target::Service(service) => {
                let here = scene.here.dir.as_path();
                let meant = |name: &vigie_core::name::Name, project: &vigie_core::name::Name, dir: &Path| {
                    let fits = service
                        .project
                        .as_ref()
                        .map_or(dir == here || dir.as_os_str().is_empty(), |wanted| wanted == project);
                    *name == service.service && fits
                };
                ignored.entries.retain(|entry| !meant(&entry.key.service, &entry.project, entry.key.dir.as_path()));
                let records = look::records(&scene.place, &scene.proc, &std::collections::HashSet::new())?;
                let stale = records.iter().filter(|record| {
                    let holder = &record.state.holder;
                    is_stale(record) && meant(&holder.key.service, &holder.project, holder.key.dir.as_path())
                });
                let mut cleared = 0;
                for record in stale {
                    // Under its lock, by a keeper that starts nothing: whoever starts meanwhile is not disturbed.
                    cleared +=
                        usize::from(matches!(end_survivors(record, &scene.place, &scene.proc)?, Cleared::Ended(_)));
                }
                cleared
            }
            other => return Err(Failure::usage(format!("{other}: name a service or a process (pid:N)"))),
        };
        let undone = before - ignored.entries.len();
        if undone + records == 0 {
            return Err(Failure::not_found(format!("nothing of {target} is ignored, and no record of it is stale"))
                .hint("'vigie ignore' lists what is ignored"));
        }
        let mut out = std::io::stdout().lock();
        if undone > 0 {
            changed = true;
            writeln!(out, "{target}: not ignored any more")?;
        }
        if records > 0 {
            writeln!(out, "{target}: the record of a run of which nothing is left was cleared away")?;
        }
    }
    if changed {
        ignored.write(&scene.place, &scene.proc)?;
    }
    Ok(0)
}

/// Its keeper was killed, and nothing of it is left.
pub(crate) fn is_stale(record: &Record) -> bool {
    !record.keeper_alive && !record.state.phase.is_over() && !record.is_live()
}
