//! `vigie soak`: start and stop a service again and again, and see that nothing is left each time (R5.7).

mod course;
mod eye;
mod own;
mod show;
mod signals;
mod trail;

use std::io::Write as _;

use vigie_api::soak::Report;
use vigie_core::exit_code::ExitCode;
use vigie_core::launch::ServiceKey;
use vigie_core::manifest::{Kind, Project, Service};
use vigie_core::name::Name;
use vigie_core::plan::select;
use vigie_core::supervisor::{Request, Up};
use vigie_core::target::{ServiceTarget, Target};
use vigie_core::units::Span;

use crate::act::{self, Progress};
use crate::args::{Confirm, ManifestLong, duration, target};
use crate::clash::{self, Flags, Starter, Wanted};
use crate::confirm::Consent;
use crate::ending::{self, Voice};
use crate::failure::{Failure, Verdict};
use crate::out::Screen;
use crate::scene::{self, Scene};
use crate::verbs::stop;
use crate::{context, daemon};
use course::Course;

/// Start and stop a service many times, and prove that nothing is left
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Start a service, wait until it is ready, stop it, and look at the machine: after each cycle nothing of it \
        may be left. No process, none that outlived the main process and had to be ended; no socket, no file of one, no \
        claim; no shared memory, semaphore or message queue, of System V or of POSIX; no file lock; no keeper, cgroup or \
        lock of vigie. What is new on the machine counts only when the kernel ties it to the run. vigie's own processes are \
        measured, too: descriptors, threads and memory must not grow.\n\n\
        It ends at the first cycle that leaves something, since what leaks would fill the machine; with --keep-going it \
        counts on. Leftovers are named and left where they are, with the command that takes them away. A service that runs \
        is stopped first, when that is agreed to, and is not started again. What it depends on is started before and \
        stopped afterwards, unless it ran. Without a `ready` probe a service is stopped as soon as it was spawned: \
        --run lets it work for a while.\n\n\
        Exit code 0: nothing was left in any cycle; 1: something was, vigie grew, it did not start, or Ctrl-C ended it; 5 \
        and 6: a stop did not succeed.",
    after_help = "Examples:\n  \
        vigie soak api --cycles 500\n  \
        vigie soak api --cycles 20 --run 2s --keep-going\n  \
        vigie soak robot:headless --cycles 50 --json --yes"
)]
pub(crate) struct Args {
    /// The service, perhaps with a mode
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) target: Target,
    /// How often
    #[arg(short = 'n', long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) cycles: u32,
    /// Let it run for so long once it is ready
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) run: Option<Span>,
    /// Give up a cycle in which it is not ready after this
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    /// Go on after a cycle that left something
    #[arg(long)]
    pub(crate) keep_going: bool,
    /// For programs: schema 1
    #[arg(long)]
    pub(crate) json: bool,
    /// Do not ask
    #[arg(short = 'y', long, visible_short_alias = 'f', visible_alias = "force")]
    pub(crate) yes: bool,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let project = context::project(args.manifest.file.as_deref())?;
    let (service, mode) = chosen(&project, &args.target)?;
    make_room(args, &project, service, &mut scene)?;
    let others = dependencies(&project, service, &mut scene)?;
    let up = up(&project, vec![(service.name.clone(), mode.clone())], args.timeout, &scene)?;
    if !others.is_empty() {
        prepare(&project, &others, args.timeout, &scene)?;
    }
    let course = Course::new(args, service, mode, up, &scene);
    let report = scene.runtime.block_on(course.run());
    if !others.is_empty() {
        tidy(&project, &others, &scene)?;
    }
    let report = report?;
    print(&report, args.json)?;
    Ok(report.code.number())
}

/// The service that is meant, in its mode.
fn chosen<'a>(project: &'a Project, target: &Target) -> Result<(&'a Service, Option<Name>), Failure> {
    let Target::Service(ServiceTarget { project: other, service, mode }) = target else {
        return Err(Failure::usage(format!("{target} is not a service that could be started")));
    };
    if let Some(other) = other.as_ref().filter(|other| **other != project.name) {
        return Err(Failure::usage(format!("the manifest here is that of {}, not of {other}", project.name))
            .hint("go into its folder, or name its manifest with --file"));
    }
    // That both exist, with the words that `up` has for it.
    select(project, &[(service.clone(), mode.clone())], &[]).map_err(|error| Failure::usage(error.to_string()))?;
    let found = project.services.get(service).ok_or_else(|| Failure::not_found(format!("no service {service}")))?;
    if found.kind == Kind::Task {
        return Err(Failure::usage(format!("{service} is a task: it ends by itself, and there is nothing to stop")));
    }
    Ok((found, mode.clone()))
}

