//! Processes, seen without vigie's own eyes.

use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::wait::until;

/// A process, held by a descriptor.
#[derive(Debug)]
pub struct Process {
    /// Its PID.
    pub pid: u32,
    fd: OwnedFd,
}

impl Process {
    /// Whoever has this PID and passes `is_it` after it is held.
    pub fn open(pid: u32, is_it: impl FnOnce(u32) -> bool) -> Option<Self> {
        let fd = pidfd_open(Pid::from_raw(pid.cast_signed())?, PidfdFlags::empty()).ok()?;
        is_it(pid).then_some(Self { pid, fd })
    }

    /// Signals it.
    pub fn signal(&self, signal: Signal) {
        let _ = pidfd_send_signal(&self.fd, signal);
    }

    /// SIGSTOP, and the stop of all its threads: as long as one of them has not seen the signal, it answers.
    #[track_caller]
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        wait_stopped(self.pid);
    }

    /// Waits for its end: `false` when the time was over first.
    pub fn ended_within(&self, time: Duration) -> bool {
        let timeout = Timespec::try_from(time).expect("short");
        matches!(poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&timeout)), Ok(1..))
    }

    /// SIGKILL, and its end.
    #[track_caller]
    pub fn kill(&self) {
        self.signal(Signal::KILL);
        assert!(self.ended_within(crate::LONG), "PID {} does not die", self.pid);
    }
}

/// Waits until no thread of a process that was sent SIGSTOP goes on.
#[track_caller]
pub(crate) fn wait_stopped(pid: u32) {
    let tasks = || std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let states = || tasks().filter_map(|task| state_and_start(&task.path()));
    until(&format!("PID {pid} is stopped"), || {
        let states: Vec<char> = states().map(|(state, _)| state).collect();
        (states.contains(&'T') && states.iter().all(|state| matches!(state, 'T' | 'Z' | 'X'))).then_some(())
    });
}

/// Whether there is a process with this number that is not a zombie.
pub fn alive(pid: u32) -> bool {
    stat(pid).is_some_and(|stat| !matches!(stat.0, 'Z' | 'X'))
}

/// Clock ticks from boot to its start.
pub fn start_ticks(pid: u32) -> Option<u64> {
    stat(pid).map(|stat| stat.1)
}

fn stat(pid: u32) -> Option<(char, u64)> {
    state_and_start(&Path::new("/proc").join(pid.to_string()))
}

/// State and start time from the `stat` of a process or a thread; the name between may hold anything.
fn state_and_start(dir: &Path) -> Option<(char, u64)> {
    let stat = std::fs::read(dir.join("stat")).ok()?;
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = String::from_utf8_lossy(&stat[end + 1..]).into_owned();
    let mut fields = rest.split_ascii_whitespace();
    Some((fields.next()?.chars().next()?, fields.nth(18)?.parse().ok()?))
}

/// Every process that belongs to the world at `home`: by its environment, or by what it has open or runs in there.
pub(crate) fn of_world(home: &Path) -> Vec<u32> {
    let own = std::process::id();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.filter(|pid| *pid != own && alive(*pid) && belongs(*pid, home)).collect()
}

/// Whether it does. Links in `/proc/PID/fd` are only read: what they point at may hang.
pub(crate) fn belongs(pid: u32, home: &Path) -> bool {
    let dir = Path::new("/proc").join(pid.to_string());
    let mark = [b"VIGIE_HOME=", home.as_os_str().as_bytes()].concat();
    let environ = std::fs::read(dir.join("environ")).unwrap_or_default();
    if environ.split(|byte| *byte == 0).any(|variable| variable == mark) {
        return true;
    }
    let fds = std::fs::read_dir(dir.join("fd")).into_iter().flatten().flatten().map(|entry| entry.path());
    // A test that runs beside it in one process has the folder open, too: that is no descendant of this world.
    fds.filter_map(|fd| std::fs::read_link(fd).ok()).any(|path| path.starts_with(home))
        && std::fs::read_link(dir.join("exe")).is_ok_and(|exe| exe.file_name().is_some_and(is_program))
}

fn is_program(name: &std::ffi::OsStr) -> bool {
    ["vigie", "vigie-keeper", "hostile"].iter().any(|known| name == *known)
}

/// What it is, for people.
pub(crate) fn describe(pid: u32) -> String {
    let read = |file: &str| std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let state = stat(pid).map_or('?', |stat| stat.0);
    let command = String::from_utf8_lossy(&read("cmdline")).replace('\0', " ");
    format!("PID {pid} (state {state}): {} {command}", String::from_utf8_lossy(&read("comm")).trim_end().escape_debug())
}
