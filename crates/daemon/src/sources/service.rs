//! The workers as services: an internal project whose folder is that of the state.

use std::collections::BTreeMap;
use std::path::Path;

use vigie_core::ladder::Ladder;
use vigie_core::launch::{Limits, Origin, Orphans, Scope, ServiceKey, Tie};
use vigie_core::manifest::{Kind, Log, Project, Restart, Service, When};
use vigie_core::name::Name;
use vigie_core::supervisor::{Request, Up};
use vigie_core::text::OsText;
use vigie_core::units::Span;
use vigie_os::place::Place;
use vigie_os::user;
use vigie_wire::worker::Role;

/// What of the daemon's environment a worker gets: to find `ssh`, its agent, and the contexts of `docker`.
const ENVIRONMENT: [&str; 12] = [
    "PATH",
    "HOME",
    "USER",
    "LANG",
    "SSH_AUTH_SOCK",
    "DOCKER_CONFIG",
    "DOCKER_CERT_PATH",
    "XDG_RUNTIME_DIR",
    "XDG_STATE_HOME",
    "XDG_CONFIG_HOME",
    "VIGIE_HOME",
    "TMPDIR",
];

/// The project's name; a service has the name of its role.
const PROJECT: &str = "vigie";

/// A request to start one, or to stop it.
pub(crate) fn up(place: &Place, program: &Path, role: Role, wanted: bool) -> Request {
    let service = worker(place, program, role);
    let project = Project {
        name: Name::lossy(PROJECT),
        dir: place.state.as_path().into(),
        manifest: place.journal().into(),
        services: BTreeMap::from([(service.name.clone(), service)]),
    };
    let origin = Origin {
        uid: user::uid(),
        user: Some("vigie".to_owned()),
        terminal: None,
        pid: std::process::id(),
        cwd: OsText::default(),
    };
    if !wanted {
        return Request::Down { keys: vec![key(place, role)], origin, timeout: None, ladder: None };
    }
    let variable = |name: &&str| Some((OsText::from(*name), OsText::from(std::env::var_os(name)?)));
    Request::Up(Box::new(Up {
        project,
        targets: Vec::new(),
        profiles: Vec::new(),
        env: ENVIRONMENT.iter().filter_map(variable).collect(),
        origin,
        session: None,
        duration: None,
        wait: false,
        timeout: None,
        adopt: Vec::new(),
        keep: true,
    }))
}

/// Which worker this is; absent: none.
pub(crate) fn role_of(place: &Place, key: &ServiceKey) -> Option<Role> {
    Role::ALL.into_iter().find(|role| *key == self::key(place, *role))
}

fn key(place: &Place, role: Role) -> ServiceKey {
    ServiceKey::new(Scope::Project, &place.state, Name::lossy(role.name()))
}

fn worker(place: &Place, program: &Path, role: Role) -> Service {
    let words = ["worker", role.name()].map(str::to_owned);
    let command = std::iter::once(program.to_string_lossy().into_owned()).chain(words).collect();
    Service {
        name: Name::lossy(role.name()),
        kind: Kind::Service,
        command,
        cwd: place.state.as_path().into(),
        env: BTreeMap::new(),
        ports: Vec::new(),
        after: BTreeMap::new(),
        ready: None,
        alive: None,
        stop: Ladder::default(),
        // It never gives up: an engine that is away for a month is watched again when it comes back.
        restart: Restart { when: When::Always, attempts: u32::MAX, stable: Span::secs(30), ..Restart::default() },
        limits: Limits::default(),
        log: Log { max_size: 1 << 20, keep: 2, ..Log::default() },
        tie: Some(Tie::Daemon),
        scope: Scope::Project,
        profiles: Vec::new(),
        orphans: Orphans::End,
        legacy_pidfile: None,
        recognised_by: None,
        modes: Vec::new(),
    }
}
