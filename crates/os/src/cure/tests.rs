use std::fs;
use std::io::Read as _;
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use vigie_core::identity::{ProcKey, RunId};

use super::errand::{Answer, Report};
use super::*;
use crate::cgroup::{Cgroup, Own};
use crate::proc::tests::{FakeProc, Guard, eventually};

fn soon() -> Mono {
    mono() + Duration::from_secs(60)
}

/// For what is expected not to come.
fn now() -> Mono {
    mono() + Duration::from_millis(50)
}

fn key(child: &Child) -> ProcKey {
    Proc::system().unwrap().key(child.id()).unwrap().unwrap()
}

fn state(pid: u32) -> Option<char> {
    Proc::system().unwrap().stat(pid, &mut Vec::new()).unwrap().map(|stat| char::from(stat.state))
}

fn is_root(what: &str) -> bool {
    let root = crate::user::uid() == 0;
    if !root {
        println!("skipped: {what} needs root");
    }
    root
}

/// What `ask` says to a user without rights: a thread of its own, whose user is nobody from then on.
fn as_nobody<T: Send>(ask: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let nobody = || {
            // SAFETY: plain numbers. The system call, other than the function of libc, changes this thread alone.
            let done = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
            assert!(done == 0 || crate::user::uid() != 0);
            ask()
        };
        scope.spawn(nobody).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

#[test]
fn an_errand_tells_what_it_has_done() {
    let (mut here, there) = UnixStream::pair().unwrap();
    let raw = std::os::fd::AsRawFd::as_raw_fd(&here);
    let work = |report: &Report| {
        report.tell(Answer::Done(u64::MAX));
        report.tell(Answer::Failed(3, Errno::STALE));
        // SAFETY: asks for the flags of a number, open or not.
        let closed = unsafe { libc::fcntl(raw, libc::F_GETFD) } == -1;
        report.tell(Answer::Done(closed.into()));
        let _ = rustix::io::write(&there, b"x");
    };
    let answers = errand::run(&[there.as_fd()], soon(), work).unwrap();
    assert_eq!(answers, [Answer::Done(u64::MAX), Answer::Failed(3, Errno::STALE), Answer::Done(1)]);
    assert_eq!(here.read(&mut [0; 2]).unwrap(), 1, "what was kept is its own");
}

#[test]
fn an_errand_that_hangs_or_breaks_is_left_behind() {
    let (mut here, there) = UnixStream::pair().unwrap();
    let hangs = |patience| {
        let deadline = mono() + patience;
        let hang = |report: &Report| {
            report.tell(Answer::Done(1));
            loop {
                errand::pause();
            }
        };
        let answers = errand::run(&[there.as_fd()], deadline, hang).unwrap();
        assert!(mono() >= deadline);
        answers
    };
    // On a busy machine, even what does not hang takes a while.
    let patience = [1, 5, 20].map(Duration::from_secs);
    assert!(patience.into_iter().any(|patience| hangs(patience) == [Answer::Done(1)]));
    drop(there);
    // It has ended, by the signal that it had ordered for itself: nobody holds the other end any more.
    here.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    assert_eq!(here.read(&mut [0; 1]).unwrap(), 0);
    let breaks = |report: &Report| {
        report.tell(Answer::Done(2));
        std::panic::resume_unwind(Box::new(()));
    };
    assert_eq!(errand::run(&[], soon(), breaks).unwrap(), [Answer::Done(2)]);
}

fn stop(target: &Target) {
    rustix::process::pidfd_send_signal(target, rustix::process::Signal::STOP).unwrap();
}

#[test]
fn a_stopped_process_goes_on() {
    let proc = Proc::system().unwrap();
    let child = Guard::sleeper();
    let target = Target::open(&proc, &key(&child.0)).unwrap().unwrap();
    stop(&target);
    eventually("it is stopped", || state(child.0.id()) == Some('T'));
    cont(&proc, &target, soon()).unwrap();
    assert_ne!(state(child.0.id()), Some('T'));
    // With a signal that had been waiting for this: it ends.
    stop(&target);
    eventually("it is stopped", || state(child.0.id()) == Some('T'));
    target.send(Signal::Term).unwrap();
    cont(&proc, &target, soon()).unwrap();
    assert!(target.wait(soon()).unwrap());
    cont(&proc, &target, soon()).unwrap();
}

#[test]
fn who_is_stopped_again_is_told() {
    let child = Guard::sleeper();
    let target = Target::open(&Proc::system().unwrap(), &key(&child.0)).unwrap().unwrap();
    let fake = FakeProc::new(true);
    fake.process(child.0.id(), 1, 'T', 100, &[]);
    fake.process(child.0.id() + 1, 1, 'S', 100, &[]);
    let error = cont(&fake.open(), &target, now()).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
}

/// A cgroup of the test's own, thawed and removed at its end.
struct Frozen {
    cgroup: Cgroup,
    version: u8,
}

impl Frozen {
    /// One of each version that this machine has.
    fn folders() -> Vec<Self> {
        let own = crate::cgroup::own(Path::new("/proc"));
        let run = RunId(
            u64::from(std::process::id()) << 32
                | u64::from(rustix::thread::gettid().as_raw_nonzero().get().unsigned_abs()),
        );
        let versions = [(1, Own { v2: None, ..own.clone() }), (2, Own { freezer: None, ..own })];
        let make = |(version, own): (u8, Own)| Some(Self { cgroup: Cgroup::create(&own, run)?, version });
        let made: Vec<Self> = versions.into_iter().filter_map(make).collect();
        if made.is_empty() {
            println!("skipped: no cgroup can be made here");
        }
        made
    }

    fn file(&self, folder: &Path) -> PathBuf {
        folder.join(if self.version == 1 { "freezer.state" } else { "cgroup.freeze" })
    }

    fn freeze(&self, folder: &Path) {
        fs::write(self.file(folder), if self.version == 1 { "FROZEN" } else { "1" }).unwrap();
        eventually("it is frozen", || match self.version {
            1 => fs::read_to_string(self.file(folder)).unwrap().trim() == "FROZEN",
            _ => fs::read_to_string(folder.join("cgroup.events")).unwrap().contains("frozen 1"),
        });
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = fs::write(self.file(self.cgroup.path()), if self.version == 1 { "THAWED" } else { "0" });
        let _ = self.cgroup.kill();
        let _ = self.cgroup.remove(soon());
    }
}

#[test]
fn a_frozen_cgroup_is_thawed() {
    for frozen in Frozen::folders() {
        let (folder, version) = (frozen.cgroup.path(), frozen.version);
        let below = folder.join("below");
        fs::create_dir(&below).unwrap();
        let mut child = Guard::sleeper();
        fs::write(below.join("cgroup.procs"), child.0.id().to_string()).unwrap();
        frozen.freeze(folder);
        frozen.freeze(&below);
        if version == 1 {
            child.0.kill().unwrap();
            assert_eq!(child.0.try_wait().unwrap(), None, "KILL does not reach it");
        }
        // One above it is frozen too.
        let error = thaw_cgroup(version, &below, now()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::TimedOut, "{error}");
        assert!(error.to_string().ends_with(&format!("thaw {}", folder.display())), "{error}");
        thaw_cgroup(version, folder, soon()).unwrap();
        if version == 2 {
            assert_eq!(child.0.try_wait().unwrap(), None);
            child.0.kill().unwrap();
        }
        assert!(!child.0.wait().unwrap().success());
        // What is not frozen can be thawed.
        thaw_cgroup(version, folder, soon()).unwrap();
    }
}

#[test]
fn only_a_cgroup_is_thawed() {
    let dir = tempfile::tempdir().unwrap();
    for version in [1, 2] {
        let error = thaw_cgroup(version, dir.path(), soon()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "nothing was made there");
    for frozen in Frozen::folders() {
        if is_root("another user") {
            let error = as_nobody(|| thaw_cgroup(frozen.version, frozen.cgroup.path(), soon())).unwrap_err();
            assert_eq!(error.kind(), std::io::ErrorKind::PermissionDenied);
            assert!(error.to_string().ends_with("needs root"), "{error}");
        }
    }
}

/// A script in a table of mounts of its own, which says a word when it is ready.
pub(crate) fn in_own_mounts(script: &str, folder: &Path) -> Child {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-ec", script]).current_dir(folder);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap()
}

pub(crate) fn word(child: &mut Child) -> String {
    let mut word = [0; 16];
    let length = child.stdout.as_mut().unwrap().read(&mut word).unwrap();
    String::from_utf8_lossy(&word[..length]).trim().to_owned()
}

/// A line for a script that freezes a file system: else nothing could ever be unmounted. When its input ends, with the test
/// however that ends, the file system is thawed, by somebody who is not killed with the group of the test. Not at a folder of
/// the test: when that is removed, nobody finds the file system any more.
pub(crate) fn thaw_at_the_end(point: &str) -> String {
    format!("exec 9<&0; setsid sh -c 'cat; fsfreeze -u {point}' <&9 >/dev/null 2>&1 & ")
}

#[test]
fn a_frozen_file_system_is_thawed() {
    if !is_root("freezing a file system") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let script = "truncate -s 8M image; mkfs.ext4 -q image; mount -o loop image /mnt; fsfreeze -f /mnt; echo ready; \
                  touch /mnt/file; echo freed; exec sleep 600";
    let script = thaw_at_the_end("/mnt") + script;
    let mut child = Guard(in_own_mounts(&script, dir.path()));
    if word(&mut child.0) != "ready" {
        println!("skipped: no loop device with ext4 can be frozen here");
        return;
    }
    let proc = Proc::system().unwrap();
    let witness = key(&child.0);
    let info = fs::read_to_string(format!("/proc/{}/mountinfo", witness.pid)).unwrap();
    let line = info.lines().find(|line| line.split(' ').nth(4) == Some("/mnt")).unwrap();
    let (major, minor) = line.split(' ').nth(2).unwrap().split_once(':').unwrap();
    let device = (major.parse().unwrap(), minor.parse().unwrap());
    let thaw = |point: &str, device, deadline| thaw_filesystem(&proc, &witness, Path::new(point), device, deadline);
    let kind = |result: Result<(), OsError>| result.unwrap_err().kind();
    assert_eq!(kind(thaw("/mnt", (device.0, device.1 + 1), soon())), std::io::ErrorKind::NotFound);
    assert_eq!(kind(thaw("/", device, soon())), std::io::ErrorKind::NotFound);
    assert_eq!(kind(thaw("/mnt/../nowhere", device, soon())), std::io::ErrorKind::NotFound);
    let error = as_nobody(|| thaw("/mnt", device, soon())).unwrap_err();
    assert!(error.to_string().ends_with("needs root"), "{error}");
    thaw("/mnt", device, soon()).unwrap();
    assert_eq!(word(&mut child.0), "freed");
    assert_eq!(kind(thaw("/mnt", device, soon())), std::io::ErrorKind::InvalidInput);
}

#[test]
fn a_connection_of_fuse_is_aborted() {
    if !is_root("FUSE in a table of mounts of its own") {
        return;
    }
    // Nobody ever answers, not even the first request of the connection: whoever looks at the folder waits.
    let script = "exec 3<>/dev/fuse; mount -i -t fuse none /mnt -o fd=3,rootmode=40000,user_id=0,group_id=0; echo ready; \
                  ls /mnt 3>&- 2>/dev/null || :; echo freed; exec sleep 600";
    let dir = tempfile::tempdir().unwrap();
    let mut child = Guard(in_own_mounts(script, dir.path()));
    if word(&mut child.0) != "ready" {
        println!("skipped: FUSE cannot be mounted here");
        return;
    }
    let info = fs::read_to_string(format!("/proc/{}/mountinfo", child.0.id())).unwrap();
    let line = info.lines().find(|line| line.split(' ').nth(4) == Some("/mnt")).unwrap();
    let number: u32 = line.split(' ').nth(2).unwrap().strip_prefix("0:").unwrap().parse().unwrap();
    let connections = fuse::Connections::open().unwrap();
    assert!(connections.waiting(number).unwrap() >= Some(1));
    let denied = as_nobody(|| abort_fuse(number, soon())).unwrap_err();
    assert!(denied.to_string().ends_with("needs root"), "{denied}");
    abort_fuse(number, soon()).unwrap();
    assert_eq!(connections.waiting(number).unwrap(), Some(0));
    assert_eq!(word(&mut child.0), "freed");
    drop(child);
    eventually("the connection ends with its mount", || connections.waiting(number).unwrap().is_none());
    assert_eq!(abort_fuse(number, soon()).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_full_pipe_is_drained() {
    let proc = Proc::system().unwrap();
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).unwrap();
    let child = Guard(Command::new("yes").stdin(Stdio::null()).stdout(write).spawn().unwrap());
    let writer = key(&child.0);
    let size = rustix::pipe::fcntl_getpipe_size(&read).unwrap() as u64;
    let full = || rustix::io::ioctl_fionread(&read).unwrap() == size;
    eventually("it is full", || full() && state(writer.pid) == Some('S'));
    let link = proc.link(writer.pid, "fd/1").unwrap().unwrap();
    let inode = link.to_str().unwrap().trim_start_matches("pipe:[").trim_end_matches(']').parse().unwrap();
    for (fd, inode) in [(1, inode + 1), (0, inode), (77, inode)] {
        let error = drain_pipe(&proc, &writer, fd, inode, soon()).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
    }
    assert!(full());
    if is_root("another user") {
        let error = as_nobody(|| drain_pipe(&proc, &writer, 1, inode, soon())).unwrap_err();
        assert!(error.to_string().ends_with("needs root"), "{error}");
    }
    assert_eq!(drain_pipe(&proc, &writer, 1, inode, soon()).unwrap(), size);
    eventually("its writer goes on", full);
    drop(child);
    assert_eq!(drain_pipe(&proc, &writer, 1, inode, soon()).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}
