//! Every way to hold a port that is easily overlooked, or taken for more than it is.

use std::ffi::OsString;
use std::io::Read as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, getsockname, listen, socket_with, sockopt};

use crate::{Broken, Outcome, argument, endure, raw, ready, say};

/// An address whose port the kernel chooses.
fn any(address: impl Into<IpAddr>) -> SocketAddr {
    SocketAddr::new(address.into(), 0)
}

/// A port that nobody has at any address, neither for TCP nor for UDP, and that nobody is given by chance: when the kernel
/// chooses one, it looks at the address and the protocol that were asked for alone, so others may have the rest of it.
fn apart() -> Result<u16, Broken> {
    const COUNT: u32 = 2_000;
    let ports = (0..COUNT).map(|step| 18_000 + (std::process::id() + step) % COUNT);
    for port in ports {
        let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, u16::try_from(port)?));
        // Without SO_REUSEADDR, which would make light of what closed connections have left.
        let tcp = stream(AddressFamily::INET).and_then(|fd| bound(fd, address));
        if tcp.is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(address.port());
        }
    }
    Err("no port is free".into())
}

/// `hold WAY [PORT]`
pub(crate) fn hold(args: &[OsString]) -> Outcome {
    let way: String = argument(args, 0)?;
    match way.as_str() {
        "other-loopback" => keep(&TcpListener::bind(SocketAddr::from(([127, 0, 0, 2], apart()?)))?),
        "v6-only" => keep(&v6(true)?),
        "dual-stack" => keep(&v6(false)?),
        "udp" => {
            let socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, apart()?)))?;
            holding(socket.local_addr()?)?;
            raw::wait_for_ever()
        }
        "twin" => keep(&twin(argument(args, 1)?)?),
        "bound" => keep(&stream(AddressFamily::INET).and_then(|fd| bound(fd, any(Ipv4Addr::LOCALHOST)))?),
        "connection" => {
            let server = SocketAddr::from((Ipv4Addr::LOCALHOST, argument(args, 1)?));
            let mut client = TcpStream::connect(server)?;
            holding(client.local_addr()?)?;
            // Whoever serves may close it; the client stays, and holds its port.
            while client.read(&mut [0; 64])? > 0 {}
            raw::wait_for_ever()
        }
        "time-wait" => time_wait(),
        "thread" => thread(),
        "inherited" => {
            let listener = TcpListener::bind(any(Ipv4Addr::LOCALHOST))?;
            if raw::fork()? == raw::Side::Child {
                raw::die_with_parent()?;
                raw::wait_for_ever();
            }
            keep(&listener)
        }
        "deaf" => {
            endure::deaf();
            keep(&TcpListener::bind(any(Ipv4Addr::LOCALHOST))?)
        }
        "drain" => {
            raw::block(&[libc::SIGTERM])?;
            let listener = TcpListener::bind(any(Ipv4Addr::LOCALHOST))?;
            holding(listener.local_addr()?)?;
            raw::next(&[libc::SIGTERM])?;
            drop(listener);
            say("drained")?;
            raw::wait_for_ever()
        }
        "namespace" => {
            raw::own_network()?;
            // The loopback interface of a new namespace is down; every address is there nevertheless. Not a port that the
            // kernel chooses: by chance, others have a connection with that number where they are.
            let below_those = 20_000 + u16::try_from(std::process::id() % 12_000)?;
            keep(&TcpListener::bind(SocketAddr::from((Ipv4Addr::UNSPECIFIED, below_those)))?)
        }
        other => Err(format!("there is no way {other:?} to hold a port").into()),
    }
}

fn holding(address: SocketAddr) -> Result<(), Broken> {
    ready(&format!("hold {}", address.port()))
}

/// Says which port it holds, and holds it.
fn keep(socket: &impl std::os::fd::AsFd) -> Outcome {
    holding(SocketAddr::try_from(getsockname(socket)?)?)?;
    raw::wait_for_ever()
}

fn stream(family: AddressFamily) -> Result<OwnedFd, Broken> {
    Ok(socket_with(family, SocketType::STREAM, SocketFlags::CLOEXEC, None)?)
}

fn bound(fd: OwnedFd, address: SocketAddr) -> Result<OwnedFd, Broken> {
    bind(&fd, &address)?;
    Ok(fd)
}

fn v6(only: bool) -> Result<OwnedFd, Broken> {
    let fd = stream(AddressFamily::INET6)?;
    sockopt::set_ipv6_v6only(&fd, only)?;
    // The kernel looks for no conflict with what it does not cover.
    let port = if only { apart()? } else { 0 };
    let fd = bound(fd, SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)))?;
    listen(&fd, 8)?;
    Ok(fd)
}

/// One of several that listen on the same port.
fn twin(port: u16) -> Result<OwnedFd, Broken> {
    let fd = stream(AddressFamily::INET)?;
    sockopt::set_socket_reuseport(&fd, true)?;
    let fd = bound(fd, SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    listen(&fd, 8)?;
    Ok(fd)
}

/// Ends, and leaves a connection in TIME_WAIT at the port where it listened: the side that closes first has it.
fn time_wait() -> Outcome {
    let listener = TcpListener::bind(any(Ipv4Addr::LOCALHOST))?;
    let address = listener.local_addr()?;
    let mut client = TcpStream::connect(address)?;
    drop(listener.accept()?);
    // The end of the file: the other side has closed.
    while client.read(&mut [0; 64])? > 0 {}
    drop((client, listener));
    holding(address)?;
    Ok(0)
}

/// Its main thread has ended; another one listens. Nearly every tool takes it for a zombie that holds nothing.
fn thread() -> Outcome {
    let listener = TcpListener::bind(any(Ipv4Addr::LOCALHOST))?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        raw::wait_for_dead_leader();
        let _ = holding(address);
        for stream in listener.incoming() {
            drop(stream);
        }
    });
    raw::end_thread()
}
