//! What vigie's own processes keep from cycle to cycle.

use vigie_api::soak::{Growth, Upkeep as Told};
use vigie_core::identity::ProcKey;
use vigie_core::soak::{Kept, growth};
use vigie_os::proc::Proc;
use vigie_os::upkeep::Upkeep;

/// Values of one process, one for each cycle.
#[derive(Debug, Default)]
struct Course {
    /// It; absent for keepers, of which each cycle has another.
    process: Option<ProcKey>,
    all: Vec<Upkeep>,
}

/// Values of all of them.
#[derive(Debug, Default)]
pub(super) struct Own {
    daemon: Course,
    nursery: Course,
    keeper: Course,
}

impl Own {
    /// The daemon, as it is when nothing of the service runs, and the process from which it forks keepers.
    pub(super) fn at_rest(&mut self, daemon: u32, keeper: Option<&ProcKey>, parent: Option<u32>, proc: &Proc) {
        self.daemon.add(daemon, proc);
        // Where there is no nursery the daemon executes keepers itself.
        let nursery = parent.filter(|parent| *parent != daemon && keeper.is_some() && is_keeper(*parent, proc));
        if let Some(nursery) = nursery {
            self.nursery.add(nursery, proc);
        }
    }

    /// The keeper of this cycle, while the service runs.
    pub(super) fn at_work(&mut self, keeper: u32, proc: &Proc) {
        if let Ok(Some(upkeep)) = Upkeep::of(proc, keeper) {
            self.keeper.all.push(upkeep);
        }
    }

    pub(super) fn told(&self) -> Vec<Told> {
        let all = [("daemon", &self.daemon), ("nursery", &self.nursery), ("keeper", &self.keeper)];
        all.into_iter().filter(|(_, course)| !course.all.is_empty()).map(|(name, course)| course.told(name)).collect()
    }
}

/// By its name: a keeper's parent may be anybody once the nursery is gone.
fn is_keeper(pid: u32, proc: &Proc) -> bool {
    let executable = proc.link(pid, "exe").ok().flatten();
    executable.is_some_and(|path| {
        let name = path.file_name().unwrap_or_default().as_encoded_bytes();
        name.strip_suffix(b" (deleted)").unwrap_or(name) == b"vigie-keeper"
    })
}

impl Course {
    fn add(&mut self, pid: u32, proc: &Proc) {
        let Ok(Some(key)) = proc.key(pid) else { return };
        if self.process.as_ref() != Some(&key) {
            // Another one, which begins at its own beginning.
            *self = Self { process: Some(key), all: Vec::new() };
        }
        if let Ok(Some(upkeep)) = Upkeep::of(proc, pid) {
            self.all.push(upkeep);
        }
    }

    fn told(&self, process: &str) -> Told {
        let growth = |value: fn(&Upkeep) -> u64, kept| {
            let values: Vec<u64> = self.all.iter().map(value).collect();
            growth(&values, kept).map(|growth| Growth {
                first: growth.first,
                last: growth.last,
                per_cycle: growth.per_cycle,
                leaks: growth.leaks,
            })
        };
        Told {
            process: process.to_owned(),
            descriptors: growth(|upkeep| upkeep.descriptors, Kept::Count),
            threads: growth(|upkeep| upkeep.threads, Kept::Count),
            memory_bytes: growth(|upkeep| upkeep.memory, Kept::Bytes),
        }
    }
}
