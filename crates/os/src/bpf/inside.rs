//! What every thread of the machine waits in, by a BPF iterator: its raw state, the lock of the kernel that it waits for,
//! and who has that.
//!
//! The kernel notes the lock in `task_struct.blocker` (Linux 6.16, `CONFIG_DETECT_HUNG_TASK_BLOCKER`; include/linux/hung_task.h):
//! its address, with its kind in the lowest two bits. A lock notes its owner by the address of the task. That address is
//! only compared with those of the tasks that the same look has met, so that one of a task that is gone is nobody's.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::io::Errno;

use super::btf::{self, Btf};
use super::program::{DW, Instruction, Register, SEQ_WRITE, W, Writer, offset};
use super::{call, long, may_ask, number, run};
use crate::proc::Proc;
use crate::stuck::inside::{Blocker, Inside, Lock};

// Where the fields of a record stand.
const TASK: i16 = 0;
const OWNER: i16 = 8;
const BLOCKER: i16 = 16;
const TID: i16 = 24;
const TGID: i16 = 28;
const STATE: i16 = 32;
const RECORD: i16 = 40;

/// include/uapi/linux/bpf.h
const PROBE_READ_KERNEL: i32 = 113;

/// Flags in the lowest bits of an owner: `MUTEX_FLAGS` (kernel/locking/mutex.h), `RWSEM_OWNER_FLAGS_MASK`
/// (kernel/locking/rwsem.c).
const OWNER_FLAGS: u64 = 7;

/// `RWSEM_READER_OWNED`: who is noted was one of the readers, and need not be any more.
const READERS: u64 = 1;

/// The iterator, loaded.
#[derive(Debug)]
pub(crate) struct Insides {
    link: OwnedFd,
}

impl Insides {
    /// `None` where the kernel does not let us, or cannot.
    pub(crate) fn open(proc: &Proc) -> Option<Self> {
        if !may_ask(proc) {
            return None;
        }
        Self::load(None).ok().flatten()
    }

    pub(super) fn load(log: Option<&mut [u8]>) -> Result<Option<Self>, Errno> {
        let Some(btf) = Btf::read(Path::new(btf::VMLINUX)) else { return Ok(None) };
        let Some(function) = btf.function("bpf_iter_task") else { return Ok(None) };
        let Some(program) = program(&btf) else { return Ok(None) };
        Ok(Some(Self { link: call::link(&call::load(&program, function, 0, log)?)? }))
    }

    /// The threads of one process; `None` when the kernel does not tell. Nobody has no threads.
    pub(crate) fn of(&self, pid: u32) -> Option<Vec<Inside>> {
        let mut buf = Vec::new();
        run(&self.link, &mut buf).ok()?;
        let records: Vec<&[u8]> = buf.chunks_exact(RECORD as usize).collect();
        let whose = |address: u64| records.iter().find(|record| long(record, TASK) == address);
        let mine = records.iter().filter(|record| number(record, TGID) == pid);
        Some(mine.map(|record| inside(record, |address| whose(address).map(|task| number(task, TID)))).collect())
    }
}

/// Understands a record; `whose` is the thread at an address.
pub(super) fn inside(record: &[u8], whose: impl Fn(u64) -> Option<u32>) -> Inside {
    let (blocker, owner) = (long(record, BLOCKER), long(record, OWNER));
    let lock = match blocker & 3 {
        0 => Lock::Mutex,
        1 => Lock::Semaphore,
        _ => Lock::RwSemaphore,
    };
    let read = lock == Lock::RwSemaphore && owner & READERS != 0;
    let owner = owner & !OWNER_FLAGS;
    Inside {
        tid: number(record, TID),
        raw_state: number(record, STATE),
        blocker: (blocker != 0).then(|| Blocker { lock, owner_tid: whose(owner).filter(|_| owner != 0 && !read) }),
    }
}

/// The program for the kernel with these structures. `None` when it is built differently.
fn program(btf: &Btf) -> Option<Vec<Instruction>> {
    let [pid, tgid, state] = btf.members("task_struct", ["pid", "tgid", "__state"])?.map(offset);
    let blocker = btf.members("task_struct", ["blocker"]).map(|[blocker]| blocker.offset);
    // What a kernel does not note is nobody.
    let owner = |lock, name| btf.members(lock, [name]).map(|[member]| i32::from(member.offset));
    let owners = [owner("mutex", "owner"), owner("semaphore", "last_holder"), owner("rw_semaphore", "owner")];

    const CONTEXT: Register = 6;
    const THREAD: Register = 7;
    const HELD: Register = 8;
    const STACK: Register = 10;
    let at = |field: i16| field - RECORD;

    let mut w = Writer::default();
    w.copy(CONTEXT, 1);
    w.load(DW, THREAD, CONTEXT, 8);
    let to_end = vec![w.code.len()];
    w.push(0x15, THREAD, 0, 0, 0);
    w.store(DW, STACK, at(TASK), THREAD);
    w.store_number(DW, STACK, at(OWNER), 0);
    w.store_number(DW, STACK, at(BLOCKER), 0);
    w.store_number(DW, STACK, at(STATE), 0);
    for (field, member) in [(TID, pid), (TGID, tgid), (STATE, state)] {
        w.load(W, 1, THREAD, member);
        w.store(W, STACK, at(field), 1);
    }
    let mut to_write = Vec::new();
    if let Some(blocker) = blocker {
        w.load(DW, HELD, THREAD, blocker);
        w.store(DW, STACK, at(BLOCKER), HELD);
        to_write.push(w.code.len());
        w.push(0x15, HELD, 0, 0, 0);
        // Where the owner stands in a lock of this kind: `HELD & 3`.
        w.copy(1, HELD);
        w.push(0x57, 1, 0, 0, 3);
        let mut to_read = Vec::new();
        for (jump, kind, owner) in [(0x25, 1, owners[2]), (0x15, 1, owners[1]), (0x15, 0, owners[0])] {
            w.set(2, owner.unwrap_or(-1));
            to_read.push(w.code.len());
            w.push(jump, 1, 0, 0, kind);
        }
        w.land(to_read);
        // None: `2 == -1`
        to_write.push(w.code.len());
        w.push(0x15, 2, 0, 0, -1);
        w.copy(3, HELD);
        // `3 = (3 & ~3) + 2`
        w.push(0x57, 3, 0, 0, !3);
        w.push(0x0f, 3, 2, 0, 0);
        w.copy(1, STACK);
        w.add(1, at(OWNER).into());
        w.set(2, 8);
        w.call(PROBE_READ_KERNEL);
    }
    w.land(to_write);
    w.load(DW, 1, CONTEXT, 0);
    // `struct bpf_iter_meta` begins with the file that is read.
    w.load(DW, 1, 1, 0);
    w.copy(2, STACK);
    w.add(2, at(TASK).into());
    w.set(3, RECORD.into());
    w.call(SEQ_WRITE);
    w.land(to_end);
    w.set(0, 0);
    w.push(0x95, 0, 0, 0, 0);
    Some(w.code)
}
