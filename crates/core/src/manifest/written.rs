//! The manifest as it is written: every table with its keys, their types and defaults.

use serde_json::{Value as Json, json};
use toml::Spanned;
use toml::de::DeValue;

use super::asked::{Address, Pattern, Url};
use super::programs::{Command, Env, EnvFiles, Location};
use super::reader::Reader;
use super::resolved::{Condition, Kind, Log, Restart, When};
use super::shown::Shown;
use super::table::{Field, Value, table};
use super::values::{List, Map, Size, Text};
use crate::claim::PortClaim;
use crate::ladder::{Ladder, Rung};
use crate::launch::{Orphans, Overflow, Scope, Tie};
use crate::name::Name;
use crate::units::Span;

table! {
    /// The manifest of a project: which services it has and how they are to run.
    ManifestTable {
        /// The project.
        project: ProjectTable, Optional;
        /// The services of the project by name.
        service: Map<ServiceTable>, Default(Map::default());
    }
}

table! {
    /// The project.
    ProjectTable {
        /// Its name. Default: the name of its folder.
        name: Name, Optional;
    }
}

table! {
    /// A named thing that is to run.
    ServiceTable {
        /// Files with more environment, one KEY=VALUE a line. A path that starts with `?` may be missing. Later files
        /// win, `env` wins over all of them.
        env_file: EnvFiles, Optional;
        /// More environment.
        env: Env, Default(Env::default());
        /// Program and arguments; a string is split as a shell splits words.
        command: Command, Required;
        /// Run the command, which then is one string, by `/bin/sh -c`.
        shell: bool, Default(false);
        /// Whether it stays or ends.
        kind: Kind, Default(Kind::default());
        /// The working folder, relative to the manifest. Default: the folder of the manifest.
        cwd: Location, Optional;
        /// Ports that it must hold alone; without an address: on any address.
        ports: List<PortClaim>, Default(List::default());
        /// What must have happened to other services before it starts.
        after: Map<Condition>, Default(Map::default());
        /// How it is known to be ready. Default: as soon as it runs.
        ready: ReadyTable, Optional;
        /// How it is known to be still well. When it is not, it is stopped, and restarted as `restart` says.
        alive: AliveTable, Optional;
        /// The ladder of a stop: signals in order, each with the time to wait for an empty process tree.
        stop: List<Rung>, Default(List::of(Ladder::default().rungs().iter().copied()));
        /// When and how it is started again; a single word stands for `when`.
        restart: RestartKey, Optional;
        /// Limits.
        limits: LimitsTable, Optional;
        /// Its stored output.
        log: LogTable, Optional;
        /// With what it is stopped. Default: the terminal in the foreground, the daemon with `-d`.
        tie: Tie, Optional;
        /// How far "exactly once" reaches.
        scope: Scope, Default(Scope::default());
        /// It starts without being named only when one of these is asked for; empty: always.
        profiles: List<Name>, Default(List::default());
        /// What becomes of processes that outlive the main process.
        orphans: Orphans, Default(Orphans::default());
        /// A PID file of an older tool: a hint for finding a process that runs already, never trusted.
        legacy_pidfile: Location, Optional;
        /// How a process is recognised as the same thing as this service (a stray). Default: by what the command becomes.
        r#match: MatchTable, Optional;
        /// Named variants; the first one is the default.
        mode: Map<ModeTable>, Default(Map::default());
    }
}

table! {
    /// How a process is recognised as the same thing as a service: all of this must be so, and the user the same. At
    /// least one of script, module and executable.
    MatchTable {
        /// The script that an interpreter runs, relative to the manifest.
        script: Location, Optional;
        /// The module or main class that an interpreter runs, as in `python3 -m MODULE`.
        module: Text, Optional;
        /// The executable: a name such as `python3`, which stands for all its versions, or a path.
        executable: Text, Optional;
        /// Arguments that it has, in this order; others may stand between them.
        args: List<Text>, Default(List::default());
        /// The working folder, relative to the manifest. Default: the folder of the manifest or any below it.
        cwd: Location, Optional;
    }
}

table! {
    /// A named variant of a service.
    ModeTable {
        /// More environment.
        env: Env, Default(Env::default());
        /// More arguments.
        args: List<Text>, Default(List::default());
        /// It stops by itself after this.
        duration: Span, Optional;
    }
}

