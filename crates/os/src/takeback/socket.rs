//! What is done to one socket of a ghost. All of this runs in an errand: it makes system calls and nothing else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::{AsFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, bind, connect, connect_unspec, getsockname, netlink,
    recv, send, socket_with, sockopt,
};
use rustix::process::{PidfdGetfdFlags, pidfd_getfd};
use vigie_core::claim::Proto;
use vigie_core::ports::Socket;

use crate::cure::errand::Link;
use crate::netlink::u32_at;

/// What a link to a socket reads.
pub(super) const KIND: &[u8] = b"socket:[";

/// A way to a socket.
#[derive(Debug)]
pub(super) enum Reach {
    /// By the descriptor that this process, or thread, has of it.
    Descriptor { process: OwnedFd, fd: i32, inode: u64, tcp: bool },
    /// By what sock_diag(7) calls it: the whole request that destroys it.
    Named([u8; REQUEST]),
}

impl Reach {
    pub(super) fn process(&self) -> Option<&OwnedFd> {
        match self {
            Reach::Descriptor { process, .. } => Some(process),
            Reach::Named(_) => None,
        }
    }
}

const GET: u32 = 0;
const DISCONNECT: u32 = 1;
const SHARE: u32 = 2;
const DESTROY: u32 = 3;

/// The socket has no port any more.
const RELEASED: u64 = 0;
/// It receives nothing any more.
const SILENCED: u64 = 1;

pub(super) fn take(reach: &Reach) -> Result<u64, (u32, Errno)> {
    match reach {
        Reach::Descriptor { process, fd, inode, tcp } => {
            let socket = pidfd_getfd(process, *fd, PidfdGetfdFlags::empty()).map_err(|errno| (GET, errno))?;
            if Link::of(&socket).number(KIND) != Some(*inode) {
                return Err((GET, Errno::NOENT));
            }
            silence(&socket, *tcp)
        }
        Reach::Named(request) => destroy(request).map(|()| SILENCED).map_err(|errno| (DESTROY, errno)),
    }
}

/// Ends what it receives, and lets others bind where it is bound.
fn silence(socket: &OwnedFd, tcp: bool) -> Result<u64, (u32, Errno)> {
    // A listener does not listen any more, a connection is reset, a port that was not asked for by number is given back.
    connect_unspec(socket).map_err(|errno| (DISCONNECT, errno))?;
    let bound = getsockname(socket).ok().and_then(|address| SocketAddr::try_from(address).ok());
    let bound = bound.ok_or((DISCONNECT, Errno::AFNOSUPPORT))?;
    // What it says of itself may be what it was bound to. Who is bound cannot be bound again.
    let any = if bound.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
    if bind(socket, &SocketAddr::new(any, 0)).is_ok() {
        connect_unspec(socket).map_err(|errno| (DISCONNECT, errno))?;
        return Ok(RELEASED);
    }
    sockopt::set_socket_reuseaddr(socket, true).map_err(|errno| (SHARE, errno))?;
    sockopt::set_socket_reuseport(socket, true).map_err(|errno| (SHARE, errno))?;
    if !tcp && !to_itself(socket, bound) {
        // It would get a half of what comes for the successor.
        sockopt::set_socket_reuseport(socket, false).map_err(|errno| (SHARE, errno))?;
    }
    Ok(SILENCED)
}

/// Connects a UDP socket to itself: then nothing reaches it but what it sends.
fn to_itself(socket: impl AsFd, bound: SocketAddr) -> bool {
    let here = match bound.ip() {
        IpAddr::V4(address) if address.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(address) if address.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        address => address,
    };
    connect(socket, &SocketAddr::new(here, bound.port())).is_ok()
}

// include/uapi/linux/sock_diag.h, netlink.h, inet_diag.h.
const SOCK_DESTROY: u16 = 21;
const REQUEST_AND_ANSWER: u16 = 0x5;
const ERROR: u16 = 2;
const HEADER: usize = 16;
const REQUEST: usize = HEADER + 56;

/// The request that destroys a socket; `identity` is what the kernel calls it (`struct inet_diag_sockid`, with its cookie).
pub(super) fn destroy_request(socket: &Socket, identity: &[u8; 48]) -> [u8; REQUEST] {
    let mut request = [0; REQUEST];
    request[..4].copy_from_slice(&72_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&SOCK_DESTROY.to_ne_bytes());
    request[6..8].copy_from_slice(&REQUEST_AND_ANSWER.to_ne_bytes());
    request[HEADER] = if socket.address.is_ipv4() { 2 } else { 10 };
    request[HEADER + 1] = if socket.proto == Proto::Tcp { 6 } else { 17 };
    request[HEADER + 4..HEADER + 8].fill(0xff);
    request[HEADER + 8..].copy_from_slice(identity);
    request
}

fn destroy(request: &[u8; REQUEST]) -> Result<(), Errno> {
    let flags = SocketFlags::CLOEXEC;
    let diag = socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, Some(netlink::SOCK_DIAG))?;
    send(&diag, request, SendFlags::empty())?;
    let mut answer = [0; 256];
    let (length, _) = recv(&diag, &mut answer[..], RecvFlags::empty())?;
    let kind = u32_at(&answer[..length], 4).map(|word| word & 0xffff);
    match (kind, u32_at(&answer[..length], HEADER)) {
        (Some(kind), Some(0)) if kind == u32::from(ERROR) => Ok(()),
        (_, Some(errno)) => Err(Errno::from_raw_os_error(-errno.cast_signed())),
        _ => Err(Errno::PROTO),
    }
}
