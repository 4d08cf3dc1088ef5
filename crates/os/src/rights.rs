//! Handing an open descriptor to another process over a Unix socket (`SCM_RIGHTS`, unix(7)).

use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage, SendFlags,
};

/// Sends bytes and, with the first of them, a descriptor. Tells how many bytes went.
///
/// # Errors
/// Those of sendmsg(2).
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptor: Option<BorrowedFd<'_>>) -> Result<usize, Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let rights = descriptor.as_slice();
    if !rights.is_empty() && !control.push(SendAncillaryMessage::ScmRights(rights)) {
        return Err(Errno::NOBUFS);
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(bytes)], &mut control, SendFlags::NOSIGNAL)
}

/// Receives bytes, and a descriptor if one came with them; of several the last one. Zero bytes are the end.
///
/// # Errors
/// Those of recvmsg(2): `EAGAIN` when there is nothing yet.
pub fn receive(socket: BorrowedFd<'_>, bytes: &mut [u8]) -> Result<(usize, Option<OwnedFd>), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
    let message = rustix::net::recvmsg(socket, &mut [IoSliceMut::new(bytes)], &mut control, flags)?;
    let mut received = None;
    for part in control.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            received = descriptors.last().or(received);
        }
    }
    Ok((message.bytes, received))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::os::fd::AsFd as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_descriptor_travels_with_the_first_byte() {
        let (here, there) = UnixStream::pair().unwrap();
        let (read, write) = rustix::pipe::pipe().unwrap();
        assert_eq!(send(here.as_fd(), b"abc", Some(write.as_fd())), Ok(3));
        drop(write);
        assert_eq!(send(here.as_fd(), b"d", None), Ok(1));
        let mut bytes = [0; 3];
        let (count, descriptor) = receive(there.as_fd(), &mut bytes).unwrap();
        assert_eq!(&bytes[..count], b"abc");
        std::fs::File::from(descriptor.expect("came along")).write_all(b"x").unwrap();
        assert_eq!(rustix::io::read(&read, &mut bytes), Ok(1));
        let (count, descriptor) = receive(there.as_fd(), &mut bytes).unwrap();
        assert_eq!((count, descriptor.is_none()), (1, true));
        assert_eq!(receive(there.as_fd(), &mut bytes).err(), Some(Errno::AGAIN));
        drop(here);
        assert_eq!(receive(there.as_fd(), &mut bytes).unwrap().0, 0);
    }
}
