//! What can happen: the one definition of everything that the journal can hold.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::clock::Wall;
use crate::exit::Exit;
use crate::identity::RunId;
use crate::ladder::Rung;
use crate::launch::Containment;
use crate::name::Name;
use crate::text::OsText;
use crate::units::Span;

/// What happened, with the facts that its line for people needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The daemon began its work.
    DaemonStarted {
        /// Its version.
        version: String,
        /// Its PID.
        pid: u32,
    },
    /// The daemon ended in order.
    DaemonStopped {
        /// Why.
        cause: String,
    },
    /// A manifest was read for the first time, or again.
    ProjectLoaded {
        /// The folder of the project.
        dir: OsText,
        /// How many services it names.
        services: u32,
    },
    /// Somebody wants the service to run.
    WantedUp {
        /// Who, from where ([`origin`](super::origin)), or what.
        by: String,
    },
    /// Somebody wants the service not to run.
    WantedDown {
        /// Who, from where, or what.
        by: String,
    },
    /// The keeper of the run holds the lock of the service.
    Locked,
    /// Processes of an earlier run whose keeper was killed were found under the lock and ended.
    SurvivorsEnded {
        /// The earlier run.
        of: RunId,
        /// How many processes.
        count: u32,
    },
    /// The main process was spawned.
    Started {
        /// Its PID.
        main_pid: u32,
        /// How its tree is contained.
        containment: Containment,
        /// Who wanted it, from where ([`origin`](super::origin)).
        by: String,
        /// Which restart this is; 0 for a start that was asked for.
        attempt: u32,
    },
    /// A process that ran already became the main process of a run (R4.4). Its earlier output, and that from now on, go
    /// where it was told to write when it was started.
    AdoptedStray {
        /// Its PID.
        main_pid: u32,
        /// When it was started, by whomever.
        since: Option<Wall>,
        /// How its tree is contained from now on.
        containment: Containment,
        /// Who wanted it, from where ([`origin`](super::origin)).
        by: String,
    },
    /// A process that was to be adopted was left as it is.
    AdoptFailed {
        /// Its PID.
        pid: u32,
        /// Why.
        why: String,
    },
    /// The main process could not be spawned.
    SpawnFailed {
        /// The step that failed: `exec`, `chdir`, ….
        step: String,
        /// What the step was about: a path, mostly.
        on: OsText,
        /// What the system said.
        error: String,
    },
    /// The service is ready.
    Ready {
        /// How long after its start.
        after: Span,
    },
    /// The service did not become ready in time.
    NotReady {
        /// How long it had.
        within: Span,
        /// What the last probe found.
        why: String,
    },
    /// The health probe failed too often.
    Degraded {
        /// How often in a row.
        failures: u32,
        /// What the last probe found.
        why: String,
    },
    /// The health probe succeeds again.
    Healthy {
        /// How long it had failed.
        after: Span,
    },
    /// The readiness probe was answered, but not by this run (R2.3).
    AnsweredByOther {
        /// Who answered, as far as it can be seen.
        who: String,
    },
    /// A stop began.
    Stopping {
        /// Why.
        cause: String,
    },
    /// A rung of the ladder was reached and its deed done.
    Rung {
        /// Its number, from 0.
        index: u32,
        /// The rung.
        rung: Rung,
    },
    /// The main process ended.
    Exited {
        /// How.
        exit: Exit,
        /// How long it had run, when its start is known.
        ran: Option<Span>,
    },
    /// The main process ended and left others behind.
    Orphans {
        /// How many.
        count: u32,
        /// The names of some of them.
        names: Vec<String>,
    },
    /// The ladder is at its end and processes are left (R5.4).
    Stuck {
        /// How many.
        count: u32,
        /// Some of them, as `name (PID, state)`.
        left: Vec<String>,
    },
    /// Processes that the ladder could not end are gone.
    GhostGone {
        /// How long after the end of the ladder, when that is known.
        after: Option<Span>,
        /// The machine was restarted: that is what ended them.
        #[serde(default)]
        reboot: bool,
    },
    /// What no signal ends was set aside on request: the lock is free, and the processes are kept on record (R5.4).
    Quarantined {
        /// How many processes.
        count: u32,
        /// Some of them, as `name (PID, state)`.
        left: Vec<String>,
    },
    /// What no signal ends was to be set aside, and was not.
    QuarantineRefused {
        /// Why not.
        why: String,
    },
    /// The kernel says that no process of the run is left.
    Empty {
        /// How long after the stop began or the main process ended, when that is known.
        after: Option<Span>,
    },
    /// Every process of a stopped run is gone, and a port that it claims is held by another (R5.3).
    StillHeld {
        /// What is held by whom.
        what: String,
    },
    /// It ended by itself, and another has a port that it claims: perhaps that is why (R4.4).
    ClaimHeld {
        /// What is held by whom.
        what: String,
    },
    /// Output of the service was lost.
    LogLost {
        /// How many bytes.
        bytes: u64,
        /// Why: the error of the system, or the policy.
        why: String,
    },
    /// The service will be started again.
    RestartScheduled {
        /// How long to wait before.
        delay: Span,
        /// Which restart it will be, from 1.
        attempt: u32,
        /// How many are allowed; absent: any number.
        of: Option<u32>,
    },
    /// The service is not started again.
    GaveUp {
        /// Why.
        reason: String,
    },
    /// The restart counter is zero again.
    Reset {
        /// Why: it ran long enough, or somebody asked.
        cause: String,
    },
    /// Somebody else holds the lock of the service (R4.2).
    Conflict {
        /// Who, since when, from where.
        holder: String,
        /// The PID of its main process, when it told.
        holder_pid: Option<u32>,
    },
    /// The service is not started because of what it depends on.
    DependencyFailed {
        /// The other service.
        on: Name,
        /// What is the matter with it.
        why: String,
    },
    /// The keeper is gone while its run was not over. How the run ended, nobody saw.
    KeeperLost,
    /// The daemon began its work and found this run going on.
    Adopted {
        /// The PID of its main process, once it was spawned.
        main_pid: Option<u32>,
        /// Since when it has been running, once it was spawned.
        since: Option<Wall>,
    },
    /// The journal was damaged and a new one was begun (R10.1).
    JournalDamaged {
        /// What is wrong with it.
        why: String,
        /// Where the damaged one lies.
        kept_as: OsText,
    },
    /// The stored samples were damaged and begun anew (R10.2).
    SamplesDamaged {
        /// What is wrong with them.
        why: String,
        /// Where the damaged ones lie.
        kept_as: OsText,
    },
    /// Samples cannot be stored.
    SamplesStopped {
        /// Why.
        why: String,
    },
    /// Samples can be stored again.
    SamplesResumed,
    /// Something that is worth telling began ([`crate::incidents`]).
    IncidentOpened {
        /// The number of the incident.
        incident: u64,
        /// The rule that found it.
        rule: String,
        /// How grave it is.
        severity: String,
        /// What happened.
        text: String,
    },
    /// It is over.
    IncidentResolved {
        /// The number of the incident.
        incident: u64,
        /// The rule that found it.
        rule: String,
        /// How many signs it had.
        count: u64,
        /// Why it is over.
        text: String,
    },
    /// Messages were not delivered, and no further attempt is made.
    NotifyFailed {
        /// To which channel.
        channel: String,
        /// How many.
        messages: u64,
        /// Why.
        why: String,
    },
    /// Nothing is known about this stretch of time.
    Gap {
        /// Its beginning.
        from: Wall,
        /// Its end.
        to: Wall,
        /// Why.
        why: String,
    },
    /// Something happened to a container (R11.4).
    ContainerEvent {
        /// `start`, `die`, `health_status` …, as the engine calls it.
        action: String,
        /// Its id.
        id: String,
        /// Its image, as it was named.
        image: String,
        /// When, in nanoseconds on the engine's clock; absent on what was inferred.
        time_nano: Option<u64>,
        /// The exit code, of `die`.
        exit_code: Option<i32>,
        /// The number of the signal, of `kill`.
        signal: Option<i32>,
        /// Of `die`: whether memory had run out for it. Absent where that cannot be known.
        oom: Option<bool>,
        /// `healthy`, `unhealthy` …, of `health_status`.
        health: Option<String>,
        /// Its name until then, of `rename`.
        old_name: Option<String>,
        /// The engine did not tell of it: its list of containers shows it.
        inferred: bool,
    },
    /// A source answers again.
    SourceOnline {
        /// So long after its first failure, when that is known.
        after: Option<Span>,
    },
    /// A source does not answer.
    SourceOffline {
        /// Why.
        why: String,
    },
    /// What a source tells is not understood in part.
    SourceBadLines {
        /// How many lines since the last time.
        count: u64,
        /// The beginning of one.
        sample: String,
        /// What is wrong with it.
        why: String,
    },
    /// A source was added, changed, removed, paused or resumed.
    SourceChanged {
        /// Which of these, and what.
        how: String,
        /// Who, from where ([`origin`](super::origin)).
        by: String,
    },
    /// Where the API is served, or to whom, was changed.
    AccessChanged {
        /// How.
        how: String,
        /// Who, from where ([`origin`](super::origin)).
        by: String,
    },
    /// A bug in vigie: something that its own rules call impossible. It changed nothing.
    InternalFault {
        /// What.
        fault: String,
    },
    /// What this version does not know: written by a newer one. All of it, `kind` included.
    #[serde(untagged)]
    Other(Map<String, Value>),
}

