use std::fs;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::*;

/// A folder that looks like `/proc`.
pub(crate) struct FakeProc {
    dir: tempfile::TempDir,
}

impl FakeProc {
    pub(crate) fn new(lists_children: bool) -> Self {
        let fake = Self { dir: tempfile::tempdir().unwrap() };
        fake.file("sys/kernel/random/boot_id", "01234567-89ab-cdef-0123-456789abcdef\n");
        if lists_children {
            fake.file("thread-self/children", "");
        }
        fake
    }

    pub(crate) fn file(&self, path: &str, content: impl AsRef<[u8]>) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(crate) fn folder(&self, path: &str) {
        fs::create_dir_all(self.dir.path().join(path)).unwrap();
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let path = self.dir.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }

    /// Puts a folder in the place of another one.
    pub(crate) fn replace(&self, new: &str, old: &str) {
        let (new, old) = (self.dir.path().join(new), self.dir.path().join(old));
        let away = self.dir.path().join("away");
        fs::rename(&old, &away).unwrap();
        fs::rename(&new, &old).unwrap();
        fs::remove_dir_all(away).unwrap();
    }

    pub(crate) fn process(&self, pid: u32, ppid: u32, state: char, start_ticks: u64, children: &[u32]) {
        let stat = format!(
            "{pid} (a) b) {state} {ppid} {pid} {pid} 0 -1 0 0 0 0 0 1 2 0 0 20 0 1 0 {start_ticks} 1000 10 0 0\n"
        );
        self.file(&format!("{pid}/stat"), stat);
        let children: String = children.iter().map(|child| format!("{child} ")).collect();
        self.file(&format!("{pid}/task/{pid}/children"), children);
    }

    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    pub(crate) fn open(&self) -> Proc {
        Proc::open(self.dir.path()).unwrap()
    }
}

/// A child that is ended and reaped when the test is over, also by a panic.
pub(crate) struct Guard(pub(crate) Child);

