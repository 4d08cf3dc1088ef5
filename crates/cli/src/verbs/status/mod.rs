//! `vigie status`: what runs.

mod classic;
mod table;

use std::collections::HashMap;

use vigie_api::status::{Report, Service};
use vigie_core::launch::ServiceKey;
use vigie_core::manifest::{ManifestError, Project};
use vigie_core::service::State;
use vigie_core::target::Target;
use vigie_os::proc::Proc;
use vigie_os::strays::Present;

use crate::args::{Manifest, target};
use crate::failure::{Failure, Verdict};
use crate::out::{Screen, style};
use crate::scene::Scene;
use crate::{context, select, watch};

pub(crate) use table::colour;

/// Show what runs
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Show what runs: of the project here, of all projects outside of one. It needs no daemon: without one \
        it reads the records of the keepers and the kernel.\n\n\
        A value that was not observed is shown as – (null in JSON), never as 0; CPU needs two samples, so it is there \
        when the daemon measures or with --watch. Exit code 0 whatever runs; 8 when a target is not known.",
    after_help = "Examples:\n  \
        vigie status\n  \
        vigie status api --json\n  \
        vigie status --all --watch"
)]
pub(crate) struct Args {
    /// Only these
    #[arg(value_name = "TARGET", value_parser = target)]
    pub(crate) targets: Vec<Target>,
    /// Of all projects
    #[arg(short, long)]
    pub(crate) all: bool,
    /// For programs: schema 1; with --watch one object a line
    #[arg(long, conflicts_with = "classic")]
    pub(crate) json: bool,
    /// Show it again every second
    #[arg(short, long)]
    pub(crate) watch: bool,
    /// As a list of processes with their CPU, memory and command
    #[arg(long)]
    pub(crate) classic: bool,
    #[command(flatten)]
    pub(crate) manifest: Manifest,
}

pub(crate) fn run(args: &Args) -> Verdict {
    vigie_os::memory::share_heap();
    let mut view = View::new(args)?;
    watch::show(args.watch, args.json, |screen| view.picture(screen))?;
    Ok(0)
}

/// What is looked at, again and again.
struct View<'a> {
    args: &'a Args,
    scene: Scene,
    /// Absent when there is no manifest, when something is wrong with it, and before the first look.
    project: Option<Project>,
    /// The manifest was read.
    looked: bool,
}

/// What is read while the daemon is asked.
struct Aside {
    present: Present,
    project: Option<Result<Project, Vec<ManifestError>>>,
}

impl Aside {
    fn read(proc: &Proc, manifest: Option<&context::Manifest>) -> Result<Self, Failure> {
        Ok(Self { present: Present::list(proc)?, project: manifest.map(context::read).transpose()? })
    }
}

impl<'a> View<'a> {
    fn new(args: &'a Args) -> Result<Self, Failure> {
        let scene = Scene::new(args.manifest.file.as_deref())?;
        Ok(Self { args, scene, project: None, looked: false })
    }

    fn picture(&mut self, screen: Screen) -> Result<String, Failure> {
        let report = self.report()?;
        if self.args.json {
            let mut text = serde_json::to_string(&report)
                .map_err(|error| Failure::io("cannot write JSON", &std::io::Error::other(error)))?;
            text.push('\n');
            return Ok(text);
        }
        if self.args.classic {
            return classic::render(&report, &self.title(), &self.scene.place, &self.scene.proc);
        }
        let mut text = if report.services.is_empty() {
            format!("{}\n", self.nothing())
        } else {
            table::render(&report, self.everywhere(), screen)
        };
        for line in table::ghosts(&report) {
            text.push_str(&format!("{}\n", screen.paint(style::WARN, screen.folded(&crate::out::safe(&line), 0, 2))));
        }
        if let Some(strays) = crate::strays::show::line(&report.strays) {
            text.push_str(&format!("{}\n", screen.paint(style::WARN, screen.folded(&crate::out::safe(&strays), 0, 2))));
        }
        if report.daemon.is_none() {
            let daemon = if self.scene.silent { "daemon: does not answer" } else { "daemon: not running" };
            text.push_str(&format!("{}\n", screen.paint(style::DIM, daemon)));
        }
        Ok(text)
    }

