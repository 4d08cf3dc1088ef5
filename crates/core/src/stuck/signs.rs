//! What the functions of the kernel tell that a thread sleeps in. Their names differ between versions; the table has all
//! that are known, with the reason for each.

/// What a function tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    Vfork,
    Pipe,
    Lock,
    Fuse,
    Nfs,
    FrozenFilesystem,
    Block,
    Fanotify,
    Autofs,
    Userfault,
    /// A page or a block of some file system: which kind, only the mount tells.
    Page,
    /// The reading side of a per-CPU lock. Writers to a frozen file system sleep here, and few others.
    Gate,
}

/// What wakes a thread there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    /// A signal that ends it.
    Kill,
    /// No signal.
    Nothing,
    /// It depends on what the function was called for.
    Untold,
    /// A FUSE request: a signal that ends it wakes it as long as the server has not read the request. After that, it
    /// waits for the answer, whatever comes (`request_wait_answer`, fs/fuse/dev.c).
    Unread,
}

/// One row.
#[derive(Debug)]
pub(super) struct Row {
    /// Its name, or how it begins when it ends with `*`.
    pub(super) function: &'static str,
    pub(super) sign: Sign,
    pub(super) wake: Wake,
    /// Only as the function that sleeps: on the way to somewhere else it means nothing.
    innermost: bool,
    /// Only in state `D`: in state `S` it is the idle wait of somebody else.
    deep: bool,
    /// Where that stands in the source of the kernel, and what it is.
    pub(super) why: &'static str,
}

const fn row(function: &'static str, sign: Sign, wake: Wake, why: &'static str) -> Row {
    Row { function, sign, wake, innermost: false, deep: false, why }
}

const fn innermost(function: &'static str, sign: Sign, wake: Wake, why: &'static str) -> Row {
    Row { innermost: true, deep: true, ..row(function, sign, wake, why) }
}

const fn deep(function: &'static str, sign: Sign, wake: Wake, why: &'static str) -> Row {
    Row { deep: true, ..row(function, sign, wake, why) }
}

