//! vigie's own health.

use super::facts::{Daemon, Disk, Facts, Journal, Keeper};
use super::memory::Memory;
use super::services::age;
use super::{Finding, Kind, Severity};
use crate::ladder::Signal;
use crate::stuck::Cure;
use crate::why::facts::Process;

/// Less is hardly enough for the next entries and records.
const LAST: u64 = 16 << 20;

/// Less than that, and less than a twentieth of the whole, is little.
const LITTLE: u64 = 1 << 30;

/// A journal that is tidied up stays far below this.
const LARGE: u64 = 1 << 30;

pub(super) fn findings(facts: &Facts, memory: &Memory, found: &mut Vec<Finding>) {
    found.extend(facts.disks.iter().filter_map(disk));
    found.extend(facts.journal.as_ref().and_then(journal));
    if let Some(of) = &facts.daemon {
        found.extend(daemon(of, memory));
        if let (Some(version), Some(process)) = (&of.version, &of.process)
            && *version != facts.version
        {
            found.push(version_of("the daemon", process, version, &facts.version, "vigie daemon restart"));
        }
    }
    for one in &facts.keepers {
        found.extend(keeper(one, memory));
        if one.foreign || one.version != facts.version {
            let who = format!("the keeper of {}", one.service);
            let mut finding = version_of(&who, &one.process, &one.version, &facts.version, "");
            finding.remedy(
                "restart",
                "the next run gets a keeper of this version",
                format!("vigie restart {}", one.service),
            );
            finding.service = Some(one.service.clone());
            if one.foreign {
                finding.severity = Severity::Warning;
                finding.because.push("it speaks another protocol than this command".to_owned());
            }
            found.push(finding);
        }
    }
}

fn version_of(who: &str, process: &Process, theirs: &str, ours: &str, command: &str) -> Finding {
    let text = format!("{who}, PID {}, is of version {theirs}, and this command of {ours}", process.pid());
    let mut finding = Finding::new(Kind::Version, Severity::Notice, format!("pid:{}", process.pid()), text);
    if !command.is_empty() {
        finding.remedy("restart", "starts one of this version; services go on meanwhile", command);
    }
    finding.pids = vec![process.pid()];
    finding
}

fn halted(process: &Process) -> Option<&'static str> {
    match process.state {
        'T' => Some("it was stopped by a signal"),
        't' => Some("it is held by a tracer"),
        _ => None,
    }
}

/// Lets it go on, when a signal has stopped it.
fn wake(finding: &mut Finding, process: &Process) {
    if let Some(why) = halted(process) {
        finding.because.push(why.to_owned());
    }
    finding.fact("state", process.state.to_string(), format!("/proc/{}/stat", process.pid()));
    if process.state == 'T' {
        let cure = Cure::Signal { process: process.clone(), signal: Signal::Cont };
        finding.cure("continue", "lets it go on", format!("kill -CONT {}", process.pid()), cure);
    }
    finding.pids = vec![process.pid()];
}

fn daemon(daemon: &Daemon, memory: &Memory) -> Option<Finding> {
    let is_halted = daemon.process.as_ref().and_then(halted).is_some();
    // On a busy machine an answer may take a while.
    let lasted = memory.daemon().filter(|_| !daemon.answers)?;
    let who = daemon.process.as_ref().map(|process| format!(", PID {},", process.pid())).unwrap_or_default();
    let mut finding =
        Finding::new(Kind::Daemon, Severity::Critical, "daemon", format!("the daemon{who} does not answer"));
    finding.because.push("services go on without it; nothing is restarted or started meanwhile".to_owned());
    if lasted.as_secs() > 0 {
        finding.because.push(format!("it has not answered for {}", age(lasted)));
    }
    if let Some(process) = &daemon.process {
        wake(&mut finding, process);
        if !is_halted {
            let command = format!("kill -KILL {}", process.pid());
            finding.remedy("kill", "the next command starts another, which finds everything as it is", command);
        }
    }
    Some(finding)
}

fn keeper(keeper: &Keeper, memory: &Memory) -> Option<Finding> {
    memory.keeper(keeper).filter(|_| !keeper.answers)?;
    let text = format!("the keeper of {}, PID {}, does not answer", keeper.service, keeper.process.pid());
    let mut finding = Finding::new(Kind::Keeper, Severity::Critical, format!("pid:{}", keeper.process.pid()), text);
    finding.because.push(format!("{} runs on, and nobody can stop it in order", keeper.service));
    finding.fact("record", "its keeper lives", &keeper.record);
    wake(&mut finding, &keeper.process);
    finding.service = Some(keeper.service.clone());
    Some(finding)
}

fn journal(journal: &Journal) -> Option<Finding> {
    if let Some(fault) = &journal.fault {
        let text = "the journal cannot be read".to_owned();
        let mut finding = Finding::new(Kind::Journal, Severity::Critical, &journal.path, text);
        finding.because.push(fault.clone());
        finding.remedy(
            "restart",
            "the next daemon sets a damaged journal aside and begins a new one",
            "vigie daemon restart",
        );
        return Some(finding);
    }
    let size = journal.size.filter(|size| *size > LARGE)?;
    let text = format!("the journal has {}", bytes(size));
    let mut finding = Finding::new(Kind::Journal, Severity::Notice, &journal.path, text);
    finding.because.push("the daemon tidies it up; one that has grown so much was not".to_owned());
    Some(finding)
}

fn disk(disk: &Disk) -> Option<Finding> {
    let (size, free) = (disk.size?, disk.free?);
    let share = |part: u64, whole: u64, of: u64| u128::from(part) * u128::from(of) < u128::from(whole);
    let few_inodes = disk.inodes.zip(disk.free_inodes).filter(|(all, free)| share(*free, *all, 100));
    let severity = match () {
        () if free < LAST => Severity::Critical,
        () if free < LITTLE && share(free, size, 20) || few_inodes.is_some() => Severity::Warning,
        () => return None,
    };
    let text = match few_inodes {
        Some((all, left)) if free >= LAST => {
            format!("{left} of {all} inodes are free where vigie keeps its {}", disk.what)
        }
        _ => format!("{} of {} are free where vigie keeps its {}", bytes(free), bytes(size), disk.what),
    };
    let mut finding = Finding::new(Kind::LowDisk, severity, &disk.path, text);
    finding.because.push("when nothing can be written, the journal and the output of services have gaps".to_owned());
    finding.fact("free", bytes(free), format!("statvfs {}", disk.path));
    Some(finding)
}

/// `3.1 GiB`
fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 || value >= 10.0 {
        format!("{value:.0} {}", units[unit])
    } else {
        format!("{value:.1} {}", units[unit])
    }
}
