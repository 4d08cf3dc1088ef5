use std::io::{Read as _, Write as _};
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};
use vigie_core::stuck::facts::{Object, ProcessFacts, TaskFacts};
use vigie_core::text::OsText;
use vigie_core::why::facts::{Hidden, Process, Told};

use super::look;
use crate::proc::Proc;
use crate::proc::tests::{FakeProc, Guard, eventually};

/// Longer than any look takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) fn facts(proc: &Proc, pid: u32) -> ProcessFacts {
    look(proc, pid, PATIENCE).unwrap().unwrap()
}

pub(super) fn main_task(facts: &ProcessFacts) -> &TaskFacts {
    &facts.tasks[0]
}

pub(super) fn pids(people: &Told<Vec<Process>>) -> Option<Vec<u32>> {
    people.known().map(|people| people.iter().map(Process::pid).collect())
}

/// Whether the kernel shows the system calls of own processes: Yama and seccomp may forbid it.
fn shows_calls(facts: &ProcessFacts) -> bool {
    let shown = main_task(facts).call.hidden().is_none();
    if !shown {
        println!("skipped: system calls of own processes are hidden here");
    }
    shown
}

#[test]
fn a_writer_into_a_full_pipe_and_its_readers() {
    let proc = Proc::system().unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let other = rustix::io::fcntl_dupfd_cloexec(&read, 0).unwrap();
    let reader = Guard(Command::new("sleep").arg("600").stdin(other).spawn().unwrap());
    let child = Guard(Command::new("yes").stdin(Stdio::null()).stdout(write).spawn().unwrap());
    let mut seen = facts(&proc, child.0.id());
    if !shows_calls(&seen) {
        return;
    }
    // Before it writes it may wait for its own program to be read; and the reader may still be in the middle of its exec.
    eventually("it waits, and its reader is what it is to be", || {
        seen = facts(&proc, child.0.id());
        matches!(main_task(&seen).waits.as_slice(), [Object::Pipe { readers, .. }]
            if readers.known().unwrap().iter().any(|one| one.command() == "sleep 600"))
    });
    let [Object::Pipe { fd: 1, inode, readers }] = main_task(&seen).waits.as_slice() else { panic!("{seen:?}") };
    assert_eq!(*inode, rustix::fs::fstat(&read).unwrap().st_ino);
    // Other tests may have inherited it for a moment.
    let told = pids(readers).unwrap();
    assert!(told.contains(&std::process::id()) && told.contains(&reader.0.id()), "{readers:?}");
    assert!(!told.contains(&child.0.id()));
    let named = readers.known().unwrap().iter().find(|one| one.pid() == reader.0.id()).unwrap();
    assert_eq!(named.command(), "sleep 600");
    assert_eq!(main_task(&seen).call.known().unwrap().name, Some("write"));
    assert_eq!(seen.parent.as_ref().map(Process::pid), Some(std::process::id()));
}

#[test]
fn a_pipe_with_a_name() {
    let proc = Proc::system().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("pipe");
    rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
    let both = std::fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
    let child = Guard(Command::new("yes").stdin(Stdio::null()).stdout(both.try_clone().unwrap()).spawn().unwrap());
    let inode = rustix::fs::fstat(&both).unwrap().st_ino;
    if !shows_calls(&facts(&proc, child.0.id())) {
        return;
    }
    eventually("it waits, and we could read", || {
        let seen = facts(&proc, child.0.id());
        matches!(main_task(&seen).waits.as_slice(), [Object::Pipe { fd: 1, inode: told, readers }]
            if *told == inode && pids(readers).unwrap().contains(&std::process::id()))
    });
}

