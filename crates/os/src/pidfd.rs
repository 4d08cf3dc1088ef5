//! A process that can be signalled and waited for without mistaking it for another (R4.6).
//!
//! Order matters: the descriptor is opened first, the identity is compared afterwards. A key that was read before the
//! open and still fits after it belonged to the number for all the time between, so the descriptor is that process.

use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, pidfd_open, pidfd_send_signal};
use vigie_core::clock::Mono;
use vigie_core::identity::ProcKey;
use vigie_core::ladder::Signal;

use crate::error::OsError;
use crate::proc::Proc;
use crate::wait;

/// A process, held by a descriptor. Its number may be given out again; this still means the old one.
#[derive(Debug)]
pub struct Target {
    fd: OwnedFd,
    key: ProcKey,
}

impl Target {
    /// The process with this identity; `None` when it is gone. A zombie that was not reaped is still there.
    ///
    /// # Errors
    /// What pidfd_open(2) says, and those of [`Proc::stat`].
    pub fn open(proc: &Proc, key: &ProcKey) -> Result<Option<Self>, OsError> {
        if key.boot_id != *proc.boot_id() {
            return Ok(None);
        }
        let Some(fd) = open_fd(key.pid)? else { return Ok(None) };
        Ok((proc.key(key.pid)?.as_ref() == Some(key)).then(|| Self { fd, key: key.clone() }))
    }

    /// Whoever has this number now; `None` when it is nobody, or somebody who is dead. For numbers that a person gave.
    ///
    /// # Errors
    /// As for [`Target::open`].
    pub fn open_pid(proc: &Proc, pid: u32) -> Result<Option<Self>, OsError> {
        let Some(fd) = open_fd(pid)? else { return Ok(None) };
        let Some(key) = proc.key(pid)? else { return Ok(None) };
        let target = Self { fd, key };
        // The key was read from a number. It is this process's only if this process had the number all the time.
        Ok((!target.is_dead()?).then_some(target))
    }

    /// The process that somebody else opened and says to be this number; `None` when it was reaped, or is not that number.
    ///
    /// # Errors
    /// Those of [`Proc::stat`], and when the descriptor's line in `/proc/self/fdinfo` cannot be read.
    pub fn received(proc: &Proc, pid: u32, fd: OwnedFd) -> Result<Option<Self>, OsError> {
        let Some(key) = proc.key(pid)? else { return Ok(None) };
        // The kernel names the process there by its number until it is reaped, with -1 afterwards (pidfd_open(2)). So
        // a number that still is there was its own when the key was read.
        let mut buffer = Vec::new();
        let info = proc.read_global(&format!("self/fdinfo/{}", fd.as_raw_fd()), &mut buffer)?.unwrap_or_default();
        let line = info.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Pid:\t"));
        let number = line.and_then(|number| std::str::from_utf8(number).ok()?.parse::<u32>().ok());
        Ok((number == Some(pid)).then_some(Self { fd, key }))
    }

    /// Its identity.
    pub fn key(&self) -> &ProcKey {
        &self.key
    }

    /// Asks the kernel to signal the process; `false` when it is gone. A signal is a request: only [`Target::is_dead`]
    /// reports a death. A zombie takes every signal and heeds none.
    ///
    /// # Errors
    /// What pidfd_send_signal(2) says; mostly `PermissionDenied` for other users' processes.
    pub fn send(&self, signal: Signal) -> Result<bool, OsError> {
        let raw = rustix::process::Signal::from_named_raw(signal.number())
            .expect("the kernel knows each signal that the vocabulary has");
        match pidfd_send_signal(&self.fd, raw) {
            Ok(()) => Ok(true),
            Err(Errno::SRCH) => Ok(false),
            Err(errno) => Err(OsError::on_process("signal", self.key.pid)(errno)),
        }
    }

    /// Whether all threads of the process have ended; it may still be a zombie.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn is_dead(&self) -> Result<bool, OsError> {
        self.wait(Mono(0))
    }

    /// Waits for its end: `false` when the deadline came first.
    ///
    /// # Errors
    /// What poll(2) says.
    pub fn wait(&self, deadline: Mono) -> Result<bool, OsError> {
        wait::readable(&self.fd, deadline).map_err(OsError::on_process("wait for", self.key.pid))
    }
}

