//! The text tables `/proc/net/{tcp,tcp6,udp,udp6}`; proc_pid_net(5). The way of kernels and sandboxes without sock_diag.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use vigie_core::claim::Proto;

use super::{Socket, State};
use crate::error::OsError;
use crate::proc::Proc;
use crate::proc::stat::number;

/// One family and protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Table {
    pub(super) v6: bool,
    pub(super) proto: Proto,
}

/// All that are asked for.
pub(super) const TABLES: [Table; 4] = [
    Table { v6: false, proto: Proto::Tcp },
    Table { v6: true, proto: Proto::Tcp },
    Table { v6: false, proto: Proto::Udp },
    Table { v6: true, proto: Proto::Udp },
];

impl Table {
    /// `AF_INET`, `AF_INET6`
    pub(super) fn family(self) -> u8 {
        if self.v6 { 10 } else { 2 }
    }

    fn file(self) -> &'static str {
        match (self.proto, self.v6) {
            (Proto::Tcp, false) => "tcp",
            (Proto::Tcp, true) => "tcp6",
            (Proto::Udp, false) => "udp",
            (Proto::Udp, true) => "udp6",
        }
    }
}

/// Appends the sockets of one family and protocol from a folder such as `123/net`; none where the kernel does not have
/// them.
pub(super) fn list(proc: &Proc, folder: &str, table: Table, out: &mut Vec<Socket>) -> Result<(), OsError> {
    let mut buf = Vec::new();
    if let Some(content) = proc.read_global(&format!("{folder}/{}", table.file()), &mut buf)? {
        out.extend(content.split(|&byte| byte == b'\n').filter_map(|line| parse(line, table)));
    }
    Ok(())
}

/// The folder of the calling thread, which may be in another namespace than the process.
pub(super) fn own_folder(proc: &Proc) -> Result<&'static str, OsError> {
    // IPv4 is in every kernel that has a network.
    let there = proc.read_global("thread-self/net/tcp", &mut Vec::new())?.is_some();
    Ok(if there { "thread-self/net" } else { "net" })
}

/// What a TCP socket in this state (include/net/tcp_states.h) does with its port; nothing while it is only a request for
/// a connection. What waits to be acknowledged or forgotten and belongs to no process any more is left over.
pub(super) fn of_tcp(state: u8, inode: u64) -> Option<State> {
    Some(match (state, inode) {
        (10, _) => State::Listening,
        (6, _) | (4 | 5 | 9 | 11, 0) => State::Left,
        (1 | 2 | 4 | 5 | 8 | 9 | 11, _) => State::Connected,
        _ => return None,
    })
}

/// The text does not say which IPv6 wildcards leave IPv4 alone. A listener beside which another one has an IPv4 address
/// of the same port does: else the second could not have been bound.
pub(super) fn tell_families_apart(sockets: &mut [Socket]) {
    let v4: Vec<(Proto, u16)> = sockets
        .iter()
        .filter(|socket| socket.serves() && socket.address.to_canonical().is_ipv4())
        .map(|socket| (socket.proto, socket.port))
        .collect();
    for socket in sockets.iter_mut().filter(|socket| socket.address == IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
        socket.v6_only |= v4.contains(&(socket.proto, socket.port));
    }
}

/// Parses a line: slot, local address, remote address, state, queues, timer, retransmits, uid, timeout, inode, …
fn parse(line: &[u8], table: Table) -> Option<Socket> {
    let mut fields = line
        .split(u8::is_ascii_whitespace)
        .filter(|field| !field.is_empty())
        .skip(1)
        .map(|field| std::str::from_utf8(field).unwrap_or_default());
    let local = address(fields.next()?, table)?;
    let peer = address(fields.next()?, table)?;
    let state = u8::from_str_radix(fields.next()?, 16).ok()?;
    let timer = fields.nth(1)?;
    let uid = number(fields.nth(1)?.as_bytes())?;
    let inode = number(fields.nth(1)?.as_bytes())?;
    let state = match (table.proto, state) {
        (Proto::Tcp, state) => of_tcp(state, inode)?,
        (Proto::Udp, 7) => State::Bound,
        (Proto::Udp, _) => State::Connected,
    };
    Some(Socket {
        address: local.ip(),
        port: local.port(),
        proto: table.proto,
        state,
        v6_only: false,
        inode,
        uid,
        peer: matches!(state, State::Connected | State::Left).then_some(peer),
        cgroup: None,
        interface: None,
        ends_in: timer.strip_prefix("03:").filter(|_| state == State::Left).and_then(ticks),
        namespace: None,
    })
}

/// A time in clock ticks, hexadecimal.
fn ticks(text: &str) -> Option<Duration> {
    let ticks = u32::from_str_radix(text, 16).ok()?;
    Some(Duration::from_secs(ticks.into()) / u32::try_from(rustix::param::clock_ticks_per_second()).ok()?)
}

