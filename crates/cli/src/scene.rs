//! What every verb that looks or acts starts with: where things lie, what runs, which project is meant.

use tokio::runtime::Runtime;

use vigie_api::status::{Report, Service};
use vigie_core::clock::Now;
use vigie_core::exit_code::ExitCode;
use vigie_core::identity::ProcKey;
use vigie_core::launch::Origin;
use vigie_core::service::{State, Wanted};
use vigie_core::target::Target;
use vigie_os::place::Place;
use vigie_os::proc::Proc;

use crate::context::{self, Here};
use crate::failure::Failure;
use crate::look::{self, Meters};
use crate::{daemon, select};

/// What a verb sees.
pub(crate) struct Scene {
    pub(crate) place: Place,
    pub(crate) proc: Proc,
    pub(crate) here: Here,
    pub(crate) runtime: Runtime,
    /// There is a daemon, and it does not answer.
    pub(crate) silent: bool,
    /// What the last daemon knew cannot be read.
    blind: bool,
    meters: Meters,
}

impl Scene {
    /// Looks for the manifest, and touches nothing.
    pub(crate) fn new(file: Option<&std::path::Path>) -> Result<Self, Failure> {
        Ok(Self {
            place: context::place()?,
            proc: context::proc()?,
            here: context::here(file)?,
            runtime: daemon::runtime()?,
            silent: false,
            blind: false,
            meters: Meters::default(),
        })
    }

    /// What runs: from the daemon when there is one, else from the folders and the kernel (R3.3). `watch`: somebody
    /// will look again soon.
    pub(crate) fn report(&mut self, watch: bool) -> Result<Report, Failure> {
        let now = vigie_os::clock::now();
        if self.silent && !watch {
            // It was waited for, and that was said.
            return self.look(now);
        }
        match self.runtime.block_on(daemon::status(&self.place, watch)) {
            Ok(Some(mut report)) => {
                look::add_unmanaged(&mut report, &self.place, &self.proc, &mut self.meters, now)?;
                Ok(report)
            }
            Ok(None) => self.look(now),
            Err(failure) => {
                crate::say(&failure);
                self.silent = true;
                self.look(now)
            }
        }
    }

    /// What runs, without the daemon. A journal that cannot be read hides nothing that is alive.
    fn look(&mut self, now: Now) -> Result<Report, Failure> {
        let remembered = look::remembered(&self.place).unwrap_or_else(|failure| {
            if !std::mem::replace(&mut self.blind, true) {
                crate::warn(&failure);
            }
            Vec::new()
        });
        look::report(remembered, &self.place, &self.proc, &mut self.meters, now)
    }

    /// The services that `targets` mean, those that do not run named as such; without targets those of the project here
    /// that run and that the daemon manages.
    ///
    /// # Errors
    /// Exit code 8 for a target that is not known or, `must_run`, does not run.
    pub(crate) fn chosen(&self, report: &Report, targets: &[Target], must_run: bool) -> Result<Vec<Service>, Failure> {
        if targets.is_empty() {
            if self.here.manifest.is_none() {
                return Err(context::no_manifest());
            }
            let all = select::of_project(report, &self.here.dir).into_iter();
            // What is done or failed counts: after a `down` it is started again by the next `up`.
            let wanted = |service: &&Service| service.wanted == Some(Wanted::Up);
            // Where nobody can tell what the daemon manages, everything that runs is meant.
            let managed = |service: &&Service| service.wanted.is_some() || self.blind;
            return Ok(all.filter(|service| wanted(service) || managed(service) && is_up(service)).cloned().collect());
        }
        let chosen = select::services(report, &self.here.dir, targets, &self.proc);
        let chosen = chosen.map_err(|failure| self.never_ran(report, targets).unwrap_or(failure))?;
        let (up, down): (Vec<&Service>, Vec<&Service>) = chosen.into_iter().partition(|service| is_up(service));
        if must_run && let Some(service) = down.first() {
            let message = format!("{} is not running: it is {}", crate::plan::label(service), service.state);
            return Err(Failure::new(ExitCode::NotFound, message));
        }
        Ok(up.into_iter().chain(down.into_iter().filter(|_| !must_run)).cloned().collect())
    }

    /// A target that only the manifest knows.
    fn never_ran(&self, report: &Report, targets: &[Target]) -> Option<Failure> {
        let project = context::read(self.here.manifest.as_ref()?).ok()?.ok()?;
        let service = targets.iter().find_map(|target| {
            let Target::Service(target) = target else { return None };
            let here = target.project.as_ref().is_none_or(|name| *name == project.name);
            let service = project.services.get(&target.service).filter(|_| here)?;
            let key = project.key(service);
            report.services.iter().all(|known| known.key != key).then_some(service)
        })?;
        let message = format!("{}/{} is not running: it was never started", project.name, service.name);
        Some(Failure::not_found(message).hint(format!("'vigie start {}' starts it", service.name)))
    }

    /// That a number that somebody gave is a process.
    ///
    /// # Errors
    /// Exit code 8 for nobody's number, and for that of a thread: proc(5) opens it like a process.
    pub(crate) fn process(&self, pid: u32) -> Result<ProcKey, Failure> {
        let key = self.proc.key(pid)?.ok_or_else(|| Failure::not_found(format!("there is no process {pid}")))?;
        let mut buffer = Vec::new();
        let leader = self.proc.status(pid, &mut buffer)?.and_then(|status| status.leader);
        match leader.filter(|leader| *leader != pid) {
            Some(leader) => Err(Failure::not_found(format!("{pid} is no process, but a thread of process {leader}"))
                .hint(format!("'pid:{leader}' means the process"))),
            None => Ok(key),
        }
    }

    /// Who asks.
    pub(crate) fn origin(&self) -> Result<Origin, Failure> {
        context::origin(&self.proc)
    }
}

/// It runs, or is on its way.
pub(crate) fn is_up(service: &Service) -> bool {
    let on_its_way = matches!(service.state, State::Waiting | State::Backoff) && service.wanted == Some(Wanted::Up);
    service.run.is_some() || service.state.may_live() || on_its_way
}
