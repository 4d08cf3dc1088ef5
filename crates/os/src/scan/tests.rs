use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::*;
use crate::proc::tests::{FakeProc, Guard, eventually};

fn scanner() -> Scanner {
    Scanner::new(Proc::system().unwrap()).unwrap()
}

fn argv(scanner: &Scanner, pid: u32) -> Vec<String> {
    let argv = scanner.process(pid).map(|process| process.argv.as_slice()).unwrap_or_default();
    argv.iter().map(ToString::to_string).collect()
}

#[test]
fn this_machine_as_it_is() {
    let mut scanner = scanner();
    let child = Guard::sleeper();
    let change = scanner.refresh().unwrap();
    let me = std::process::id();
    assert!(change.added.contains(&me) && change.gone.is_empty());
    let process = scanner.process(me).unwrap();
    let proc = Proc::system().unwrap();
    assert_eq!(Some(&process.key), proc.key(me).unwrap().as_ref());
    assert_eq!(process.uid, rustix::process::geteuid().as_raw());
    assert_eq!(process.argv.len(), std::env::args_os().count());
    assert!(!process.kernel && !process.zombie && !process.cut);
    assert_eq!(scanner.process(child.0.id()).unwrap().parent, me);
    assert!(scanner.processes().is_sorted_by_key(|process| process.key.pid));
    let number = scanner.known.len();
    let again = scanner.refresh().unwrap();
    assert!(!again.added.contains(&me), "{again:?}");
    assert!(scanner.known.len().abs_diff(number) < number, "the list was not made anew");
}

#[test]
fn who_comes_and_who_goes() {
    let mut scanner = scanner();
    scanner.refresh().unwrap();
    let mut child = Guard::sleeper();
    let change = scanner.refresh().unwrap();
    assert!(change.added.contains(&child.0.id()));
    let key = scanner.process(child.0.id()).unwrap().key.clone();
    child.0.kill().unwrap();
    eventually("a dead process that was not reaped is told as such", || {
        scanner.refresh().unwrap();
        scanner.process(key.pid).is_some_and(|process| process.zombie && process.argv.is_empty())
    });
    child.0.wait().unwrap();
    let change = scanner.refresh().unwrap();
    assert!(change.gone.contains(&key), "{change:?}");
    assert!(scanner.process(key.pid).is_none());
    assert_eq!(scanner.again(&key).unwrap(), None);
}

