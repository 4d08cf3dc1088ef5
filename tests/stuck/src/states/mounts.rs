//! Processes that wait for somebody's permission to open a file, or for somebody to mount something.

use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::path::Path;

use crate::bed::{Bed, Failure, Made, heard, needs_root};
use crate::{raw, seen};

/// Opens a file that a listener of fanotify(7) is asked about, and never answers for. The mark is on that one file.
pub(crate) fn fanotify(bed: &mut Bed) -> Made {
    needs_root("listen for permissions")?;
    let path = bed.folder()?.join("watched");
    File::create(&path)?;
    let group = match raw::fanotify() {
        Ok(group) => group,
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => {
            return Err(Failure::Impossible("the kernel has no fanotify with permissions".to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let (done, mut tell) = io::pipe()?;
    let watched = path.clone();
    let listener = bed.start(c"stuck-listener", move || {
        raw::ask_for_opens(group.as_fd(), &watched)?;
        tell.write_all(&0_u32.to_ne_bytes())?;
        let _kept = group;
        raw::pause()
    })?;
    heard(done)?;
    let watched = path.clone();
    let pid = bed.start(c"stuck-opener", move || {
        let _kept = File::open(watched)?;
        // It was permitted, or whoever was to do that is gone.
        raw::pause()
    })?;
    bed.until_in(pid, "DS", &["fanotify"])?;
    bed.say("pid", pid);
    bed.say("listener", listener);
    bed.say("file", path.display());
    bed.say("frees", "end-listener");
    Ok(())
}

/// Looks for something that an automounter is to mount, and never does.
pub(crate) fn autofs(bed: &mut Bed) -> Made {
    needs_root("mount")?;
    let kinds = std::fs::read_to_string("/proc/filesystems")?;
    if !kinds.lines().any(|line| line.ends_with("\tautofs")) {
        return Err(Failure::Impossible("the kernel has no autofs".to_owned()));
    }
    let point = bed.mount_point("auto")?;
    let (read, write) = io::pipe()?;
    let (done, mut tell) = io::pipe()?;
    let at = point.clone();
    let daemon = bed.start(c"stuck-automount", move || {
        // What its own group looks for is not asked of it.
        raw::own_group()?;
        let group = std::process::id();
        let options = format!("fd={},pgrp={group},minproto=5,maxproto=5,indirect", write.as_raw_fd());
        raw::mount(Path::new("vigie-stuck"), &at, c"autofs", &options)?;
        drop(write);
        tell.write_all(&0_u32.to_ne_bytes())?;
        let _kept = read;
        raw::pause()
    })?;
    heard(done)?;
    let name = point.join("missing/file");
    let pid = bed.start(c"stuck-lookup", move || {
        let _ = File::open(name);
        raw::pause()
    })?;
    bed.until_in(pid, "DS", &["autofs"])?;
    bed.until("a daemon", || seen::state(daemon) == Some('S'))?;
    bed.say("pid", pid);
    bed.say("daemon", daemon);
    bed.say("mount", point.display());
    bed.say("frees", "end");
    Ok(())
}
