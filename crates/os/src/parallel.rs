//! Looking at many processes with more than one processor.
//!
//! What `/proc` tells of a process is put together by the kernel when it is asked, so looks at different processes hardly
//! wait for each other. The threads end before the call returns.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::error::OsError;

/// How many processes are taken at a time: enough that nobody waits for the next ones, and few enough that all end
/// together.
const CHUNK: usize = 64;

/// More threads than that help nobody: they wait for the same locks of the kernel.
const WORKERS: usize = 4;

/// Calls `look` for each of `pids`, with something to collect in; gives what each thread has collected. `enough` is asked
/// behind each chunk: then no further ones are taken. Chunks are taken in order and always finished, so that nothing in
/// front of what was enough is left out.
///
/// # Errors
/// The first of `look`.
pub(crate) fn each<T: Default + Send>(
    pids: &[u32],
    look: impl Fn(u32, &mut T) -> Result<(), OsError> + Sync,
    enough: impl Fn(&T) -> bool + Sync,
) -> Result<Vec<T>, OsError> {
    let (next, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
    let work = || {
        let mut part = T::default();
        while !stop.load(Ordering::Relaxed) {
            let start = next.fetch_add(CHUNK, Ordering::Relaxed);
            let Some(rest) = pids.get(start..).filter(|rest| !rest.is_empty()) else { break };
            for &pid in &rest[..rest.len().min(CHUNK)] {
                look(pid, &mut part)?;
            }
            if enough(&part) {
                stop.store(true, Ordering::Relaxed);
            }
        }
        Ok::<T, OsError>(part)
    };
    // A few are looked at sooner than a thread is made, or than it is known how many processors there are.
    let workers = match pids.len() / (2 * CHUNK) {
        few @ 0..2 => few,
        many => many.min(WORKERS).min(std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)),
    };
    std::thread::scope(|scope| {
        let spawn = |_| std::thread::Builder::new().name("looking".to_owned()).spawn_scoped(scope, work).ok();
        // Without another thread this one does it all.
        let others: Vec<_> = (1..workers).filter_map(spawn).collect();
        let mut parts = vec![work()?];
        for other in others {
            parts.push(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?);
        }
        Ok(parts)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(count: u32, enough: impl Fn(&Vec<u32>) -> bool + Sync) -> Vec<u32> {
        let pids: Vec<u32> = (0..count).collect();
        let look = |pid, part: &mut Vec<u32>| {
            part.push(pid);
            Ok(())
        };
        let mut all: Vec<u32> = each(&pids, look, enough).unwrap().concat();
        all.sort_unstable();
        all
    }

    #[test]
    fn each_once_however_many() {
        for count in [0, 1, 63, 64, 65, 1000, 4097] {
            assert!(seen(count, |_| false).into_iter().eq(0..count), "{count}");
        }
    }

    #[test]
    fn nothing_in_front_of_what_was_enough_is_left_out() {
        let seen = seen(100_000, |part| part.contains(&500));
        assert!(seen.iter().copied().eq(0..u32::try_from(seen.len()).unwrap()), "there is a gap");
        assert!(seen.len() > 500 && seen.len() < 100_000, "{}", seen.len());
    }

    #[test]
    fn an_error_is_told() {
        let pids: Vec<u32> = (0..1000).collect();
        let look = |pid, _: &mut ()| match pid {
            700 => Err(OsError::on_process("look at", pid)(rustix::io::Errno::IO)),
            _ => Ok(()),
        };
        assert!(each(&pids, look, |()| false).is_err_and(|error| error.to_string().contains("process 700")));
    }
}
