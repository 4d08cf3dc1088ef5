//! Processes that do not go on, dead ones that nobody takes notice of, frozen cgroups.

use std::time::Duration;

use super::facts::{Dead, Facts, FrozenGroup, Held};
use super::memory::Memory;
use super::{Finding, Kind, Scope, Severity, patience};
use crate::ladder::Signal;
use crate::stuck::{Cure, TaskVerdict};
use crate::text::quoted;
use crate::units::format_rounded;
use crate::why::counted;
use crate::why::facts::Process;

/// KILL ends a process within that; one with much memory takes longer, and is seen to run meanwhile.
const DYING: Duration = Duration::from_secs(1);

/// So many dead children of one parent are told of after [`UNREAPED`]; fewer after [`LONG_UNREAPED`]. Some parents take
/// notice only when they start the next child.
const MANY: usize = 10;

/// See [`MANY`].
pub(super) const UNREAPED: Duration = Duration::from_secs(10);

/// See [`MANY`].
const LONG_UNREAPED: Duration = Duration::from_secs(60);

/// So many of a group are named.
const NAMED: usize = 5;

pub(super) fn findings(facts: &Facts, memory: &Memory, scope: &Scope, found: &mut Vec<Finding>) {
    for held in facts.held.iter().filter(|held| !held.is_vigie) {
        let Some(lasted) = memory.held(held) else { continue };
        if expects(held, scope).is_some_and(|least| lasted >= least) {
            found.extend(of_held(held, lasted));
        }
    }
    zombies(facts, memory, scope, found);
    for group in &facts.cgroups {
        if memory.cgroup(group).is_some() {
            found.push(frozen(group, facts));
        }
    }
}

/// How long it has to last to be told; absent: it is not told, however long it lasts.
pub(super) fn expects(held: &Held, scope: &Scope) -> Option<Duration> {
    // Whoever asks about a process that was just killed is to hear what keeps it.
    if scope.is(held.process.pid()) && holds_up(held.verdict) {
        return Some(Duration::ZERO);
    }
    if held.kill_pending {
        return Some(DYING);
    }
    patience(held.verdict, held.of.is_some())
}

/// Something keeps it from going on, or from ending when it is asked to.
fn holds_up(verdict: TaskVerdict) -> bool {
    use TaskVerdict as V;
    match verdict {
        V::VforkWait | V::KillableWait | V::Uninterruptible | V::Exiting | V::Stopped | V::Traced => true,
        V::PipeFull | V::FileLock | V::Fuse | V::Nfs | V::FrozenFilesystem | V::BlockDevice => true,
        V::Fanotify | V::Autofs | V::Userfault | V::Frozen => true,
        V::NamespaceInit | V::SignalIgnored | V::SignalBlocked | V::SignalSwallowed => true,
        V::Running | V::Sleeping | V::Zombie | V::LeaderExited => false,
    }
}

/// What must be the same in two looks: how often it ran, where that it does not run is the point.
pub(super) fn print(held: &Held) -> u64 {
    use TaskVerdict as V;
    match held.verdict {
        V::NamespaceInit | V::SignalIgnored | V::SignalBlocked | V::SignalSwallowed => 0,
        _ => held.ran,
    }
}

fn of_held(held: &Held, lasted: Duration) -> Option<Finding> {
    let who = who(&held.process, held.of.as_deref());
    let age = format_rounded(Duration::from_secs(lasted.as_secs()));
    let of_run = held.of.is_some();
    let (kind, severity) = match held.verdict {
        _ if held.kill_pending => (Kind::Ghost, Severity::Critical),
        // Everybody who waits for one server is told together, with it.
        TaskVerdict::Fuse if held.connection.is_some() => return None,
        TaskVerdict::Stopped => (Kind::Stopped, if of_run { Severity::Warning } else { Severity::Notice }),
        TaskVerdict::Traced => (Kind::Traced, if of_run { Severity::Warning } else { Severity::Notice }),
        TaskVerdict::PipeFull => (Kind::PipeFull, Severity::Warning),
        TaskVerdict::Frozen => (Kind::Frozen, if of_run { Severity::Warning } else { Severity::Notice }),
        TaskVerdict::NamespaceInit
        | TaskVerdict::SignalIgnored
        | TaskVerdict::SignalBlocked
        | TaskVerdict::SignalSwallowed => (Kind::Stuck, Severity::Notice),
        _ if of_run || held.killable == Some(false) => (Kind::Stuck, Severity::Critical),
        _ => (Kind::Stuck, Severity::Warning),
    };
    let text = match kind {
        Kind::Ghost => format!("{who} was sent KILL and does not end: it {}", held.verdict.text()),
        _ if lasted < Duration::from_secs(1) || print(held) != held.ran => format!("{who} {}", held.verdict.text()),
        _ => format!("{who} {}, for {age}", held.verdict.text()),
    };
    let mut finding = Finding::new(kind, severity, format!("pid:{}", held.process.pid()), text);
    finding.because.clone_from(&held.because);
    finding.evidence.clone_from(&held.evidence);
    finding.remedies.clone_from(&held.remedies);
    if let Some(still) = held.still {
        let source = format!("/proc/{}/sched: se.exec_start", held.process.pid());
        finding.fact("last ran", format!("{} ago", format_rounded(Duration::from_secs(still.as_secs()))), source);
    }
    finding.pids = vec![held.process.pid()];
    finding.service.clone_from(&held.of);
    Some(finding)
}

/// `bash (PID 7) of demo/api`
fn who(process: &Process, of: Option<&str>) -> String {
    match of {
        Some(of) => format!("{} of {of}", process.label()),
        None => process.label(),
    }
}

