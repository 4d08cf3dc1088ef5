//! Asking the kernel for its sockets: sock_diag(7) over netlink(7).

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, recv, send, socket_with};

const HEADER: usize = 16;
const ERROR: u16 = 2;
const DONE: u16 = 3;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`
const DUMP_REQUEST: u16 = 0x301;

/// The kernel answers from memory, at once. This only keeps a bug of ours from becoming a hang.
const PATIENCE: Duration = Duration::from_secs(5);

/// A conversation with sock_diag.
pub(crate) struct SockDiag {
    socket: OwnedFd,
    buf: Vec<u8>,
    sequence: u32,
}

impl SockDiag {
    pub(crate) fn open() -> Result<Self, Errno> {
        let flags = SocketFlags::CLOEXEC;
        let socket = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
        set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
        Ok(Self { socket, buf: vec![0; 32 * 1024], sequence: 0 })
    }

    /// Sends one request for a list and calls `each` with the payload of every answer.
    pub(crate) fn dump(&mut self, request: &[u8], mut each: impl FnMut(&[u8])) -> Result<(), Errno> {
        self.sequence += 1;
        let len = u32::try_from(HEADER + request.len()).map_err(|_| Errno::MSGSIZE)?;
        let mut message = Vec::with_capacity(HEADER + request.len());
        message.extend(len.to_ne_bytes());
        message.extend(SOCK_DIAG_BY_FAMILY.to_ne_bytes());
        message.extend(DUMP_REQUEST.to_ne_bytes());
        message.extend(self.sequence.to_ne_bytes());
        message.extend(0_u32.to_ne_bytes());
        message.extend(request);
        send(&self.socket, &message, SendFlags::empty())?;
        loop {
            let count = match recv(&self.socket, &mut self.buf[..], RecvFlags::empty()) {
                Ok((count, _)) => count,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(errno),
            };
            for message in Messages(&self.buf[..count]) {
                match message.kind {
                    // Left over from a list that was not read to its end.
                    _ if message.sequence != self.sequence => {}
                    DONE => return Ok(()),
                    ERROR => return Err(error_in(message.payload)),
                    _ => each(message.payload),
                }
            }
        }
    }
}

/// The payload of an error message begins with a negative error number.
fn error_in(payload: &[u8]) -> Errno {
    payload.first_chunk().map_or(Errno::PROTO, |bytes| Errno::from_raw_os_error(-i32::from_ne_bytes(*bytes)))
}

struct Message<'a> {
    kind: u16,
    sequence: u32,
    payload: &'a [u8],
}

/// The messages in one datagram: `struct nlmsghdr` (length, kind, flags, sequence, sender) and payload, each rounded up
/// to four bytes. Ends at the first length that cannot be.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = Message<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::try_from(u32_at(self.0, 0)?).ok()?;
        let message = self.0.get(..len).filter(|message| message.len() >= HEADER)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some(Message { kind: u16_at(message, 4)?, sequence: u32_at(message, 8)?, payload: &message[HEADER..] })
    }
}

/// The attributes behind a fixed part: `struct nlattr` (length, kind) and value, each rounded up to four bytes.
pub(crate) struct Attributes<'a>(pub(crate) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let len = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)?;
        let value = self.0.get(4..len)?;
        self.0 = self.0.get(len.next_multiple_of(4)..).unwrap_or(&[]);
        Some((kind, value))
    }
}

pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..)?.first_chunk().map(|bytes| u16::from_ne_bytes(*bytes))
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    bytes.get(at..)?.first_chunk().map(|bytes| u64::from_ne_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend(u32::try_from(HEADER + payload.len()).unwrap().to_ne_bytes());
        bytes.extend(kind.to_ne_bytes());
        bytes.extend([0; 2]);
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn messages_and_attributes() {
        let datagram = [message(20, 1, b"abcde"), message(DONE, 1, b""), vec![1, 2, 3]].concat();
        let seen: Vec<_> = Messages(&datagram).map(|one| (one.kind, one.sequence, one.payload.to_vec())).collect();
        assert_eq!(seen, [(20, 1, b"abcde".to_vec()), (DONE, 1, Vec::new())]);
        let attributes = [5, 0, 11, 0, 1, 0, 0, 0, 6, 0, 8, 0, 2, 3];
        if cfg!(target_endian = "little") {
            assert_eq!(Attributes(&attributes).collect::<Vec<_>>(), [(11, &[1][..]), (8, &[2, 3])]);
        }
    }

    #[test]
    fn lengths_that_cannot_be_end_it() {
        for broken in [[0, 0, 0, 0].as_slice(), &[15; 16], &[255; 40], &[]] {
            assert_eq!(Messages(broken).count(), 0);
        }
        for broken in [[0, 0, 1, 0].as_slice(), &[3, 0, 1, 0], &[9, 9, 9, 9, 9], &[1]] {
            assert_eq!(Attributes(broken).count(), 0);
        }
    }

    #[test]
    fn what_the_kernel_refuses_is_an_error() {
        // No such family.
        let request = [255_u8; 56];
        assert!(SockDiag::open().unwrap().dump(&request, |_| ()).is_err());
        assert_eq!(error_in(&(-2_i32).to_ne_bytes()), Errno::NOENT);
        assert_eq!(error_in(b""), Errno::PROTO);
    }
}
