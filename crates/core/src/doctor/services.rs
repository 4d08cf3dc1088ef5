//! Services that do not run as they should, and what is one too many beside them.

use std::time::Duration;

use super::facts::{Descriptors, Facts, Left, Service, TakenPort};
use super::{Finding, Kind, Severity};
use crate::service::{State, Wanted};
use crate::units::format_rounded;
use crate::why::{counted, listed};

/// So many new starts make a loop.
const LOOP: u32 = 3;

/// A service that has failed within that is still in its loop, though it runs at this moment.
const RECENT: Duration = Duration::from_secs(300);

pub(super) fn findings(facts: &Facts, found: &mut Vec<Finding>) {
    for service in &facts.services {
        found.extend(of_service(service));
    }
    found.extend(facts.left.iter().map(left));
    found.extend(facts.ports.iter().map(port));
    found.extend(facts.descriptors.iter().filter_map(descriptors));
}

fn of_service(service: &Service) -> Option<Finding> {
    let label = &service.label;
    let is_wanted = service.wanted == Some(Wanted::Up);
    let why = service.why.as_ref().map(|why| format!(": {why}")).unwrap_or_default();
    let recently =
        service.failed_at.is_some_and(|at| Duration::from_nanos(service.now.0.saturating_sub(at.0)) < RECENT);
    let (kind, severity, text) = match service.state {
        State::Ghost => {
            (Kind::Ghost, Severity::Critical, format!("{label} was stopped, and the kernel does not end it{why}"))
        }
        State::Failed if is_wanted => (Kind::GaveUp, Severity::Critical, format!("{label} has failed{why}")),
        State::Conflict if is_wanted => (Kind::Conflict, Severity::Critical, format!("{label} cannot run{why}")),
        State::Backoff if service.restarts >= LOOP && service.failure.is_some() => crashes(service),
        State::Starting | State::Running | State::Ready | State::Degraded | State::Stopping
            if service.restarts >= LOOP && service.failure.is_some() && recently =>
        {
            crashes(service)
        }
        _ => return None,
    };
    let mut finding = Finding::new(kind, severity, label, text);
    let target = &service.target;
    finding.fact("state", service.state.name(), format!("vigie status {target}"));
    if service.restarts > 0 {
        finding.fact("restarts", service.restarts.to_string(), "the daemon's count since it was asked for");
    }
    if let Some(failure) = &service.failure {
        finding.fact("last run", format!("it ended with {failure}"), format!("vigie events {target}"));
    }
    match kind {
        Kind::Ghost => {
            finding.remedy("why", "says what holds it and what frees it", format!("vigie why {target}"));
            finding.remedy("quarantine", "lets a successor start beside it", format!("vigie quarantine {target}"));
        }
        Kind::Conflict => finding.remedy("why", "says who is in the way", format!("vigie why {target}")),
        _ => {
            finding.remedy("why", "says how it ended, with its last output", format!("vigie why {target}"));
            finding.remedy("reset", "counts from zero, and lets it start again", format!("vigie reset {target}"));
        }
    }
    finding.pids = service.pid.into_iter().collect();
    finding.service = Some(label.clone());
    Some(finding)
}

fn crashes(service: &Service) -> (Kind, Severity, String) {
    let failure = service.failure.as_deref().unwrap_or("a failure");
    let text = format!("{} has ended {} times in a row, last with {failure}", service.label, service.restarts);
    (Kind::CrashLoop, Severity::Critical, text)
}