impl Guard {
    pub(crate) fn sleeper() -> Self {
        Self(Command::new("sleep").arg("600").stdin(Stdio::null()).spawn().unwrap())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Asks again until the answer is yes; a test that waits longer than a minute has failed.
pub(crate) fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = crate::clock::mono() + Duration::from_secs(60);
    while !condition() {
        assert!(crate::clock::mono() < deadline, "never came true: {what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_tree_made_by_hand() {
    for lists_children in [true, false] {
        let fake = FakeProc::new(lists_children);
        fake.process(10, 1, 'S', 100, &[11, 12, 99]);
        fake.process(11, 10, 'S', 101, &[13]);
        fake.process(12, 10, 'Z', 102, &[]);
        fake.process(13, 11, 'S', 103, &[]);
        // A second thread of 13 has a child of its own.
        fake.process(14, 13, 'S', 104, &[]);
        fake.file("13/task/130/children", "14 ");
        fake.process(20, 1, 'S', 105, &[]);
        let proc = fake.open();
        assert_eq!(proc.boot_id().0.as_ref(), "0123456789abcdef0123456789abcdef");

        let mut children = Vec::new();
        proc.children(10, &mut children).unwrap();
        children.sort_unstable();
        // 99 stands in the list and has vanished.
        assert_eq!(children, if lists_children { &[11, 12, 99][..] } else { &[11, 12] });

        let tree = proc.descendants(10).unwrap();
        let mut seen: Vec<_> = tree.iter().map(|member| (member.pid, member.ppid, member.zombie)).collect();
        seen.sort_unstable();
        assert_eq!(seen, [(11, 10, false), (12, 10, true), (13, 11, false), (14, 13, false)]);
        assert!(proc.descendants(999).unwrap().is_empty());

        let mut pids = Vec::new();
        proc.pids(&mut pids).unwrap();
        pids.sort_unstable();
        assert_eq!(pids, [10, 11, 12, 13, 14, 20]);
    }
}

#[test]
fn a_child_that_went_to_another_parent_is_not_in_the_tree() {
    let fake = FakeProc::new(true);
    fake.process(10, 1, 'S', 100, &[11]);
    fake.process(11, 1, 'S', 101, &[]);
    assert!(fake.open().descendants(10).unwrap().is_empty());
}

#[test]
fn lives() {
    let fake = FakeProc::new(true);
    fake.process(10, 1, 'S', 100, &[]);
    fake.process(11, 1, 'Z', 101, &[]);
    let proc = fake.open();
    let key = proc.key(10).unwrap().unwrap();
    assert_eq!(key, proc.key_of(10, 100));
    assert_eq!(proc.life(&key).unwrap(), Life::Alive);
    assert_eq!(proc.life(&proc.key_of(11, 101)).unwrap(), Life::Zombie);
    assert!(!proc.is_alive(&proc.key_of(11, 101)).unwrap());
    // The number was given out again.
    assert_eq!(proc.life(&proc.key_of(10, 99)).unwrap(), Life::Gone);
    assert_eq!(proc.life(&proc.key_of(12, 100)).unwrap(), Life::Gone);
    let other_boot = vigie_core::identity::ProcKey { boot_id: BootId("ffff".into()), ..key };
    assert_eq!(proc.life(&other_boot).unwrap(), Life::Gone);
    assert_eq!(proc.key(12).unwrap(), None);
}

#[test]
fn what_vanished_is_none_and_what_is_broken_names_its_path() {
    let fake = FakeProc::new(true);
    fake.file("7/stat", "7 (x");
    fake.file("7/status", "Name:\tx\n");
    let proc = fake.open();
    let mut buf = Vec::new();
    assert_eq!(proc.stat(8, &mut buf).unwrap(), None);
    assert_eq!(proc.status(8, &mut buf).unwrap(), None);
    assert_eq!(proc.statm(8, &mut buf).unwrap(), None);
    assert_eq!(proc.cmdline(8, &mut buf).unwrap(), None);
    assert_eq!(proc.variable(8, "PATH", &mut buf).unwrap(), None);
    assert_eq!(proc.link(8, "exe").unwrap(), None);
    assert!(!proc.tasks(8, &mut Vec::new()).unwrap());
    let error = proc.stat(7, &mut buf).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidData);
    assert!(error.to_string().contains("/7/stat"), "{error}");
    assert!(proc.status(7, &mut buf).is_err());
}

#[test]
fn a_proc_without_a_boot_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    assert!(Proc::open(dir.path()).unwrap_err().to_string().contains("boot_id"));
    let fake = FakeProc::new(true);
    fake.file("sys/kernel/random/boot_id", "not a uuid\n");
    assert_eq!(Proc::open(fake.dir.path()).unwrap_err().kind(), std::io::ErrorKind::InvalidData);
}

#[test]
fn this_process_on_the_real_one() {
    let proc = Proc::system().unwrap();
    let me = std::process::id();
    let mut buf = Vec::new();
    let stat = proc.stat(me, &mut buf).unwrap().unwrap();
    assert_eq!((stat.pid, stat.ppid), (me, std::os::unix::process::parent_id()));
    assert!(!stat.is_zombie() && stat.threads >= 1 && stat.rss_pages > 0);
    assert!(proc.is_alive(&proc.key(me).unwrap().unwrap()).unwrap());
    assert_eq!(proc.status(me, &mut buf).unwrap().unwrap().uid, rustix::process::getuid().as_raw());
    assert!(proc.statm(me, &mut buf).unwrap().unwrap().resident_pages > 0);
    assert_eq!(proc.link(me, "exe").unwrap().unwrap(), std::env::current_exe().unwrap());
    let first = std::env::args_os().next().unwrap();
    let cmdline = proc.cmdline(me, &mut buf).unwrap().unwrap();
    assert_eq!(text::arguments(cmdline).next().unwrap(), first.as_encoded_bytes());
    let mut pids = Vec::new();
    proc.pids(&mut pids).unwrap();
    assert!(pids.contains(&me));
}

#[test]
fn a_real_process_with_a_hostile_name_and_a_mark() {
    let dir = tempfile::tempdir().unwrap();
    let name = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b") Z 1\n\xff(");
    let program = dir.path().join(name);
    std::os::unix::fs::symlink("/bin/sleep", &program).unwrap();
    let child = Command::new(&program).arg0("sleep").arg("600").env("VIGIE_RUN", "cafe").spawn().unwrap();
    let child = Guard(child);
    let proc = Proc::system().unwrap();
    let mut buf = Vec::new();
    // Who spawns goes on before the exec is through; of what it changes, the environment comes last.
    eventually("the kernel has put the environment of the new program in its place", || {
        proc.variable(child.0.id(), "VIGIE_RUN", &mut buf).unwrap() == Some(b"cafe".as_slice())
    });
    let stat = proc.stat(child.0.id(), &mut buf).unwrap().unwrap();
    assert_eq!(stat.comm, b") Z 1\n\xff(");
    assert!(!stat.is_zombie());
    assert_eq!(stat.ppid, std::process::id());
    assert!(proc.descendants(std::process::id()).unwrap().iter().any(|member| member.pid == child.0.id()));
}

#[test]
fn a_real_process_dies_then_vanishes() {
    let proc = Proc::system().unwrap();
    let mut child = Guard::sleeper();
    let key = proc.key(child.0.id()).unwrap().unwrap();
    assert_eq!(proc.life(&key).unwrap(), Life::Alive);
    child.0.kill().unwrap();
    eventually("a killed child is a zombie", || proc.life(&key).unwrap() == Life::Zombie);
    child.0.wait().unwrap();
    assert_eq!(proc.life(&key).unwrap(), Life::Gone);
}

#[test]
fn real_processes_that_vanish_during_a_scan_are_no_errors() {
    let proc = Proc::system().unwrap();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                Command::new("true").status().unwrap();
            }
        });
        let mut buf = Vec::new();
        let mut pids = Vec::new();
        let until = crate::clock::mono() + Duration::from_millis(300);
        let result = (|| {
            while crate::clock::mono() < until {
                pids.clear();
                proc.pids(&mut pids)?;
                for &pid in &pids {
                    proc.stat(pid, &mut buf)?;
                    proc.statm(pid, &mut buf)?;
                    proc.status(pid, &mut buf)?;
                    proc.cmdline(pid, &mut buf)?;
                }
                proc.descendants(std::process::id())?;
            }
            Ok::<_, OsError>(())
        })();
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        result.unwrap();
    });
}
