//! Processes at their end, or without the part that people look at.

use std::io::{self, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use crate::bed::{Bed, Made, heard, spawn};
use crate::{raw, seen};

/// A child has ended, and its parent never asks how.
pub(crate) fn zombie(bed: &mut Bed) -> Made {
    let (number, mut tell) = io::pipe()?;
    let parent = bed.start(c"stuck-parent", move || {
        let child = spawn(c"stuck-zombie", || raw::quit(3))?;
        tell.write_all(&child.to_ne_bytes())?;
        raw::pause()
    })?;
    let child = heard(number)?;
    bed.until("a zombie", || seen::state(child) == Some('Z'))?;
    bed.say("pid", child);
    bed.say("parent", parent);
    bed.say("frees", "end-parent");
    Ok(())
}

/// The main thread has ended; another one holds a port.
pub(crate) fn leader_exited(bed: &mut Bed) -> Made {
    let (number, mut tell) = io::pipe()?;
    let pid = bed.start(c"stuck-leader", move || {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        tell.write_all(&u32::from(listener.local_addr()?.port()).to_ne_bytes())?;
        std::thread::spawn(move || {
            let _kept = listener;
            raw::pause()
        });
        raw::end_thread()
    })?;
    let port = heard(number)?;
    bed.until("a main thread that has ended", || seen::state(pid) == Some('Z'))?;
    bed.say("pid", pid);
    bed.say("tcp", port);
    bed.say("frees", "end");
    Ok(())
}

/// The first process of a PID namespace, without a handler for TERM.
pub(crate) fn namespace_init(bed: &mut Bed) -> Made {
    let (number, mut tell) = io::pipe()?;
    let parent = bed.start(c"stuck-outside", move || {
        // Ordinary users may have one inside of a user namespace of their own.
        if raw::unshare(libc::CLONE_NEWPID).is_err() {
            raw::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWPID)?;
        }
        let init = spawn(c"stuck-init", || raw::pause())?;
        tell.write_all(&init.to_ne_bytes())?;
        // Reaped as anybody's child.
        let _ = rustix::process::waitpid(
            rustix::process::Pid::from_raw(init.cast_signed()),
            rustix::process::WaitOptions::empty(),
        );
        raw::pause()
    })?;
    let init = heard(number).map_err(|_| no_namespaces())?;
    bed.undo("process", init.to_string())?;
    bed.until_in(init, "S", &["pause"])?;
    bed.say("pid", init);
    bed.say("parent", parent);
    bed.say("frees", "kill");
    Ok(())
}

fn no_namespaces() -> crate::bed::Failure {
    crate::bed::Failure::Impossible("this user may have no PID namespace".to_owned())
}

/// The parent of a vfork(2), whose child never executes a program.
pub(crate) fn vfork(bed: &mut Bed) -> Made {
    let parent = bed.start(c"stuck-vfork", || {
        raw::vfork();
        raw::pause()
    })?;
    bed.until("a parent of a vfork", || seen::state(parent) == Some('D') && seen::children(parent).len() == 1)?;
    let child = seen::children(parent)[0];
    bed.undo("process", child.to_string())?;
    bed.say("pid", parent);
    bed.say("child", child);
    bed.say("frees", "end");
    Ok(())
}

/// A grandchild in a session of its own, whose parent is gone: PID 1 has it, and no terminal reaches it.
pub(crate) fn daemon(bed: &mut Bed) -> Made {
    let (number, mut tell) = io::pipe()?;
    let between = bed.start(c"stuck-between", move || {
        rustix::process::setsid()?;
        if let Some(grandchild) = raw::fork()? {
            tell.write_all(&grandchild.to_ne_bytes())?;
            // Not before it is known who will end the grandchild.
            raw::pause();
        }
        raw::rename(c"stuck-daemon");
        raw::pause()
    })?;
    let grandchild = heard(number)?;
    bed.undo("process", grandchild.to_string())?;
    bed.end(between)?;
    bed.until("an orphan", || seen::field(grandchild, 4).is_some_and(|parent| parent != between.to_string()))?;
    bed.until_in(grandchild, "S", &["pause"])?;
    bed.say("pid", grandchild);
    bed.say("frees", "end");
    Ok(())
}