/// For poll loops: readable once the process has ended.
impl AsFd for Target {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

fn open_fd(pid: u32) -> Result<Option<OwnedFd>, OsError> {
    // 0 and numbers above 2^31 are nobody's.
    let Some(number) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(None) };
    match pidfd_open(number, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::SRCH) => Ok(None),
        Err(errno) => Err(OsError::on_process("open", pid)(errno)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::clock;
    use crate::proc::tests::Guard;

    fn soon() -> Mono {
        clock::mono() + Duration::from_secs(60)
    }

    #[test]
    fn signalled_and_waited_for() {
        let proc = Proc::system().unwrap();
        let mut child = Guard::sleeper();
        let key = proc.key(child.0.id()).unwrap().unwrap();
        let target = Target::open(&proc, &key).unwrap().unwrap();
        assert_eq!(target.key(), &key);
        assert!(!target.is_dead().unwrap());
        assert!(!target.wait(clock::mono() + Duration::from_millis(5)).unwrap());
        assert!(target.send(Signal::Term).unwrap());
        assert!(target.wait(soon()).unwrap());
        // Dead, not yet reaped: it can be opened by its identity, and takes signals without effect.
        assert!(target.send(Signal::Kill).unwrap());
        assert!(Target::open(&proc, &key).unwrap().is_some());
        assert!(Target::open_pid(&proc, key.pid).unwrap().is_none());
        child.0.wait().unwrap();
        assert!(target.is_dead().unwrap());
        assert!(!target.send(Signal::Kill).unwrap());
        assert!(Target::open(&proc, &key).unwrap().is_none());
    }

    /// R4.6, R4.7: the number lives, but it is somebody else's.
    #[test]
    fn a_reused_number_is_not_the_target() {
        let proc = Proc::system().unwrap();
        let child = Guard::sleeper();
        let key = proc.key(child.0.id()).unwrap().unwrap();
        let before = ProcKey { start_ticks: key.start_ticks - 1, ..key.clone() };
        assert!(Target::open(&proc, &before).unwrap().is_none());
        let boot_before = ProcKey { boot_id: vigie_core::identity::BootId("0".into()), ..key.clone() };
        assert!(Target::open(&proc, &boot_before).unwrap().is_none());
        assert_eq!(Target::open_pid(&proc, key.pid).unwrap().unwrap().key(), &key);
    }

    #[test]
    fn a_descriptor_is_believed_only_what_the_kernel_says_of_it() {
        let proc = Proc::system().unwrap();
        let (mut child, other) = (Guard::sleeper(), Guard::sleeper());
        let key = proc.key(child.0.id()).unwrap().unwrap();
        let open = || open_fd(key.pid).unwrap().unwrap();
        assert_eq!(Target::received(&proc, key.pid, open()).unwrap().unwrap().key(), &key);
        assert!(Target::received(&proc, other.0.id(), open()).unwrap().is_none(), "another's number");
        let file = OwnedFd::from(std::fs::File::open("/dev/null").unwrap());
        assert!(Target::received(&proc, key.pid, file).unwrap().is_none(), "no process");
        let held = open();
        child.0.kill().unwrap();
        child.0.wait().unwrap();
        assert!(Target::received(&proc, key.pid, held).unwrap().is_none(), "gone");
    }

    #[test]
    fn nobody_has_these_numbers() {
        let proc = Proc::system().unwrap();
        for pid in [0, u32::MAX, i32::MAX as u32] {
            assert!(Target::open_pid(&proc, pid).unwrap().is_none(), "{pid}");
        }
    }

    #[test]
    fn every_signal_of_the_vocabulary_can_be_sent() {
        for number in 1..=64 {
            if let Some(signal) = Signal::from_number(number) {
                assert_eq!(signal.number(), number);
                assert!(rustix::process::Signal::from_named_raw(number).is_some(), "{number}");
            }
        }
    }
}