#[test]
fn who_waits_for_a_lock_and_who_inherited_it() {
    let proc = Proc::system().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a lock");
    let file = std::fs::File::create(&path).unwrap();
    // Who opens it and takes the lock is gone at once; whom it has started has it still.
    let script = "exec 9>\"$1\"; flock -x 9; sleep 600 & echo $!";
    let mut opener = Command::new("sh");
    opener.args(["-c", script, "sh"]).arg(&path).stdout(Stdio::piped()).stdin(Stdio::null()).process_group(0);
    let mut opener = opener.spawn().unwrap();
    let mut told = String::new();
    let mut output = opener.stdout.take().unwrap();
    let mut byte = [0];
    while output.read(&mut byte).unwrap() == 1 && byte[0] != b'\n' {
        told.push(char::from(byte[0]));
    }
    let heir: u32 = told.parse().unwrap();
    let _end = Stray(heir);
    opener.wait().unwrap();
    let waiter = Guard(Command::new("flock").args(["-x"]).arg(&path).arg("true").stdin(Stdio::null()).spawn().unwrap());
    let inode = rustix::fs::fstat(&file).unwrap().st_ino;
    eventually("it waits for the heir", || {
        let seen = facts(&proc, waiter.0.id());
        matches!(main_task(&seen).waits.as_slice(), [Object::Lock { kind: "flock", inode: (_, _, number), holders, .. }]
            if *number == inode && pids(holders) == Some(vec![heir]))
    });
    let seen = facts(&proc, waiter.0.id());
    if shows_calls(&seen) {
        let [Object::Lock { file: Some(file), .. }] = main_task(&seen).waits.as_slice() else { panic!("{seen:?}") };
        assert_eq!(file.as_path(), path);
    }
}

/// A process that is nobody's child any more, ended with the test.
struct Stray(u32);

impl Drop for Stray {
    fn drop(&mut self) {
        if let Some(target) = crate::pidfd::Target::open_pid(&Proc::system().unwrap(), self.0).unwrap() {
            target.send(vigie_core::ladder::Signal::Kill).unwrap();
        }
    }
}

#[test]
fn a_lock_of_fcntl() {
    let proc = Proc::system().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("lock");
    let mut file = std::fs::File::create(&path).unwrap();
    file.write_all(&[0; 64]).unwrap();
    let _child = Forked::new(|ready| {
        lock(&file, libc::F_SETLK);
        ready.tell();
    });
    let holder = _child.0;
    let waiter = Forked::new(|ready| {
        ready.tell();
        lock(&file, libc::F_SETLKW);
    });
    eventually("it waits for the holder", || {
        let seen = facts(&proc, waiter.0);
        matches!(main_task(&seen).waits.as_slice(), [Object::Lock { kind: "posix", holders, .. }]
            if pids(holders) == Some(vec![holder]))
    });
}

fn lock(file: &std::fs::File, command: i32) {
    // SAFETY: a lock of the whole file, by a local structure.
    unsafe {
        let mut all: libc::flock = std::mem::zeroed();
        all.l_type = libc::F_WRLCK as i16;
        libc::fcntl(file.as_raw_fd(), command, &raw const all);
    }
}

/// A copy of this process that does something and stays.
pub(super) struct Forked(pub(super) u32);

/// Tells that it is so far.
pub(super) struct Ready(i32);

impl Ready {
    pub(super) fn tell(&self) {
        // SAFETY: one byte of a constant.
        unsafe { libc::write(self.0, b"x".as_ptr().cast(), 1) };
    }
}

impl Forked {
    /// `work` makes system calls and nothing else.
    pub(super) fn new(work: impl FnOnce(&Ready)) -> Self {
        let (ready, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
        // SAFETY: the copy makes system calls with plain numbers and local values until it ends, and never returns.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above.
            unsafe {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                work(&Ready(tell.as_fd().as_raw_fd()));
                loop {
                    libc::pause();
                }
            }
        }
        let child = Self(u32::try_from(pid).unwrap());
        drop(tell);
        assert_eq!(rustix::io::read(&ready, &mut [0; 1]).unwrap(), 1);
        child
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.0.cast_signed()).unwrap()
    }
}

impl Drop for Forked {
    fn drop(&mut self) {
        let _ = kill_process(self.pid(), Signal::KILL);
        while waitpid(Some(self.pid()), WaitOptions::empty()).is_err_and(|errno| errno == rustix::io::Errno::INTR) {}
    }
}

