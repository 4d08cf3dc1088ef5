use super::*;

use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command};
use std::time::Duration;

use crate::clock;

/// Ends with all that it started.
struct Group(Child);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = rustix::process::Pid::from_raw(self.0.id().cast_signed()) {
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        }
        let _ = self.0.wait();
    }
}

#[test]
fn the_first_sample_knows_no_cpu() {
    let proc = Proc::system().unwrap();
    let me = proc.key(std::process::id()).unwrap().unwrap();
    // A child that works, and one that sleeps below it.
    let child =
        Group(Command::new("sh").args(["-c", "sleep 60 & while :; do :; done"]).process_group(0).spawn().unwrap());
    let tree = Tree::Below(proc.key(child.0.id()).unwrap().unwrap());
    let deadline = clock::mono() + Duration::from_secs(20);
    while tree.members(&proc).unwrap().is_none_or(|pids| pids.is_empty()) {
        assert!(clock::mono() < deadline, "no child came");
        std::thread::yield_now();
    }
    let mut above = Meter::new(Tree::Below(me));
    let first = above.sample(&proc, clock::mono()).unwrap().unwrap();
    assert_eq!(first.cpu_percent_of_core, None);
    assert!(first.processes >= 2 && first.threads >= 2 && first.memory_bytes > 0, "{first:?}");
    assert_eq!((first.read_bytes_per_second, first.written_bytes_per_second), (None, None), "nor what was moved");
    assert!(first.descriptors.is_some_and(|count| count >= 2), "{first:?}");
    loop {
        assert!(clock::mono() < deadline, "a working process uses no time");
        let next = above.sample(&proc, clock::mono()).unwrap().unwrap();
        if next.cpu_percent_of_core.expect("second sample") > 1.0 {
            break;
        }
        std::thread::yield_now();
    }
    let sleeper = tree.members(&proc).unwrap().unwrap();
    let mut below = Meter::new(tree);
    assert_eq!(below.sample(&proc, clock::mono()).unwrap().unwrap().processes, 1);
    let target = crate::pidfd::Target::open_pid(&proc, sleeper[0]).unwrap().unwrap();
    target.send(vigie_core::ladder::Signal::Kill).unwrap();
    assert!(target.wait(deadline).unwrap());
    drop(child);
    assert_eq!(below.sample(&proc, clock::mono()).unwrap(), None);
}

/// A folder that looks like a cgroup.
#[test]
fn a_cgroup_is_read_with_what_lies_below() {
    let proc = Proc::system().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("inner");
    std::fs::create_dir(&inner).unwrap();
    let me = std::process::id();
    std::fs::write(folder.path().join("cgroup.procs"), format!("{me}\n")).unwrap();
    std::fs::write(inner.join("cgroup.procs"), "4294967295\n").unwrap();
    std::fs::write(folder.path().join("cpu.stat"), "usage_usec 1000\nuser_usec 1\n").unwrap();
    std::fs::write(folder.path().join("cgroup.events"), "populated 1\n").unwrap();
    let tree = Tree::Cgroup(Cgroup::existing(folder.path()).unwrap());
    assert_eq!(tree.members(&proc).unwrap(), Some(vec![me, u32::MAX]));
    let mut meter = Meter::new(tree);
    let first = meter.sample(&proc, Mono(0)).unwrap().unwrap();
    assert_eq!((first.cpu_percent_of_core, first.processes), (None, 1));
    // Nothing used: the rest is not read again.
    std::fs::write(folder.path().join("memory.current"), "4096\n").unwrap();
    let second = meter.sample(&proc, Mono(1_000_000)).unwrap().unwrap();
    assert_eq!((second.cpu_percent_of_core, second.memory_bytes), (Some(0.0), first.memory_bytes));
    std::fs::write(folder.path().join("cpu.stat"), "usage_usec 1500\n").unwrap();
    let third = meter.sample(&proc, Mono(2_000_000)).unwrap().unwrap();
    assert_eq!((third.cpu_percent_of_core, third.memory_bytes), (Some(50.0), 4096));
    folder.close().unwrap();
    let gone = Cgroup::existing(Path::new("/nonexistent/vigie"));
    assert!(gone.is_none());
    // What was opened before still answers in a folder that is none of the kernel's; who is in it cannot be told.
    assert_eq!(meter.tree().members(&proc).unwrap(), None);
}

#[test]
fn the_first_line_of_cpu_stat() {
    assert_eq!(usage_usec(b"usage_usec 42\nuser_usec 1\n"), Some(42));
    for bad in [b"".as_slice(), b"usage_usec 42", b"user_usec 42\n", b"usage_usec x\n"] {
        assert_eq!(usage_usec(bad), None);
    }
}
