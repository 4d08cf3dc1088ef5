//! All processes by one file of the kernel: a BPF iterator over its tasks. Only for root, and only where the kernel is
//! built for it (5.18, BTF, x86-64 or another 64-bit machine); [`crate::scan`] does without it wherever it is missing.
//!
//! # Theory of operation
//!
//! A small program ([`program`]) runs in the kernel for every task while a file is read, and writes a record for each
//! process: what `stat` says of it, and its arguments, without a path to look up, a file to open and a text to make and
//! to read again. It is put together here, since it is a hundred instructions and the kernel itself tells where its
//! structures have which member ([`btf`]): so nobody needs a compiler for BPF, and nothing is loaded that was built for
//! another kernel. The kernel checks every instruction before it takes the program.
//!
//! **The results are those of `/proc`.** Whatever is not surely the same is left to it, process by process
//! ([`is_sure`]): arguments longer than [`program::ARGUMENTS`], those that were written over so that
//! `/proc` shows what follows them, memory that could not be copied, an `exec` in between, and threads of the kernel,
//! whose names are made up by `/proc`. Numbers of processes and users are those of the first namespaces, so whoever is in
//! others is refused ([`Tasks::open`]).
//!
//! A second, smaller one ([`inside`]) tells what `/proc` does not: in which state a thread really waits, and for whom.

mod btf;
mod call;
mod inside;
mod program;

use std::ops::Range;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::buffer::spare_capacity;
use rustix::io::Errno;
use vigie_core::text::OsText;

use crate::error::OsError;
use crate::proc::stat::KERNEL_THREAD;
use crate::proc::{Proc, text};
use crate::scan::{ARGUMENTS, Process};
use btf::Btf;
pub(crate) use inside::Insides;
use program::{HEAD, RECORD};

/// How much is asked for in one read; the kernel gives 32 KiB at most.
const CHUNK: usize = 64 * 1024;

/// The first namespaces of a boot: `enum` of include/linux/proc_ns.h.
const FIRST: [(&str, &str); 3] =
    [("ns/pid", "pid:[4026531836]"), ("ns/user", "user:[4026531837]"), ("ns/time", "time:[4026531834]")];

/// `EXIT_DEAD` and `EXIT_ZOMBIE` of include/linux/sched.h.
const DEAD: u32 = 0x10;
const ZOMBIE: u32 = 0x20;

/// The iterator, loaded.
#[derive(Debug)]
pub(crate) struct Tasks {
    link: OwnedFd,
    /// What was read last: one record after the other, and where those are that tell the whole truth of a process, by
    /// number.
    buf: Vec<u8>,
    records: Vec<Record>,
}

#[derive(Debug)]
struct Record {
    pid: u32,
    place: Range<usize>,
}

impl Tasks {
    /// `None` where the kernel does not let us, or cannot.
    pub(crate) fn open(proc: &Proc) -> Option<Self> {
        if !may_ask(proc) {
            return None;
        }
        Self::load(None).ok().flatten()
    }

    fn load(log: Option<&mut [u8]>) -> Result<Option<Self>, Errno> {
        let Some(btf) = Btf::read(Path::new(btf::VMLINUX)) else { return Ok(None) };
        let Some(function) = btf.function("bpf_iter_task") else { return Ok(None) };
        let array = call::array(RECORD)?;
        let map = std::os::fd::AsRawFd::as_raw_fd(&array);
        let Some(program) = program::program(&btf, map) else { return Ok(None) };
        // The link keeps the program, which keeps the array.
        let link = call::link(&call::load(&program, function, call::SLEEPABLE, log)?)?;
        Ok(Some(Self { link, buf: Vec::new(), records: Vec::new() }))
    }

    /// Asks the kernel for all processes.
    ///
    /// # Errors
    /// What the kernel says, and when what it writes are no records.
    pub(crate) fn read(&mut self) -> Result<(), OsError> {
        let failed = |errno: Errno| OsError::new("read", "the kernel's tasks", errno);
        self.forget();
        self.buf.clear();
        run(&self.link, &mut self.buf).map_err(failed)?;
        let mut start = 0;
        while let Some(rest) = self.buf.get(start..).filter(|rest| !rest.is_empty()) {
            let length = number(rest, program::LENGTH) as usize;
            let whole = rest.get(..HEAD + length).filter(|_| length <= program::ARGUMENTS);
            let whole = whole.ok_or_else(|| failed(Errno::PROTO))?;
            let place = start..start + whole.len();
            start = place.end;
            if is_sure(whole) {
                self.records.push(Record { pid: number(whole, program::PID), place });
            }
        }
        self.records.sort_unstable_by_key(|record| record.pid);
        Ok(())
    }

