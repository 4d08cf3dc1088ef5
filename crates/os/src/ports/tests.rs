use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt};
use vigie_core::ports::{State, Verdict};

use super::*;
use crate::proc::tests::{FakeProc, Guard, eventually};

fn proc() -> Proc {
    Proc::system().unwrap()
}

fn claim(text: &str) -> PortClaim {
    text.parse().unwrap()
}

fn verdict(address: impl std::fmt::Display, port: u16) -> (Judgement, Table) {
    let ports = [port];
    let table = Table::read(&proc(), &Ask::about(&ports)).unwrap();
    let judgement = table.judge(&claim(&address.to_string()), &rights(&proc()).unwrap());
    (judgement, table)
}

/// The same port, several sockets: all must agree to it.
fn twin(port: u16) -> (rustix::fd::OwnedFd, u16) {
    let fd = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None).unwrap();
    sockopt::set_socket_reuseport(&fd, true).unwrap();
    bind(&fd, &std::net::SocketAddrV4::new(std::net::Ipv4Addr::LOCALHOST, port)).unwrap();
    listen(&fd, 1).unwrap();
    let port = std::net::SocketAddrV4::try_from(getsockname(&fd).unwrap()).unwrap().port();
    (fd, port)
}

#[test]
fn a_server_and_its_client() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let client = TcpStream::connect(address).unwrap();
    let (judgement, table) = verdict(address, address.port());
    assert_eq!((judgement.verdict, judgement.by.len()), (Verdict::Used, 1), "{table:?}");
    let entry = &table.entries[judgement.by[0]];
    assert_eq!(entry.socket.state, State::Listening);
    assert_eq!(entry.holders.iter().map(|holder| holder.pid).collect::<Vec<_>>(), [std::process::id()]);
    let own = client.local_addr().unwrap();
    let (judgement, table) = verdict(own, own.port());
    assert_eq!(judgement.verdict, Verdict::Ephemeral);
    // One to elsewhere may have the same port by chance.
    assert!(judgement.by.iter().any(|&place| table.entries[place].socket.peer == Some(address)), "{table:?}");
    assert_eq!(verdict(format!("127.0.0.2:{}", own.port()), own.port()).0.verdict, Verdict::Free);
    drop(listener);
}

#[test]
fn twins_of_two_processes_are_told_from_those_of_one() {
    let (first, port) = twin(0);
    let (second, _) = twin(port);
    let address = format!("127.0.0.1:{port}");
    assert_eq!(verdict(&address, port).0.verdict, Verdict::Used, "one process has both");
    let child = Guard(Command::new("sleep").arg("600").stdin(Stdio::from(second)).spawn().unwrap());
    // What other tests start has all descriptors of this process between fork and exec.
    eventually("two servers", || {
        let (judgement, table) = verdict(&address, port);
        let alone = judgement.by.iter().all(|&place| table.entries[place].holders.len() == 1);
        judgement.verdict == Verdict::Shared && alone
    });
    let (judgement, table) = verdict(&address, port);
    assert_eq!(judgement.by.len(), 2);
    let mut pids: Vec<u32> = judgement.by.iter().map(|&place| table.entries[place].holders[0].pid).collect();
    pids.sort_unstable();
    let mut wanted = [std::process::id(), child.0.id()];
    wanted.sort_unstable();
    assert_eq!(pids, wanted);
    drop(first);
}

#[test]
fn the_same_machine_gives_the_same_order() {
    let _kept: Vec<TcpListener> = (0..20).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    let mine = |table: Table| -> Vec<Entry> {
        let me = |entry: &Entry| entry.holders.iter().any(|holder| holder.pid == std::process::id());
        table.entries.into_iter().filter(me).filter(|entry| entry.socket.serves()).collect()
    };
    let ports: Vec<u16> = _kept.iter().map(|listener| listener.local_addr().unwrap().port()).collect();
    let ask = Ask { ports: &ports, connections: false, namespaces: false, holders: true };
    let (one, two) = (mine(Table::read(&proc(), &ask).unwrap()), mine(Table::read(&proc(), &ask).unwrap()));
    assert_eq!(one.len(), 20);
    assert_eq!(one, two);
    assert!(one.is_sorted_by_key(|entry| entry.socket.port));
}

