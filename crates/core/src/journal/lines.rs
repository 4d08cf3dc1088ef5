//! Entries as lines for people.

use std::fmt::Write as _;

use super::{Entry, What};
use crate::exit::Exit;
use crate::ladder::Signal;
use crate::launch::{Containment, Origin};
use crate::text::escaped;
use crate::units::{Span, format_rounded};

/// The line of an entry for people, without time and subject: `exited with code 7 after 1m3s`. Always one line, and
/// safe for a terminal whatever names processes give themselves.
pub fn describe(entry: &Entry) -> String {
    escaped(line(&entry.what).as_bytes())
}

fn line(what: &What) -> String {
    let span = |span: &Span| format_rounded(span.0);
    match what {
        What::DaemonStarted { version, pid } => format!("daemon started: version {version}, PID {pid}"),
        What::DaemonStopped { cause } => format!("daemon stopped: {cause}"),
        What::ProjectLoaded { dir, services } => {
            format!("project loaded from {dir}: {}", counted(*services, "service", "services"))
        }
        What::WantedUp { by } => format!("wanted up by {by}"),
        What::WantedDown { by } => format!("wanted down by {by}"),
        What::Locked => "locked".to_owned(),
        What::SurvivorsEnded { of, count } => {
            format!("{} of the earlier run {of} ended", counted(*count, "process", "processes"))
        }
        What::Started { main_pid, containment, by, attempt } => {
            let mut text = format!("started as PID {main_pid} ({}) by {by}", contained(*containment));
            if *attempt > 0 {
                let _ = write!(text, ", restart {attempt}");
            }
            text
        }
        What::AdoptedStray { main_pid, containment, by, .. } => {
            format!("adopted PID {main_pid} ({}) for {by}", contained(*containment))
        }
        What::AdoptFailed { pid, why } => format!("PID {pid} could not be adopted: {why}"),
        What::SpawnFailed { step, on, error } if on.0.is_empty() => format!("could not be started: {step}: {error}"),
        What::SpawnFailed { step, on, error } => format!("could not be started: {step} {on}: {error}"),
        What::Ready { after } => format!("ready after {}", span(after)),
        What::NotReady { within, why } => format!("not ready within {}: {why}", span(within)),
        What::Degraded { failures, why } => {
            format!("degraded: {}, {why}", counted(*failures, "failed probe", "failed probes in a row"))
        }
        What::Healthy { after } => format!("healthy again after {}", span(after)),
        What::AnsweredByOther { who } => format!("the readiness probe was answered by another: {who}"),
        What::Stopping { cause } => format!("stopping: {cause}"),
        What::Rung { index, rung } => format!("stop step {}: {rung}", u64::from(*index) + 1),
        What::Exited { exit, ran } => {
            let (end, remark) = ended(*exit);
            let ran = ran.as_ref().map(|ran| format!(" after {}", span(ran))).unwrap_or_default();
            format!("{end}{ran}{remark}")
        }
        What::Orphans { count, names } => {
            format!("left {} behind{}", counted(*count, "process", "processes"), listed(*count, names))
        }
        What::Stuck { count, left } => {
            format!(
                "stuck: {} left that no signal ends{}",
                counted(*count, "process", "processes"),
                listed(*count, left)
            )
        }
        What::GhostGone { reboot: true, .. } => "the stuck processes are gone: the machine was restarted".to_owned(),
        What::GhostGone { after: None, .. } => "the stuck processes are gone".to_owned(),
        What::GhostGone { after: Some(after), .. } => format!("the stuck processes are gone, {} late", span(after)),
        What::Quarantined { count, left } => {
            format!(
                "quarantined: {} that no signal ends{}",
                counted(*count, "process", "processes"),
                listed(*count, left)
            )
        }
        What::QuarantineRefused { why } => format!("not quarantined: {why}"),
        What::Empty { after: None } => "every process is gone".to_owned(),
        What::Empty { after: Some(after) } => format!("every process is gone after {}", span(after)),
        What::StillHeld { what } => format!("nothing of it is left, and {what}"),
        What::ClaimHeld { what } => format!("meanwhile {what}"),
        What::LogLost { bytes, why } => format!("{bytes} bytes of output lost: {why}"),
        What::RestartScheduled { delay, attempt, of: Some(of) } => {
            format!("restart {attempt} of {of} in {}", span(delay))
        }
        What::RestartScheduled { delay, attempt, of: None } => format!("restart {attempt} in {}", span(delay)),
        What::GaveUp { reason } => format!("gave up: {reason}"),
        What::Reset { cause } => format!("restart counter reset: {cause}"),
        What::Conflict { holder, holder_pid: None } => format!("already running: held by {holder}"),
        What::Conflict { holder, holder_pid: Some(pid) } => format!("already running as PID {pid}: held by {holder}"),
        What::DependencyFailed { on, why } => format!("not started: it depends on {on}, and {why}"),
        What::KeeperLost => "its keeper is gone; nobody saw how the run ended".to_owned(),
        What::Adopted { main_pid: None, .. } => "found by the new daemon, not yet started".to_owned(),
        What::Adopted { main_pid: Some(pid), .. } => format!("found running by the new daemon as PID {pid}"),
        What::JournalDamaged { why, kept_as } => {
            format!("the journal was damaged ({why}) and is kept as {kept_as}; this is a new one")
        }
        What::SamplesDamaged { why, kept_as } => {
            format!("the stored samples were damaged ({why}) and are kept as {kept_as}; these are new ones")
        }
        What::SamplesStopped { why } => format!("samples are not stored any more: {why}"),
        What::SamplesResumed => "samples are stored again".to_owned(),
        What::IncidentOpened { incident, severity, text, .. } => {
            format!("incident {incident} opened ({severity}): {text}")
        }
        What::IncidentResolved { incident, text, .. } => format!("incident {incident} resolved: {text}"),
        What::NotifyFailed { channel, messages, why } => {
            format!("{} to {channel} not delivered: {why}", counted_long(*messages, "message", "messages"))
        }
        What::Gap { from, to, why } => {
            let length = std::time::Duration::from_nanos(to.0.saturating_sub(from.0));
            format!("nothing is known about the {} before: {why}", format_rounded(length))
        }
        What::ContainerEvent { inferred: false, .. } => container(what),
        What::ContainerEvent { inferred: true, .. } => {
            format!("{}: the engine did not tell, its list shows it", container(what))
        }
        What::SourceOnline { after: None } => "answers again".to_owned(),
        What::SourceOnline { after: Some(after) } => format!("answers again after {}", span(after)),
        What::SourceOffline { why } => format!("does not answer: {why}"),
        What::SourceBadLines { count, sample, why } => {
            format!(
                "told {} not understood: {why}: {sample}",
                counted(u32::try_from(*count).unwrap_or(u32::MAX), "line that is", "lines that are")
            )
        }
        What::SourceChanged { how, by } => format!("{how} by {by}"),
        What::AccessChanged { how, by } => format!("API: {how} by {by}"),
        What::InternalFault { fault } => format!("internal fault: {fault}"),
        What::Other(raw) => {
            let mut text = format!("{} (unknown to this version)", what.kind());
            for (key, value) in raw.iter().filter(|(key, _)| *key != "kind") {
                let _ = write!(text, " {key}={value}");
            }
            text
        }
    }
}

