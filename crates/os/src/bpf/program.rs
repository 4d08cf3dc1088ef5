//! The program that the kernel runs for each task, put together by hand.

use super::btf::{Btf, Member};

/// What stands before the arguments in a record.
pub(super) const HEAD: usize = 80;
/// How many bytes of arguments a record has at most; who has more is asked by `/proc`.
pub(super) const ARGUMENTS: usize = 4096;
/// The longest record. The kernel's buffer for records takes 32 KiB.
pub(super) const RECORD: usize = HEAD + ARGUMENTS;

// Where the fields of a record stand: as `super::record` reads them.
pub(super) const LENGTH: i16 = 0;
pub(super) const PID: i16 = 4;
pub(super) const PARENT: i16 = 8;
pub(super) const SESSION: i16 = 12;
pub(super) const UID: i16 = 16;
pub(super) const FLAGS: i16 = 20;
pub(super) const EXIT_STATE: i16 = 24;
pub(super) const THREADS: i16 = 28;
pub(super) const TTY_MAJOR: i16 = 32;
pub(super) const TTY_MINOR: i16 = 36;
pub(super) const TTY_INDEX: i16 = 40;
pub(super) const TORN: i16 = 44;
pub(super) const START: i16 = 48;
pub(super) const WANTED: i16 = 56;
pub(super) const NAME: i16 = 64;

// Helpers: include/uapi/linux/bpf.h.
pub(super) const SEQ_WRITE: i32 = 127;
const COPY_FROM_USER_TASK: i32 = 191;

/// `PIDTYPE_SID`, of pointers of eight bytes.
const SESSION_ENTRY: i16 = 3 * 8;

/// A register: 0 takes results, 1 to 5 carry arguments and are lost in calls, 6 to 9 are kept, 10 is the stack's end.
pub(super) type Register = u8;

/// Words and double words, as in the code of an instruction.
pub(super) const W: u8 = 0x00;
pub(super) const DW: u8 = 0x18;

/// One instruction: `struct bpf_insn`.
#[derive(Debug, Clone, Copy)]
#[repr(C)]
pub(super) struct Instruction {
    code: u8,
    registers: u8,
    offset: i16,
    immediate: i32,
}

/// A program that is being written. Jumps go forward, to one of two places.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pub(super) code: Vec<Instruction>,
    /// Jumps to where the record is written, and to the end.
    to_write: Vec<usize>,
    to_end: Vec<usize>,
}

impl Writer {
    pub(super) fn push(&mut self, code: u8, to: Register, from: Register, offset: i16, immediate: i32) {
        self.code.push(Instruction { code, registers: from << 4 | to, offset, immediate });
    }

    /// `to = *(from + offset)`
    pub(super) fn load(&mut self, size: u8, to: Register, from: Register, offset: i16) {
        self.push(0x61 | size, to, from, offset, 0);
    }

    /// `*(to + offset) = from`
    pub(super) fn store(&mut self, size: u8, to: Register, offset: i16, from: Register) {
        self.push(0x63 | size, to, from, offset, 0);
    }

    pub(super) fn store_number(&mut self, size: u8, to: Register, offset: i16, number: i32) {
        self.push(0x62 | size, to, 0, offset, number);
    }

    pub(super) fn copy(&mut self, to: Register, from: Register) {
        self.push(0xbf, to, from, 0, 0);
    }

    pub(super) fn set(&mut self, to: Register, number: i32) {
        self.push(0xb7, to, 0, 0, number);
    }

    pub(super) fn add(&mut self, to: Register, number: i32) {
        self.push(0x07, to, 0, 0, number);
    }

    pub(super) fn call(&mut self, helper: i32) {
        self.push(0x85, 0, 0, 0, helper);
    }

    pub(super) fn land(&mut self, jumps: Vec<usize>) {
        let here = self.code.len();
        for jump in jumps {
            // Jumps count from the instruction behind them; the program is shorter than a hundred.
            self.code[jump].offset = i16::try_from(here - jump - 1).unwrap_or(i16::MAX);
        }
    }
}

