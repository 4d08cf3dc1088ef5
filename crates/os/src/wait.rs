//! Waiting for one descriptor, never without a deadline.

use std::os::fd::AsFd;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use vigie_core::clock::Mono;

use crate::clock;

/// Waits until `fd` has something to read, an error or a hang-up: `true`; or the deadline has come: `false`. A deadline
/// in the past asks once and returns at once.
///
/// # Errors
/// What poll(2) says, except `EINTR`, after which it goes on.
pub(crate) fn readable(fd: impl AsFd, deadline: Mono) -> Result<bool, Errno> {
    let mut fds = [PollFd::from_borrowed_fd(fd.as_fd(), PollFlags::IN)];
    loop {
        // poll(2) sleeps on a clock that stands still during suspend, the deadline does not: hence the second look.
        let left = deadline.since(clock::mono());
        let timeout = Timespec {
            tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(left.subsec_nanos()),
        };
        match poll(&mut fds, Some(&timeout)) {
            Ok(0) if left.is_zero() => return Ok(false),
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(errno) => return Err(errno),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::unix::net::UnixStream;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_deadline_ends_it_and_so_does_a_byte() {
        let (reader, mut writer) = UnixStream::pair().unwrap();
        let before = clock::mono();
        assert!(!readable(&reader, before + Duration::from_millis(20)).unwrap());
        assert!(clock::mono().since(before) >= Duration::from_millis(20));
        assert!(!readable(&reader, Mono(0)).unwrap());
        writer.write_all(b"x").unwrap();
        assert!(readable(&reader, Mono(0)).unwrap());
    }
}