/// Where one may not go, the text of a process there is read.
#[test]
#[cfg(target_endian = "little")]
fn other_namespaces_by_their_text() {
    let fake = FakeProc::new(true);
    let head = "  sl  local_address rem_address   st\n";
    let line = |port: &str, inode: u32| {
        format!("{head}0: 0100007F:{port} 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 {inode} 1\n")
    };
    fake.link("thread-self/ns/net", "net:[10]");
    fake.file("thread-self/net/tcp", line("1F40", 71));
    // Nobody has this number here, so that nothing real is looked into.
    let far = u32::MAX - 5;
    fake.link(&format!("{far}/ns/net"), "net:[20]");
    fake.file(&format!("{far}/net/tcp"), line("1F41", 72));
    fake.link(&format!("{far}/fd/3"), "socket:[72]");
    let table = beside(&fake.open(), Namespace { inode: 20, pid: far }, &Query::default());
    assert_eq!(table.iter().map(|one| (one.port, one.namespace)).collect::<Vec<_>>(), [(8001, Some(20))]);
    let proc = fake.open();
    assert_eq!(netns::visible(&proc).unwrap().others, [Namespace { inode: 20, pid: far }]);
    assert_eq!(owners_on_machine(&proc, &[72]).unwrap().of(72).collect::<Vec<_>>(), [far]);
}

/// A socket that holds an address, listening if it can.
fn holding(kind: SocketType, address: SocketAddr, v6_only: bool, listens: bool) -> Option<rustix::fd::OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let fd = socket_with(family, kind, SocketFlags::CLOEXEC, None).ok()?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&fd, v6_only).ok()?;
    }
    bind(&fd, &address).ok()?;
    if listens && kind == SocketType::STREAM {
        listen(&fd, 1).ok()?;
    }
    Some(fd)
}

/// R7.2: what is said of addresses is what the kernel does: a claim is free when a server can bind it, and only then.
#[test]
fn the_kernel_agrees() {
    let loopback = |address: &str| -> SocketAddr { format!("{address}:0").parse().unwrap() };
    if holding(SocketType::STREAM, loopback("[::1]"), false, true).is_none() {
        println!("skipped: no IPv6 here");
        return;
    }
    let holders = [
        ("127.0.0.1", false),
        ("127.0.0.2", false),
        ("0.0.0.0", false),
        ("[::1]", false),
        ("[::]", false),
        ("[::]", true),
        ("[::ffff:127.0.0.1]", false),
    ];
    for kind in [SocketType::STREAM, SocketType::DGRAM] {
        let proto = if kind == SocketType::STREAM { "tcp" } else { "udp" };
        for ((address, v6_only), listens) in holders.into_iter().flat_map(|one| [(one, true), (one, false)]) {
            let holder = holding(kind, loopback(address), v6_only, listens).expect("a port");
            let port = SocketAddr::try_from(getsockname(&holder).unwrap()).unwrap().port();
            if !listens && kind == SocketType::STREAM && verdict(format!("{port}/tcp"), port).0.verdict == Verdict::Free
            {
                println!("skipped: the kernel does not list bound TCP sockets, Linux 6.8 does");
                continue;
            }
            for wanted in ["127.0.0.1", "127.0.0.2", "0.0.0.0", "[::1]", "[::]"] {
                let look = || verdict(format!("{wanted}:{port}/{proto}"), port);
                let address_of_claim: SocketAddr = format!("{wanted}:{port}").parse().unwrap();
                let (told, can_be_had, table) = loop {
                    let (judgement, table) = look();
                    let can_be_had = holding(kind, address_of_claim, false, true).is_some();
                    let told = judgement.verdict.is_free();
                    // Somebody else came to this port, or went, between the two.
                    if told != can_be_had && look().0.verdict != judgement.verdict {
                        continue;
                    }
                    break (told, can_be_had, table);
                };
                assert_eq!(told, can_be_had, "{wanted} beside {address} (only v6: {v6_only}), {proto}: {table:?}");
            }
        }
    }
}

/// One that ends between the look at the sockets and that at their owners is gone, not hidden.
#[test]
fn a_doubtful_look_is_repeated() {
    let after = |seen: &[u32]| {
        let mut looks = seen.iter();
        let settled = settled(|| looks.next().copied().ok_or(()), |seen| *seen == 0);
        (settled, looks.count())
    };
    assert_eq!(after(&[7, 8]), (Ok(7), 1), "once is enough");
    assert_eq!(after(&[0, 8, 9]), (Ok(8), 1));
    assert_eq!(after(&[0, 0, 0, 9]), (Ok(0), 1), "it is so");
}

#[test]
fn who_should_be_seen() {
    let proc = Proc::system().unwrap();
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let table = Table::read(&proc, &Ask::about(&[port])).unwrap();
    let mut entry = table.entries.into_iter().find(|entry| entry.socket.state == State::Listening).unwrap();
    let uid = entry.socket.uid;
    assert!(!lost(&entry, uid), "it has a holder");
    entry.holders.clear();
    assert!(lost(&entry, uid) && lost(&entry, 0));
    assert!(!lost(&entry, uid + 1), "another user's is hidden");
}