/// The first row that fits a function counts; so exact names stand before what begins like them.
pub(super) const TABLE: &[Row] = &[
    row("wait_for_vfork_done", Sign::Vfork, Wake::Kill, "kernel/fork.c: wait_for_completion_state, killable"),
    innermost("kernel_clone", Sign::Vfork, Wake::Kill, "wait_for_vfork_done inlined (5.10 and later)"),
    innermost("_do_fork", Sign::Vfork, Wake::Kill, "its name before 5.10"),
    innermost("do_fork", Sign::Vfork, Wake::Kill, "its name before 4.2"),
    row("anon_pipe_write", Sign::Pipe, Wake::Kill, "fs/pipe.c: waits for room (6.15 and later)"),
    row("pipe_write", Sign::Pipe, Wake::Kill, "its name before 6.15; fifos still"),
    row("pipe_wait_writable", Sign::Pipe, Wake::Kill, "splice(2) and tee(2) into a full pipe"),
    row("locks_lock_inode_wait", Sign::Lock, Wake::Kill, "fs/locks.c: flock(2)"),
    row("flock_lock_inode_wait", Sign::Lock, Wake::Kill, "flock(2) where the other is not inlined"),
    row("posix_lock_inode_wait", Sign::Lock, Wake::Kill, "lockf of network file systems"),
    row("fcntl_setlk", Sign::Lock, Wake::Kill, "fcntl(2) F_SETLKW"),
    row("fcntl_setlk64", Sign::Lock, Wake::Kill, "the same on 32 bits"),
    row("do_lock_file_wait", Sign::Lock, Wake::Kill, "fcntl(2) F_SETLKW where it is not inlined"),
    row("__break_lease", Sign::Lock, Wake::Kill, "waits for the holder of a lease, fcntl(2) F_SETLEASE"),
    row("request_wait_answer", Sign::Fuse, Wake::Unread, "fs/fuse/dev.c: waits for the answer of the server"),
    row("__fuse_simple_request", Sign::Fuse, Wake::Unread, "request_wait_answer inlined"),
    row("fuse_dev_do_read", Sign::Fuse, Wake::Kill, "a server without work; never taken, see `row_of`"),
    deep("fuse_lock_inode", Sign::Fuse, Wake::Nothing, "a mutex behind one that waits for an answer"),
    deep("fuse_*", Sign::Fuse, Wake::Untold, "fs/fuse: waits below a call of it"),
    row("nfs_wait_bit_killable", Sign::Nfs, Wake::Kill, "fs/nfs/inode.c"),
    row("rpc_wait_bit_killable", Sign::Nfs, Wake::Kill, "net/sunrpc/sched.c: waits for the answer of the server"),
    deep("nfs_*", Sign::Nfs, Wake::Untold, "fs/nfs: waits below a call of it"),
    deep("nfs3_*", Sign::Nfs, Wake::Untold, "the same"),
    deep("nfs4_*", Sign::Nfs, Wake::Untold, "the same"),
    deep("__sb_start_write", Sign::FrozenFilesystem, Wake::Nothing, "fs/super.c: waits until it is thawed"),
    deep("sb_start_write", Sign::FrozenFilesystem, Wake::Nothing, "include/linux/fs.h, where it is not inlined"),
    deep("sb_start_pagefault", Sign::FrozenFilesystem, Wake::Nothing, "a write to mapped memory of a file"),
    deep("mnt_want_write*", Sign::FrozenFilesystem, Wake::Nothing, "fs/namespace.c: sb_start_write inlined"),
    deep("mnt_get_write_access*", Sign::FrozenFilesystem, Wake::Nothing, "its name since 6.8"),
    deep("file_start_write", Sign::FrozenFilesystem, Wake::Nothing, "the same for an open file"),
    deep("fanotify_handle_event", Sign::Fanotify, Wake::Kill, "waits for the permission; killable since 5.0"),
    deep("fanotify_get_response", Sign::Fanotify, Wake::Kill, "the same where it is not inlined"),
    row("autofs_wait", Sign::Autofs, Wake::Kill, "fs/autofs/waitq.c: wait_event_killable"),
    row("autofs4_wait", Sign::Autofs, Wake::Kill, "its name before 4.18"),
    row("handle_userfault", Sign::Userfault, Wake::Kill, "fs/userfaultfd.c: every signal wakes a fault of user mode"),
    deep("submit_bio_wait", Sign::Block, Wake::Nothing, "block/bio.c: waits for one request"),
    deep("blkdev_issue_*", Sign::Block, Wake::Nothing, "block: flush, discard, zeroes"),
    deep("blk_*", Sign::Block, Wake::Nothing, "block: waits for a request or a place in the queue"),
    deep("__blkdev_direct_IO*", Sign::Block, Wake::Nothing, "block/fops.c: O_DIRECT"),
    deep("__iomap_dio_rw", Sign::Block, Wake::Nothing, "fs/iomap: O_DIRECT"),
    deep("rq_qos_wait", Sign::Block, Wake::Nothing, "block: held back until others are done"),
    deep("wait_on_buffer", Sign::Block, Wake::Nothing, "fs/buffer.c"),
    deep("__wait_on_buffer", Sign::Block, Wake::Nothing, "fs/buffer.c"),
    deep("jbd2_*", Sign::Block, Wake::Nothing, "fs/jbd2: the journal of ext4 waits for its device"),
    deep("xfs_buf_*", Sign::Block, Wake::Nothing, "fs/xfs"),
    deep("xlog_*", Sign::Block, Wake::Nothing, "fs/xfs: the journal"),
    deep("folio_wait_writeback", Sign::Page, Wake::Nothing, "mm/page-writeback.c"),
    deep("folio_wait_writeback_killable", Sign::Page, Wake::Kill, "mm/page-writeback.c"),
    deep("filemap_update_page", Sign::Page, Wake::Kill, "mm/filemap.c: read(2) of a page that is being fetched"),
    deep("folio_wait_bit*", Sign::Page, Wake::Untold, "mm/filemap.c"),
    deep("wait_on_page_bit*", Sign::Page, Wake::Untold, "its name before 5.16"),
    deep("__folio_lock*", Sign::Page, Wake::Untold, "mm/filemap.c"),
    deep("bit_wait_io*", Sign::Page, Wake::Untold, "kernel/sched/wait_bit.c"),
    deep("io_schedule*", Sign::Page, Wake::Untold, "kernel/sched/core.c: whoever waits for input or output"),
    deep("percpu_rwsem_wait", Sign::Gate, Wake::Nothing, "kernel/locking/percpu-rwsem.c: uninterruptible"),
    deep("__percpu_down_read", Sign::Gate, Wake::Nothing, "the same"),
];

