//! Processes that wait for another one: for room in a pipe, for a lock, for a page of memory.

use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Write as _};
use std::os::fd::AsFd as _;

use rustix::fs::{FlockOperation, flock};

use crate::bed::{Bed, Failure, Made, heard};
use crate::{raw, seen};

/// As little as a pipe can hold.
const PAGE: usize = 4096;

/// Its standard output is a pipe that is full, and whose reader does not read.
pub(crate) fn pipe_full(bed: &mut Bed) -> Made {
    let (read, write): (PipeReader, PipeWriter) = io::pipe()?;
    rustix::pipe::fcntl_setpipe_size(&write, PAGE)?;
    let copy = read.try_clone()?;
    let reader = bed.start_unlike(c"stuck-reader", &[write.as_fd()], move || {
        let _kept = copy;
        raw::pause()
    })?;
    let writer = bed.start_unlike(c"stuck-writer", &[read.as_fd()], move || {
        rustix::stdio::dup2_stdout(&write)?;
        drop(write);
        // The first one fills it.
        for _ in 0..2 {
            rustix::io::write(rustix::stdio::stdout(), &[b'x'; PAGE])?;
        }
        raw::pause()
    })?;
    drop(read);
    bed.until_in(writer, "S", &["pipe_write"])?;
    bed.say("pid", writer);
    bed.say("reader", reader);
    bed.say("frees", "drain");
    Ok(())
}

/// Waits for a lock of flock(2).
pub(crate) fn with_flock(bed: &mut Bed) -> Made {
    locked(bed, |file| Ok(flock(file, FlockOperation::LockExclusive)?))
}

/// Waits for a lock of fcntl(2) that belongs to a process.
pub(crate) fn with_posix(bed: &mut Bed) -> Made {
    locked(bed, |file| raw::lock_whole(file.as_fd(), libc::F_SETLKW))
}

/// Waits for a lock of fcntl(2) that belongs to an open file.
pub(crate) fn with_ofd(bed: &mut Bed) -> Made {
    locked(bed, |file| raw::lock_whole(file.as_fd(), libc::F_OFD_SETLKW))
}

fn locked(bed: &mut Bed, lock: fn(&File) -> io::Result<()>) -> Made {
    let path = bed.folder()?.join("lock");
    File::create(&path)?;
    let open = |path: &std::path::Path| File::options().read(true).write(true).open(path);
    let (done, mut tell) = io::pipe()?;
    let of_holder = path.clone();
    let holder = bed.start(c"stuck-holder", move || {
        let file = open(&of_holder)?;
        lock(&file)?;
        tell.write_all(&0_u32.to_ne_bytes())?;
        let _kept = file;
        raw::pause()
    })?;
    heard(done)?;
    let of_waiter = path.clone();
    let waiter = bed.start(c"stuck-waiter", move || {
        let file = open(&of_waiter)?;
        lock(&file)?;
        // Its turn has come.
        raw::pause()
    })?;
    bed.until_in(waiter, "S", &["lock", "fcntl_setlk"])?;
    bed.say("pid", waiter);
    bed.say("holder", holder);
    bed.say("file", path.display());
    bed.say("frees", "end-holder");
    Ok(())
}

/// Touches a page that somebody else was to supply.
pub(crate) fn userfault(bed: &mut Bed) -> Made {
    const PAGES: usize = 16 * 4096;
    match raw::userfaultfd() {
        Ok(_) => {}
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EPERM)) => {
            return Err(Failure::Impossible(format!("userfaultfd: {error}")));
        }
        Err(error) => return Err(error.into()),
    }
    let (number, mut tell) = io::pipe()?;
    let pid = bed.start(c"stuck-fault", move || {
        let faults = raw::userfaultfd()?;
        let memory = raw::memory(PAGES)?;
        // `struct uffdio_api`, and `struct uffdio_register` for pages that are missing: ioctl_userfaultfd(2)
        let mut api = [0; 24];
        api[0] = 0xaa;
        raw::ioctl_bytes(faults.as_fd(), 0xc018_aa3f, &mut api)?;
        let mut register = [0; 32];
        register[..8].copy_from_slice(&(memory.as_ptr().addr() as u64).to_ne_bytes());
        register[8..16].copy_from_slice(&(PAGES as u64).to_ne_bytes());
        register[16] = 1;
        raw::ioctl_bytes(faults.as_fd(), 0xc020_aa00, &mut register)?;
        let supplier = crate::bed::spawn(c"stuck-supplier", move || {
            let _kept = faults;
            raw::pause()
        })?;
        tell.write_all(&supplier.to_ne_bytes())?;
        memory[0] = 1;
        // It was supplied, or whoever was to do it is gone.
        raw::pause()
    })?;
    let supplier = heard(number)?;
    bed.undo("process", supplier.to_string())?;
    bed.until_in(pid, "SD", &["userfault"])?;
    bed.until("a supplier", || seen::state(supplier) == Some('S'))?;
    bed.say("pid", pid);
    bed.say("supplier", supplier);
    bed.say("frees", "end");
    Ok(())
}
