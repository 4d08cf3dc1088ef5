//! Waiting for many descriptors at once, without allocating each time.

use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use rustix::io::Errno;

/// What to wait for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interest {
    /// Something to read, an end or an error.
    Read,
    /// A change of a file of the kernel such as `cgroup.events` (`POLLPRI`).
    Change,
}

/// A set of descriptors. Filled anew for each wait; its memory is kept.
#[derive(Debug, Default)]
pub struct PollSet {
    entries: Vec<libc::pollfd>,
}

impl PollSet {
    /// Forgets all descriptors.
    pub fn clear(&mut self) {
        self.entries.clear();
    }

    /// Adds one and tells its place.
    pub fn add(&mut self, descriptor: impl AsFd, interest: Interest) -> usize {
        let events = match interest {
            Interest::Read => libc::POLLIN,
            Interest::Change => libc::POLLPRI,
        };
        self.entries.push(libc::pollfd { fd: descriptor.as_fd().as_raw_fd(), events, revents: 0 });
        self.entries.len() - 1
    }

    /// Waits until something happens or `timeout` is over; absent: for ever. A signal ends the wait early.
    ///
    /// # Errors
    /// `ENOMEM`; `EINVAL` for more descriptors than the process may open.
    pub fn wait(&mut self, timeout: Option<Duration>) -> Result<(), Errno> {
        let timeout = timeout.map(|timeout| libc::timespec {
            tv_sec: libc::time_t::try_from(timeout.as_secs()).unwrap_or(libc::time_t::MAX),
            tv_nsec: timeout.subsec_nanos().into(),
        });
        let timeout = timeout.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
        // SAFETY: pointer and length describe the vector, which nobody touches meanwhile; the time is a live local or
        // null. A number whose descriptor was closed is answered with POLLNVAL.
        let result = unsafe {
            libc::ppoll(self.entries.as_mut_ptr(), self.entries.len() as libc::nfds_t, timeout, std::ptr::null())
        };
        if result >= 0 {
            return Ok(());
        }
        match std::io::Error::last_os_error().raw_os_error().map(Errno::from_raw_os_error) {
            Some(Errno::INTR) | None => {
                for entry in &mut self.entries {
                    entry.revents = 0;
                }
                Ok(())
            }
            Some(errno) => Err(errno),
        }
    }

    /// Whether something happened to the one at this place.
    pub fn ready(&self, place: usize) -> bool {
        self.entries.get(place).is_some_and(|entry| entry.revents != 0)
    }
}
