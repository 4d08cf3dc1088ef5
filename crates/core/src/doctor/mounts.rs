//! File systems whose server does not answer.

use std::time::Duration;

use super::facts::{Connection, Facts, Held};
use super::memory::Memory;
use super::{Finding, Kind, Scope, Severity, patience};
use crate::ladder::Signal;
use crate::stuck::{Cure, TaskVerdict};
use crate::units::format_rounded;
use crate::why::counted;
use crate::why::facts::{Process, Told};

/// So many who wait are named.
const NAMED: usize = 5;

pub(super) fn findings(facts: &Facts, memory: &Memory, scope: &Scope, found: &mut Vec<Finding>) {
    for connection in &facts.connections {
        let waiters: Vec<(&Held, Duration)> = facts
            .held
            .iter()
            .filter(|held| held.connection == Some(connection.number))
            .filter_map(|held| Some((held, memory.held(held)?)))
            .collect();
        found.extend(hung(connection, &waiters, memory, scope));
    }
}

/// Requests alone prove nothing: a lock that is asked for through FUSE waits as long as somebody has it. A server that
/// cannot answer, or somebody who has waited too long, does.
fn hung(connection: &Connection, waiters: &[(&Held, Duration)], memory: &Memory, scope: &Scope) -> Option<Finding> {
    let requests = memory.connection(connection.number).and_then(|_| connection.waiting.known().copied());
    let servers = connection.servers.known().map(Vec::as_slice).unwrap_or_default();
    let halted: Vec<&Process> = servers.iter().filter(|server| matches!(server.state, 'T' | 't')).collect();
    let cannot = !servers.is_empty() && halted.len() == servers.len();
    let asked = waiters.iter().any(|(held, _)| scope.is(held.process.pid()));
    let least = match patience(TaskVerdict::Fuse, false) {
        _ if cannot || asked => Duration::ZERO,
        Some(least) => least,
        None => return None,
    };
    let longest = waiters.iter().map(|(_, lasted)| *lasted).max();
    let proven = longest.is_some_and(|longest| longest >= least) || cannot && requests.is_some_and(|count| count > 0);
    proven.then(|| told(connection, waiters, requests, servers, &halted, longest))
}

fn told(
    connection: &Connection,
    waiters: &[(&Held, Duration)],
    requests: Option<u64>,
    servers: &[Process],
    halted: &[&Process],
    longest: Option<Duration>,
) -> Finding {
    let number = connection.number;
    let who = match waiters.len() {
        0 => String::new(),
        count => format!(", and {} for it", counted(count, "process waits", "processes wait")),
    };
    let text = format!("the {} file system at {} does not answer{who}", connection.kind, connection.point);
    let mut finding = Finding::new(Kind::HungMount, Severity::Critical, format!("fuse:{number}"), text);
    for server in halted {
        let what = if server.state == 'T' { "was stopped by a signal" } else { "is held by a tracer" };
        finding.because.push(format!("its server, {}, {what}", server.label()));
    }
    if let Some(longest) = longest.filter(|longest| longest.as_secs() > 0) {
        let age = format_rounded(Duration::from_secs(longest.as_secs()));
        finding.because.push(format!("somebody has waited for its answer for {age}"));
    }
    let source = format!("/sys/fs/fuse/connections/{number}/waiting");
    match (requests, &connection.waiting) {
        (Some(count), _) => finding.fact("requests that wait", count.to_string(), source),
        (None, Told::Hidden(why)) => finding.fact("requests that wait", why.text(), source),
        (None, _) => {}
    }
    for server in servers {
        finding.fact("server", server.label(), format!("/proc/{}/fdinfo: fuse_connection", server.pid()));
    }
    if let Told::Hidden(why) = &connection.servers {
        finding.fact("server", why.text(), "/proc/*/fdinfo: fuse_connection");
    }
    for (held, _) in waiters.iter().take(NAMED) {
        let pid = held.process.pid();
        finding.fact("waits", held.process.label(), format!("vigie why pid:{pid}"));
    }
    for server in halted.iter().filter(|server| server.state == 'T') {
        let cure = Cure::Signal { process: (*server).clone(), signal: Signal::Cont };
        let command = format!("kill -CONT {}", server.pid());
        finding.cure("continue-server", "its server goes on and answers", command, cure);
    }
    let effect = format!(
        "aborts connection {number}: every request fails, and so does everything on this file system until it is mounted \
         again"
    );
    // The file to write to is there only where fusectl is mounted; vigie finds it wherever that is not.
    let one = waiters.iter().map(|(held, _)| held.process.pid()).chain(servers.iter().map(Process::pid)).next();
    let command = one.map_or_else(|| "vigie doctor --fix".to_owned(), |pid| format!("vigie doctor pid:{pid} --fix"));
    finding.cure("abort-fuse", effect, command, Cure::AbortFuse { connection: number });
    if let Some(remedy) = finding.remedies.last_mut()
        && connection.waiting.hidden().is_some()
    {
        remedy.needs = Some("root");
    }
    finding.pids = waiters.iter().map(|(held, _)| held.process.pid()).chain(servers.iter().map(Process::pid)).collect();
    finding.service = waiters.iter().find_map(|(held, _)| held.of.clone());
    finding
}
