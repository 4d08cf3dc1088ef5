//! What users ask for becomes inputs of services.

use std::sync::Arc;

use crate::exit_code::ExitCode;
use crate::journal::{self, What};
use crate::ladder::Ladder;
use crate::launch::{Holder, Origin, ServiceKey, Tie};
use crate::manifest::{self, Project};
use crate::name::Name;
use crate::plan;
use crate::run::StopCause;
use crate::service::{Definition, Environment, Input, Service, State, StopDue, Wanted};
use crate::supervisor::operation::{Goal, Operation};
use crate::supervisor::{Action, Draft, OpId, Request, ServiceOutcome, SessionId, Supervisor, Up};
use crate::units::Span;

impl Supervisor {
    pub(super) fn request(&mut self, op: OpId, request: Request, draft: &mut Draft) {
        match request {
            Request::Up(up) => self.up(op, *up, draft),
            Request::Adopt(up) => self.adopt(op, *up, draft),
            Request::Down { keys, origin, timeout, ladder } => {
                self.down(op, keys, &journal::origin(&origin), timeout, ladder, draft);
            }
            Request::Restart { keys, origin, timeout, project } => {
                self.restart(op, keys, &origin, timeout, project.as_deref(), draft);
            }
            Request::Quarantine { keys, timeout } => self.quarantine(op, keys, timeout, draft),
            Request::Skip { keys } => {
                for key in keys.iter().filter(|key| self.state(key) == Some(State::Stopping)) {
                    draft.actions.push(Action::Skip { key: key.clone() });
                }
                self.reply_now(op, keys, draft);
            }
            Request::Reset { keys } => {
                for key in &keys {
                    self.apply(key, Input::Reset, draft);
                }
                self.reply_now(op, keys, draft);
            }
            Request::ShutDown => {
                let tied = |service: &&Service| service.definition.tie() != Tie::None && service.wanted == Wanted::Up;
                let keys = self.services.values().filter(tied).map(|service| service.key.clone()).collect();
                self.down(op, keys, "the end of the daemon", None, None, draft);
            }
        }
    }

    /// Whoever they were started for is gone (R5.5). A session never comes back: nothing is tied to it any more.
    pub(super) fn session_ended(&mut self, session: SessionId, draft: &mut Draft) {
        let of_session = |service: &&Service| service.definition.session == Some(session);
        let members: Vec<(ServiceKey, bool)> = self
            .services
            .values()
            .filter(of_session)
            .map(|service| {
                let tied = service.definition.tie() == Tie::Terminal && service.wanted == Wanted::Up;
                (service.key.clone(), tied)
            })
            .collect();
        for (key, tied) in members {
            if tied {
                self.want_down(&key, "the end of what it was tied to", StopCause::Tie, None, draft);
            }
            self.change(&key, draft, |service, _| service.definition.session = None);
        }
    }

    fn up(&mut self, op: OpId, up: Up, draft: &mut Draft) {
        let selected = match plan::select(&up.project, &up.targets, &up.profiles) {
            Ok(selected) => selected,
            Err(error) => {
                let mut operation = Operation::new(Goal::Up { wait: up.wait }, None);
                operation.refuse(ExitCode::Usage, error.to_string());
                self.operations.insert(op, operation);
                return;
            }
        };
        let named = |name: &Name| up.targets.iter().any(|(target, _)| target == name);
        let deadline = up.timeout.map(|timeout| draft.now.mono + timeout.0);
        let mut operation = Operation::new(Goal::Up { wait: up.wait }, deadline);
        let by = journal::origin(&up.origin);
        let env = Arc::new(up.env.clone());
        for (name, selected) in selected {
            let Some(service) = up.project.services.get(&name) else { continue };
            let key = up.project.key(service);
            let definition = definition(&up, service, selected.mode, &env);
            let process = up.adopt.iter().find(|(adopts, _)| *adopts == name).map(|(_, process)| process.clone());
            match self.services.get_mut(&key) {
                Some(present) if is_up(present) => {
                    if selected.asked {
                        operation.answer(already_running(present));
                    }
                    continue;
                }
                // Its run is not over: there is no place for another.
                Some(present) if process.is_some() && present.state.may_live() => {
                    operation.answer(already_running(present));
                    continue;
                }
                Some(present) if present.state == State::Ghost => {
                    operation.expect(key);
                    continue;
                }
                // A task that is done stays done, unless it is asked for by its name.
                Some(present) if present.state == State::Done && !named(&name) => continue,
                Some(present) => (present.definition, present.next_definition) = (definition, None),
                None => {
                    self.services.insert(key.clone(), Service::new(key.clone(), definition, draft.now));
                }
            }
            self.names.insert((up.project.dir.clone(), name), key.clone());
            self.want_up(&key, process.map_or(Input::Start, Input::Adopt), &by, draft);
            operation.expect(key);
        }
        self.operations.insert(op, operation);
    }

