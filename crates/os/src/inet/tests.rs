use std::net::{TcpListener, TcpStream, UdpSocket};

use rustix::net::{AddressFamily, SocketAddrV4, SocketAddrV6, SocketType, bind, getsockname, listen, socket};

use super::*;

/// On port 0: the kernel gives a free one.
fn v6_listener(v6_only: bool) -> (rustix::fd::OwnedFd, u16) {
    let fd = socket(AddressFamily::INET6, SocketType::STREAM, None).unwrap();
    rustix::net::sockopt::set_ipv6_v6only(&fd, v6_only).unwrap();
    bind(&fd, &SocketAddrV6::new(std::net::Ipv6Addr::UNSPECIFIED, 0, 0, 0)).unwrap();
    listen(&fd, 1).unwrap();
    let port = SocketAddrV6::try_from(getsockname(&fd).unwrap()).unwrap().port();
    (fd, port)
}

/// The socket that has this address. Another process may have the same port at another one.
fn one(address: &str, port: u16, proto: Proto) -> Option<Socket> {
    let found = sockets(&Proc::system().unwrap(), Some(port)).unwrap();
    assert!(found.iter().all(|socket| socket.port == port));
    let address: std::net::IpAddr = address.parse().unwrap();
    let is_it = |socket: &Socket| socket.proto == proto && socket.address == address;
    let mut same: Vec<_> = found.into_iter().filter(is_it).collect();
    assert!(same.len() <= 1, "{same:?}");
    same.pop()
}

fn inode(fd: impl std::os::fd::AsFd) -> u64 {
    rustix::fs::fstat(fd).unwrap().st_ino
}

#[test]
fn a_tcp_listener() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // A connection to it holds the port in no way that matters.
    let _client = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let found = one("127.0.0.1", port, Proto::Tcp).unwrap();
    let wanted = Socket {
        address: "127.0.0.1".parse().unwrap(),
        port,
        proto: Proto::Tcp,
        state: State::Listening,
        v6_only: false,
        inode: inode(&listener),
        uid: crate::user::uid(),
        peer: None,
        cgroup: found.cgroup,
        interface: None,
        ends_in: None,
        namespace: None,
    };
    assert_eq!(found, wanted);
    let all = sockets(&Proc::system().unwrap(), None).unwrap();
    assert!(all.contains(&wanted));
    assert!(all.iter().all(|socket| socket.port != 0));
}

#[test]
fn ipv6_tells_whether_it_leaves_ipv4_alone() {
    for v6_only in [true, false] {
        let (fd, port) = v6_listener(v6_only);
        let found = one("::", port, Proto::Tcp).unwrap();
        assert_eq!((found.v6_only, found.inode), (v6_only, inode(&fd)));
        let claim = format!("127.0.0.1:{port}").parse::<vigie_core::claim::PortClaim>().unwrap();
        assert_eq!(claim.collides(&found.held()), !v6_only);
    }
}

/// It blocks the port, and most tools do not show it.
#[test]
fn bound_without_listening() {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut version = release.split(['.', '-']).filter_map(|part| part.parse::<u32>().ok());
    if (version.next(), version.next()) < (Some(6), Some(8)) {
        println!("skipped: Linux {release} does not list bound TCP sockets, 6.8 does");
        return;
    }
    let fd = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&fd, &SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = SocketAddrV4::try_from(getsockname(&fd).unwrap()).unwrap().port();
    let found = one("127.0.0.1", port, Proto::Tcp).unwrap();
    assert_eq!((found.state, found.inode), (State::Bound, inode(&fd)));
}

#[test]
fn udp() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = receiver.local_addr().unwrap().port();
    let found = one("127.0.0.1", port, Proto::Udp).unwrap();
    assert_eq!((found.state, found.inode), (State::Bound, inode(&receiver)));
    receiver.connect(("127.0.0.1", port)).unwrap();
    assert_eq!(one("127.0.0.1", port, Proto::Udp).unwrap().state, State::Connected);
}

#[test]
fn both_ways_find_the_same_listeners() {
    let _kept: Vec<_> = (0..50).map(|_| TcpListener::bind("[::1]:0").unwrap()).collect();
    let proc = Proc::system().unwrap();
    let mut from_diag = Vec::new();
    diag::list(&mut SockDiag::open().unwrap(), table::TABLES[1], &Query::default(), &mut from_diag).unwrap();
    let mut from_text = Vec::new();
    table::list(&proc, "thread-self/net", table::TABLES[1], &mut from_text).unwrap();
    for listener in &_kept {
        let is_it = |socket: &&Socket| socket.inode == inode(listener);
        let (binary, text) = (from_diag.iter().find(is_it).unwrap(), from_text.iter().find(is_it).unwrap());
        assert_eq!((binary.address, binary.port, binary.uid), (text.address, text.port, text.uid));
    }
}

