//! `config show`: a project as a manifest with every default written out.

use std::collections::BTreeMap;

use super::asked::{Address, Pattern, Url};
use super::programs::{Command, Env, Location};
use super::resolved::{Alive, Log, Match, Mode, Probe, Project, Ready, Restart, Service};
use super::shown::{Shown, document};
use super::table::{At, Field, Need, Value};
use super::values::{List, Map, Size, Text};
use super::written::{
    AliveTable, LimitsTable, LogTable, ManifestTable, MatchTable, ModeTable, ProjectTable, ReadyTable, RestartKey,
    RestartTable, ServiceTable,
};
use crate::launch::Limits;
use crate::text::OsText;

/// What becomes of values that look secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Secrets {
    /// They are shown as `***`.
    Masked,
    /// They are shown. The text, read again, resolves to the same project.
    Shown,
}

/// A project as a manifest with every default written out. What came from env files stands in `env`.
pub fn show(project: &Project, secrets: Secrets) -> String {
    let services = project.services.values().map(|service| {
        let name = At::nowhere(service.name.clone());
        (name, service_table(project, service, secrets))
    });
    let written = ManifestTable {
        project: Field::of(ProjectTable { name: Field::of(project.name.clone()) }),
        service: Field::of(Map(services.collect())),
    };
    match written.show() {
        Shown::Table(entries) => document(&entries),
        other => document(&[("manifest".to_owned(), other)]),
    }
}

