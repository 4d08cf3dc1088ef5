//! For how long a thread has not run.
//!
//! The scheduler notes when a thread last had a processor (`se.exec_start` in `/proc/PID/sched`; kernel/sched/debug.c). That
//! is the clock of one processor's run queue, which stands still while a hypervisor has the processor or an interrupt is
//! served: two processors differ by minutes after weeks. So a thread of this program goes to the processor that the other
//! thread ran on last, and reads its own value there.

use std::collections::HashMap;
use std::time::Duration;

use rustix::thread::{CpuSet, sched_setaffinity};

use crate::proc::Proc;

/// The clocks of the processors, each read once: for one look at many threads.
#[derive(Debug, Default)]
pub struct Clocks(HashMap<usize, Option<f64>>);

impl Clocks {
    /// For how long a thread, or a dead process, has not run. Absent where the kernel does not tell, when this program
    /// may not run where that thread ran, when the thread is gone, and when it was given to a processor that it has not
    /// run on yet.
    pub fn still(&mut self, proc: &Proc, pid: u32, tid: u32) -> Option<Duration> {
        let mut buffer = Vec::new();
        let cpu = processor(proc.read(pid, &format!("task/{tid}/stat"), &mut buffer).ok()??)?;
        let last = started(proc.read(pid, &format!("task/{tid}/sched"), &mut buffer).ok()??)?;
        // The two clocks have nothing to do with each other when it was moved between the two reads.
        if processor(proc.read(pid, &format!("task/{tid}/stat"), &mut buffer).ok()??)? != cpu {
            return None;
        }
        let now = (*self.0.entry(cpu).or_insert_with(|| clock(proc, cpu)))?;
        Duration::try_from_secs_f64((now - last).max(0.0) / 1000.0).ok()
    }
}

/// The clock of a processor, in milliseconds.
fn clock(proc: &Proc, cpu: usize) -> Option<f64> {
    if cpu >= CpuSet::MAX_CPU {
        return None;
    }
    let proc = proc.try_clone().ok()?;
    let there = move || {
        let mut set = CpuSet::new();
        set.set(cpu);
        sched_setaffinity(None, &set).ok()?;
        let mut buffer = Vec::new();
        started(proc.read_global("thread-self/sched", &mut buffer).ok()??)
    };
    std::thread::Builder::new().name("vigie-clock".to_owned()).spawn(there).ok()?.join().ok()?
}

/// Field 39 of `stat`; proc_pid_stat(5).
fn processor(line: &[u8]) -> Option<usize> {
    let close = line.iter().rposition(|byte| *byte == b')')?;
    std::str::from_utf8(&line[close + 1..]).ok()?.split_whitespace().nth(39 - 3)?.parse().ok()
}

/// `se.exec_start                                :       2868011.451820`; it is 0 of a thread that is new, and of one that
/// was moved to another processor, until it runs there (`migrate_task_rq_fair`, kernel/sched/fair.c).
fn started(text: &[u8]) -> Option<f64> {
    let line = text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"se.exec_start"))?;
    let time: f64 = std::str::from_utf8(line).ok()?.trim().strip_prefix(':')?.trim().parse().ok()?;
    (time > 0.0).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::process::Command;

    use crate::proc::tests::Guard;

    #[test]
    fn lines_of_the_kernel() {
        assert_eq!(
            started(b"cat (1, #threads: 1)\n---\nse.exec_start      :       2868011.451820\nx : 1\n"),
            Some(2868011.451820)
        );
        assert_eq!(started(b""), None);
        assert_eq!(started(b"se.exec_start                                :             0.000000\n"), None);
        let line = b"42 (a b) c) S 1 42 42 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 9 0 0 0 0 0 0 0 0 0 0 0 0 0 0 0 17 3 0 0";
        assert_eq!(processor(line), Some(3));
    }

    #[test]
    fn a_sleeper_is_still_for_as_long_as_it_sleeps() {
        const LONG: Duration = Duration::from_secs(30);
        let proc = Proc::system().unwrap();
        // Before it is started: it may sleep before this thread goes on.
        let begun = crate::clock::mono();
        let still = loop {
            let (child, now) = (Guard(Command::new("sleep").arg("600").spawn().unwrap()), crate::clock::mono());
            let pid = child.0.id();
            if proc.read(pid, &format!("task/{pid}/sched"), &mut Vec::new()).unwrap().is_none() {
                return eprintln!("skipped: this kernel does not tell when a thread last ran");
            }
            // It has nothing to do but to grow still.
            let grown = loop {
                let still = Clocks::default().still(&proc, pid, pid);
                if still.is_some_and(|still| still >= Duration::from_millis(300)) {
                    break still;
                }
                // One that was moved while it slept is not told of any more: another one then.
                if still.is_none() && crate::clock::mono().since(now) > Duration::from_secs(1) {
                    break None;
                }
                assert!(crate::clock::mono().since(begun) < LONG, "it does not grow");
                std::thread::yield_now();
            };
            if let Some(still) = grown {
                break still;
            }
        };
        let since = crate::clock::mono().since(begun);
        assert!(still <= since + Duration::from_millis(100), "{still:?} within {since:?}");
    }
}