/// What happened to a container.
fn container(what: &What) -> String {
    let What::ContainerEvent { action, image, exit_code, signal, oom, health, old_name, .. } = what else {
        return String::new();
    };
    match action.as_str() {
        "create" if image.is_empty() => "created".to_owned(),
        "create" => format!("created from {image}"),
        "start" => "started".to_owned(),
        "stop" => "stopped".to_owned(),
        "die" => {
            let code = exit_code.map_or_else(|| "ended".to_owned(), |code| format!("exited with code {code}"));
            if *oom == Some(true) { format!("{code}, out of memory") } else { code }
        }
        "kill" => match signal.and_then(Signal::from_number) {
            Some(signal) => format!("sent signal {signal}"),
            None => signal.map_or_else(|| "sent a signal".to_owned(), |signal| format!("sent signal {signal}")),
        },
        "restart" => "restarted".to_owned(),
        "pause" => "paused".to_owned(),
        "unpause" => "goes on".to_owned(),
        "destroy" => "removed".to_owned(),
        "rename" => old_name.as_ref().map_or_else(|| "renamed".to_owned(), |old| format!("renamed from {old}")),
        "update" => "its settings were changed".to_owned(),
        "oom" => "out of memory".to_owned(),
        "health_status" => format!("health: {}", health.as_deref().unwrap_or("unknown")),
        other => other.to_owned(),
    }
}

/// How it ended, and what is to be said after how long it ran.
fn ended(exit: Exit) -> (String, &'static str) {
    match exit {
        Exit::Code(code) => (format!("exited with code {code}"), ""),
        Exit::Signal { signal, core_dumped } => {
            let name = Signal::from_number(signal).map_or_else(|| signal.to_string(), |signal| signal.to_string());
            (format!("ended by signal {name}"), if core_dumped { " (core dumped)" } else { "" })
        }
        Exit::Unknown => ("ended".to_owned(), "; nobody saw how"),
    }
}

fn contained(containment: Containment) -> &'static str {
    match containment {
        Containment::Cgroup2 => "cgroup v2",
        Containment::Cgroup1 => "cgroup v1",
        Containment::Subreaper => "subreaper",
        Containment::Descent => "by descent",
    }
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn counted_long(count: u64, one: &str, many: &str) -> String {
    counted(u32::try_from(count).unwrap_or(u32::MAX), one, many)
}

/// `: a, b and 3 more`
fn listed(count: u32, names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    let more = (count as usize).saturating_sub(names.len());
    let tail = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!(": {}{tail}", names.join(", "))
}

/// Who asked, in one line: `anna on pts/3 in /srv/demo (PID 4711)`; without what is not known, as of a token's bearer.
pub fn origin(origin: &Origin) -> String {
    let mut text = origin.user.clone().unwrap_or_else(|| format!("uid {}", origin.uid));
    if let Some(terminal) = &origin.terminal {
        let _ = write!(text, " on {terminal}");
    }
    if !origin.cwd.0.is_empty() {
        let _ = write!(text, " in {}", origin.cwd);
    }
    if origin.pid != 0 {
        let _ = write!(text, " (PID {})", origin.pid);
    }
    text
}