/// What is guaranteed without the connector: `exec` closely after `fork` is seen at once, a later one in turns.
#[test]
fn another_program_in_the_same_process() {
    for attend in [false, true] {
        let mut scanner = scanner();
        if attend && !scanner.attend() {
            println!("skipped: this kernel lets us not listen");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let [gate, inside] = ["gate", "inside"].map(|name| dir.path().join(name));
        for fifo in [&gate, &inside] {
            rustix::fs::mknodat(rustix::fs::CWD, fifo, rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU, 0).unwrap();
        }
        let second = format!("read line < {}; read line < {}", inside.display(), gate.display());
        let script = format!("read line < {}; exec sh -c '{second}'", gate.display());
        let child = Guard(Command::new("sh").args(["-c", &script]).spawn().unwrap());
        let pid = child.0.id();
        eventually("the shell is seen", || {
            scanner.refresh().unwrap();
            argv(&scanner, pid).last() == Some(&script)
        });
        // As if it had been there for long.
        let place = scanner.place(pid).unwrap();
        scanner.known[place].young = false;
        std::fs::write(&gate, "go\n").unwrap();
        // The kernel shows the other arguments some time before it tells of the exec, but it has told once the other
        // program runs: that is who opens the second pipe.
        std::fs::write(&inside, "go\n").unwrap();
        let refreshes = if attend { 1 } else { TURNS };
        let mut told = 0;
        for _ in 0..refreshes {
            told += scanner.refresh().unwrap().changed.iter().filter(|&&changed| changed == pid).count();
        }
        assert_eq!(argv(&scanner, pid), ["sh", "-c", &second], "with the connector: {attend}");
        assert_eq!(told, 1);
    }
}

#[test]
fn a_young_process_is_read_again_at_once() {
    let fake = FakeProc::new(true);
    fake.process(10, 1, 'S', u64::MAX, &[]);
    fake.file("10/cmdline", "sh\0");
    fake.process(11, 1, 'S', 1, &[]);
    fake.file("11/cmdline", "sh\0");
    let mut scanner = Scanner::new(fake.open()).unwrap();
    assert_eq!(scanner.refresh().unwrap().added, [10, 11]);
    fake.file("10/cmdline", "server\0--port\0");
    fake.file("11/cmdline", "server\0--port\0");
    let change = scanner.refresh().unwrap();
    assert_eq!(change, Change { changed: vec![10], ..Change::default() });
    assert_eq!((argv(&scanner, 10).len(), argv(&scanner, 11).len()), (2, 1));
    let key = scanner.process(11).unwrap().key.clone();
    assert_eq!(scanner.again(&key).unwrap().unwrap().argv.len(), 2);
    assert_eq!(argv(&scanner, 11).len(), 2);
}

/// R4.6, R4.7: the number lives, but it is somebody else's. In the real `/proc` the inode tells; the folder that stands
/// for it here is made before the other one is removed, so that its inode is another too.
#[test]
fn a_number_that_is_given_out_again() {
    let fake = FakeProc::new(true);
    fake.process(10, 1, 'S', 100, &[]);
    fake.file("10/cmdline", "old\0");
    fake.process(12, 10, 'S', 101, &[]);
    fake.file("12/cmdline", "child\0");
    let mut scanner = Scanner::new(fake.open()).unwrap();
    scanner.refresh().unwrap();
    let old = scanner.process(10).unwrap().key.clone();
    fake.file("new/stat", "10 (new) S 1 10 10 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 200 1000 10 0 0\n");
    fake.file("new/cmdline", "new\0");
    fake.replace("new", "10");
    fake.process(12, 1, 'S', 101, &[]);
    let change = scanner.refresh().unwrap();
    assert_eq!(change.added, [10]);
    assert_eq!(change.gone, std::slice::from_ref(&old));
    assert_eq!(change.changed, [12], "its parent has ended");
    assert_eq!(argv(&scanner, 10), ["new"]);
    assert_eq!(scanner.process(12).unwrap().parent, 1);
    assert_eq!(scanner.again(&old).unwrap(), None);
}

/// The kernel itself: a number is given out again, and the list alone tells.
#[test]
fn the_inode_of_a_number_that_was_given_out_again() {
    const INSIDE: &str = "VIGIE_TEST_NUMBERS";
    if std::env::var_os(INSIDE).is_none() {
        // In a namespace of its own: which numbers others are given is none of its business.
        let mut command = Command::new("unshare");
        command.args(["--pid", "--fork", "--kill-child", "--mount-proc"]).arg(std::env::current_exe().unwrap());
        command.args(["--exact", "scan::tests::the_inode_of_a_number_that_was_given_out_again", "--nocapture"]);
        let told = command.env(INSIDE, "").output().map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
        match told {
            Ok(told) if told.contains("running 1 test") => assert!(told.contains("1 passed"), "{told}"),
            _ => println!("skipped: only root has numbers of its own"),
        }
        return;
    }
    let last = std::path::Path::new("/proc/sys/kernel/ns_last_pid");
    let proc = Proc::system().unwrap();
    let mut scanner = scanner();
    for _ in 0..50 {
        let mut child = Guard::sleeper();
        let pid = child.0.id();
        scanner.refresh().unwrap();
        let old = scanner.process(pid).unwrap().key.clone();
        let inode = scanner.known[scanner.place(pid).unwrap()].inode;
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        if std::fs::write(last, (pid - 1).to_string()).is_err() {
            println!("skipped: this kernel lets nobody decide about the next number");
            return;
        }
        let other = Guard::sleeper();
        assert_eq!(other.0.id(), pid, "nobody else starts anything here");
        let mut listed = Vec::new();
        proc.listed(&mut listed).unwrap();
        let now = listed.iter().find(|listed| listed.pid == pid).unwrap().inode;
        assert_ne!(now, inode);
        let change = scanner.refresh().unwrap();
        if proc.key(pid).unwrap().unwrap() != old {
            assert!(change.gone.contains(&old) && change.added.contains(&pid), "{change:?}");
            return;
        }
    }
    println!("skipped: it was always within the same clock tick");
}

#[test]
fn a_process_that_may_not_be_understood_spoils_nothing() {
    let fake = FakeProc::new(true);
    fake.process(10, 1, 'S', 100, &[]);
    fake.file("10/cmdline", "");
    fake.file("11/stat", "11 (x");
    fake.folder("12");
    let mut scanner = Scanner::new(fake.open()).unwrap();
    assert_eq!(scanner.refresh().unwrap().added, [10]);
    assert_eq!(scanner.hidden(), 1);
    assert!(scanner.process(11).is_none() && scanner.process(12).is_none());
}

#[test]
fn command_lines_without_end_are_cut() {
    let fake = FakeProc::new(true);
    fake.process(10, 1, 'S', 100, &[]);
    fake.file("10/cmdline", [b"program\0".as_slice(), &b"a\0".repeat(65_536)].concat());
    fake.process(11, 1, 'S', 100, &[]);
    fake.file("11/cmdline", vec![b'x'; 10 << 20]);
    fake.process(12, 1, 'S', 100, &[]);
    fake.file("12/cmdline", vec![b'x'; COMMAND_LINE]);
    let mut scanner = Scanner::new(fake.open()).unwrap();
    scanner.refresh().unwrap();
    let cut = |pid| {
        let process = scanner.process(pid).unwrap();
        (process.argv.len(), process.argv[0].0.len(), process.cut)
    };
    assert_eq!(cut(10), (ARGUMENTS, 7, true));
    assert_eq!(cut(11), (1, COMMAND_LINE, true));
    assert_eq!(cut(12), (1, COMMAND_LINE, false));
}

#[test]
fn a_real_process_with_many_arguments_and_a_hostile_name() {
    let dir = tempfile::tempdir().unwrap();
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b") Z 1\n\xff(");
    std::os::unix::fs::symlink("/bin/sleep", dir.path().join(name)).unwrap();
    let mut command = Command::new(dir.path().join(name));
    command.arg0("sleep").args(std::iter::repeat_n("600", 65_000));
    let child = Guard(command.spawn().unwrap());
    let mut scanner = scanner();
    eventually("its arguments are there", || {
        scanner.refresh().unwrap();
        scanner.process(child.0.id()).unwrap().argv.len() == ARGUMENTS
    });
    let process = scanner.process(child.0.id()).unwrap();
    assert_eq!(process.name.0, b") Z 1\n\xff(");
    assert!(process.cut && !process.zombie);
}

