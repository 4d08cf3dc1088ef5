//! Who uses a port, and what that means for a server that wants it (R7.1, R7.2).
//!
//! [`Socket`] is what the kernel tells of one socket, [`Entry`] adds who holds it, [`judge`] says what follows for a
//! claim. Nothing here asks the kernel: that is `vigie_os::ports`.

mod verdict;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

pub use verdict::{Judgement, Rights, Verdict, judge, judge_in};

use crate::claim::{Held, Proto};

/// What a socket does with its local port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// TCP: accepts connections.
    Listening,
    /// TCP: holds the port without listening. UDP: receives from anybody.
    Bound,
    /// It is one end of a connection; for UDP: it receives from one peer.
    Connected,
    /// TCP: what the kernel keeps of a connection that its process has closed, `TIME_WAIT` mostly.
    Left,
}

/// A socket that has a local port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Socket {
    /// The local address; unspecified means every address of its family, see `v6_only`.
    pub address: IpAddr,
    /// The local port.
    pub port: u16,
    /// The protocol.
    pub proto: Proto,
    /// What it does.
    pub state: State,
    /// An IPv6 socket that leaves IPv4 alone. `false` where the kernel does not tell: then more seems to be held than is.
    pub v6_only: bool,
    /// Its number, as in `socket:[N]` below `/proc/PID/fd`; 0 when no process has it (any more, or not yet).
    pub inode: u64,
    /// The user who made it.
    pub uid: u32,
    /// The other end of a connection.
    pub peer: Option<SocketAddr>,
    /// The cgroup in which it was made: the inode number of the folder in the cgroup v2 tree, which stays the same when
    /// its process is moved. Absent where the kernel does not tell.
    pub cgroup: Option<u64>,
    /// The number of the network interface that it is bound to (`SO_BINDTODEVICE`); absent: all.
    pub interface: Option<u32>,
    /// When the kernel forgets it, for [`State::Left`]; absent when it does not say.
    pub ends_in: Option<Duration>,
    /// The network namespace, as in `net:[N]`, when it is not that of whoever looked.
    pub namespace: Option<u64>,
}

impl Socket {
    /// For comparing with claims.
    pub fn held(&self) -> Held {
        Held { address: self.address, port: self.port, proto: self.proto, v6_only: self.v6_only }
    }

    /// It receives whatever comes to its port: a TCP listener, or a UDP socket without a peer.
    pub fn serves(&self) -> bool {
        match self.proto {
            Proto::Tcp => self.state == State::Listening,
            Proto::Udp => self.state == State::Bound,
        }
    }
}

/// A process that has a descriptor of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Holder {
    /// Whoever had this number when it was looked at; take its identity before doing anything to it.
    pub pid: u32,
    /// The thread through which it was seen, when the main thread shows nothing: it has ended, or has other descriptors.
    pub tid: Option<u32>,
}

/// A socket and who holds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The socket.
    pub socket: Socket,
    /// All that could be seen, by PID. Empty: nobody has it, or whoever has it is hidden.
    pub holders: Vec<Holder>,
}

#[cfg(test)]
mod tests;
