//! The decision core in a simulated world: virtual time, simulated keepers, processes and disk, and every fault that
//! can be thought of. Seeded: the same number is the same schedule, to the last step.
//!
//! # Theory of operation
//!
//! A [`World`] is a queue of [`world::Happening`]s in virtual time. The daemon in it is the real
//! [`vigie_core::supervisor::Supervisor`] with a shell of a hundred lines ([`daemon`]); keepers ([`keeper`]) follow the
//! same protocol as the real ones over connections that delay but keep order; the disk keeps what was committed and
//! loses the rest when the daemon dies. [`scenario`] draws projects, behaviours, requests and faults from the seed.
//! After every happening [`check`] looks at the invariants of `ARCHITECTURE.md`; at the end of a schedule faults cease,
//! and everything must come to rest: requests answered, the journal complete, and after a last `down` nothing alive.
//!
//! What is journalled goes through the real [`vigie_core::incidents::Engine`], too ([`incidents`]): whatever a schedule does, what
//! was told to be open is told to be over, and few messages are sent.
//!
//! What is not simulated, because it is no decision: the kernel's side of locks and containment (`tests/real`,
//! `crates/keeper/tests`), and the bytes of protocol, journal and logs.

pub mod check;
pub mod daemon;
pub mod ghosts;
pub mod incidents;
pub mod keeper;
pub mod neighbour;
pub mod scenario;
pub mod world;

use std::panic::resume_unwind;

use world::World;

/// A schedule that broke an invariant.
#[derive(Debug)]
pub struct Failure {
    /// The seed that makes it again.
    pub seed: u64,
    /// Which invariant, and how.
    pub violation: String,
    /// What happened, step by step.
    pub trace: Vec<String>,
}

/// Runs one schedule.
///
/// # Errors
/// When it breaks an invariant: with its trace.
pub fn run(seed: u64) -> Result<Summary, Box<Failure>> {
    let mut world = World::new(seed, false);
    match scenario::play(&mut world) {
        Ok(()) => Ok(Summary { happenings: world.count, faults: world.faults, ghosts: world.set_aside.len() as u64 }),
        Err(_) => {
            // Tracing costs; a seed is played again for it.
            let mut world = World::new(seed, true);
            let violation = scenario::play(&mut world).err().unwrap_or_else(|| "not again when traced".to_owned());
            Err(Box::new(Failure { seed, violation, trace: world.trace }))
        }
    }
}

/// What a schedule was made of.
#[derive(Debug, Clone, Copy, Default)]
pub struct Summary {
    /// Steps of the world.
    pub happenings: u64,
    /// Deaths of daemon and keepers, failed spawns, jumps of the clock.
    pub faults: u64,
    /// Runs that were set aside.
    pub ghosts: u64,
}

/// Runs the kept cases ([`CASES`]) and then `count` schedules from seed `from` on, on all processors.
///
/// # Errors
/// The failure with the lowest seed of those that were found.
pub fn many(from: u64, count: u64) -> Result<(u64, Summary), Box<Failure>> {
    let kept: Vec<u64> = CASES.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    let seeds: Vec<u64> = kept.into_iter().chain(from..from + count).collect();
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let share = seeds.len().div_ceil(workers).max(1);
    let results: Vec<_> = std::thread::scope(|scope| {
        let worker = |seeds: &'static [u64]| scope.spawn(move || one_after_another(seeds));
        let seeds: &'static [u64] = Vec::leak(seeds.clone());
        let handles: Vec<_> = seeds.chunks(share).map(worker).collect();
        // A panic is a failure, too: it must not be lost with its thread.
        handles.into_iter().map(|handle| handle.join().unwrap_or_else(|panic| resume_unwind(panic))).collect()
    });
    let mut total = Summary::default();
    let mut first: Option<Box<Failure>> = None;
    for result in results {
        match result {
            Ok(summary) => {
                total.happenings += summary.happenings;
                total.faults += summary.faults;
                total.ghosts += summary.ghosts;
            }
            Err(failure) if first.as_ref().is_none_or(|first| failure.seed < first.seed) => first = Some(failure),
            Err(_) => {}
        }
    }
    first.map_or(Ok((seeds.len() as u64, total)), Err)
}

fn one_after_another(seeds: &[u64]) -> Result<Summary, Box<Failure>> {
    let mut total = Summary::default();
    for seed in seeds {
        let summary = run(*seed)?;
        total.happenings += summary.happenings;
        total.faults += summary.faults;
        total.ghosts += summary.ghosts;
    }
    Ok(total)
}

/// Seeds that failed once, with what was wrong: one a line. Schedules change with the scenario, so a seed keeps its
/// meaning only as long as that does; what it taught also has a test of its own beside the code.
pub const CASES: &str = include_str!("../cases.txt");