#[test]
fn a_storm_of_processes_is_no_error() {
    let mut scanner = scanner();
    scanner.attend();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        for _ in 0..100 {
            scanner.refresh().unwrap();
            assert!(scanner.known.is_sorted_by(|one, next| one.pid < next.pid));
            assert!(scanner.process(std::process::id()).is_some());
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

/// Both ways say the same of everybody who is there all the time and does nothing.
#[cfg(feature = "bpf")]
#[test]
fn the_iterator_agrees_with_proc() {
    let proc = Proc::system().unwrap();
    let Some(mut tasks) = crate::bpf::Tasks::open(&proc) else {
        println!("skipped: this kernel lets us not");
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b") Z 1\n\xff(");
    std::os::unix::fs::symlink("/bin/sleep", dir.path().join(name)).unwrap();
    let hostile = Guard(Command::new(dir.path().join(name)).arg0("").args(["600", "0600"]).spawn().unwrap());
    let many = Guard(Command::new("sleep").args(std::iter::repeat_n("600", 65_000)).spawn().unwrap());
    let dead = Guard(Command::new("true").spawn().unwrap());
    let user = Guard(Command::new("setsid").args(["setpriv", "--reuid", "65534", "sleep", "600"]).spawn().unwrap());
    let told = [hostile.0.id(), dead.0.id(), user.0.id(), std::process::id()];
    eventually("all are as they are to stay, and both say the same of them", || {
        let mut before = Scanner::plain(Proc::system().unwrap());
        before.refresh().unwrap();
        tasks.read().unwrap();
        let mut after = Scanner::plain(Proc::system().unwrap());
        after.refresh().unwrap();
        let ready = before.process(dead.0.id()).is_some_and(|process| process.zombie)
            && before.process(user.0.id()).is_some_and(|process| process.uid == 65534 && process.name.0 == b"sleep")
            && argv(&before, user.0.id()) == ["sleep", "600"]
            && before.process(many.0.id()).is_some_and(|process| process.argv.len() == ARGUMENTS)
            && before.process(hostile.0.id()).is_some_and(|process| process.name.0 == b") Z 1\n\xff(")
            // In an exec the name is there first, and the iterator is not sure until the arguments are.
            && argv(&before, hostile.0.id()) == ["", "600", "0600"];
        if !ready {
            return false;
        }
        assert!(tasks.process(&proc, many.0.id()).is_none(), "more arguments than are sure");
        assert!(told.iter().all(|&pid| tasks.process(&proc, pid).is_some()), "{told:?}");
        let mut compared = 0;
        for process in before.processes().filter(|process| after.process(process.key.pid) == Some(process)) {
            if let Some(told) = tasks.process(&proc, process.key.pid) {
                assert_eq!(told, *process);
                compared += 1;
            }
        }
        compared >= told.len()
    });
}

#[test]
fn several_processors_read_what_one_does() {
    let fake = FakeProc::new(true);
    for pid in 1..=600 {
        fake.process(pid, 0, if pid % 7 == 0 { 'Z' } else { 'S' }, u64::from(pid), &[]);
        fake.file(&format!("{pid}/cmdline"), format!("program\0{pid}\0"));
    }
    fake.file("601/stat", "broken");
    let mut scanner = Scanner::new(fake.open()).unwrap();
    let change = scanner.refresh().unwrap();
    assert_eq!(change.added, (1..=600).collect::<Vec<u32>>());
    assert_eq!(scanner.hidden(), 1);
    let mut reader = Reader::default();
    for process in scanner.processes() {
        let Reading::Read(alone, _) = reader.read(&scanner.proc, process.key.pid).unwrap() else { panic!() };
        assert_eq!(*process, alone);
    }
    assert_eq!(scanner.refresh().unwrap(), Change::default());
}