#[test]
fn the_parent_of_a_vfork_and_its_child() {
    let proc = Proc::system().unwrap();
    let parent = Forked::new(|ready| {
        // SAFETY: the child uses no memory of its parent but its stack: it only sleeps.
        unsafe {
            // Another child, which has executed nothing and has a memory of its own.
            if libc::fork() == 0 {
                libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                ready.tell();
                loop {
                    libc::pause();
                }
            }
            // vfork(2). The child writes over the frame to which its parent would return; that never goes on.
            let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
            if libc::syscall(libc::SYS_clone, flags, 0, 0, 0, 0) == 0 {
                libc::syscall(libc::SYS_prctl, libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                loop {
                    libc::syscall(libc::SYS_ppoll, 0, 0, 0, 0, 0);
                }
            }
        }
    });
    let mut children = Vec::new();
    eventually("both are there", || {
        children.clear();
        proc.children(parent.0, &mut children).unwrap();
        children.len() == 2
    });
    let _ends = [Stray(children[0]), Stray(children[1])];
    eventually("it waits for the younger", || {
        let seen = facts(&proc, parent.0);
        let task = main_task(&seen);
        task.state == 'D' && matches!(task.waits.as_slice(), [Object::Child(child)] if child.pid() == children[1])
    });
    drop(parent);
}

#[test]
fn a_stopped_one_waits_for_nothing_that_can_be_named() {
    let proc = Proc::system().unwrap();
    let child = Guard::sleeper();
    kill_process(Pid::from_child(&child.0), Signal::STOP).unwrap();
    eventually("it is stopped", || main_task(&facts(&proc, child.0.id())).state == 'T');
    kill_process(Pid::from_child(&child.0), Signal::TERM).unwrap();
    let seen = facts(&proc, child.0.id());
    assert!(seen.pending.has(15) && !seen.pending.has(9));
    assert!(main_task(&seen).waits.is_empty() && seen.tracer.is_none() && !seen.namespace_init && !seen.dumping);
    assert!(main_task(&seen).wchan.known().is_some(), "{seen:?}");
    assert_eq!((seen.wait_status, seen.sent), (Told::Nothing, None));
}

#[test]
fn how_a_zombie_ended() {
    let proc = Proc::system().unwrap();
    let child = Guard(Command::new("sh").args(["-c", "exit 3"]).stdin(Stdio::null()).spawn().unwrap());
    eventually("it is dead", || facts(&proc, child.0.id()).process.is_zombie());
    let seen = facts(&proc, child.0.id());
    assert_eq!(seen.wait_status, Told::Known(3 << 8));
    assert_eq!(seen.parent.unwrap().pid(), std::process::id());
    assert_eq!((&seen.tasks[0].wchan, &seen.tasks[0].call), (&Told::Nothing, &Told::Nothing));
}

#[test]
fn each_thread_for_itself() {
    let proc = Proc::system().unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let (tell, tid) = std::sync::mpsc::channel();
    let write = std::fs::File::from(write);
    let thread = std::thread::spawn(move || {
        tell.send(rustix::thread::gettid().as_raw_nonzero().get().cast_unsigned()).unwrap();
        let _ = (&write).write_all(&[0; 1 << 20]);
    });
    let tid = tid.recv().unwrap();
    let me = std::process::id();
    let seen = facts(&proc, me);
    assert_eq!(main_task(&seen).tid, me);
    if shows_calls(&seen) {
        eventually("that thread waits", || {
            let seen = facts(&proc, me);
            let task = seen.tasks.iter().find(|task| task.tid == tid).unwrap();
            matches!(task.waits.as_slice(), [Object::Pipe { readers, .. }] if pids(readers).unwrap().contains(&me))
        });
    }
    drop(read);
    thread.join().unwrap();
}

#[test]
fn what_is_hidden_is_said() {
    if crate::user::uid() == 0 {
        println!("skipped: nothing is hidden from root");
        return;
    }
    let seen = facts(&Proc::system().unwrap(), 1);
    let task = main_task(&seen);
    let needs_root = Some(Hidden::NeedsRoot);
    assert_eq!((task.wchan.hidden(), task.call.hidden()), (needs_root, needs_root));
    assert_eq!((task.stack.hidden(), task.raw_state.hidden()), (needs_root, needs_root));
}

/// A fake process that waits in this function, in this system call.
fn fake(fake: &FakeProc, pid: u32, state: char, wchan: &str, call: &str, stack: &str) {
    fake.process(pid, 1, state, 100, &[]);
    let stat = format!("{pid} (x) {state} 1 {pid} {pid} 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 100 1000 10 0 0\n");
    fake.file(&format!("{pid}/task/{pid}/stat"), stat);
    for status in [format!("{pid}/status"), format!("{pid}/task/{pid}/status")] {
        fake.file(&status, "Uid:\t0\t0\t0\t0\nTracerPid:\t0\nSigPnd:\t0000000000000100\n");
    }
    fake.file(&format!("{pid}/task/{pid}/wchan"), wchan);
    fake.file(&format!("{pid}/task/{pid}/syscall"), call);
    fake.file(&format!("{pid}/task/{pid}/stack"), stack);
}

const MOUNTS: &str =
    "27 1 254:0 / / rw - ext4 /dev/vda rw\n44 27 0:4294967 / /mnt/far rw - fuse.test server rw,user_id=0\n";

/// A call on the first argument, or with the path at 0x1000.
fn line(number: i64, first: &str) -> String {
    format!("{number} {first} 0x1000 0x0 0x0 0x0 0x0 0x7ffd00000000 0x7f0000000000\n")
}

fn files(seen: &ProcessFacts) -> Vec<(Option<u32>, Option<String>, Option<u32>)> {
    let file = |object: &Object| match object {
        Object::File { fd, path, mount } => {
            Some((*fd, path.known().map(OsText::to_string), mount.as_ref().map(|mount| mount.id)))
        }
        _ => None,
    };
    main_task(seen).waits.iter().filter_map(file).collect()
}

#[test]
fn files_by_descriptor_and_by_path() {
    let machine = FakeProc::new(true);
    let memory = |pid: u32, text: &str| {
        let mut content = vec![b'x'; 0x1000];
        content.extend_from_slice(text.as_bytes());
        content.push(0);
        machine.file(&format!("{pid}/task/{pid}/mem"), content);
        machine.file(&format!("{pid}/task/{pid}/mountinfo"), MOUNTS);
        machine.link(&format!("{pid}/task/{pid}/cwd"), "/mnt/far/deep");
        machine.link(&format!("{pid}/task/{pid}/root"), "/");
        machine.link(&format!("{pid}/task/{pid}/fd/3"), "/mnt/far/a b");
        machine.file(&format!("{pid}/task/{pid}/fdinfo/3"), "pos:\t0\nflags:\t00\nmnt_id:\t44\nino:\t5\n");
        machine.link(&format!("{pid}/task/{pid}/fd/4"), "socket:[5]");
    };
    let (far, here) = (Some(44), Some(27));
    let stat = libc::SYS_newfstatat;
    for (pid, call, text, wanted) in [
        (10, line(libc::SYS_read, "0x3"), "", vec![(Some(3), Some("/mnt/far/a b".to_owned()), far)]),
        (11, line(libc::SYS_read, "0x4"), "", vec![]),
        (12, line(libc::SYS_read, "0x9"), "", vec![]),
        (13, line(stat, "0xffffff9c"), "/mnt/far/./x", vec![(None, Some("/mnt/far/x".to_owned()), far)]),
        (14, line(stat, "0xffffff9c"), "../y", vec![(None, Some("/mnt/far/y".to_owned()), far)]),
        (15, line(stat, "0xffffff9c"), "../../z", vec![(None, Some("/mnt/z".to_owned()), here)]),
        (16, line(stat, "0x3"), "", vec![(Some(3), Some("/mnt/far/a b".to_owned()), far)]),
        (17, line(stat, "0x3"), "sub", vec![(None, Some("/mnt/far/a b/sub".to_owned()), far)]),
    ] {
        fake(&machine, pid, 'D', "folio_wait_bit_common", &call, "[<0>] folio_wait_bit_common+0x1/0x2\n");
        memory(pid, text);
        assert_eq!(files(&facts(&machine.open(), pid)), wanted, "{pid}");
    }
    // Nobody can see how many requests wait; there is one FUSE file system, and a flush at an exit names nothing.
    fake(&machine, 20, 'D', "request_wait_answer", "running\n", "");
    memory(20, "");
    assert_eq!(files(&facts(&machine.open(), 20)), [(None, None, far)]);
    // Its server, which is at rest.
    fake(&machine, 21, 'S', "fuse_dev_do_read", &line(libc::SYS_read, "0x3"), "[<0>] fuse_dev_read+0x1/0x2\n");
    memory(21, "");
    assert_eq!(files(&facts(&machine.open(), 21)), []);
}

#[test]
fn who_serves_it() {
    let machine = FakeProc::new(true);
    fake(&machine, 10, 'D', "request_wait_answer", &line(libc::SYS_read, "0x3"), "");
    machine.file("10/task/10/mountinfo", MOUNTS);
    machine.link("10/task/10/fd/3", "/mnt/far/x");
    machine.file("10/task/10/fdinfo/3", "mnt_id:\t44\n");
    for (pid, told) in [(30, ""), (31, "fuse_connection:\t4294967\n"), (32, "fuse_connection:\t7\n")] {
        fake(&machine, pid, 'S', "fuse_dev_do_read", "running\n", "");
        machine.link(&format!("{pid}/fd/3"), "/dev/fuse");
        machine.file(&format!("{pid}/fdinfo/3"), format!("pos:\t0\nflags:\t0100002\n{told}"));
    }
    let servers = |seen: &ProcessFacts| match main_task(seen).waits.as_slice() {
        [Object::File { mount: Some(mount), .. }] => pids(&mount.fuse.as_ref().unwrap().servers),
        other => panic!("{other:?}"),
    };
    assert_eq!(servers(&facts(&machine.open(), 10)), Some(vec![31]));
    // A kernel that does not tell.
    for pid in [31, 32] {
        machine.file(&format!("{pid}/fdinfo/3"), "pos:\t0\nflags:\t0100002\n");
    }
    assert_eq!(servers(&facts(&machine.open(), 10)), Some(vec![30, 31, 32]));
    // One of them belongs to another user than the mount.
    machine.file("32/status", "Uid:\t5\t5\t5\t5\n");
    assert_eq!(servers(&facts(&machine.open(), 10)), Some(vec![30, 31]));
}

#[test]
fn who_is_to_supply_a_page() {
    let machine = FakeProc::new(true);
    fake(&machine, 10, 'S', "handle_userfault", "running\n", "");
    let faults = |pid: u32, told: &str| {
        machine.file(&format!("{pid}/fdinfo/3"), format!("pos:\t0\nflags:\t02\n{told}"));
    };
    // Nobody waits for it; one was not taken yet; one was, and is not answered.
    for (pid, told) in
        [(30, "pending:\t0\ntotal:\t0\n"), (31, "pending:\t1\ntotal:\t1\n"), (32, "pending:\t0\ntotal:\t1\n")]
    {
        fake(&machine, pid, 'S', "ep_poll", "running\n", "");
        machine.link(&format!("{pid}/fd/3"), "anon_inode:[userfaultfd]");
        faults(pid, told);
    }
    let suppliers = |seen: &ProcessFacts| match main_task(seen).waits.as_slice() {
        [Object::PageSupplier { suppliers }] => pids(suppliers),
        other => panic!("{other:?}"),
    };
    assert_eq!(suppliers(&facts(&machine.open(), 10)), Some(vec![31, 32]));
    // A kernel that does not tell.
    faults(30, "");
    assert_eq!(suppliers(&facts(&machine.open(), 10)), Some(vec![30, 31, 32]));
}

#[test]
fn nobody_is_no_process() {
    assert_eq!(look(&FakeProc::new(true).open(), 404, PATIENCE).unwrap(), None);
}
