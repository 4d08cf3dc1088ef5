//! How an engine is reached.

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::ClientConfig;

use vigie_core::docker::endpoint::Endpoint;
use vigie_core::docker::source::Tls;

use crate::error::Error;
use crate::ssh::{self, Complaint, Tunnel};
use crate::{context, tls};

/// The longest path that fits into a `sockaddr_un` with its final NUL (unix(7)).
const PATH_LIMIT: usize = 107;

/// Between two tries to get into the queue of a listener that is full.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A connection on which nothing arrives is asked for a sign of life by the kernel.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// How an engine is reached: an endpoint, with all that was needed to know about it looked up.
#[derive(Clone)]
pub enum Dial {
    /// A socket of this machine.
    Unix(PathBuf),
    /// A connection over the network.
    Tcp {
        /// Name or address.
        host: String,
        /// The port.
        port: u16,
        /// With TLS.
        tls: Option<Arc<ClientConfig>>,
    },
    /// `ssh … docker system dial-stdio`
    Ssh {
        /// The arguments of ssh before the command: port, user, host.
        arguments: Vec<String>,
        /// As it was written.
        shown: String,
    },
}

impl Dial {
    /// Looks up what an endpoint means. `variable` reads the environment: a context is one of the user's.
    ///
    /// # Errors
    /// [`Error::Settings`]: a certificate cannot be used, there is no such context.
    pub fn resolve(
        endpoint: &Endpoint,
        tls: Option<&Tls>,
        variable: &dyn Fn(&str) -> Option<std::ffi::OsString>,
    ) -> Result<Self, Error> {
        let settings = |why: String| Error::Settings { at: endpoint.to_string(), why };
        match endpoint {
            Endpoint::Unix(_) | Endpoint::Ssh { .. } if tls.is_some() => {
                Err(settings("TLS is for tcp:// alone".to_owned()))
            }
            Endpoint::Unix(path) => Ok(Self::Unix(path.as_path().to_owned())),
            Endpoint::Tcp { host, port } => Ok(Self::Tcp {
                host: host.clone(),
                port: Endpoint::tcp_port(*port, tls.is_some()),
                tls: tls.map(tls::config).transpose().map_err(settings)?,
            }),
            Endpoint::Ssh { user, host, port } => {
                Ok(Self::Ssh { arguments: ssh::arguments(user.as_deref(), host, *port), shown: endpoint.to_string() })
            }
            Endpoint::Context(name) => {
                let (inner, own) = context::find(name, variable).map_err(settings)?;
                if matches!(inner, Endpoint::Context(_)) {
                    return Err(settings("a context that names a context".to_owned()));
                }
                Self::resolve(&inner, tls.or(own.as_ref()), variable)
            }
        }
    }

    /// Connects; an engine whose queue is full is waited for, until the deadline around all of it.
    pub(crate) async fn connect(&self) -> Result<Stream, Error> {
        match self {
            Self::Unix(socket) => self.connect_unix(socket).await,
            Self::Tcp { host, port, tls } => {
                let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(|source| self.absent(source))?;
                // A question is one packet, and its answer is waited for.
                let _ = stream.set_nodelay(true);
                tls::keep_alive(&stream, KEEPALIVE);
                let Some(config) = tls else { return Ok(Stream::Tcp(stream)) };
                let name = ServerName::try_from(host.clone())
                    .map_err(|error| Error::Settings { at: self.to_string(), why: error.to_string() })?;
                let stream = TlsConnector::from(Arc::clone(config)).connect(name, stream).await;
                stream.map(|stream| Stream::Tls(Box::new(stream))).map_err(|source| self.absent(source))
            }
            Self::Ssh { arguments, .. } => Tunnel::open(arguments)
                .map(|tunnel| Stream::Ssh(Box::new(tunnel)))
                .map_err(|source| self.absent(source)),
        }
    }

    async fn connect_unix(&self, socket: &Path) -> Result<Stream, Error> {
        loop {
            match connect(socket).await {
                Ok(stream) => return Ok(Stream::Unix(stream)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => tokio::time::sleep(LOOK_AGAIN).await,
                Err(error) if error.kind() == ErrorKind::PermissionDenied => {
                    return Err(Error::NotPermitted { at: self.to_string() });
                }
                Err(source) => return Err(self.absent(source)),
            }
        }
    }

    pub(crate) fn absent(&self, source: std::io::Error) -> Error {
        Error::Absent { at: self.to_string(), source }
    }
}

/// Where it is, for people.
impl fmt::Display for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => path.display().fmt(f),
            Self::Tcp { host, port, tls } => {
                let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
                write!(f, "tcp://{host}:{port}{}", if tls.is_some() { " (TLS)" } else { "" })
            }
            Self::Ssh { shown, .. } => f.write_str(shown),
        }
    }
}

/// Without keys.
impl fmt::Debug for Dial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dial({self})")
    }
}

/// Connects to a Unix socket at a path of any length, without waiting.
async fn connect(socket: &Path) -> std::io::Result<UnixStream> {
    match (socket.parent(), socket.file_name()) {
        (Some(folder), Some(name)) if socket.as_os_str().len() > PATH_LIMIT => {
            let folder = File::open(folder)?;
            UnixStream::connect(Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name)).await
        }
        _ => UnixStream::connect(socket).await,
    }
}

/// A connection.
pub(crate) enum Stream {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
    Ssh(Box<Tunnel>),
}

impl Stream {
    /// What the program that carries it complains of, if there is one; once.
    pub(crate) fn complaint(&mut self) -> Option<Complaint> {
        match self {
            Self::Ssh(tunnel) => tunnel.complaint(),
            Self::Unix(_) | Self::Tcp(_) | Self::Tls(_) => None,
        }
    }
}

macro_rules! each {
    ($self:ident, $stream:ident => $what:expr) => {
        match $self.get_mut() {
            Stream::Unix($stream) => $what,
            Stream::Tcp($stream) => $what,
            Stream::Tls($stream) => $what,
            Stream::Ssh(tunnel) => {
                let $stream = &mut tunnel.stream;
                $what
            }
        }
    };
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<std::io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_read(cx, buffer))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        each!(self, stream => Pin::new(stream).poll_write(cx, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        each!(self, stream => Pin::new(stream).poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str) -> Result<Dial, Error> {
        Dial::resolve(&text.parse().expect("an endpoint"), None, &|_| None)
    }

    #[test]
    fn endpoints_become_ways() {
        for (text, shown) in [
            ("unix:///run/d.sock", "/run/d.sock"),
            ("tcp://nas", "tcp://nas:2375"),
            ("tcp://[::1]:99", "tcp://[::1]:99"),
            ("ssh://ana@nas:2222", "ssh://ana@nas:2222"),
        ] {
            assert_eq!(resolve(text).expect("resolved").to_string(), shown);
        }
        assert!(matches!(resolve("context:none"), Err(Error::Settings { .. })));
    }
}
