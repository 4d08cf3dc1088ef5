//! From a launch to a running main process.

use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::pipe::{PipeFlags, pipe_with};

use vigie_core::launch::{Containment, Group, Input, Launch, Output as Destination};
use vigie_core::text::OsText;
use vigie_os::cgroup::{Cgroup, Entrance};
use vigie_os::clock::now;
use vigie_os::memory;
use vigie_os::remains::MARK;
use vigie_os::spawn::{Failure, Limits, Plan, Session, Starting, Step};
use vigie_wire::keeper::{Phase, SpawnFailure, What};

use crate::course::{Course, Main};
use crate::keeper::Keeper;
use crate::output::Output;

/// A child between fork and exec, and what is needed to try once more without a cgroup.
#[derive(Debug)]
pub(crate) struct Spawning {
    pub(crate) starting: Starting,
    plan: Plan,
    stdio: [OwnedFd; 3],
    in_cgroup: bool,
    session: Session,
}

impl Keeper {
    /// Readies a run: what can be made before the start need not be made in it. The cgroup stands in the record before
    /// anything is in it, so that whoever comes after a killed keeper knows where to look.
    pub(crate) fn prepare(&mut self, launch: Box<Launch>) {
        let cgroup = Cgroup::create(&self.own, launch.run);
        let path = cgroup.as_ref().map(|cgroup| OsText::from(cgroup.path()));
        self.change(|state| state.cgroup = path);
        self.course = Course::new(launch, cgroup);
    }

    /// Spawns what was launched.
    ///
    /// # Errors
    /// When there is nothing to spawn any more.
    pub(crate) fn go(&mut self) -> Result<(), String> {
        let Some(launch) = self.course.launch.take() else {
            return Err("this run was started already".to_owned());
        };
        if self.phase() != Phase::Locked {
            return Err("this run is over already".to_owned());
        }
        if let Some(process) = &launch.adopt {
            self.adopt(process, &launch);
        } else if let Err(failure) = self.fork(&launch) {
            self.spawn_failed(failure);
        }
        Ok(())
    }

    fn fork(&mut self, launch: &Launch) -> Result<(), Failure> {
        let plan = plan(launch)?;
        let stdio = self.stdio(launch)?;
        let entrance = self.course.cgroup.as_ref().and_then(|cgroup| cgroup.entrance().ok());
        self.start(plan, stdio, entrance, session(launch.group))
    }

    fn start(
        &mut self,
        plan: Plan,
        stdio: [OwnedFd; 3],
        entrance: Option<Entrance>,
        session: Session,
    ) -> Result<(), Failure> {
        let now = now();
        let starting = plan.spawn(stdio.each_ref().map(AsFd::as_fd), entrance.as_ref().map(Entrance::inside))?;
        self.change(|state| state.started = Some((now.wall, now.mono)));
        let in_cgroup = entrance.is_some();
        self.course.spawning = Some(Box::new(Spawning { starting, plan, stdio, in_cgroup, session }));
        Ok(())
    }

    /// The child has reached its program, or says what failed.
    pub(crate) fn on_report(&mut self) {
        let Some(spawning) = self.course.spawning.take() else { return };
        match spawning.starting.poll(&spawning.plan) {
            None => self.course.spawning = Some(spawning),
            Some(Ok(())) => self.started(*spawning),
            Some(Err(failure)) if failure.step == Step::Cgroup && spawning.in_cgroup => {
                // The folder could be made but not entered: the next best containment.
                let Spawning { plan, stdio, session, .. } = *spawning;
                if let Err(failure) = self.start(plan, stdio, None, session) {
                    self.spawn_failed(failure);
                }
            }
            Some(Err(failure)) => self.spawn_failed(failure),
        }
    }