    /// Only those for which there is a process: what they depend on is not started, and not waited for.
    fn adopt(&mut self, op: OpId, up: Up, draft: &mut Draft) {
        let deadline = up.timeout.map(|timeout| draft.now.mono + timeout.0);
        let mut operation = Operation::new(Goal::Up { wait: up.wait }, deadline);
        let by = journal::origin(&up.origin);
        let env = Arc::new(up.env.clone());
        for (name, process) in &up.adopt {
            let Some(service) = up.project.services.get(name) else {
                operation.refuse(ExitCode::Usage, format!("project {} has no service {name}", up.project.name));
                continue;
            };
            let key = up.project.key(service);
            let mode = up.targets.iter().find(|(target, _)| target == name).and_then(|(_, mode)| mode.clone());
            let definition = definition(&up, service, mode, &env);
            match self.services.get_mut(&key) {
                // One that waits for others has not begun. What lives, and be it about to end, leaves no place for another.
                Some(present) if present.state.may_live() => {
                    operation.answer(already_running(present));
                    continue;
                }
                Some(present) => (present.definition, present.next_definition) = (definition, None),
                None => {
                    self.services.insert(key.clone(), Service::new(key.clone(), definition, draft.now));
                }
            }
            self.names.insert((up.project.dir.clone(), name.clone()), key.clone());
            self.want_up(&key, Input::Adopt(process.clone()), &by, draft);
            operation.expect(key);
        }
        self.operations.insert(op, operation);
    }

    fn want_up(&mut self, key: &ServiceKey, input: Input, by: &str, draft: &mut Draft) {
        self.change(key, draft, |service, reaction| service.journal(reaction, What::WantedUp { by: by.to_owned() }));
        self.apply(key, input, draft);
    }

    fn want_down(&mut self, key: &ServiceKey, by: &str, cause: StopCause, ladder: Option<Ladder>, draft: &mut Draft) {
        self.change(key, draft, |service, reaction| service.journal(reaction, What::WantedDown { by: by.to_owned() }));
        self.apply(key, Input::Down(StopDue { cause, ladder }), draft);
    }

    fn down(
        &mut self,
        op: OpId,
        keys: Vec<ServiceKey>,
        by: &str,
        timeout: Option<Span>,
        ladder: Option<Ladder>,
        draft: &mut Draft,
    ) {
        let deadline = timeout.map(|timeout| draft.now.mono + timeout.0);
        let mut operation = Operation::new(Goal::Down, deadline);
        for key in keys {
            // What is done or has failed is put down, too: the next start takes it up again.
            let is_live =
                self.services.get(&key).is_some_and(|service| service.wanted == Wanted::Up || service.state.may_live());
            if !is_live {
                operation.answer(self.not_running(&key));
            }
            if self.services.contains_key(&key) {
                self.want_down(&key, by, StopCause::Asked, ladder.clone(), draft);
            }
            if is_live {
                operation.expect(key);
            }
        }
        self.operations.insert(op, operation);
    }

    fn restart(
        &mut self,
        op: OpId,
        keys: Vec<ServiceKey>,
        origin: &Origin,
        timeout: Option<Span>,
        project: Option<&Project>,
        draft: &mut Draft,
    ) {
        let deadline = timeout.map(|timeout| draft.now.mono + timeout.0);
        let mut operation = Operation::new(Goal::Up { wait: true }, deadline);
        let by = journal::origin(origin);
        for key in keys {
            match self.services.get_mut(&key) {
                None => operation.answer(self.not_running(&key)),
                Some(service) => {
                    let newer = project.filter(|project| project.dir == service.definition.dir);
                    let newer = newer.and_then(|project| project.services.get(&key.service));
                    service.next_definition = newer.map(|newer| Box::new(newer.clone()));
                    if service.state != State::Ghost {
                        self.want_up(&key, Input::Restart, &by, draft);
                    }
                    operation.expect(key);
                }
            }
        }
        self.operations.insert(op, operation);
    }

