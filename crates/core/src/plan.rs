//! Which services a start is about, and in what order starts and stops go (R5.6, R6.4).

use std::collections::{BTreeMap, BTreeSet};

use crate::manifest::{Condition, Project};
use crate::name::Name;
use crate::service::State;

/// Why a selection is not possible.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// No such service.
    #[error("project {project} has no service {service}; it has: {known}")]
    NoService {
        /// The project.
        project: Name,
        /// As it was asked for.
        service: Name,
        /// Those that there are.
        known: String,
    },
    /// No such mode.
    #[error("service {service} has no mode {mode}; it has: {known}")]
    NoMode {
        /// The service.
        service: Name,
        /// As it was asked for.
        mode: Name,
        /// Those that there are.
        known: String,
    },
    /// No service has this profile.
    #[error("no service of project {project} has the profile {profile}; there are: {known}")]
    NoProfile {
        /// The project.
        project: Name,
        /// As it was asked for.
        profile: Name,
        /// Those that there are.
        known: String,
    },
}

/// A service that is to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Selected {
    /// In this mode; absent: it has none.
    pub mode: Option<Name>,
    /// It was asked for by name or by profile, not only because another depends on it.
    pub asked: bool,
}

/// The services of `project` that a start of `targets` is about: they, or all whose profiles are asked for, and what
/// they depend on.
///
/// # Errors
/// When a target or a profile does not exist.
pub fn select(
    project: &Project,
    targets: &[(Name, Option<Name>)],
    profiles: &[Name],
) -> Result<BTreeMap<Name, Selected>, PlanError> {
    let known: BTreeSet<&Name> = project.services.values().flat_map(|service| &service.profiles).collect();
    if let Some(profile) = profiles.iter().find(|profile| !known.contains(profile)) {
        let (project, profile) = (project.name.clone(), profile.clone());
        return Err(PlanError::NoProfile { project, profile, known: list(known.into_iter()) });
    }
    let mut selected = BTreeMap::new();
    let mut open: Vec<(Name, Option<Name>, bool)> =
        targets.iter().map(|(name, mode)| (name.clone(), mode.clone(), true)).collect();
    if targets.is_empty() {
        open.extend(project.services.values().filter_map(|service| {
            let chosen =
                service.profiles.is_empty() || service.profiles.iter().any(|profile| profiles.contains(profile));
            chosen.then(|| (service.name.clone(), None, true))
        }));
    }
    while let Some((name, mode, asked)) = open.pop() {
        let Some(service) = project.services.get(&name) else {
            let known = list(project.services.keys());
            return Err(PlanError::NoService { project: project.name.clone(), service: name, known });
        };
        let chosen = service.mode(mode.as_ref()).map(|mode| mode.name.clone());
        if let (Some(mode), None) = (&mode, &chosen) {
            let known = list(service.modes.iter().map(|mode| &mode.name));
            return Err(PlanError::NoMode { service: name, mode: mode.clone(), known });
        }
        match selected.get_mut(&name) {
            Some(Selected { asked: before, mode: known }) => {
                if asked && !*before {
                    (*before, *known) = (true, chosen);
                }
                continue;
            }
            None => selected.insert(name, Selected { mode: chosen, asked }),
        };
        open.extend(service.after.keys().map(|needed| (needed.clone(), None, false)));
    }
    Ok(selected)
}

fn list<'a>(names: impl Iterator<Item = &'a Name>) -> String {
    let names: Vec<&str> = names.map(Name::as_str).collect();
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// Whether a dependency lets its dependent start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gate {
    /// The condition holds.
    Open,
    /// It may come to hold.
    Closed,
    /// It will not, as things are.
    Never,
}

