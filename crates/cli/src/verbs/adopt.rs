//! `vigie adopt`: a process that runs already becomes the run of a service.

use std::io::Write as _;

use vigie_core::exit_code::ExitCode;
use vigie_core::identity::ProcKey;
use vigie_core::manifest::{Project, Service};
use vigie_core::name::Name;
use vigie_core::recognise::Expected;
use vigie_core::supervisor::{Request, Up};
use vigie_core::target::{ServiceTarget, Target};
use vigie_core::units::Span;
use vigie_os::strays;

use crate::act::{self, Progress};
use crate::args::{ManifestLong, duration, target};
use crate::failure::{Failure, Verdict};
use crate::out::Screen;
use crate::plan::Plan;
use crate::scene::Scene;
use crate::{clash, context};

/// Make a process that runs already the run of a service
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Make a process that runs already the run of a service.\n\n\
        It is not ended and not started anew. From now on it is watched, is found ready by the probes of the service, is \
        stopped by its ladder with all that is below it, and when it ends the restart policy of the manifest starts a run \
        of vigie's own.\n\n\
        What cannot be given to a process that runs: its output goes where it did, so `logs` shows nothing of it; the mark \
        in its environment; and its exit code where neither Linux 6.15 nor a slow parent keeps it, which is then said to \
        be unknown.\n\n\
        A process of another user, one that this command was started from, one that belongs to another run and one that \
        the system needs are refused. Nothing is asked, since nothing is ended.",
    after_help = "Examples:\n  \
        vigie adopt robot                  the copy of robot that was started by hand, if there is one\n  \
        vigie adopt pid:4711 --as api      this process, whatever it looks like\n  \
        vigie adopt port:8000 --dry-run    who holds the port, and what would be adopted as what"
)]
pub(crate) struct Args {
    /// A service with one stray copy, pid:N, or port:N for whoever holds it
    #[arg(value_name = "TARGET", required = true, value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// As the run of this service, perhaps in a mode; absent: the one that it is recognised as
    #[arg(long = "as", value_name = "SERVICE", value_parser = service)]
    pub(crate) service: Option<ServiceTarget>,
    /// Give up waiting for readiness after this; what was adopted goes on
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Span>,
    /// Show what would be done, and do nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) manifest: ManifestLong,
}

fn service(text: &str) -> Result<ServiceTarget, String> {
    match target(text)? {
        Target::Service(service) => Ok(service),
        other => Err(format!("{other} is not a service")),
    }
}

/// A process, and what it becomes.
struct Adoption {
    process: ProcKey,
    service: ServiceTarget,
    why: String,
}

pub(crate) fn run(args: &Args) -> Verdict {
    let mut scene = Scene::new(args.manifest.file.as_deref())?;
    let project = context::project(args.manifest.file.as_deref())?;
    if args.service.is_some() && args.targets.len() > 1 {
        return Err(Failure::usage("--as names the service of one process; adopt one at a time"));
    }
    let mut adoptions: Vec<Adoption> = Vec::new();
    for target in &args.targets {
        let adoption = adoption(target, args.service.as_ref(), &project, &scene)?;
        if let Some(twice) = adoptions.iter().find(|known| known.service.service == adoption.service.service) {
            let message = format!("both PID {} and PID {}", twice.process.pid, adoption.process.pid);
            return Err(Failure::usage(format!("{message} would become {}", adoption.service.service)));
        }
        adoptions.push(adoption);
    }
    show(&adoptions, &project, &scene)?;
    refuse_running(&adoptions, &project, &mut scene)?;
    if args.dry_run {
        writeln!(std::io::stdout(), "dry run: nothing was done")?;
        return Ok(0);
    }
    let up = Up {
        targets: adoptions.iter().map(|one| (one.service.service.clone(), one.service.mode.clone())).collect(),
        adopt: adoptions.iter().map(|one| (one.service.service.clone(), one.process.clone())).collect(),
        project,
        profiles: Vec::new(),
        env: context::environment(),
        origin: scene.origin()?,
        session: None,
        duration: None,
        wait: true,
        timeout: args.timeout,
        keep: false,
    };
    let request = Request::Adopt(Box::new(up));
    let outcome = scene.runtime.block_on(async {
        let client = crate::daemon::connect(&scene.place).await?;
        act::request(&scene.place, &client, &request, &Progress::new()).await
    })?;
    act::tell(&outcome)
}

