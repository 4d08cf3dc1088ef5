use super::*;

use std::net::{TcpListener, TcpStream, UdpSocket};

use vigie_os::ports::{Ask, rights};

/// What is told of a port of this process.
fn about(claim: &str) -> Port {
    let proc = Proc::system().expect("/proc");
    let claim: PortClaim = claim.parse().expect("claim");
    let ports = [claim.port];
    let table = Table::read(&proc, &Ask::about(&ports)).expect("readable");
    let survey = Survey {
        proc: &proc,
        table: &table,
        rights: rights(&proc).expect("readable"),
        runs: &Runs::default(),
        containers: &Containers::default(),
        ghosts: &HashMap::new(),
        now: vigie_os::clock::now(),
        is_root: false,
    };
    survey.about(&Asked { claim, by: None }).remove(0).0
}

/// On a port below those that the kernel gives out: nobody has the same by chance at another address, or of another protocol.
fn server() -> TcpListener {
    let first = 10_000 + u16::try_from(std::process::id() % 20_000).expect("small");
    (first..32_000).find_map(|port| TcpListener::bind(("127.0.0.1", port)).ok()).expect("a port")
}

#[test]
fn a_server_is_named_with_all_that_is_known() {
    let listener = server();
    let number = listener.local_addr().expect("address").port();
    let port = about(&number.to_string());
    assert_eq!((port.verdict, port.address), (Verdict::Used, Some(IpAddr::from([127, 0, 0, 1]))));
    let me = port.holders.iter().find(|holder| holder.pid == Some(std::process::id())).expect("named");
    assert!(me.name.is_some() && me.user.is_some() && me.started_at.is_some());
    assert!(me.command.as_ref().is_some_and(|words| !words.is_empty()));
    assert_eq!((me.tid, me.netns, &me.container), (None, None, &None));
    assert_eq!(about(&format!("[::1]:{number}")).verdict, Verdict::Free, "another address");
    assert_eq!(about(&format!("{number}/udp")).verdict, Verdict::Free, "another protocol");
}

#[test]
fn a_connection_says_where_to() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let to = listener.local_addr().expect("address");
    let client = TcpStream::connect(to).expect("connected");
    let port = about(&client.local_addr().expect("address").port().to_string());
    assert_eq!(port.verdict, Verdict::Ephemeral);
    assert_eq!(port.note.as_deref(), Some(format!("as its own end of a connection to {to}").as_str()));
    assert_eq!(port.holders.first().and_then(|holder| holder.pid), Some(std::process::id()));
}

#[test]
fn the_rest_is_a_line_for_each_address() {
    let sockets: Vec<UdpSocket> =
        ["127.0.0.1:0", "127.0.0.2:0"].iter().map(|address| UdpSocket::bind(address).expect("a port")).collect();
    let proc = Proc::system().expect("/proc");
    let table = Table::read(&proc, &Ask::holding()).expect("readable");
    let survey = Survey {
        proc: &proc,
        table: &table,
        rights: rights(&proc).expect("readable"),
        runs: &Runs::default(),
        containers: &Containers::default(),
        ghosts: &HashMap::new(),
        now: vigie_os::clock::now(),
        is_root: false,
    };
    let rest = survey.rest(&HashSet::new());
    let first = sockets[0].local_addr().expect("address");
    let second = sockets[1].local_addr().expect("address");
    for address in [first, second] {
        let mine =
            |port: &&Port| port.port == address.port() && port.address == Some(address.ip()) && port.netns.is_none();
        let lines: Vec<&Port> = rest.iter().filter(mine).collect();
        assert_eq!(lines.len(), 1, "{lines:?}");
        assert_eq!(lines[0].verdict, Verdict::Used);
    }
    let place = |address: std::net::SocketAddr| {
        let is_it = |entry: &Entry| entry.socket.port == address.port() && entry.socket.address == address.ip();
        table.entries.iter().position(is_it).expect("there")
    };
    let without = survey.rest(&HashSet::from([place(first)]));
    assert_eq!(without.len() + 1, rest.len());
}

#[test]
fn what_is_left_over_says_until_when() {
    assert_eq!(left_over(1, None), "usable by servers that set SO_REUSEADDR; 1 connection");
    let until = vigie_os::clock::now().wall;
    let text = left_over(3, Some(until));
    assert!(text.starts_with("usable by servers that set SO_REUSEADDR; 3 connections; until "), "{text}");
}