    /// What was told of a process. `None`: `/proc` is to be asked.
    pub(crate) fn process(&self, proc: &Proc, pid: u32) -> Option<Process> {
        self.find(pid).map(|record| process(proc, record))
    }

    /// What was told is old from now on.
    pub(crate) fn forget(&mut self) {
        self.records.clear();
    }

    fn find(&self, pid: u32) -> Option<&[u8]> {
        let place = self.records.binary_search_by_key(&pid, |record| record.pid).ok()?;
        self.buf.get(self.records[place].place.clone())
    }
}

/// Whether this is root, and the numbers that the kernel tells are those that are used here.
fn may_ask(proc: &Proc) -> bool {
    let first = |(file, wanted): (&str, &str)| {
        proc.link(std::process::id(), file).ok().flatten().is_some_and(|link| link == Path::new(wanted))
    };
    rustix::process::geteuid().is_root() && FIRST.into_iter().all(first)
}

/// Runs an iterator once, and appends what it writes.
fn run(link: &OwnedFd, buf: &mut Vec<u8>) -> Result<(), Errno> {
    let file = call::iterate(link)?;
    loop {
        buf.reserve(CHUNK);
        match rustix::io::read(&file, spare_capacity(buf)) {
            Ok(0) => return Ok(()),
            // It has worked for long without anything to say (bpf_seq_read).
            Ok(_) | Err(Errno::INTR | Errno::AGAIN) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// Whether a record says the same as `/proc` does.
fn is_sure(record: &[u8]) -> bool {
    let arguments = record.get(HEAD..).unwrap_or_default();
    // `/proc` goes on behind arguments that do not end with NUL (get_mm_cmdline in fs/proc/base.c).
    let whole = long(record, program::WANTED) == arguments.len() as u64 && arguments.last() == Some(&0);
    let kernel = number(record, program::FLAGS) & KERNEL_THREAD != 0;
    !kernel && number(record, program::TORN) == 0 && (whole || is_zombie(record))
}

/// As [`crate::proc::stat::Stat::is_zombie`].
fn is_zombie(record: &[u8]) -> bool {
    let ended = number(record, program::EXIT_STATE);
    ended & DEAD != 0 || ended & ZOMBIE != 0 && number(record, program::THREADS) <= 1
}

fn process(proc: &Proc, record: &[u8]) -> Process {
    let field = |at| number(record, at);
    let zombie = is_zombie(record);
    let nanos_per_tick = 1_000_000_000 / rustix::param::clock_ticks_per_second().max(1);
    let name = record.get(program::NAME as usize..HEAD).unwrap_or_default();
    let name = &name[..name.iter().position(|&byte| byte == 0).unwrap_or(name.len())];
    let mut argv = text::arguments(record.get(HEAD..).filter(|_| !zombie).unwrap_or_default());
    Process {
        key: proc.key_of(field(program::PID), long(record, program::START) / nanos_per_tick),
        parent: field(program::PARENT),
        session: field(program::SESSION),
        tty: terminal(field(program::TTY_MAJOR), field(program::TTY_MINOR).wrapping_add(field(program::TTY_INDEX))),
        uid: field(program::UID),
        name: OsText(name.to_vec()),
        argv: argv.by_ref().take(ARGUMENTS).map(|argument| OsText(argument.to_vec())).collect(),
        cut: argv.next().is_some(),
        kernel: false,
        zombie,
    }
}

/// `new_encode_dev` of include/linux/kdev_t.h.
fn terminal(major: u32, minor: u32) -> u32 {
    (minor & 0xff) | major << 8 | (minor & !0xff) << 12
}

fn number(record: &[u8], at: i16) -> u32 {
    crate::netlink::u32_at(record, at as usize).unwrap_or(u32::MAX)
}

fn long(record: &[u8], at: i16) -> u64 {
    record.get(at as usize..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests;