fn address(text: &str, table: Table) -> Option<SocketAddr> {
    let (address, port) = text.split_once(':')?;
    let address = if table.v6 {
        let mut octets = [0; 16];
        for (at, part) in octets.chunks_exact_mut(4).enumerate() {
            part.copy_from_slice(&word(address, at)?);
        }
        IpAddr::V6(Ipv6Addr::from(octets))
    } else {
        IpAddr::V4(Ipv4Addr::from(word(address, 0)?))
    };
    Some(SocketAddr::from((address, u16::from_str_radix(port, 16).ok()?)))
}

/// The kernel prints four bytes of an address as one number of this machine's byte order.
fn word(address: &str, at: usize) -> Option<[u8; 4]> {
    u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes)
}

#[cfg(test)]
#[cfg(target_endian = "little")]
mod tests {
    use super::*;
    use crate::proc::tests::FakeProc;

    const TCP: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n\
   0: 0100007F:1F40 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1000        0 12345 1 0000000000000000 100 0 0 10 0\n\
   1: 0100007F:1F41 0100007F:C350 01 00000000:00000000 00:00000000 00000000  1000        0 12346 1 0000000000000000 20 4 30 10 -1\n\
   2: 0100007F:1F42 0100007F:C350 06 00000000:00000000 03:00001000 00000000     0        0 0 3 0000000000000000\n";
    const TCP6: &str = "  sl  local_address                         remote_address                        st …\n\
   0: 00000000000000000000000001000000:1F90 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 777 1 0 100 0 0 10 0\n\
   1: 0000000000000000FFFF00000100007F:1F91 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 778 1 0 100 0 0 10 0\n";
    const UDP: &str = "   sl  local_address rem_address   st …\n\
 1234: 00000000:138C 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 900 2 0 0\n\
 1235: 0100007F:138D 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 901 2 0 0\n";

    #[test]
    fn tables() {
        let fake = FakeProc::new(true);
        fake.file("net/tcp", TCP);
        fake.file("net/tcp6", TCP6);
        fake.file("net/udp", UDP);
        let proc = fake.open();
        let mut found = Vec::new();
        for table in TABLES {
            list(&proc, own_folder(&proc).unwrap(), table, &mut found).unwrap();
        }
        let seen: Vec<_> = found
            .iter()
            .map(|one| (one.address.to_string(), one.port, one.proto, one.state, one.inode, one.uid))
            .collect();
        let wanted = [
            ("127.0.0.1", 8000, Proto::Tcp, State::Listening, 12345, 1000),
            ("127.0.0.1", 8001, Proto::Tcp, State::Connected, 12346, 1000),
            ("127.0.0.1", 8002, Proto::Tcp, State::Left, 0, 0),
            ("::1", 8080, Proto::Tcp, State::Listening, 777, 0),
            ("::ffff:127.0.0.1", 8081, Proto::Tcp, State::Listening, 778, 0),
            ("0.0.0.0", 5004, Proto::Udp, State::Bound, 900, 0),
            ("127.0.0.1", 5005, Proto::Udp, State::Connected, 901, 0),
        ];
        assert_eq!(seen, wanted.map(|(address, a, b, c, d, e)| (address.to_owned(), a, b, c, d, e)));
        assert_eq!((found[0].peer, found[1].peer), (None, Some("127.0.0.1:50000".parse().unwrap())));
        let hertz = u32::try_from(rustix::param::clock_ticks_per_second()).unwrap();
        assert_eq!((found[1].ends_in, found[2].ends_in), (None, Some(Duration::from_secs(0x1000) / hertz)));
    }

    #[test]
    fn a_wildcard_beside_an_ipv4_listener_leaves_ipv4_alone() {
        let line = |address: &str, inode| format!("0: {address} {address} 0A 0:0 00:0 0 0 0 {inode} 1");
        let v6 = |port: &str| format!("00000000000000000000000000000000:{port}");
        let mut found: Vec<Socket> = [(v6("1F40"), true), (v6("1F41"), true), ("0100007F:1F40".to_owned(), false)]
            .iter()
            .filter_map(|(address, v6)| parse(line(address, 1).as_bytes(), Table { v6: *v6, proto: Proto::Tcp }))
            .collect();
        tell_families_apart(&mut found);
        assert_eq!(found.iter().map(|one| one.v6_only).collect::<Vec<_>>(), [true, false, false]);
    }

    #[test]
    fn broken_lines_are_no_sockets() {
        let whole = TCP.lines().nth(1).unwrap().as_bytes();
        let table = TABLES[0];
        assert!(parse(whole, table).is_some());
        let inode_at = TCP.lines().nth(1).unwrap().find(" 12345").unwrap();
        for len in 0..=inode_at {
            assert_eq!(parse(&whole[..len], table), None, "{len}");
        }
        assert_eq!(parse(b"0: 0100007:1F40 0:0 0A 0 0 0 0 0 1", table), None);
        assert_eq!(parse(b"0: 0100007F1F40 0:0 0A 0 0 0 0 0 1", table), None);
    }
}