/// The kinds of this version, in the order of a run's life: for filters and their completion.
pub const KINDS: &[&str] = &[
    "daemon_started",
    "daemon_stopped",
    "project_loaded",
    "wanted_up",
    "wanted_down",
    "locked",
    "survivors_ended",
    "started",
    "adopted_stray",
    "adopt_failed",
    "spawn_failed",
    "ready",
    "not_ready",
    "degraded",
    "healthy",
    "answered_by_other",
    "stopping",
    "rung",
    "exited",
    "orphans",
    "stuck",
    "ghost_gone",
    "quarantined",
    "quarantine_refused",
    "empty",
    "still_held",
    "claim_held",
    "log_lost",
    "restart_scheduled",
    "gave_up",
    "reset",
    "conflict",
    "dependency_failed",
    "keeper_lost",
    "adopted",
    "journal_damaged",
    "samples_damaged",
    "samples_stopped",
    "samples_resumed",
    "incident_opened",
    "incident_resolved",
    "notify_failed",
    "gap",
    "container_event",
    "source_online",
    "source_offline",
    "source_bad_lines",
    "source_changed",
    "access_changed",
    "internal_fault",
];

impl What {
    /// Its stable name: the `kind` of its JSON.
    pub fn kind(&self) -> &str {
        match self {
            What::DaemonStarted { .. } => "daemon_started",
            What::DaemonStopped { .. } => "daemon_stopped",
            What::ProjectLoaded { .. } => "project_loaded",
            What::WantedUp { .. } => "wanted_up",
            What::WantedDown { .. } => "wanted_down",
            What::Locked => "locked",
            What::SurvivorsEnded { .. } => "survivors_ended",
            What::Started { .. } => "started",
            What::AdoptedStray { .. } => "adopted_stray",
            What::AdoptFailed { .. } => "adopt_failed",
            What::SpawnFailed { .. } => "spawn_failed",
            What::Ready { .. } => "ready",
            What::NotReady { .. } => "not_ready",
            What::Degraded { .. } => "degraded",
            What::Healthy { .. } => "healthy",
            What::AnsweredByOther { .. } => "answered_by_other",
            What::Stopping { .. } => "stopping",
            What::Rung { .. } => "rung",
            What::Exited { .. } => "exited",
            What::Orphans { .. } => "orphans",
            What::Stuck { .. } => "stuck",
            What::GhostGone { .. } => "ghost_gone",
            What::Quarantined { .. } => "quarantined",
            What::QuarantineRefused { .. } => "quarantine_refused",
            What::Empty { .. } => "empty",
            What::StillHeld { .. } => "still_held",
            What::ClaimHeld { .. } => "claim_held",
            What::LogLost { .. } => "log_lost",
            What::RestartScheduled { .. } => "restart_scheduled",
            What::GaveUp { .. } => "gave_up",
            What::Reset { .. } => "reset",
            What::Conflict { .. } => "conflict",
            What::DependencyFailed { .. } => "dependency_failed",
            What::KeeperLost => "keeper_lost",
            What::Adopted { .. } => "adopted",
            What::JournalDamaged { .. } => "journal_damaged",
            What::SamplesDamaged { .. } => "samples_damaged",
            What::SamplesStopped { .. } => "samples_stopped",
            What::SamplesResumed => "samples_resumed",
            What::IncidentOpened { .. } => "incident_opened",
            What::IncidentResolved { .. } => "incident_resolved",
            What::NotifyFailed { .. } => "notify_failed",
            What::Gap { .. } => "gap",
            What::ContainerEvent { .. } => "container_event",
            What::SourceOnline { .. } => "source_online",
            What::SourceOffline { .. } => "source_offline",
            What::SourceBadLines { .. } => "source_bad_lines",
            What::SourceChanged { .. } => "source_changed",
            What::AccessChanged { .. } => "access_changed",
            What::InternalFault { .. } => "internal_fault",
            What::Other(raw) => raw.get("kind").and_then(Value::as_str).unwrap_or("unknown"),
        }
    }
}