/// Whether the value of a variable should not be shown: its name says so, or it is a URL with a password in it.
pub fn looks_secret(name: &str, value: &str) -> bool {
    const WORDS: [&str; 9] =
        ["PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "KEY", "CREDENTIAL", "AUTH", "PRIVATE"];
    let name = name.to_ascii_uppercase();
    let url_with_password = || {
        let (_, rest) = value.split_once("://")?;
        let (user, _) = rest.split(['/', '?']).next()?.rsplit_once('@')?;
        user.contains(':').then_some(())
    };
    WORDS.iter().any(|word| name.contains(word)) || url_with_password().is_some()
}

// Every key is named in each of the functions below: a new one does not compile until it is shown.

fn service_table(project: &Project, service: &Service, secrets: Secrets) -> ServiceTable {
    let location = |path: &OsText| optional(Location::within(path.as_path(), project.dir.as_path()));
    let modes = service.modes.iter().map(|mode| (At::nowhere(mode.name.clone()), mode_table(mode, secrets)));
    ServiceTable {
        env_file: optional(None),
        env: env(&service.env, secrets),
        command: Field::of(Command::Words(service.command.clone())),
        shell: Field::of(false),
        kind: Field::of(service.kind),
        cwd: location(&service.cwd),
        ports: Field::of(List::of(service.ports.iter().copied())),
        after: Field::of(Map(service.after.iter().map(|(name, on)| (At::nowhere(name.clone()), *on)).collect())),
        ready: optional(service.ready.as_ref().map(|ready| ready_table(project, ready))),
        alive: optional(service.alive.as_ref().map(|alive| alive_table(project, alive))),
        stop: Field::of(List::of(service.stop.rungs().iter().copied())),
        restart: Field::of(RestartKey(restart_table(&service.restart))),
        limits: Field::of(limits_table(&service.limits)),
        log: Field::of(log_table(&service.log)),
        tie: optional(service.tie),
        scope: Field::of(service.scope),
        profiles: Field::of(List::of(service.profiles.iter().cloned())),
        orphans: Field::of(service.orphans),
        legacy_pidfile: service.legacy_pidfile.as_ref().map_or_else(|| optional(None), location),
        r#match: optional(service.recognised_by.as_ref().map(|by| match_table(project, by))),
        mode: Field::of(Map(modes.collect())),
    }
}

fn match_table(project: &Project, by: &Match) -> MatchTable {
    let location = |path: &Option<OsText>| {
        optional(path.as_ref().and_then(|path| Location::within(path.as_path(), project.dir.as_path())))
    };
    let text = |text: &OsText| text.as_os_str().to_str().map(|text| Text(text.to_owned()));
    MatchTable {
        script: location(&by.script),
        module: optional(by.module.as_ref().and_then(text)),
        executable: optional(by.executable.as_ref().and_then(text)),
        args: Field::of(List::of(by.args.iter().filter_map(text))),
        cwd: location(&by.cwd),
    }
}

fn mode_table(mode: &Mode, secrets: Secrets) -> ModeTable {
    ModeTable {
        env: env(&mode.env, secrets),
        args: Field::of(List::of(mode.args.iter().cloned().map(Text))),
        duration: optional(mode.duration),
    }
}

fn ready_table(project: &Project, ready: &Ready) -> ReadyTable {
    let asked = Asked::of(project, &ready.probe);
    ReadyTable {
        http: asked.http,
        status: asked.status,
        tcp: asked.tcp,
        unix: asked.unix,
        exec: asked.exec,
        log: asked.log,
        every: Field::of(ready.every),
        timeout: Field::of(ready.timeout),
        within: Field::of(ready.within),
    }
}

fn alive_table(project: &Project, alive: &Alive) -> AliveTable {
    let asked = Asked::of(project, &alive.probe);
    AliveTable {
        http: asked.http,
        status: asked.status,
        tcp: asked.tcp,
        unix: asked.unix,
        exec: asked.exec,
        every: Field::of(alive.every),
        timeout: Field::of(alive.timeout),
        failures: Field::of(alive.failures),
    }
}

/// The keys of a probe: one of them is there.
struct Asked {
    http: Field<Url>,
    status: Field<u16>,
    tcp: Field<Address>,
    unix: Field<Location>,
    exec: Field<Command>,
    log: Field<Pattern>,
}

impl Asked {
    fn of(project: &Project, probe: &Probe) -> Self {
        let mut asked = Self {
            http: optional(None),
            status: optional(None),
            tcp: optional(None),
            unix: optional(None),
            exec: optional(None),
            log: optional(None),
        };
        match probe {
            Probe::Http { url, status } => {
                asked.http = Field::of(Url(url.clone()));
                asked.status = Field::of(*status);
            }
            Probe::Tcp { address } => asked.tcp = Field::of(Address(address.clone())),
            Probe::Unix { path } => asked.unix = optional(Location::within(path.as_path(), project.dir.as_path())),
            Probe::Exec { command } => asked.exec = Field::of(Command::Words(command.clone())),
            Probe::Log { pattern } => asked.log = Field::of(Pattern(pattern.clone())),
        }
        asked
    }
}

fn restart_table(restart: &Restart) -> RestartTable {
    RestartTable {
        when: Field::of(restart.when),
        delay: Field::of(restart.delay),
        factor: Field::of(restart.factor),
        max_delay: Field::of(restart.max_delay),
        jitter: Field::of(restart.jitter),
        attempts: Field::of(restart.attempts),
        stable: Field::of(restart.stable),
        clean: Field::of(List::of(restart.clean.iter().copied())),
        fatal: Field::of(List::of(restart.fatal.iter().copied())),
    }
}

fn limits_table(limits: &Limits) -> LimitsTable {
    LimitsTable {
        files: optional(limits.files),
        nice: optional(limits.nice),
        oom_score_adj: optional(limits.oom_score_adj),
    }
}

fn log_table(log: &Log) -> LogTable {
    LogTable { max_size: Field::of(Size(log.max_size)), keep: Field::of(log.keep), overflow: Field::of(log.overflow) }
}

fn env(vars: &BTreeMap<String, String>, secrets: Secrets) -> Field<Env> {
    let shown = vars.iter().map(|(name, value)| match secrets {
        Secrets::Masked if looks_secret(name, value) => (name.clone(), "***".to_owned()),
        _ => (name.clone(), value.clone()),
    });
    Field::of(Env(shown.collect()))
}

fn optional<T>(value: Option<T>) -> Field<T> {
    match value {
        Some(value) => Field::of(value),
        None => Field::unwritten(Need::Optional, 0..0),
    }
}
