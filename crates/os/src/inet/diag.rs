//! The binary messages of inet_diag: `struct inet_diag_req_v2`, `struct inet_diag_msg` (linux/inet_diag.h).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use rustix::io::Errno;
use vigie_core::claim::Proto;

use super::table::{Table, of_tcp};
use super::{Query, Socket, State};
use crate::netlink::{Attributes, SockDiag, u32_at, u64_at};

const CLOSE: u8 = 7;
const LISTEN: u8 = 10;
/// Asks for what is bound and does not listen, since Linux 6.8; before, the bit is ignored. The answers say [`CLOSE`].
const BOUND_INACTIVE: u8 = 13;
/// Connections that a listener has not accepted: they have no socket yet.
const REQUESTS: u32 = 1 << 3 | 1 << 12;
/// The fixed part of an answer.
const MESSAGE: usize = 72;
const ATTRIBUTE_V6_ONLY: u16 = 11;
/// Since Linux 5.8.
const ATTRIBUTE_CGROUP: u16 = 21;
/// `idiag_timer`: counts to the end of `TIME_WAIT`.
const TIMER_END: u8 = 3;

/// Appends the sockets of one family and protocol.
pub(super) fn list(diag: &mut SockDiag, table: Table, query: &Query<'_>, out: &mut Vec<Socket>) -> Result<(), Errno> {
    let states = match table.proto {
        Proto::Tcp if !query.connections => 1_u32 << LISTEN | 1 << BOUND_INACTIVE,
        Proto::Tcp => !REQUESTS,
        Proto::Udp => u32::MAX,
    };
    // The kernel compares one port at most.
    let port = if let [port] = query.ports { Some(*port) } else { None };
    diag.dump(&request(table, states, port), |message| out.extend(parse(message, table)))
}

fn request(table: Table, states: u32, port: Option<u16>) -> [u8; 56] {
    let mut request = [0_u8; 56];
    request[0] = table.family();
    request[1] = match table.proto {
        Proto::Tcp => 6,
        Proto::Udp => 17,
    };
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    if let Some(port) = port {
        request[8..10].copy_from_slice(&port.to_be_bytes());
    }
    // The cookie: none (`INET_DIAG_NOCOOKIE`).
    request[48..56].fill(0xff);
    request
}

/// What the kernel calls one socket.
pub(super) fn identity(diag: &mut SockDiag, socket: &Socket) -> Option<[u8; 48]> {
    let table = Table { v6: socket.address.is_ipv6(), proto: socket.proto };
    let mut found = None;
    let look = |message: &[u8]| {
        if u32_at(message, 68).is_some_and(|inode| u64::from(inode) == socket.inode) {
            found = message.get(4..).and_then(<[u8]>::first_chunk).copied();
        }
    };
    diag.dump(&request(table, u32::MAX, Some(socket.port)), look).ok()?;
    found
}