    fn quarantine(&mut self, op: OpId, keys: Vec<ServiceKey>, timeout: Option<Span>, draft: &mut Draft) {
        let deadline = timeout.map(|timeout| draft.now.mono + timeout.0);
        let mut operation = Operation::new(Goal::Quarantine, deadline);
        for key in keys {
            match self.services.get(&key) {
                Some(service) if service.state == State::Ghost => {
                    self.apply(&key, Input::Quarantine, draft);
                    operation.expect(key);
                }
                Some(service) if service.state.may_live() => {
                    let why = "it is no ghost: signals may still end it".to_owned();
                    operation.answer(service.outcome(ExitCode::No, Some(why)));
                }
                Some(_) | None => operation.answer(self.not_running(&key)),
            }
        }
        self.operations.insert(op, operation);
    }

    /// A request whose outcome is its having been taken.
    fn reply_now(&mut self, op: OpId, keys: Vec<ServiceKey>, draft: &mut Draft) {
        let services: Vec<ServiceOutcome> = keys
            .iter()
            .map(|key| match self.services.get(key) {
                Some(service) => service.outcome(ExitCode::Done, None),
                None => self.not_running(key),
            })
            .collect();
        let code = services.iter().map(|service| service.code).find(|code| *code != ExitCode::Done);
        let outcome = crate::supervisor::Outcome { code: code.unwrap_or(ExitCode::Done), why: None, services };
        draft.actions.push(Action::Reply { op, outcome });
    }

    fn state(&self, key: &ServiceKey) -> Option<State> {
        self.services.get(key).map(|service| service.state)
    }

    fn not_running(&self, key: &ServiceKey) -> ServiceOutcome {
        match self.services.get(key) {
            Some(service) => service.outcome(ExitCode::NotFound, Some("it is not running".to_owned())),
            None => ServiceOutcome {
                key: key.clone(),
                project: Name::lossy(&key.dir.as_path().file_name().unwrap_or_default().to_string_lossy()),
                code: ExitCode::NotFound,
                state: State::Stopped,
                why: Some("it is not running".to_owned()),
                holder: None,
            },
        }
    }
}

/// A service as somebody asks for it.
fn definition(up: &Up, service: &manifest::Service, mode: Option<Name>, env: &Arc<Environment>) -> Definition {
    Definition {
        project: up.project.name.clone(),
        dir: up.project.dir.clone(),
        service: service.clone(),
        mode,
        env: env.clone(),
        origin: up.origin.clone(),
        session: up.session,
        duration: up.duration,
        keep: up.keep,
    }
}

/// It is wanted up and on its way, or there. In a backoff nothing runs: whoever asks for it then does not want to wait.
fn is_up(service: &Service) -> bool {
    service.wanted == Wanted::Up
        && match service.state {
            State::Waiting | State::Starting | State::Running | State::Ready | State::Degraded | State::Stopping => {
                true
            }
            State::Stopped | State::Backoff | State::Done | State::Failed | State::Conflict | State::Ghost => false,
        }
}

fn already_running(service: &Service) -> ServiceOutcome {
    // Before there is a holder, whoever asked for it is all that can be named.
    let by = journal::origin(&service.definition.origin);
    let why = format!("it is {} already, asked for by {by}", service.state);
    let mut outcome = service.outcome(ExitCode::AlreadyRunning, Some(why));
    outcome.holder = service.run.as_ref().and_then(|run| {
        Some(Box::new(Holder {
            run: run.id,
            key: service.key.clone(),
            project: service.definition.project.clone(),
            mode: service.definition.mode.clone(),
            keeper: run.keeper.clone()?,
            main: run.main.clone(),
            adopted: run.adopted.is_some(),
            since: run.ours_since().map_or(service.since.wall, |started| started.wall),
            origin: service.definition.origin.clone(),
            managed: true,
            attempt: service.attempt,
        }))
    });
    outcome
}