/// Nothing of the service may run: a run is stopped when that is agreed to, copies are dealt with as `up` does it.
fn make_room(args: &Args, project: &Project, service: &Service, scene: &mut Scene) -> Result<(), Failure> {
    let key = project.key(service);
    let report = scene.report(false)?;
    let running: Vec<_> = report.services.into_iter().filter(|known| known.key == key && scene::is_up(known)).collect();
    if !running.is_empty() {
        let confirm = Confirm { yes: args.yes, dry_run: false };
        if ending::agree("Stop", &running, confirm, scene)? == Consent::DryRun {
            return Err(Failure::Told(ExitCode::No));
        }
        let code = stop::perform(&running, None, None, scene, Voice::Silent)?;
        if code != 0 {
            return Err(Failure::new(
                if code == ExitCode::Stuck.number() { ExitCode::Stuck } else { ExitCode::StillAlive },
                format!("{} could not be stopped; no cycle was begun", service.name),
            ));
        }
    }
    let wanted = Wanted::of_services(project, std::iter::once(service));
    clash::clear(&wanted, Flags::default(), Starter::Daemon, scene).map(|_| ())
}

/// What it depends on and does not run.
fn dependencies(project: &Project, service: &Service, scene: &mut Scene) -> Result<Vec<Name>, Failure> {
    let selected = select(project, &[(service.name.clone(), None)], &[]);
    let selected = selected.map_err(|error| Failure::usage(error.to_string()))?;
    let report = scene.report(false)?;
    let runs = |key: &ServiceKey| report.services.iter().any(|known| known.key == *key && scene::is_up(known));
    let others = selected.into_keys().filter(|name| *name != service.name);
    let down = others.filter(|name| project.services.get(name).is_some_and(|other| !runs(&project.key(other))));
    Ok(down.collect())
}

fn up(
    project: &Project,
    targets: Vec<(Name, Option<Name>)>,
    timeout: Option<Span>,
    scene: &Scene,
) -> Result<Up, Failure> {
    Ok(Up {
        project: project.clone(),
        targets,
        profiles: Vec::new(),
        env: context::environment(),
        origin: scene.origin()?,
        session: None,
        duration: None,
        wait: true,
        timeout,
        adopt: Vec::new(),
        keep: false,
    })
}

/// Starts what it depends on, so that a cycle is about the service alone.
fn prepare(project: &Project, others: &[Name], timeout: Option<Span>, scene: &Scene) -> Result<(), Failure> {
    let targets = others.iter().map(|name| (name.clone(), None)).collect();
    let request = Request::Up(Box::new(up(project, targets, timeout, scene)?));
    let outcome = scene.runtime.block_on(async {
        let client = daemon::connect(&scene.place).await?;
        act::request(&scene.place, &client, &request, &Progress::new()).await
    })?;
    if outcome.code == ExitCode::Done {
        return Ok(());
    }
    Voice::Silent.tell(&outcome)?;
    tidy(project, others, scene)?;
    Err(Failure::Told(outcome.code))
}

/// Stops what was started by [`prepare`].
fn tidy(project: &Project, others: &[Name], scene: &Scene) -> Result<(), Failure> {
    let keys = others.iter().filter_map(|name| project.services.get(name)).map(|other| project.key(other)).collect();
    let request = Request::Down { keys, origin: scene.origin()?, timeout: None, ladder: None };
    let outcome = scene.runtime.block_on(act::persistent(&scene.place, &request, &Progress::new()))?;
    Voice::Silent.tell(&outcome).map(|_| ())
}

fn print(report: &Report, json: bool) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report).map_err(|error| Failure::from(std::io::Error::from(error)))?;
        writeln!(out)?;
    } else {
        write!(out, "{}", show::render(report, Screen::stdout()))?;
    }
    Ok(out.flush()?)
}
