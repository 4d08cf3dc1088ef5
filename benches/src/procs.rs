//! Looking at processes: whose they are, what they cost; and ending those that a measurement started.

use std::path::Path;
use std::time::Duration;

use vigie_core::ladder::Signal;
use vigie_os::pidfd::Target;
use vigie_os::proc::Proc;

use crate::failure::Result;
use crate::site::MARK;
use crate::time;

/// All processes that bear the mark.
pub(crate) fn marked(mark: &str) -> Result<Vec<u32>> {
    let proc = Proc::system()?;
    let mut pids = Vec::new();
    proc.pids(&mut pids)?;
    let mut buffer = Vec::new();
    // What cannot be read (another user's) is not ours.
    pids.retain(|&pid| matches!(proc.variable(pid, MARK, &mut buffer), Ok(Some(value)) if value == mark.as_bytes()));
    Ok(pids)
}

/// All processes that execute this file.
pub(crate) fn executing(program: &Path) -> Result<Vec<u32>> {
    let proc = Proc::system()?;
    let mut pids = Vec::new();
    proc.pids(&mut pids)?;
    pids.retain(|&pid| executes(&proc, pid, program));
    Ok(pids)
}

fn executes(proc: &Proc, pid: u32, program: &Path) -> bool {
    matches!(proc.link(pid, "exe"), Ok(Some(path)) if path == program)
}

/// What the process calls itself; absent when it is gone.
pub(crate) fn name(pid: u32) -> Result<Option<String>> {
    let mut buffer = Vec::new();
    let content = Proc::system()?.read(pid, "comm", &mut buffer)?;
    Ok(content.map(|bytes| String::from_utf8_lossy(bytes).trim_end().to_owned()))
}

/// Those that bear the mark and execute this file: the live copies of a service.
pub(crate) fn copies(mark: &str, program: &Path) -> Result<Vec<u32>> {
    let proc = Proc::system()?;
    let mut pids = marked(mark)?;
    pids.retain(|&pid| executes(&proc, pid, program));
    Ok(pids)
}

/// Those that bear the mark and execute something else: the supervisors.
pub(crate) fn others(mark: &str, program: &Path) -> Result<Vec<u32>> {
    let proc = Proc::system()?;
    let mut pids = marked(mark)?;
    pids.retain(|&pid| !executes(&proc, pid, program));
    Ok(pids)
}

/// Ends everything that bears the mark, again and again until nothing does: a supervisor may start things meanwhile.
pub(crate) fn end_marked(mark: &str) -> Result<()> {
    let proc = Proc::system()?;
    time::until(&format!("everything marked {mark} ended"), Duration::from_secs(10), Duration::from_millis(5), || {
        let pids = marked(mark).ok()?;
        for &pid in &pids {
            // The descriptor first, the mark afterwards: what is signalled is what was looked at.
            let mut buffer = Vec::new();
            if let Ok(Some(target)) = Target::open_pid(&proc, pid)
                && matches!(proc.variable(pid, MARK, &mut buffer), Ok(Some(value)) if value == mark.as_bytes())
            {
                let _ = target.send(Signal::Kill);
            }
        }
        pids.is_empty().then_some(())
    })
}

/// Sends a signal to a process if it executes this file; `false` when it does not, or is gone.
pub(crate) fn signal(pid: u32, program: &Path, signal: Signal) -> Result<bool> {
    let proc = Proc::system()?;
    let Some(target) = Target::open_pid(&proc, pid)? else { return Ok(false) };
    Ok(executes(&proc, pid, program) && target.send(signal)?)
}

/// How many processes there are, and how many descriptors those have that may be looked at.
pub(crate) fn descriptors(proc: &Proc) -> Result<(usize, usize)> {
    let mut pids = Vec::new();
    proc.pids(&mut pids)?;
    let count = |pid: &u32| std::fs::read_dir(format!("/proc/{pid}/fd")).map_or(0, Iterator::count);
    Ok((pids.len(), pids.iter().map(count).sum()))
}

/// What some processes use.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cost {
    pub(crate) processes: usize,
    pub(crate) threads: usize,
    /// Proportional set size in bytes: shared pages count by their share.
    pub(crate) pss: u64,
    /// Time on a processor since each began.
    pub(crate) cpu: Duration,
    /// How often a processor was given up or taken away since each began: a process that sleeps adds none.
    pub(crate) switches: u64,
}

/// Measures what these processes use; those that are gone count nothing.
pub(crate) fn cost(pids: &[u32]) -> Result<Cost> {
    let proc = Proc::system()?;
    let mut sum = Cost::default();
    let mut buffer = Vec::new();
    for &pid in pids {
        let Some(pss) = field(&proc, pid, "smaps_rollup", "Pss:", &mut buffer) else { continue };
        sum.pss += pss * 1024;
        sum.processes += 1;
        let mut threads = Vec::new();
        proc.tasks(pid, &mut threads)?;
        sum.threads += threads.len();
        for thread in threads {
            let file = |name: &str| format!("task/{thread}/{name}");
            sum.cpu += on_processor(&proc, pid, &file("schedstat"), &mut buffer);
            for key in ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"] {
                sum.switches += field(&proc, pid, &file("status"), key, &mut buffer).unwrap_or(0);
            }
        }
    }
    Ok(sum)
}

/// The largest resident memory that the process ever had, in bytes.
pub(crate) fn peak_memory(pid: u32) -> Result<Option<u64>> {
    let proc = Proc::system()?;
    Ok(field(&proc, pid, "status", "VmHWM:", &mut Vec::new()).map(|kibibytes| kibibytes * 1024))
}

/// The time that its main thread spent on a processor.
pub(crate) fn processor_time(pid: u32) -> Result<Duration> {
    Ok(on_processor(&Proc::system()?, pid, "schedstat", &mut Vec::new()))
}

/// `schedstat` of the kernel: nanoseconds on a processor, nanoseconds waited for one, turns.
fn on_processor(proc: &Proc, pid: u32, file: &str, buffer: &mut Vec<u8>) -> Duration {
    let content = proc.read(pid, file, buffer).ok().flatten().unwrap_or_default();
    let text = String::from_utf8_lossy(content);
    Duration::from_nanos(text.split_whitespace().next().and_then(|number| number.parse().ok()).unwrap_or(0))
}

/// The number behind `key` in a file of lines `key number unit`.
fn field(proc: &Proc, pid: u32, file: &str, key: &str, buffer: &mut Vec<u8>) -> Option<u64> {
    let content = proc.read(pid, file, buffer).ok().flatten()?;
    let text = String::from_utf8_lossy(content);
    text.lines().find_map(|line| line.strip_prefix(key)?.split_whitespace().next()?.parse().ok())
}