    /// What is asked for, from the daemon or without it.
    fn report(&mut self) -> Result<Report, Failure> {
        let proc = context::proc()?;
        let manifest = self.scene.here.manifest.clone().filter(|_| !std::mem::replace(&mut self.looked, true));
        let (report, aside) = std::thread::scope(|scope| {
            let aside = std::thread::Builder::new().spawn_scoped(scope, || Aside::read(&proc, manifest.as_ref()));
            let report = self.scene.report(self.args.watch)?;
            let aside = match aside.map(std::thread::ScopedJoinHandle::join) {
                Ok(Ok(aside)) => aside?,
                Ok(Err(panic)) => std::panic::resume_unwind(panic),
                // No thread is to be had.
                Err(_) => Aside::read(&proc, manifest.as_ref())?,
            };
            Ok::<_, Failure>((report, aside))
        })?;
        match aside.project {
            Some(Ok(project)) => self.project = Some(project),
            Some(Err(errors)) => context::warn_of(&errors),
            None => {}
        }
        self.complete(report, &aside.present)
    }

    /// Adds what the daemon does not know, and leaves out what is not asked for.
    fn complete(&self, mut report: Report, present: &Present) -> Result<Report, Failure> {
        if let Some(project) = &self.project {
            add_never_started(&mut report, project);
        }
        report.services.sort_by(|a, b| (&a.project, &a.service, &a.key).cmp(&(&b.project, &b.service, &b.key)));
        if !self.args.targets.is_empty() {
            let chosen = select::services(&report, &self.scene.here.dir, &self.args.targets, &self.scene.proc)?;
            let chosen: Vec<Service> = chosen.into_iter().cloned().collect();
            let here = |service: &Service| service.project_dir.as_path() == self.scene.here.dir;
            let elsewhere = !chosen.iter().all(here);
            report.strays = crate::strays::for_status(&report, self.project.as_ref(), elsewhere, present, &self.scene)?;
            report.strays.retain(|stray| {
                chosen.iter().any(|service| service.key.service == stray.service && service.project == stray.project)
            });
            report.services = chosen;
            return Ok(report);
        }
        if !self.everywhere() {
            report.services.retain(|service| service.project_dir.as_path() == self.scene.here.dir);
        }
        report.strays =
            crate::strays::for_status(&report, self.project.as_ref(), self.everywhere(), present, &self.scene)?;
        // A run that nobody manages and that is over is history: `events` and `logs` have it.
        report.services.retain(|service| service.wanted.is_some() || service.run.is_some());
        Ok(report)
    }

    /// All projects are meant.
    fn everywhere(&self) -> bool {
        self.args.all || self.scene.here.manifest.is_none()
    }

    fn title(&self) -> String {
        match &self.project {
            Some(project) if !self.everywhere() => format!("status of {}", project.name),
            _ => "status of all projects".to_owned(),
        }
    }

    fn nothing(&self) -> &'static str {
        match &self.project {
            _ if self.everywhere() => "nothing runs, and no project is known",
            Some(_) => "the manifest names no service",
            None => "nothing of this project is known to run",
        }
    }
}

/// Services of the manifest that nobody ever asked for: they are stopped.
fn add_never_started(report: &mut Report, project: &Project) {
    let known: HashMap<ServiceKey, usize> =
        report.services.iter().enumerate().map(|(place, service)| (service.key.clone(), place)).collect();
    for service in project.services.values() {
        let key: ServiceKey = project.key(service);
        if let Some(known) = known.get(&key).and_then(|place| report.services.get_mut(*place)) {
            if known.wanted.is_none() && known.run.is_none() {
                known.wanted = Some(vigie_core::service::Wanted::Down);
            }
            continue;
        }
        report.services.push(Service {
            project: project.name.clone(),
            service: service.name.clone(),
            mode: None,
            wanted: Some(vigie_core::service::Wanted::Down),
            state: State::Stopped,
            since: None,
            restarts: 0,
            run: None,
            last_exit: None,
            findings: Vec::new(),
            why: None,
            claims: service.ports.clone(),
            project_dir: project.dir.clone(),
            scope: service.scope,
            key,
            ghosts: Vec::new(),
        });
    }
}