/// What a target means.
fn adoption(
    target: &Target,
    service: Option<&ServiceTarget>,
    project: &Project,
    scene: &Scene,
) -> Result<Adoption, Failure> {
    let pid = match target {
        Target::Pid(pid) => *pid,
        Target::Port(port) => clash::holder(port, scene)?,
        Target::Container { .. } | Target::Source(_) => return Err(crate::select::elsewhere(target)),
        Target::Service(named) => {
            if service.is_some() {
                return Err(Failure::usage("--as goes with pid:N or port:N; a service is adopted as itself"));
            }
            return only_copy(named, project, scene);
        }
    };
    let process = scene.process(pid)?;
    if !scene.proc.is_alive(&process)? {
        return Err(Failure::not_found(format!("there is no process {pid}")));
    }
    clash::adoptable(&process, scene)?;
    if let Some(service) = service {
        described(service, project)?;
        return Ok(Adoption { process, service: service.clone(), why: "named".to_owned() });
    }
    let services: Vec<&Service> = project.services.values().collect();
    let expected: Vec<Expected> =
        services.iter().map(|service| strays::of_service(service, project.dir.as_path())).collect();
    let stray = strays::examine(&scene.proc, pid, &expected.iter().collect::<Vec<_>>())?.ok_or_else(|| {
        Failure::not_found(format!("PID {pid} is not recognised as a service of {}", project.name))
            .hint(format!("'vigie adopt pid:{pid} --as SERVICE' says what it is"))
    })?;
    let service = ServiceTarget { project: None, service: services[stray.of].name.clone(), mode: None };
    Ok(Adoption { process: stray.key, service, why: format!("same {}", stray.matched.join(", ")) })
}

/// The only stray copy of a service.
fn only_copy(named: &ServiceTarget, project: &Project, scene: &Scene) -> Result<Adoption, Failure> {
    let service = described(named, project)?;
    let expected = strays::of_service(service, project.dir.as_path());
    let copies = clash::strays_of(&expected, scene)?;
    match &copies[..] {
        [] => Err(Failure::not_found(format!("no copy of {named} runs that vigie did not start"))
            .hint(format!("'vigie start {named}' starts it; 'vigie adopt pid:N --as {named}' adopts any process"))),
        [one] => {
            clash::adoptable(&one.key, scene)?;
            let why = format!("same {}", one.matched.join(", "));
            Ok(Adoption { process: one.key.clone(), service: named.clone(), why })
        }
        many => {
            let pids: Vec<String> = many.iter().map(|stray| format!("pid:{}", stray.key.pid)).collect();
            Err(Failure::usage(format!("there are {} copies of {named}: {}", many.len(), pids.join(", ")))
                .hint(format!("'vigie adopt {} --as {named}' chooses one", pids[0])))
        }
    }
}

/// The part of the manifest that is meant.
fn described<'a>(named: &ServiceTarget, project: &'a Project) -> Result<&'a Service, Failure> {
    if let Some(other) = named.project.as_ref().filter(|other| **other != project.name) {
        return Err(Failure::usage(format!("this is the project {}, not {other}", project.name))
            .hint("go into its folder, or name its manifest with --file"));
    }
    let service = project.services.get(&named.service).ok_or_else(|| {
        let known: Vec<&str> = project.services.keys().map(Name::as_str).collect();
        Failure::usage(format!("{} has no service {}", project.manifest, named.service))
            .hint(format!("it has: {}", known.join(", ")))
    })?;
    if let Some(mode) = named.mode.as_ref().filter(|mode| service.mode(Some(mode)).is_none()) {
        return Err(Failure::usage(format!("service {} has no mode {mode}", service.name)));
    }
    Ok(service)
}

/// A service that has a run needs no other. Said here, so that a dry run says it too.
fn refuse_running(adoptions: &[Adoption], project: &Project, scene: &mut Scene) -> Result<(), Failure> {
    let report = scene.report(false)?;
    for adoption in adoptions {
        let Some(service) = project.services.get(&adoption.service.service) else { continue };
        let key = project.key(service);
        let running = report.services.iter().find(|known| known.key == key && known.run.is_some());
        if let Some(running) = running {
            let pid = running.run.as_ref().and_then(|run| run.pid);
            let pid = pid.map(|pid| format!(" as PID {pid}")).unwrap_or_default();
            let message = format!("{}: it runs already{pid}", crate::plan::label(running));
            return Err(Failure::new(ExitCode::AlreadyRunning, message)
                .hint(format!("'vigie stop {}' first, or end the other one", service.name)));
        }
    }
    Ok(())
}

/// The processes, why they are meant, and where their output goes.
fn show(adoptions: &[Adoption], project: &Project, scene: &Scene) -> Result<(), Failure> {
    let mut plan = Plan::default();
    for adoption in adoptions {
        let pid = adoption.process.pid;
        let label = format!("{}/{}", project.name, adoption.service);
        plan.push(pid, format!("{label}: {}", adoption.why), &scene.proc)?;
        for below in scene.proc.descendants(pid)?.iter().filter(|member| !member.zombie) {
            plan.push(below.pid, format!("{label}: started by PID {pid}"), &scene.proc)?;
        }
    }
    let mut out = std::io::stdout().lock();
    write!(out, "{}", plan.render(Screen::stdout(), vigie_os::clock::now().wall))?;
    for adoption in adoptions {
        let pid = adoption.process.pid;
        if let Some(place) = scene.proc.link(pid, "fd/1").ok().flatten() {
            let place = vigie_core::text::escaped(place.as_os_str().as_encoded_bytes());
            writeln!(out, "the output of PID {pid} stays where it goes: {place}")?;
        }
    }
    Ok(())
}
