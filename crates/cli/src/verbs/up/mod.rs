//! `vigie up`: start, in the order of `after`.

mod foreground;
mod output;
mod ties;

use std::collections::BTreeMap;
use std::path::PathBuf;

use vigie_core::launch::Tie;
use vigie_core::manifest::{Project, Service};
use vigie_core::name::Name;
use vigie_core::plan::{Selected, select};
use vigie_core::service::State;
use vigie_core::supervisor::{Request, Up};
use vigie_core::target::Target;
use vigie_core::units::Span;

use crate::act::{self, Progress};
use crate::args::{Manifest, duration, target};
use crate::clash::{self, Flags, GoOn, Starter, Wanted};
use crate::failure::{Failure, Verdict};
use crate::scene::{self, Scene};
use crate::{context, daemon};

/// Start services in the order of `after`, and show their output until they stop
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Start services in the order of `after`, and show their output until they stop.\n\n\
        In the foreground the services are tied to this terminal: Ctrl-C stops them by their ladders (again: the next \
        rung at once), and so does closing the terminal. With -d they are tied to the daemon, and the command returns \
        when all are ready, or says why one cannot be.\n\n\
        What runs already is refused with exit code 3 and the name of the holder. Before anything is started it is \
        looked for copies of the services that vigie did not start, and for whoever holds a port that they claim. At a \
        terminal it is then asked what to do; elsewhere --replace, --adopt or --keep say it, or it is refused with exit \
        code 3. A run of another project is asked about by itself; what a container holds, 'vigie free' frees.",
    after_help = "Examples:\n  \
        vigie up                               all services without a profile\n  \
        vigie up api                           one, with what it depends on\n  \
        vigie up robot:headless --duration 10s\n  \
        vigie up --profile dev                 also those of the profile dev\n  \
        vigie up -d --timeout 1m               in the background\n  \
        vigie up --replace                     end copies that were started by hand, then start"
)]
pub(crate) struct Args {
    /// Services, perhaps with a mode; absent: all, except those of profiles
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Return when all are ready, or fail with the reason
    #[arg(short, long)]
    pub(crate) detach: bool,
    /// Start the services of this profile too; may be given several times
    #[arg(long = "profile", value_name = "PROFILE", value_parser = profile)]
    pub(crate) profiles: Vec<Name>,
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

fn profile(text: &str) -> Result<Name, String> {
    Name::new(text).map_err(|error| error.to_string())
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let (project, targets) = wanted(args, &mut scene)?;
    // A target that does not exist is said before anything is started.
    let selected = select(&project, &targets, &args.profiles).map_err(|error| Failure::usage(error.to_string()))?;
    if selected.is_empty() {
        return Err(Failure::usage(format!("{} names no service to start", project.manifest))
            .hint("services of a profile need --profile, or their name"));
    }
    let go_on = clear_the_way(args, &project, &targets, &selected, &mut scene)?;
    let services = selected
        .keys()
        .filter_map(|name| project.services.get(name))
        .map(|service| (service.name.clone(), (project.key(service), service.tie.unwrap_or(Tie::Terminal))))
        .collect();
    let up = Up {
        project,
        targets,
        profiles: args.profiles.clone(),
        env: context::environment(),
        origin: scene.origin()?,
        session: None,
        duration: args.duration,
        wait: true,
        timeout: args.timeout,
        adopt: go_on.adopt,
        keep: go_on.keep,
    };
    if args.detach {
        let request = Request::Up(Box::new(up));
        let outcome = scene.runtime.block_on(async {
            let client = daemon::connect(&scene.place).await?;
            act::request(&scene.place, &client, &request, &Progress::new()).await
        })?;
        return act::tell(&outcome);
    }
    let start = foreground::Start { up, services };
    scene.runtime.block_on(foreground::run(start, &scene.place, &scene.proc))
}

/// What is in the way of those that are to be started, and what becomes of it (R4.4).
fn clear_the_way(
    args: &Args,
    project: &Project,
    targets: &Named,
    selected: &BTreeMap<Name, Selected>,
    scene: &mut Scene,
) -> Result<GoOn, Failure> {
    let report = scene.report(false)?;
    let starts = |service: &&Service| {
        let key = project.key(service);
        let known = report.services.iter().find(|known| known.key == key);
        // A task that is done stays done, unless it is asked for by its name.
        let done = known.is_some_and(|known| known.state == State::Done && known.wanted.is_some());
        let named = targets.iter().any(|(name, _)| *name == service.name);
        known.is_none_or(|known| !scene::is_up(known)) && (!done || named)
    };
    let services = selected.keys().filter_map(|name| project.services.get(name)).filter(starts);
    let wanted = Wanted::of_services(project, services);
    clash::clear(&wanted, args.clash, Starter::Daemon, scene)
}

/// Services by name, perhaps with a mode.
type Named = Vec<(Name, Option<Name>)>;

/// The project that is meant, and the names in it.
fn wanted(args: &Args, scene: &mut Scene) -> Result<(Project, Named), Failure> {
    let mut names = Vec::new();
    let mut projects: Vec<Option<Name>> = Vec::new();
    for target in &args.targets {
        let Target::Service(service) = target else {
            return Err(Failure::usage(format!("{target} is not a service that could be started")));
        };
        names.push((service.service.clone(), service.mode.clone()));
        if !projects.contains(&service.project) {
            projects.push(service.project.clone());
        }
    }
    let project = match &projects[..] {
        [] | [None] => context::project(args.manifest.file.as_deref())?,
        [Some(name)] => other_project(name, args, scene)?,
        _ => return Err(Failure::usage("these targets are of several projects").hint("start one project at a time")),
    };
    Ok((project, names))
}

/// The project of this name: the one here, else one that the daemon has seen.
fn other_project(name: &Name, args: &Args, scene: &mut Scene) -> Result<Project, Failure> {
    if scene.here.manifest.is_some()
        && let Ok(Ok(project)) = scene.here.manifest.as_ref().map_or_else(|| Err(context::no_manifest()), context::read)
        && project.name == *name
    {
        return Ok(project);
    }
    let report = scene.report(false)?;
    let mut dirs: Vec<PathBuf> = report
        .services
        .iter()
        .filter(|service| service.project == *name)
        .map(|service| service.project_dir.as_path().to_owned())
        .collect();
    dirs.sort();
    dirs.dedup();
    match &dirs[..] {
        [dir] => context::project(Some(&dir.join(context::MANIFEST))),
        [] if args.manifest.file.is_some() => context::project(args.manifest.file.as_deref()),
        [] => Err(Failure::not_found(format!("no project {name} is known"))
            .hint("go into its folder, or name its manifest with --file")),
        _ => {
            let places: Vec<String> = dirs.iter().map(|dir| dir.display().to_string()).collect();
            Err(Failure::usage(format!("{name} could mean several projects: {}", places.join(", "))))
        }
    }
}
