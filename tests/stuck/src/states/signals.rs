//! Processes that a signal does not move.

use crate::bed::{Bed, Made};
use crate::{raw, seen};

/// TERM is dropped by the kernel.
pub(crate) fn ignored(bed: &mut Bed) -> Made {
    let pid = bed.start(c"stuck-ignore", || {
        raw::ignore(libc::SIGTERM);
        raw::pause()
    })?;
    bed.until("one that ignores TERM", || seen::has_signal(pid, "SigIgn", libc::SIGTERM))?;
    deaf(bed, pid)
}

/// TERM waits for a thread that lets it through.
pub(crate) fn blocked(bed: &mut Bed) -> Made {
    let pid = bed.start(c"stuck-block", || {
        raw::block(&[libc::SIGTERM])?;
        raw::pause()
    })?;
    bed.until("one that blocks TERM", || seen::has_signal(pid, "SigBlk", libc::SIGTERM))?;
    deaf(bed, pid)
}

/// TERM is taken, and nothing comes of it.
pub(crate) fn swallowed(bed: &mut Bed) -> Made {
    let pid = bed.start(c"stuck-swallow", || {
        raw::swallow(libc::SIGTERM);
        raw::pause()
    })?;
    bed.until("one that takes TERM", || seen::has_signal(pid, "SigCgt", libc::SIGTERM))?;
    deaf(bed, pid)
}

fn deaf(bed: &mut Bed, pid: u32) -> Made {
    bed.until_in(pid, "S", &["pause"])?;
    bed.say("pid", pid);
    bed.say("frees", "kill");
    Ok(())
}

/// Stopped by a signal.
pub(crate) fn stopped(bed: &mut Bed) -> Made {
    let pid = bed.start(c"stuck-stopped", || raw::pause())?;
    bed.stop(pid)?;
    bed.say("pid", pid);
    bed.say("frees", "continue");
    Ok(())
}
