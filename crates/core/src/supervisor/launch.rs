//! The description of a run for its keeper.

use crate::claim::PortClaim;
use crate::identity::RunId;
use crate::launch::{Group, Input, Launch, Output, ServiceKey};
use crate::supervisor::Supervisor;
use crate::text::OsText;

/// Where the files of a service lie.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaunchPlace {
    /// The lock file.
    pub lock: OsText,
    /// The folder with control socket, record and events.
    pub folder: OsText,
    /// The folder of the stored output.
    pub logs: OsText,
}

/// What a run must hold alone besides its name, looked at under the lock right before the spawn (R4.4).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Claims {
    /// Ports.
    pub ports: Vec<PortClaim>,
    /// A PID file of an older tool, a hint only (R4.8).
    pub legacy_pidfile: Option<OsText>,
}

impl Supervisor {
    /// What the next run of a service must hold alone.
    pub fn claims(&self, key: &ServiceKey) -> Claims {
        self.services.get(key).map_or_else(Claims::default, |service| Claims {
            ports: service.manifest().ports.clone(),
            legacy_pidfile: service.manifest().legacy_pidfile.clone().filter(|_| !service.definition.keep),
        })
    }

    /// The description of the present run of a service; `None` when it is not `run`.
    pub fn launch(&self, key: &ServiceKey, run: RunId, place: LaunchPlace) -> Option<Launch> {
        let service = self.services.get(key)?;
        service.run.as_ref().filter(|present| present.id == run)?;
        let definition = &service.definition;
        let manifest = &definition.service;
        let mode = manifest.mode(definition.mode.as_ref());
        let arguments = mode.map_or(&[][..], |mode| &mode.args);
        let own_env = manifest.env.iter().chain(mode.iter().flat_map(|mode| &mode.env));
        let own_env: Vec<(OsText, OsText)> =
            own_env.map(|(name, value)| (name.as_str().into(), value.as_str().into())).collect();
        let is_own = |name: &OsText| own_env.iter().any(|(own, _)| own == name);
        let mut env: Vec<_> = definition.env.iter().filter(|(name, _)| !is_own(name)).cloned().collect();
        // Where a mode sets what the service sets, the mode comes later and is kept.
        for (name, value) in own_env {
            env.retain(|(known, _)| *known != name);
            env.push((name, value));
        }
        Some(Launch {
            key: key.clone(),
            project: definition.project.clone(),
            mode: definition.mode.clone(),
            run,
            lock: place.lock,
            folder: place.folder,
            argv: manifest.command.iter().chain(arguments).map(|word| word.as_str().into()).collect(),
            env,
            cwd: manifest.cwd.clone(),
            input: if manifest.stop.closes_stdin() { Input::Pipe } else { Input::Null },
            output: Output::Segments {
                dir: place.logs,
                max_size: manifest.log.max_size,
                keep: manifest.log.keep,
                overflow: manifest.log.overflow,
            },
            group: Group::Own,
            ladder: manifest.stop.clone(),
            orphans: manifest.orphans,
            limits: manifest.limits.clone(),
            origin: definition.origin.clone(),
            managed: true,
            attempt: service.attempt,
            adopt: service.adopt.as_ref().map(|adoption| adoption.process.clone()),
        })
    }
}
