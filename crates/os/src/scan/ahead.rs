//! Reading many processes at once: by several processors, or by the kernel's own iterator where this was built with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::read::{Reader, Reading};
use crate::error::OsError;
use crate::proc::Proc;

/// How many processes are taken at a time.
const CHUNK: usize = 32;

/// Fewer than that one processor reads sooner than another has begun.
const WORTH_HELP: usize = 4 * CHUNK;

/// More threads than that wait for the same locks of the kernel.
const WORKERS: usize = 4;

/// So many have to be read before the iterator is loaded: that takes as long as reading them does.
#[cfg(feature = "bpf")]
const WORTH_LOADING: usize = 1000;

/// Once it is loaded, it is asked when so many are to be read: it always goes through all processes.
#[cfg(feature = "bpf")]
const WORTH_ASKING: usize = 250;

/// Whom a refresh has read before it goes through its list.
#[derive(Debug, Default)]
pub(super) struct Ahead {
    /// What came of reading each, by number.
    readings: Vec<(u32, Option<Reading>)>,
    #[cfg(feature = "bpf")]
    tasks: Tasks,
}

#[cfg(feature = "bpf")]
#[derive(Debug, Default)]
enum Tasks {
    #[default]
    Untried,
    Without,
    With(crate::bpf::Tasks),
}

impl Ahead {
    /// One that never loads the iterator.
    pub(super) fn plain() -> Self {
        Self {
            readings: Vec::new(),
            #[cfg(feature = "bpf")]
            tasks: Tasks::Without,
        }
    }

    /// Reads these, if they are many.
    pub(super) fn read(&mut self, proc: &Proc, pids: &[u32]) -> Result<(), OsError> {
        #[cfg(feature = "bpf")]
        if self.ask(proc, pids.len()) {
            return Ok(());
        }
        self.readings = share(proc, pids)?;
        Ok(())
    }

    /// What came of reading this one; once. `None`: it is to be read.
    pub(super) fn take(
        &mut self,
        #[cfg_attr(not(feature = "bpf"), expect(unused))] proc: &Proc,
        pid: u32,
    ) -> Option<Reading> {
        #[cfg(feature = "bpf")]
        if let Tasks::With(tasks) = &self.tasks
            && let Some(process) = tasks.process(proc, pid)
        {
            return Some(Reading::Read(process, None));
        }
        let place = self.readings.binary_search_by_key(&pid, |(pid, _)| *pid).ok()?;
        self.readings[place].1.take()
    }

    /// What was read is old from now on.
    pub(super) fn forget(&mut self) {
        self.readings = Vec::new();
        #[cfg(feature = "bpf")]
        if let Tasks::With(tasks) = &mut self.tasks {
            tasks.forget();
        }
    }
}

#[cfg(feature = "bpf")]
impl Ahead {
    /// Loads the iterator, if it was not; `false` where the kernel does not let us.
    pub(super) fn hasten(&mut self, proc: &Proc) -> bool {
        if matches!(self.tasks, Tasks::Untried) {
            self.tasks = crate::bpf::Tasks::open(proc).map_or(Tasks::Without, Tasks::With);
        }
        matches!(self.tasks, Tasks::With(_))
    }

    /// Asks the iterator, where so many make it worth while; `false` when it was not asked.
    fn ask(&mut self, proc: &Proc, many: usize) -> bool {
        if many >= WORTH_LOADING {
            self.hasten(proc);
        }
        match &mut self.tasks {
            Tasks::With(tasks) if many >= WORTH_ASKING => {
                let asked = tasks.read().is_ok();
                if !asked {
                    self.tasks = Tasks::Without;
                }
                asked
            }
            _ => false,
        }
    }
}

/// Reads all of these by several processors; nobody if that is not worth while.
fn share(proc: &Proc, pids: &[u32]) -> Result<Vec<(u32, Option<Reading>)>, OsError> {
    let processors = std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let workers = processors.min(WORKERS).min(pids.len() / WORTH_HELP);
    if workers < 2 {
        return Ok(Vec::new());
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let (mut reader, mut part) = (Reader::default(), Vec::new());
        loop {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(rest) = pids.get(start..).filter(|rest| !rest.is_empty()) else { return Ok(part) };
            for &pid in &rest[..rest.len().min(CHUNK)] {
                part.push((pid, Some(reader.read(proc, pid)?)));
            }
        }
    };
    let mut all = std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().name("scan".to_owned()).spawn_scoped(scope, work).ok();
        // Without another thread this one does it all.
        let others: Vec<_> = (1..workers).filter_map(spawn).collect();
        let mut all = work()?;
        for other in others {
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok::<_, OsError>(all)
    })?;
    all.sort_unstable_by_key(|(pid, _)| *pid);
    Ok(all)
}
