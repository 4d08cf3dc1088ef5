//! What the sockets of a port mean for a server that wants it.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Entry, Socket, State};
use crate::claim::{PortClaim, Proto};

/// Whether a port can be had (R7.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Nothing is in the way.
    Free,
    /// A server has it.
    Used,
    /// Several servers have it at the same time (`SO_REUSEPORT`), and no process has all of their sockets: the kernel deals
    /// out what arrives among them, which is how a second copy goes unnoticed.
    Shared,
    /// Only closed connections are left, which the kernel keeps for a while. Servers that set `SO_REUSEADDR` can have it, if
    /// the one before did too.
    TimeWait,
    /// A connection uses it as its own end. Nobody else can bind this address until it is closed.
    Ephemeral,
    /// A socket holds it and does not listen.
    Bound,
    /// Nothing has it, and it takes a privilege (`CAP_NET_BIND_SERVICE`).
    Reserved,
    /// The sockets could not be read.
    Unknown,
}

impl Verdict {
    /// A server can have it; what is left of old connections is in nobody's way who sets `SO_REUSEADDR`.
    pub fn is_free(self) -> bool {
        matches!(self, Self::Free | Self::TimeWait)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Free => "free",
            Self::Used => "used",
            Self::Shared => "shared",
            Self::TimeWait => "time-wait",
            Self::Ephemeral => "ephemeral",
            Self::Bound => "bound",
            Self::Reserved => "reserved",
            Self::Unknown => "unknown",
        })
    }
}

/// Which ports whoever asks may bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rights {
    /// The lowest port that takes no privilege (`net.ipv4.ip_unprivileged_port_start`).
    pub lowest_port: u16,
    /// The privilege is there.
    pub privileged: bool,
}

impl Rights {
    fn allow(&self, port: u16) -> bool {
        self.privileged || port >= self.lowest_port
    }
}

/// A verdict and what it rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The verdict.
    pub verdict: Verdict,
    /// The places of the entries that make it so; of a listener's own connections there are none.
    pub by: Vec<usize>,
    /// How long it takes at least until the last of them is forgotten, for [`Verdict::TimeWait`].
    pub ends_in: Option<Duration>,
}

/// What a server that wants `claim` meets among `entries`. Those of another network namespace are not in its way.
pub fn judge(claim: &PortClaim, entries: &[Entry], rights: &Rights) -> Judgement {
    judge_in(claim, None, entries, rights)
}

/// As [`judge`], for a server in another network namespace.
pub fn judge_in(claim: &PortClaim, namespace: Option<u64>, entries: &[Entry], rights: &Rights) -> Judgement {
    let met = |wanted: &dyn Fn(&Socket) -> bool| -> Vec<usize> {
        let meets = |entry: &Entry| entry.socket.namespace == namespace && claim.collides(&entry.socket.held());
        let all = entries.iter().enumerate();
        all.filter(|(_, entry)| meets(entry) && wanted(&entry.socket)).map(|(place, _)| place).collect()
    };
    let found = |verdict, by: Vec<usize>| Judgement { verdict, by, ends_in: None };
    // A listener's own connections, and sockets that are bound beside it, change nothing.
    let holding = met(&|socket| matches!(socket.state, State::Listening | State::Bound));
    let serving: Vec<&Entry> = holding.iter().map(|&place| &entries[place]).filter(|one| one.socket.serves()).collect();
    if !serving.is_empty() {
        return found(if is_shared(&serving) { Verdict::Shared } else { Verdict::Used }, holding);
    }
    if !holding.is_empty() {
        return found(Verdict::Bound, holding);
    }
    let connected = met(&|socket| socket.state == State::Connected);
    if !connected.is_empty() {
        return found(Verdict::Ephemeral, connected);
    }
    if !rights.allow(claim.port) {
        return found(Verdict::Reserved, Vec::new());
    }
    let left = met(&|socket| socket.state == State::Left);
    if !left.is_empty() {
        let ends_in = left.iter().filter_map(|&place| entries[place].socket.ends_in).max();
        return Judgement { verdict: Verdict::TimeWait, by: left, ends_in };
    }
    found(Verdict::Free, Vec::new())
}

/// Two of these servers receive on the same address, and no process has both sockets. A server that opens one socket for
/// each of its workers and keeps them all is one server.
fn is_shared(serving: &[&Entry]) -> bool {
    serving.iter().enumerate().any(|(place, one)| {
        serving[place + 1..].iter().any(|other| {
            let together = one.holders.iter().any(|a| other.holders.iter().any(|b| a.pid == b.pid));
            !together && overlap(&one.socket, &other.socket)
        })
    })
}

/// Both receive on some address: the kernel allows that only to sockets that all agreed to it.
fn overlap(one: &Socket, other: &Socket) -> bool {
    let interfaces = one.interface.is_none() || other.interface.is_none() || one.interface == other.interface;
    // A dual-stack wildcard is not written as a claim is: it also wants IPv4.
    let wanted = |socket: &Socket| PortClaim {
        address: Some(socket.address.to_canonical()),
        port: socket.port,
        proto: socket.proto,
    };
    let covers = |one: &Socket, other: &Socket| match (one.address, other.address.to_canonical()) {
        (IpAddr::V6(address), IpAddr::V4(_)) if address.is_unspecified() => !one.v6_only,
        _ => wanted(one).collides(&other.held()),
    };
    // Of UDP a socket on one address and one on all do not share: the first gets everything that comes to its address.
    let same = one.proto == Proto::Tcp || one.address.is_unspecified() == other.address.is_unspecified();
    interfaces && same && (covers(one, other) && covers(other, one))
}
