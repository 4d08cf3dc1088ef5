//! Processes that a tracer holds.

use std::io::{self, Write as _};

use rustix::process::Signal;

use crate::bed::{Bed, Made, heard};
use crate::{raw, seen};

/// Held by a tracer that does nothing more.
pub(crate) fn traced(bed: &mut Bed) -> Made {
    let (pid, tracer) = pair(bed, |pid| {
        raw::ptrace(libc::PTRACE_ATTACH, pid, 0)?;
        raw::wait_stopped(pid)
    })?;
    bed.until("one that is held", || seen::state(pid) == Some('t'))?;
    told(bed, pid, tracer)
}

/// At its end after KILL, where its tracer wants to see it and never looks.
pub(crate) fn at_exit(bed: &mut Bed) -> Made {
    let (pid, tracer) = pair(bed, |pid| raw::ptrace(libc::PTRACE_SEIZE, pid, libc::PTRACE_O_TRACEEXIT))?;
    bed.signal(pid, Signal::KILL)?;
    bed.until("one that is held at its end", || seen::state(pid) == Some('t'))?;
    told(bed, pid, tracer)
}

fn pair(bed: &mut Bed, hold: impl FnOnce(u32) -> io::Result<()>) -> Made<(u32, u32)> {
    let pid = bed.start(c"stuck-tracee", || {
        raw::let_trace();
        raw::pause()
    })?;
    bed.until_in(pid, "S", &["pause"])?;
    let (done, mut tell) = io::pipe()?;
    let tracer = bed.start(c"stuck-tracer", move || {
        hold(pid)?;
        tell.write_all(&pid.to_ne_bytes())?;
        raw::pause()
    })?;
    heard(done)?;
    Ok((pid, tracer))
}

fn told(bed: &mut Bed, pid: u32, tracer: u32) -> Made {
    bed.say("pid", pid);
    bed.say("tracer", tracer);
    bed.say("frees", "end-tracer");
    Ok(())
}