/// Judges `condition` against where the dependency stands. `settled`: it is up as far as anybody asked: ready, or
/// running without a readiness probe.
pub fn gate(condition: Condition, state: State, settled: bool) -> Gate {
    match state {
        State::Stopped | State::Failed | State::Conflict | State::Ghost => Gate::Never,
        State::Waiting | State::Starting | State::Stopping | State::Backoff => Gate::Closed,
        State::Running | State::Ready | State::Degraded => match condition {
            Condition::Started => Gate::Open,
            Condition::Ready if settled => Gate::Open,
            Condition::Ready | Condition::Done => Gate::Closed,
        },
        State::Done => match condition {
            Condition::Started | Condition::Done => Gate::Open,
            Condition::Ready => Gate::Never,
        },
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::manifest::{Kind, Log, Mode, Restart, Service};

    pub(crate) fn name(text: &str) -> Name {
        Name::new(text).expect("name")
    }

    /// A service with nothing but a name and what it comes after.
    pub(crate) fn service(text: &str, after: &[(&str, Condition)]) -> Service {
        Service {
            name: name(text),
            kind: Kind::Service,
            command: vec![text.to_owned()],
            cwd: "/".into(),
            env: BTreeMap::new(),
            ports: Vec::new(),
            after: after.iter().map(|(other, condition)| (name(other), *condition)).collect(),
            ready: None,
            alive: None,
            stop: crate::ladder::Ladder::default(),
            restart: Restart::default(),
            limits: crate::launch::Limits::default(),
            log: Log::default(),
            tie: None,
            scope: crate::launch::Scope::Project,
            profiles: Vec::new(),
            orphans: crate::launch::Orphans::End,
            legacy_pidfile: None,
            recognised_by: None,
            modes: Vec::new(),
        }
    }

    pub(crate) fn project(services: impl IntoIterator<Item = Service>) -> Project {
        Project {
            name: name("demo"),
            dir: "/demo".into(),
            manifest: "/demo/vigie.toml".into(),
            services: services.into_iter().map(|service| (service.name.clone(), service)).collect(),
        }
    }

    #[test]
    fn selection() {
        let mut robot = service("robot", &[]);
        robot.modes = ["graphical", "headless"]
            .map(|mode| Mode { name: name(mode), args: Vec::new(), env: BTreeMap::new(), duration: None })
            .into();
        let mut extra = service("extra", &[("db", Condition::Started)]);
        extra.profiles = vec![name("dev")];
        let project = project([
            service("db", &[]),
            service("api", &[("db", Condition::Ready)]),
            service("web", &[("api", Condition::Ready)]),
            robot,
            extra,
        ]);
        let pick = |targets: &[(&str, Option<&str>)], profiles: &[&str]| {
            let targets: Vec<_> = targets.iter().map(|(target, mode)| (name(target), mode.map(name))).collect();
            let profiles: Vec<_> = profiles.iter().map(|profile| name(profile)).collect();
            select(&project, &targets, &profiles).map(|selected| {
                let show = |(name, selected): (Name, Selected)| {
                    let mode = selected.mode.map(|mode| format!(":{mode}")).unwrap_or_default();
                    format!("{name}{mode}{}", if selected.asked { "" } else { "?" })
                };
                selected.into_iter().map(show).collect::<Vec<_>>().join(" ")
            })
        };
        assert_eq!(pick(&[], &[]), Ok("api db robot:graphical web".to_owned()));
        assert_eq!(pick(&[], &["dev"]), Ok("api db extra robot:graphical web".to_owned()));
        assert_eq!(pick(&[("web", None)], &[]), Ok("api? db? web".to_owned()));
        assert_eq!(pick(&[("web", None), ("db", None)], &[]), Ok("api? db web".to_owned()));
        assert_eq!(pick(&[("robot", Some("headless"))], &[]), Ok("robot:headless".to_owned()));
        assert_eq!(pick(&[("extra", None)], &[]), Ok("db? extra".to_owned()), "named, so its profile does not matter");
        assert!(matches!(pick(&[("nope", None)], &[]), Err(PlanError::NoService { .. })));
        let error = pick(&[], &["dve"]).map_err(|error| error.to_string());
        assert_eq!(error, Err("no service of project demo has the profile dve; there are: dev".to_owned()));
        assert!(matches!(pick(&[("robot", Some("x"))], &[]), Err(PlanError::NoMode { .. })));
        assert!(matches!(pick(&[("db", Some("x"))], &[]), Err(PlanError::NoMode { .. })));
    }

    /// Every condition against every state.
    #[test]
    fn gates() {
        use Condition::{Done, Ready, Started};
        use Gate::{Closed, Never, Open};
        for (state, settled, started, ready, done) in [
            (State::Stopped, false, Never, Never, Never),
            (State::Waiting, false, Closed, Closed, Closed),
            (State::Starting, false, Closed, Closed, Closed),
            (State::Running, false, Open, Closed, Closed),
            (State::Running, true, Open, Open, Closed),
            (State::Ready, true, Open, Open, Closed),
            (State::Degraded, true, Open, Open, Closed),
            (State::Stopping, false, Closed, Closed, Closed),
            (State::Backoff, false, Closed, Closed, Closed),
            (State::Done, false, Open, Never, Open),
            (State::Failed, false, Never, Never, Never),
            (State::Conflict, false, Never, Never, Never),
            (State::Ghost, false, Never, Never, Never),
        ] {
            assert_eq!(gate(Started, state, settled), started, "{state}");
            assert_eq!(gate(Ready, state, settled), ready, "{state}");
            assert_eq!(gate(Done, state, settled), done, "{state}");
        }
    }
}
