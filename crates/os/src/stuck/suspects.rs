//! One pass over the machine: who deserves a closer look.
//!
//! A process is looked at by its `stat` alone; that of each other thread is read only where there are several, since any of
//! them can keep the whole process from ending. That KILL waits for it is seen in the same line: whoever sends KILL to a
//! process marks every thread of it (`complete_signal`, kernel/signal.c).

use vigie_core::identity::ProcKey;

use crate::error::OsError;
use crate::parallel;
use crate::proc::Proc;
use crate::proc::stat::{self, Stat};

/// A process that may be stuck.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Which.
    pub key: ProcKey,
    /// Its parent; 0 when that is outside of what can be seen from here.
    pub parent: u32,
    /// The letter of its main thread's state.
    pub state: char,
    /// The thread that is meant; the main thread, when that is one.
    pub tid: u32,
    /// What makes it one.
    pub why: Sign,
}

/// What makes a process a suspect, worst first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// KILL was sent to it, and it is there.
    Killed,
    /// A thread of it waits in the kernel (`D`). Most that do are ready in a moment.
    Waits,
    /// A tracer holds a thread of it (`t`).
    Traced,
    /// It is stopped (`T`).
    Stopped,
    /// Its main thread has ended, others go on.
    LeaderExited,
    /// It is dead and was not reaped.
    Zombie,
}

/// The processes that deserve a closer look, by number. Threads of the kernel are none.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn suspects(proc: &Proc) -> Result<Vec<Suspect>, OsError> {
    let mut pids = Vec::new();
    proc.pids(&mut pids)?;
    let look = |pid, part: &mut Vec<Suspect>| {
        part.extend(suspect(proc, pid));
        Ok(())
    };
    let mut all = parallel::each(&pids, look, |_| false)?.concat();
    all.sort_unstable_by_key(|suspect| suspect.key.pid);
    Ok(all)
}

/// Whoever ends meanwhile, or cannot be read, is none.
fn suspect(proc: &Proc, pid: u32) -> Option<Suspect> {
    let mut buffer = Vec::new();
    let line = proc.read(pid, "stat", &mut buffer).ok()??;
    let main = stat::parse(line).filter(|stat| !stat.is_kernel_thread())?;
    let (key, parent, state) = (proc.key_of(pid, main.start_ticks), main.ppid, char::from(main.state));
    let mut found = sign(&main, line).map(|sign| (sign, pid));
    let several = main.threads > 1;
    if several && found.is_none_or(|(sign, _)| sign != Sign::Killed) {
        found = [found, worst(proc, pid)].into_iter().flatten().min();
    }
    found.map(|(why, tid)| Suspect { key, parent, state, tid, why })
}

/// What the other threads of a process show.
fn worst(proc: &Proc, pid: u32) -> Option<(Sign, u32)> {
    let (mut tasks, mut buffer) = (Vec::new(), Vec::new());
    proc.tasks(pid, &mut tasks).ok()?;
    let others = tasks.into_iter().filter(|tid| *tid != pid);
    let signs = others.filter_map(|tid| {
        let line = proc.read(pid, &format!("task/{tid}/stat"), &mut buffer).ok()??;
        let sign = sign(&stat::parse(line)?, line)?;
        // One of several threads that is dead is on its way.
        (!matches!(sign, Sign::Zombie | Sign::LeaderExited)).then_some((sign, tid))
    });
    signs.min()
}

fn sign(stat: &Stat<'_>, line: &[u8]) -> Option<Sign> {
    /// Field 31: the signals that wait for the thread, of the first 31.
    const PENDING: usize = 31;
    const KILL: u32 = 1 << 8;
    let killed = || stat::later(line, PENDING).and_then(stat::number::<u32>).is_some_and(|set| set & KILL != 0);
    match stat.state {
        b'Z' | b'X' | b'x' if stat.is_zombie() => Some(Sign::Zombie),
        b'Z' => Some(Sign::LeaderExited),
        _ if killed() => Some(Sign::Killed),
        b'D' => Some(Sign::Waits),
        b't' => Some(Sign::Traced),
        b'T' => Some(Sign::Stopped),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proc::tests::{FakeProc, Guard, eventually};

    fn line(pid: u32, state: char, flags: u32, threads: u32, pending: u32) -> String {
        format!(
            "{pid} (a) b) {state} 7 {pid} {pid} 0 -1 {flags} 0 0 0 0 1 2 0 0 20 0 {threads} 0 {pid} 1000 10 \
             18446744073709551615 1 1 0 0 0 {pending} 0 0 0 1 0 0 17 0 0 0 0 0 0 0 0 0 0 0 0 0 0\n"
        )
    }

    #[test]
    fn who_deserves_a_look() {
        let fake = FakeProc::new(true);
        for (pid, state, flags, pending) in [
            (10, 'S', 0, 0),
            (11, 'D', 0, 0),
            (12, 'S', 0, 0x100),
            (13, 'Z', 0, 0x100),
            (14, 'T', 0, 0x4000),
            (15, 't', 0, 0),
            (16, 'D', stat::KERNEL_THREAD, 0),
            (17, 'R', 0, 0x4000),
        ] {
            fake.file(&format!("{pid}/stat"), line(pid, state, flags, 1, pending));
        }
        for (pid, main, threads) in [
            (20, 'S', &[(21, 'S', 0), (22, 'D', 0)][..]),
            (30, 'Z', &[(31, 'S', 0)]),
            // Its main thread ended in the middle of an exit that hangs.
            (40, 'Z', &[(41, 'D', 0x100)]),
            (50, 'S', &[(51, 'S', 0), (52, 'Z', 0)]),
        ] {
            let count = 1 + u32::try_from(threads.len()).unwrap();
            fake.file(&format!("{pid}/stat"), line(pid, main, 0, count, 0));
            fake.file(&format!("{pid}/task/{pid}/stat"), line(pid, main, 0, count, 0));
            for (tid, state, pending) in threads {
                fake.file(&format!("{pid}/task/{tid}/stat"), line(*tid, *state, 0, count, *pending));
            }
        }
        let told: Vec<_> =
            suspects(&fake.open()).unwrap().into_iter().map(|one| (one.key.pid, one.tid, one.why)).collect();
        let wanted = [
            (11, 11, Sign::Waits),
            (12, 12, Sign::Killed),
            (13, 13, Sign::Zombie),
            (14, 14, Sign::Stopped),
            (15, 15, Sign::Traced),
            (20, 22, Sign::Waits),
            (30, 30, Sign::LeaderExited),
            (40, 41, Sign::Killed),
        ];
        assert_eq!(told, wanted);
    }

    #[test]
    fn a_real_one() {
        let proc = Proc::system().unwrap();
        let mut child = Guard::sleeper();
        let key = proc.key(child.0.id()).unwrap().unwrap();
        let told = || suspects(&proc).unwrap().into_iter().find(|one| one.key == key).map(|one| one.why);
        eventually("it sleeps", || told().is_none());
        rustix::process::kill_process(rustix::process::Pid::from_child(&child.0), rustix::process::Signal::STOP)
            .unwrap();
        eventually("it is stopped", || told() == Some(Sign::Stopped));
        child.0.kill().unwrap();
        eventually("it is dead", || told() == Some(Sign::Zombie));
        child.0.wait().unwrap();
        assert_eq!(told(), None);
    }
}