/// The program for the kernel with these structures; `map` is a descriptor of the array that holds one record. `None`
/// when the kernel is built differently.
pub(super) fn program(btf: &Btf, map: i32) -> Option<Vec<Instruction>> {
    let [pid, tgid, flags, exit_state, real_parent, signal] =
        btf.members("task_struct", ["pid", "tgid", "flags", "exit_state", "real_parent", "signal"])?.map(offset);
    let [cred, mm, start, name] = btf.members("task_struct", ["cred", "mm", "start_boottime", "comm"])?.map(offset);
    let [exec] = btf.members("task_struct", ["self_exec_id"])?;
    let exec_size = if exec.size == 8 { DW } else { W };
    let [pids, tty, threads] = btf.members("signal_struct", ["pids", "tty", "nr_threads"])?.map(offset);
    let [numbers] = btf.members("pid", ["numbers"])?.map(offset);
    let [number] = btf.members("upid", ["nr"])?.map(offset);
    let [index, driver] = btf.members("tty_struct", ["index", "driver"])?.map(offset);
    let [major, minor] = btf.members("tty_driver", ["major", "minor_start"])?.map(offset);
    let [euid] = btf.members("cred", ["euid"])?.map(offset);
    let [arguments, end] = btf.members("mm_struct", ["arg_start", "arg_end"])?.map(offset);

    const CONTEXT: Register = 6;
    const TASK: Register = 7;
    const KEPT: Register = 8;
    const BUFFER: Register = 9;
    const STACK: Register = 10;

    let mut w = Writer::default();
    w.copy(CONTEXT, 1);
    // `struct bpf_iter__task`: the conversation, then the task; none at the end.
    w.load(DW, TASK, CONTEXT, 8);
    w.to_end.push(w.code.len());
    w.push(0x15, TASK, 0, 0, 0);
    // Main threads stand for their processes.
    w.load(W, 1, TASK, pid);
    w.load(W, 2, TASK, tgid);
    w.to_end.push(w.code.len());
    w.push(0x5d, 1, 2, 0, 0);
    // The array's only value, by its address (`BPF_PSEUDO_MAP_VALUE`); takes two instructions.
    w.push(0x18, BUFFER, 2, 0, map);
    w.push(0, 0, 0, 0, 0);
    w.store(W, BUFFER, PID, 2);
    w.store_number(W, BUFFER, LENGTH, 0);
    w.store_number(W, BUFFER, TORN, 0);
    w.load(DW, 1, TASK, real_parent);
    w.load(W, 1, 1, tgid);
    w.store(W, BUFFER, PARENT, 1);
    w.load(DW, 1, TASK, cred);
    w.load(W, 1, 1, euid);
    w.store(W, BUFFER, UID, 1);
    for (field, member) in [(FLAGS, flags), (EXIT_STATE, exit_state)] {
        w.load(W, 1, TASK, member);
        w.store(W, BUFFER, field, 1);
    }
    for (field, member) in [(START, start), (NAME, name), (NAME + 8, name + 8)] {
        w.load(DW, 1, TASK, member);
        w.store(DW, BUFFER, field, 1);
    }
    // What a pointer leads to may be gone: such a load gives 0.
    w.load(DW, 1, TASK, signal);
    w.load(W, 2, 1, threads);
    w.store(W, BUFFER, THREADS, 2);
    w.load(DW, 2, 1, pids + SESSION_ENTRY);
    w.load(W, 2, 2, numbers + number);
    w.store(W, BUFFER, SESSION, 2);
    w.load(DW, 1, 1, tty);
    w.load(W, 2, 1, index);
    w.store(W, BUFFER, TTY_INDEX, 2);
    w.load(DW, 1, 1, driver);
    for (field, member) in [(TTY_MAJOR, major), (TTY_MINOR, minor)] {
        w.load(W, 2, 1, member);
        w.store(W, BUFFER, field, 2);
    }
    // The arguments.
    w.load(exec_size, 1, TASK, exec.offset);
    w.store(DW, STACK, -8, 1);
    w.load(DW, 1, TASK, mm);
    w.load(DW, 3, 1, arguments);
    w.load(DW, KEPT, 1, end);
    // `KEPT -= 3`
    w.push(0x1f, KEPT, 3, 0, 0);
    w.store(DW, BUFFER, WANTED, KEPT);
    w.copy(2, KEPT);
    w.set(KEPT, 0);
    w.to_write.push(w.code.len());
    w.push(0x15, 2, 0, 0, 0);
    w.to_write.push(w.code.len());
    w.push(0x25, 2, 0, 0, ARGUMENTS as i32);
    w.copy(KEPT, 2);
    w.copy(1, BUFFER);
    w.add(1, HEAD as i32);
    w.copy(4, TASK);
    w.set(5, 0);
    w.call(COPY_FROM_USER_TASK);
    // Not copied, or of another program than that which was seen: torn.
    w.store(W, BUFFER, TORN, 0);
    w.store(W, BUFFER, LENGTH, KEPT);
    w.load(exec_size, 1, TASK, exec.offset);
    w.load(DW, 2, STACK, -8);
    w.to_write.push(w.code.len());
    w.push(0x1d, 1, 2, 0, 0);
    w.store_number(W, BUFFER, TORN, 1);
    let jumps = std::mem::take(&mut w.to_write);
    w.land(jumps);
    w.load(DW, 1, CONTEXT, 0);
    // `struct bpf_iter_meta` begins with the file that is read.
    w.load(DW, 1, 1, 0);
    w.copy(2, BUFFER);
    w.copy(3, KEPT);
    w.add(3, HEAD as i32);
    w.call(SEQ_WRITE);
    let jumps = std::mem::take(&mut w.to_end);
    w.land(jumps);
    w.set(0, 0);
    w.push(0x95, 0, 0, 0, 0);
    Some(w.code)
}

pub(super) fn offset(member: Member) -> i16 {
    member.offset
}