table! {
    /// How a service is known to be ready: exactly one of http, tcp, unix, exec and log. What answers on a port or a
    /// socket must be the run itself.
    ReadyTable {
        /// An HTTP GET of this URL answers with `status`.
        http: Url, Optional;
        /// The status that counts.
        status: u16, Default(200);
        /// A TCP connection to this address is accepted.
        tcp: Address, Optional;
        /// A connection to the Unix socket at this path is accepted.
        unix: Location, Optional;
        /// This command, run in the folder and environment of the service, exits with 0.
        exec: Command, Optional;
        /// A line of output matches this regular expression.
        log: Pattern, Optional;
        /// How often it is asked.
        every: Span, Default(Span::millis(200));
        /// How long one attempt may take.
        timeout: Span, Default(Span::secs(2));
        /// How long the service may take from its start until it is ready.
        within: Span, Default(Span::secs(30));
    }
}

table! {
    /// How a service is known to be still well: exactly one of http, tcp, unix and exec.
    AliveTable {
        /// An HTTP GET of this URL answers with `status`.
        http: Url, Optional;
        /// The status that counts.
        status: u16, Default(200);
        /// A TCP connection to this address is accepted.
        tcp: Address, Optional;
        /// A connection to the Unix socket at this path is accepted.
        unix: Location, Optional;
        /// This command, run in the folder and environment of the service, exits with 0.
        exec: Command, Optional;
        /// How often it is asked.
        every: Span, Default(Span::secs(10));
        /// How long one attempt may take.
        timeout: Span, Default(Span::secs(2));
        /// So many failures in a row mean that it is not well.
        failures: u32, Default(3);
    }
    refuses {
        "log": "a line of output tells that something happened, not that the service is well now; ask by http, tcp, unix or exec",
    }
}

table! {
    /// When and how a service is started again.
    RestartTable {
        /// Which ends lead to a new start. Default: `failure`; for a task `never`.
        when: When, Optional;
        /// The wait before the first new start.
        delay: Span, Default(Restart::default().delay);
        /// Each further delay is so many times the last.
        factor: f64, Default(Restart::default().factor);
        /// No delay is longer.
        max_delay: Span, Default(Restart::default().max_delay);
        /// Each delay is changed at random by up to this part of it, up or down.
        jitter: f64, Default(Restart::default().jitter);
        /// So many new starts since the last stable period, then it is given up.
        attempts: u32, Default(Restart::default().attempts);
        /// Up and ready for this long is a stable period.
        stable: Span, Default(Restart::default().stable);
        /// Exit codes that are clean.
        clean: List<i32>, Default(List::of(Restart::default().clean));
        /// Exit codes after which no new start is tried.
        fatal: List<i32>, Default(List::of(Restart::default().fatal));
    }
}

table! {
    /// Limits. Absent: as vigie itself has them.
    LimitsTable {
        /// Open files.
        files: u64, Optional;
        /// The nice value.
        nice: i32, Optional;
        /// How willingly the kernel ends it when memory runs out.
        oom_score_adj: i32, Optional;
    }
}

table! {
    /// The stored output of a service.
    LogTable {
        /// A file is closed and the next one begun when it is larger.
        max_size: Size, Default(Size(Log::default().max_size));
        /// How many files are kept.
        keep: u32, Default(Log::default().keep);
        /// What happens when the service writes faster than the disk takes it.
        overflow: Overflow, Default(Log::default().overflow);
    }
}

/// A [`RestartTable`], or its `when` alone.
#[derive(Debug, Clone)]
pub(super) struct RestartKey(pub(super) RestartTable);

impl Value for RestartKey {
    fn read(reader: &mut Reader<'_>, value: &Spanned<DeValue<'_>>) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => {
                let when = When::read(reader, value)?;
                Some(Self(RestartTable {
                    when: Field { value: Some(when), span: value.span(), written: true },
                    ..RestartTable::default()
                }))
            }
            DeValue::Table(_) => RestartTable::read(reader, value).map(Self),
            _ => {
                reader.wrong_type(value, "a table, or one of \"never\", \"failure\", \"always\"", None);
                None
            }
        }
    }

    fn schema() -> Json {
        json!({"anyOf": [When::schema(), RestartTable::schema()]})
    }

    fn show(&self) -> Shown {
        self.0.show()
    }
}