fn zombies(facts: &Facts, memory: &Memory, scope: &Scope, found: &mut Vec<Finding>) {
    let mut parents: Vec<(&Process, Vec<(&Dead, Duration)>)> = Vec::new();
    for dead in &facts.dead {
        let (Some(parent), Some(lasted)) = (&dead.parent, memory.dead(dead)) else { continue };
        match parents.iter_mut().find(|(known, _)| known.key == parent.key) {
            Some((_, all)) => all.push((dead, lasted)),
            None => parents.push((parent, vec![(dead, lasted)])),
        }
    }
    for (parent, all) in parents {
        let asked = |pid: u32| scope.is(pid);
        let least = match all.len() {
            _ if asked(parent.pid()) || all.iter().any(|(dead, _)| asked(dead.process.pid())) => Duration::ZERO,
            count if count >= MANY => UNREAPED,
            _ => LONG_UNREAPED,
        };
        let old: Vec<&Dead> = all.iter().filter(|(_, lasted)| *lasted >= least).map(|(dead, _)| *dead).collect();
        // A group is many only by those that are old.
        if old.is_empty() || least == UNREAPED && old.len() < MANY {
            continue;
        }
        found.push(of_parent(parent, &old));
    }
}

fn of_parent(parent: &Process, dead: &[&Dead]) -> Finding {
    let of = dead.iter().find_map(|dead| dead.of.as_deref());
    let pid = parent.pid();
    let count = counted(dead.len(), "dead child", "dead children");
    let text = format!("{} does not take notice of {count}", who(parent, of));
    let severity = if dead.len() >= 100 { Severity::Warning } else { Severity::Notice };
    let mut finding = Finding::new(Kind::Zombies, severity, format!("pid:{pid}"), text);
    finding.because.push("a dead process keeps its number until its parent asks how it ended (wait(2))".to_owned());
    for dead in dead.iter().take(NAMED) {
        let source = format!("/proc/{}/stat", dead.process.pid());
        finding.fact("zombie", dead.process.label(), source);
    }
    if dead.len() > NAMED {
        finding.fact("zombies", format!("and {} more", dead.len() - NAMED), format!("ps --ppid {pid}"));
    }
    finding.fact("parent", format!("PID {pid}: {}", parent.short_command()), format!("/proc/{pid}/cmdline"));
    if pid == 1 {
        let effect = "none: PID 1 takes notice when it does; zombies hold nothing but their numbers";
        finding.remedy("none", effect, "");
    } else {
        if parent.state == 'T' {
            let cure = Cure::Signal { process: parent.clone(), signal: Signal::Cont };
            let effect = "lets it go on: it was stopped by a signal";
            finding.cure("continue-parent", effect, format!("kill -CONT {pid}"), cure);
        }
        let effect = "tells it once more that they have ended; does nothing where it has no handler for that";
        let cure = Cure::Tell { process: parent.clone() };
        finding.cure("tell-parent", effect, format!("kill -CHLD {pid}"), cure);
        match dead.iter().find_map(|dead| dead.guarded.as_ref()) {
            Some(why) => finding.remedy("wait", format!("its end would free them; vigie does not end it: {why}"), ""),
            None => {
                let cure = Cure::End { process: parent.clone(), role: "parent" };
                let effect = "ends it: its children get another parent, which takes notice of them";
                finding.cure("end-parent", effect, format!("vigie end pid:{pid}"), cure);
            }
        }
    }
    finding.pids = std::iter::once(pid).chain(dead.iter().map(|dead| dead.process.pid())).collect();
    finding.service = of.map(str::to_owned);
    finding
}

fn frozen(group: &FrozenGroup, facts: &Facts) -> Finding {
    let folder = group.folder.to_string();
    let doomed = facts.held.iter().any(|held| held.kill_pending && group.members.contains(&held.process.pid()));
    let severity = match &group.of {
        _ if doomed => Severity::Critical,
        Some(_) => Severity::Warning,
        // Containers are paused, and some desktops freeze what nobody looks at.
        None => Severity::Notice,
    };
    let whose = group.of.as_ref().map(|of| format!(" of {of}")).unwrap_or_default();
    let count = counted(group.members.len(), "process", "processes");
    let text = format!("the cgroup {folder} is frozen, with {count}{whose} in it");
    let mut finding = Finding::new(Kind::Frozen, severity, folder.clone(), text);
    let (file, state, order) = match group.version {
        1 => ("freezer.state", "FROZEN", "THAWED"),
        _ => ("cgroup.freeze", "1", "0"),
    };
    if group.version == 1 {
        finding.because.push("in a frozen cgroup of version 1 not even KILL ends a process".to_owned());
    }
    finding.fact(file, state, format!("{folder}/{file}"));
    let pids: Vec<String> = group.members.iter().take(NAMED).map(u32::to_string).collect();
    let more = if group.members.len() > NAMED { ", …" } else { "" };
    finding.fact("processes", format!("{}{more}", pids.join(", ")), format!("{folder}/cgroup.procs"));
    let cure = Cure::ThawCgroup { version: group.version, folder: group.folder.clone() };
    let path = [&group.folder.0[..], b"/", file.as_bytes()].concat();
    let command = format!("echo {order} > {}", quoted(&path));
    finding.cure("thaw", "all of them go on", command, cure);
    if let Some(remedy) = finding.remedies.last_mut().filter(|_| !group.writable) {
        remedy.needs = Some("root");
    }
    finding.pids.clone_from(&group.members);
    finding.service.clone_from(&group.of);
    finding
}