/// Parses one answer; `None` for what is none, or another family's.
fn parse(message: &[u8], table: Table) -> Option<Socket> {
    let fixed: &[u8; MESSAGE] = message.first_chunk()?;
    if fixed[0] != table.family() {
        return None;
    }
    let inode = u32_at(fixed, 68)?;
    let state = match (table.proto, fixed[1]) {
        (_, CLOSE) | (Proto::Tcp, BOUND_INACTIVE) => State::Bound,
        (Proto::Tcp, state) => of_tcp(state, inode.into())?,
        (Proto::Udp, _) => State::Connected,
    };
    let address = |at: usize| -> Option<IpAddr> {
        let octets: [u8; 16] = *fixed[at..].first_chunk()?;
        Some(if table.v6 {
            IpAddr::V6(Ipv6Addr::from(octets))
        } else {
            IpAddr::V4(Ipv4Addr::from(*octets.first_chunk::<4>()?))
        })
    };
    let port = |at: usize| fixed[at..].first_chunk().map(|bytes| u16::from_be_bytes(*bytes));
    let connection = matches!(state, State::Connected | State::Left);
    let (mut v6_only, mut cgroup) = (false, None);
    for (kind, value) in Attributes(&message[MESSAGE..]) {
        match kind {
            ATTRIBUTE_V6_ONLY => v6_only = value.first().is_some_and(|flag| *flag != 0),
            ATTRIBUTE_CGROUP => cgroup = u64_at(value, 0),
            _ => {}
        }
    }
    Some(Socket {
        address: address(8)?,
        port: port(4)?,
        proto: table.proto,
        state,
        v6_only,
        inode: inode.into(),
        uid: u32_at(fixed, 64)?,
        peer: address(24).zip(port(6)).filter(|_| connection).map(SocketAddr::from),
        cgroup,
        interface: u32_at(fixed, 40).filter(|&number| number != 0),
        ends_in: (fixed[2] == TIMER_END)
            .then(|| u32_at(fixed, 52))
            .flatten()
            .map(|ms| Duration::from_millis(ms.into())),
        namespace: None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(family: u8, state: u8, address: &[u8]) -> Vec<u8> {
        let mut message = vec![0; MESSAGE];
        message[0] = family;
        message[1] = state;
        message[4..6].copy_from_slice(&8000_u16.to_be_bytes());
        message[8..8 + address.len()].copy_from_slice(address);
        message[64..68].copy_from_slice(&1000_u32.to_ne_bytes());
        message[68..72].copy_from_slice(&4_000_000_000_u32.to_ne_bytes());
        message
    }

    #[test]
    fn answers() {
        let tcp4 = Table { v6: false, proto: Proto::Tcp };
        let tcp6 = Table { v6: true, proto: Proto::Tcp };
        let udp4 = Table { v6: false, proto: Proto::Udp };
        let socket = parse(&answer(2, LISTEN, &[127, 0, 0, 1]), tcp4).unwrap();
        let wanted = Socket {
            address: "127.0.0.1".parse().unwrap(),
            port: 8000,
            proto: Proto::Tcp,
            state: State::Listening,
            v6_only: false,
            inode: 4_000_000_000,
            uid: 1000,
            peer: None,
            cgroup: None,
            interface: None,
            ends_in: None,
            namespace: None,
        };
        assert_eq!(socket, wanted);
        let mut v6 = answer(10, CLOSE, &Ipv6Addr::LOCALHOST.octets());
        v6.extend(5_u16.to_ne_bytes());
        v6.extend(ATTRIBUTE_V6_ONLY.to_ne_bytes());
        v6.extend([1, 0, 0, 0]);
        let socket = parse(&v6, tcp6).unwrap();
        assert_eq!((socket.address, socket.state), ("::1".parse().unwrap(), State::Bound));
        assert!(socket.v6_only);
        assert_eq!(parse(&answer(2, CLOSE, &[]), udp4).unwrap().state, State::Bound);
        assert_eq!(parse(&answer(2, 1, &[]), udp4).unwrap().state, State::Connected);
        assert_eq!(parse(&answer(2, 3, &[]), tcp4), None, "not accepted yet");
        assert_eq!(parse(&answer(10, LISTEN, &[]), tcp4), None);
        assert_eq!(parse(&answer(2, LISTEN, &[])[..MESSAGE - 1], tcp4), None);
    }
    #[test]
    fn connections_and_what_is_left_of_them() {
        let tcp4 = Table { v6: false, proto: Proto::Tcp };
        let mut message = answer(2, 1, &[127, 0, 0, 1]);
        message[6..8].copy_from_slice(&50000_u16.to_be_bytes());
        message[24..28].copy_from_slice(&[10, 0, 0, 1]);
        message[40..44].copy_from_slice(&2_u32.to_ne_bytes());
        message.extend(12_u16.to_ne_bytes());
        message.extend(ATTRIBUTE_CGROUP.to_ne_bytes());
        message.extend(27043_u64.to_ne_bytes());
        let socket = parse(&message, tcp4).unwrap();
        let peer = Some("10.0.0.1:50000".parse().unwrap());
        assert_eq!((socket.state, socket.peer, socket.cgroup), (State::Connected, peer, Some(27043)));
        assert_eq!((socket.interface, socket.ends_in), (Some(2), None));
        // TIME_WAIT: no process, and a timer.
        message[1] = 6;
        message[2] = TIMER_END;
        message[52..56].copy_from_slice(&59_500_u32.to_ne_bytes());
        message[68..72].fill(0);
        let socket = parse(&message, tcp4).unwrap();
        assert_eq!((socket.state, socket.ends_in), (State::Left, Some(Duration::from_millis(59_500))));
        assert_eq!((socket.inode, socket.peer), (0, peer));
    }
}