/// The functions of the scheduler, and of waiting as such: what called them is where a thread sleeps. As the kernel leaves
/// them out of `wchan` (`__sched`).
const SCHEDULER: &[&str] = &[
    "__schedule",
    "schedule",
    "schedule_timeout",
    "schedule_preempt_disabled",
    "__wait_for_common",
    "wait_for_common",
    "wait_for_completion*",
    "__mutex_lock*",
    "mutex_lock*",
    "rwsem_*",
    "down_read*",
    "down_write*",
    "__down*",
    "out_of_line_wait_on_bit*",
    "__wait_on_bit*",
];

/// Where a frozen thread of cgroup v2 sleeps (`do_freezer_trap`, kernel/signal.c, mostly inlined).
const TRAPS: &[&str] = &["do_freezer_trap", "get_signal", "cgroup_enter_frozen"];

/// Whether `name` is meant by `pattern`.
fn is(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => name.starts_with(beginning),
        None => name == pattern,
    }
}

/// The row of a function. `first`: it is the one that sleeps. `state`: the letter.
pub(super) fn row_of(name: &str, first: bool, state: char) -> Option<&'static Row> {
    // What the compiler has split off: `fuse_lock_inode.part.0`.
    let name = name.split('.').next().unwrap_or(name);
    let row = TABLE.iter().find(|row| is(row.function, name))?;
    // A server that waits for requests has no call of the file system below it, but it has that name.
    let taken = row.function != "fuse_dev_do_read" && (!row.deep || state == 'D') && (!row.innermost || first);
    taken.then_some(row)
}

/// Whether this function only waits for others.
pub(super) fn is_scheduler(name: &str) -> bool {
    SCHEDULER.iter().any(|pattern| is(pattern, name))
}

/// Whether a frozen thread of cgroup v2 may sleep here.
pub(super) fn is_trap(name: &str) -> bool {
    TRAPS.contains(&name)
}

/// Whether a thread with this function on its stack is on the way out.
pub(super) fn is_exit(name: &str) -> bool {
    matches!(
        name,
        "do_exit" | "do_group_exit" | "coredump_wait" | "coredump_task_exit" | "do_coredump" | "vfs_coredump"
    )
}

/// Whether it waits so that a signal that ends it wakes it, as its name says.
pub(super) fn is_killable(name: &str) -> bool {
    name.ends_with("_killable")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_can_be_reached_and_has_its_reason() {
        for (place, row) in TABLE.iter().enumerate() {
            let name = row.function.trim_end_matches('*');
            let first = TABLE.iter().position(|other| is(other.function, name));
            assert_eq!(first, Some(place), "{} is hidden behind another", row.function);
            assert!(!row.why.is_empty(), "{}", row.function);
        }
    }

    #[test]
    fn which_row() {
        for (name, first, state, wanted) in [
            ("request_wait_answer", true, 'S', Some(Sign::Fuse)),
            ("fuse_lock_inode.part.0", true, 'D', Some(Sign::Fuse)),
            ("fuse_file_read_iter", false, 'D', Some(Sign::Fuse)),
            // A server that waits for work.
            ("fuse_dev_do_read", true, 'S', None),
            ("fuse_dev_do_read", true, 'D', None),
            ("fuse_file_read_iter", false, 'S', None),
            // The listener itself.
            ("fanotify_read", true, 'S', None),
            ("kernel_clone", true, 'D', Some(Sign::Vfork)),
            // Any fork that waits for memory.
            ("kernel_clone", false, 'D', None),
            ("nfsd_dispatch", true, 'D', None),
            ("pipe_read", true, 'S', None),
            ("mnt_want_write_file", true, 'D', Some(Sign::FrozenFilesystem)),
        ] {
            assert_eq!(row_of(name, first, state).map(|row| row.sign), wanted, "{name} {first} {state}");
        }
    }
}