/// A connection that is open, and one that its process has closed, seen in both ways.
#[test]
fn connections_on_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let open = TcpStream::connect(address).unwrap();
    let closed = TcpStream::connect(address).unwrap();
    let closed_at = closed.local_addr().unwrap();
    let (open_there, closed_there) = (listener.accept().unwrap().0, listener.accept().unwrap().0);
    // Whoever closes first keeps what is left.
    closed.shutdown(std::net::Shutdown::Both).unwrap();
    drop(closed);
    drop(closed_there);
    let proc = Proc::system().unwrap();
    let ports = [open.local_addr().unwrap().port(), closed_at.port()];
    let asked = Query { ports: &ports, connections: true };
    let me = std::process::id();
    // Other connections may have the same ports, to elsewhere.
    let is = |socket: &Socket, port| socket.port == port && socket.peer == Some(address);
    crate::proc::tests::eventually("TIME_WAIT", || {
        let found = query(&proc, &asked).unwrap();
        found.iter().any(|socket| is(socket, ports[1]) && socket.ends_in.is_some())
    });
    for found in [query(&proc, &asked).unwrap(), query_beside(&proc, me, &asked).unwrap()] {
        let of = |port| found.iter().find(|socket| is(socket, port)).copied().unwrap();
        let (here, left) = (of(ports[0]), of(ports[1]));
        assert_eq!((here.state, here.peer, here.inode), (State::Connected, Some(address), inode(&open)));
        assert_eq!((left.state, left.peer, left.inode), (State::Left, Some(address), 0));
        let ends_in = left.ends_in.unwrap().as_secs();
        assert!((1..=120).contains(&ends_in), "{ends_in}");
    }
    let holding = query(&proc, &Query { connections: false, ..asked }).unwrap();
    assert!(holding.iter().all(|socket| socket.peer.is_none() && socket.state != State::Left), "{holding:?}");
    drop(open_there);
}

/// Where the kernel offers no sock_diag.
#[test]
fn without_sock_diag() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let port = [address.port()];
    let (proc, asked) = (Proc::system().unwrap(), Query { ports: &port, connections: false });
    let seen = |diag| -> Vec<_> {
        let found = query_by(diag, &proc, &asked).unwrap();
        // Others may have the same port at another address, or of another protocol.
        let same = found.iter().filter(|socket| socket.proto == Proto::Tcp && socket.address == address.ip());
        same.map(|socket| (socket.address, socket.port, socket.state, socket.inode)).collect()
    };
    let wanted = vec![(address.ip(), port[0], State::Listening, inode(&listener))];
    assert_eq!(seen(None), wanted);
    assert_eq!(seen(SockDiag::open().ok()), wanted);
}

#[test]
#[cfg(target_endian = "little")]
fn without_sock_diag_of_a_root_made_by_hand() {
    let fake = crate::proc::tests::FakeProc::new(true);
    let line = |address: &str| format!("sl\n0: {address} {address} 0A 0:0 00:0 0 7 0 41 1\n");
    fake.file("net/tcp", line("0100007F:1F40"));
    let v6 = format!("{}:1F40", "0".repeat(32));
    fake.file("net/tcp6", line(&v6));
    let found = query_by(None, &fake.open(), &Query::default()).unwrap();
    let seen: Vec<_> = found.iter().map(|socket| (socket.address.to_string(), socket.v6_only, socket.uid)).collect();
    assert_eq!(seen, [("127.0.0.1".to_owned(), false, 7), ("::".to_owned(), true, 7)]);
    // Without any table there are no sockets, and no error: a machine without a network is one.
    let empty = crate::proc::tests::FakeProc::new(true);
    assert_eq!(query_by(None, &empty.open(), &Query::default()).unwrap(), []);
}

/// The way from a socket to its run without a walk through descriptors.
#[test]
fn a_socket_knows_the_cgroup_in_which_it_was_made() {
    use std::os::unix::fs::MetadataExt as _;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let found = one("127.0.0.1", listener.local_addr().unwrap().port(), Proto::Tcp).unwrap();
    let own = crate::cgroup::own(std::path::Path::new("/proc")).v2.and_then(|folder| std::fs::metadata(folder).ok());
    match (found.cgroup, own) {
        (Some(cgroup), Some(own)) => assert_eq!(cgroup, own.ino()),
        (None, _) => println!("skipped: the kernel does not tell, Linux 5.8 does"),
        (_, None) => println!("skipped: no cgroup v2 tree is to be seen"),
    }
}