    fn started(&mut self, spawning: Spawning) {
        let Spawning { starting, in_cgroup, session, plan, stdio } = spawning;
        drop((plan, stdio));
        let pid = starting.child.pid();
        let mut buffer = Vec::new();
        let (start_ticks, pgrp) = match self.parts.proc.stat(pid, &mut buffer) {
            Ok(Some(stat)) => (stat.start_ticks, stat.pgrp),
            // An own child that was not reaped has a line in /proc; without /proc no identity can be told.
            Ok(None) | Err(_) => (0, pid),
        };
        let key = self.parts.proc.key_of(pid, start_ticks);
        let pgid = match session {
            Session::Own => pid,
            Session::Group(_) => pgrp,
        };
        if !in_cgroup {
            self.course.drop_cgroup();
        }
        let containment = self.course.cgroup.as_ref().map_or(Containment::Subreaper, Cgroup::containment);
        let cgroup = self.course.cgroup.as_ref().map(|cgroup| OsText::from(cgroup.path()));
        self.course.main = Some(Main::Child { child: starting.child, pgid });
        self.course.pgid = Some(pgid);
        self.change(|state| {
            if state.phase == Phase::Locked {
                state.phase = Phase::Running;
            }
            state.containment = Some(containment);
            state.cgroup.clone_from(&cgroup);
            state.holder.main = Some(key.clone());
        });
        self.tell(What::Started { main: key, containment, cgroup });
        self.label();
        // The environment and the plan are gone; what stays is to stay small for days.
        memory::trim();
    }

    fn spawn_failed(&mut self, failure: Failure) {
        self.course.failed = true;
        self.change(|state| state.started = None);
        let Failure { step, on, errno } = failure;
        self.tell(What::SpawnFailed(SpawnFailure { step: step.name().to_owned(), on: on.into(), errno }));
        self.reap();
    }

    /// Descriptors 0, 1 and 2 of the service.
    fn stdio(&mut self, launch: &Launch) -> Result<[OwnedFd; 3], Failure> {
        let failed = |on: &str, errno: Errno| Failure { step: Step::Stdio, on: on.into(), errno: errno.raw_os_error() };
        let copy = |fd: rustix::fd::BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, 3);
        let null = || copy(self.parts.null.as_fd());
        let input = match launch.input {
            Input::Null => null(),
            Input::Pipe => pipe_with(PipeFlags::CLOEXEC).map(|(read, write)| {
                self.course.stdin = Some(write);
                read
            }),
            Input::Inherit => match &self.stdin {
                Some(stdin) => copy(stdin.as_fd()),
                // It must come along with the launch.
                None => Err(Errno::BADF),
            },
        };
        let input = input.map_err(|errno| failed("standard input", errno))?;
        let [out, err] = match &launch.output {
            Destination::Segments { dir, max_size, keep, overflow } => {
                let made =
                    null().and_then(|null| Output::new(dir.as_path(), *max_size, *keep, *overflow, launch.run, null));
                let (output, ends) = made.map_err(|errno| failed("standard output", errno))?;
                self.course.output = Some(output);
                ends
            }
            Destination::Inherit => {
                let own = |fd| copy(fd).map_err(|errno| failed("standard output", errno));
                [own(rustix::stdio::stdout())?, own(rustix::stdio::stderr())?]
            }
        };
        Ok([input, out, err])
    }
}

fn session(group: Group) -> Session {
    match group {
        Group::Own => Session::Own,
        Group::Join { pgid } => Session::Group(pgid),
    }
}

fn plan(launch: &Launch) -> Result<Plan, Failure> {
    let mark = launch.run.to_string();
    let env = launch
        .env
        .iter()
        .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
        .filter(|(name, _)| *name != MARK)
        .chain([(OsStr::new(MARK), OsStr::new(&mark))]);
    let limits =
        Limits { files: launch.limits.files, nice: launch.limits.nice, oom_score_adj: launch.limits.oom_score_adj };
    Plan::new(launch.argv.iter().map(OsText::as_os_str), env, launch.cwd.as_os_str(), session(launch.group), limits)
}