fn left(left: &Left) -> Finding {
    match left {
        Left::Stray { service, target, pid, command, why, duplicate } => {
            let also = if *duplicate { ", which runs as well" } else { "" };
            let text = format!("PID {pid} is a copy of {service}{also}, and vigie did not start it");
            let mut finding = Finding::new(Kind::Stray, Severity::Warning, format!("pid:{pid}"), text);
            finding.because.push(why.clone());
            finding.fact("command", command, format!("/proc/{pid}/cmdline"));
            if !duplicate {
                finding.remedy("adopt", "makes it the run of its service", format!("vigie adopt pid:{pid}"));
            }
            finding.remedy("sweep", "ends it with all that it has started", format!("vigie sweep pid:{pid}"));
            finding.remedy(
                "ignore",
                format!("leaves it alone, and says so to {target}"),
                format!("vigie ignore pid:{pid}"),
            );
            finding.pids = vec![*pid];
            finding.service = Some(service.clone());
            finding
        }
        Left::Orphans { service, target, pids, keeper } => {
            let count = counted(pids.len(), "process", "processes");
            let text = format!("{count} of {service} run on without a keeper");
            let text = if pids.len() == 1 { text.replace(" run on ", " runs on ") } else { text };
            let mut finding = Finding::new(Kind::Orphan, Severity::Critical, service, text);
            finding.because.push(format!("its keeper, PID {keeper}, was killed; nobody watches it"));
            let names: Vec<String> = pids.iter().map(u32::to_string).collect();
            finding.fact("processes", listed(&names), format!("vigie strays {target}"));
            finding.remedy("sweep", "ends them, under the lock of their service", format!("vigie sweep {target}"));
            finding.pids.clone_from(pids);
            finding.service = Some(service.clone());
            finding
        }
        Left::Leftover { service, target, kind, path, pid, why, removable } => {
            leftover((service, target, kind), path, *pid, why, *removable)
        }
    }
}

fn leftover(
    (service, target, kind): (&str, &str, &str),
    path: &str,
    pid: Option<u32>,
    why: &str,
    removable: bool,
) -> Finding {
    let text = match kind {
        "executable" => format!("{service} runs a file that is not there any more"),
        _ => format!("a {kind} of {service} is left: {path}"),
    };
    let mut finding = Finding::new(Kind::Leftover, Severity::Notice, path, text);
    finding.because.push(why.to_owned());
    match kind {
        "executable" => finding.remedy("restart", "runs what is there now", format!("vigie restart {target}")),
        "record" => finding.remedy("forget", "clears it away", format!("vigie forget {target}")),
        _ if removable => finding.remedy("sweep", "removes it", format!("vigie sweep {target}")),
        _ => {}
    }
    finding.pids = pid.into_iter().collect();
    finding.service = Some(service.to_owned());
    finding
}

fn port(port: &TakenPort) -> Finding {
    let severity = if port.wanted { Severity::Critical } else { Severity::Warning };
    let names: Vec<String> = port.holders.iter().map(|(pid, name)| format!("PID {pid} ({name})")).collect();
    let by = if names.is_empty() { "somebody who cannot be seen".to_owned() } else { listed(&names) };
    let text = format!("port {} of {} is held by {by}", port.port, port.service);
    let mut finding = Finding::new(Kind::PortTaken, severity, format!("port:{}", port.port), text);
    finding.fact("claimed by", &port.service, "its manifest");
    finding.remedy("why", "says who has it, since when, and who started that", format!("vigie why port:{}", port.port));
    finding.remedy("free", "frees it by the mildest means that works", format!("vigie free {}", port.port));
    finding.pids = port.holders.iter().map(|(pid, _)| *pid).collect();
    finding.service = Some(port.service.clone());
    finding
}

/// More than four fifths.
fn descriptors(of: &Descriptors) -> Option<Finding> {
    // Nobody fills an unlimited table.
    if of.limit == 0 || of.open.saturating_mul(5) <= of.limit.saturating_mul(4) {
        return None;
    }
    let (pid, open, limit) = (of.pid, of.open, of.limit);
    let text = format!("{} (PID {pid}) of {} has {open} of {limit} descriptors open", of.name, of.of);
    let severity = if open >= limit { Severity::Critical } else { Severity::Warning };
    let mut finding = Finding::new(Kind::Descriptors, severity, format!("pid:{pid}"), text);
    finding.because.push("beyond its limit, open, accept and pipe fail with EMFILE".to_owned());
    finding.fact("open", open.to_string(), format!("/proc/{pid}/fd"));
    finding.fact("limit", limit.to_string(), format!("/proc/{pid}/limits: Max open files"));
    finding.remedy("look", "what they are: many of one kind are a leak", format!("ls -l /proc/{pid}/fd"));
    finding.remedy(
        "raise",
        "a higher limit, when so many are needed",
        format!("prlimit --pid {pid} --nofile={}", limit * 2),
    );
    finding.pids = vec![pid];
    finding.service = Some(of.of.clone());
    Some(finding)
}

/// How long ago, for people.
pub(super) fn age(span: Duration) -> String {
    format_rounded(Duration::from_secs(span.as_secs()))
}
