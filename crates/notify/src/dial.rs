//! From a name to a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs as _, UdpSocket};
use std::path::PathBuf;
use std::sync::mpsc;

use crate::guard;
use crate::tls::Tls;
use crate::until::Until;

/// Why a message did not get through.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    /// It never will.
    #[error("{0}")]
    Never(String),
    /// It may later.
    #[error("{0}")]
    Later(String),
}

impl Failed {
    /// What the system said, about what.
    pub(crate) fn io(doing: impl std::fmt::Display) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.kind() {
            // A socket calls it so when its time is over.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => Self::Later(format!("{doing}: no answer in time")),
            _ => Self::Later(format!("{doing}: {error}")),
        }
    }
}

/// What may be reached, and whom to believe.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Reach {
    /// Also addresses of this machine and of private networks.
    pub(crate) private: bool,
    /// A file with certificates of an authority of one's own, trusted beside those that the machine trusts.
    pub(crate) ca: Option<PathBuf>,
}

/// Where to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) reach: Reach,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// The addresses of a place that may be dialled.
pub(crate) fn addresses(place: &Place, until: Until) -> Result<Vec<SocketAddr>, Failed> {
    let found = resolve(place, until)?;
    let (allowed, refused): (Vec<_>, Vec<_>) =
        found.into_iter().partition(|address| place.reach.private || guard::reason(address.ip()).is_none());
    if let (true, Some(address)) = (allowed.is_empty(), refused.first()) {
        let why = guard::reason(address.ip()).unwrap_or_default();
        return Err(Failed::Never(format!(
            "{} is {} ({why}), and the channel does not allow that; add it with --private, or with private=allow in its URL",
            place.host,
            address.ip()
        )));
    }
    Ok(allowed)
}

/// The resolver of the C library knows no deadline: it is left alone when it takes too long.
fn resolve(place: &Place, until: Until) -> Result<Vec<SocketAddr>, Failed> {
    let (sender, answer) = mpsc::sync_channel(1);
    let (host, port) = (place.host.clone(), place.port);
    let thread = std::thread::Builder::new().name("resolve".to_owned()).spawn(move || {
        let found = (host.as_str(), port).to_socket_addrs().map(Iterator::collect::<Vec<_>>);
        let _ = sender.send(found);
    });
    thread.map_err(Failed::io("cannot start a thread"))?;
    let left = until.left().map_err(Failed::io(&place.host))?;
    match answer.recv_timeout(left) {
        Ok(Ok(found)) if found.is_empty() => Err(Failed::Later(format!("{} has no address", place.host))),
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(Failed::Later(format!("{} cannot be resolved: {error}", place.host))),
        Err(_) => Err(Failed::Later(format!("{} cannot be resolved: no answer in time", place.host))),
    }
}

/// A connection whose every read and write ends at the deadline.
pub(crate) struct Stream {
    inner: Inner,
    until: Until,
}

enum Inner {
    Plain(TcpStream),
    Tls(Box<Tls<TcpStream>>),
}

impl Stream {
    /// Connects to the first address that answers.
    pub(crate) fn connect(place: &Place, until: Until) -> Result<Self, Failed> {
        let mut last = None;
        for address in addresses(place, until)? {
            let left = until.left().map_err(Failed::io(place))?;
            match TcpStream::connect_timeout(&address, left) {
                Ok(stream) => return Ok(Self { inner: Inner::Plain(stream), until }),
                Err(error) => last = Some(error),
            }
        }
        let error = last.unwrap_or_else(|| io::Error::from(io::ErrorKind::NotFound));
        Err(Failed::io(format!("cannot connect to {place}"))(error))
    }

    /// From here on with TLS, for the name of this place.
    pub(crate) fn secure(self, place: &Place) -> Result<Self, Failed> {
        let name = place.host.as_str();
        let Inner::Plain(stream) = self.inner else { return Ok(self) };
        arm(&stream, self.until).map_err(Failed::io(name))?;
        let tls = Tls::client(stream, name, place.reach.ca.as_deref())?;
        Ok(Self { inner: Inner::Tls(Box::new(tls)), until: self.until })
    }

    fn armed(&mut self) -> io::Result<&mut dyn ReadWrite> {
        let stream = match &self.inner {
            Inner::Plain(stream) => stream,
            Inner::Tls(tls) => tls.socket(),
        };
        arm(stream, self.until)?;
        Ok(match &mut self.inner {
            Inner::Plain(stream) => stream,
            Inner::Tls(tls) => tls.as_mut(),
        })
    }
}

fn arm(stream: &TcpStream, until: Until) -> io::Result<()> {
    let left = until.left()?;
    stream.set_read_timeout(Some(left))?;
    stream.set_write_timeout(Some(left))
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.armed()?.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        self.armed()?.write(buffer)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.armed()?.flush()
    }
}

/// One datagram.
pub(crate) fn datagram(place: &Place, bytes: &[u8], until: Until) -> Result<(), Failed> {
    let address = addresses(place, until)?[0];
    let any = if address.is_ipv6() { "[::]:0" } else { "0.0.0.0:0" };
    let socket = UdpSocket::bind(any).map_err(Failed::io("cannot open a socket"))?;
    socket.send_to(bytes, address).map_err(Failed::io(format!("cannot send to {place}")))?;
    Ok(())
}
