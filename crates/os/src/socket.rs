//! Unix sockets at paths of any length, and who is at the other end.

use std::os::fd::{AsFd, AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::Duration;

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, openat, statat, unlink};
use rustix::io::Errno;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind as bind_to, connect as connect_to};

use crate::error::OsError;
use crate::lock::Lock;

/// Connections that may wait to be accepted. More than one person has terminals.
const BACKLOG: i32 = 128;

/// Makes a socket at a path that only the user can connect to (mode 0600), and listens on it.
///
/// # Errors
/// `AddrInUse` when something is at the path, also a socket that nobody listens on any more: see [`bind_over`].
pub fn bind(path: &Path) -> Result<UnixListener, OsError> {
    let socket = new_socket(path)?;
    // On Linux the file gets the mode of the socket, less the umask: so it is private from its first moment.
    fchmod(&socket, Mode::RUSR | Mode::WUSR).map_err(OsError::on("make private", path))?;
    let address = Address::new(path)?;
    bind_to(&socket, &address.unix).map_err(OsError::on("listen on", path))?;
    rustix::net::listen(&socket, BACKLOG).map_err(OsError::on("listen on", path))?;
    Ok(socket.into())
}

/// As [`bind`], after removing a socket that an earlier holder left at the path. Whoever holds the lock is the only one
/// that may listen there, so it cannot be anybody's who lives.
///
/// # Errors
/// As for [`bind`]; something else than a socket is not removed.
pub fn bind_over(path: &Path, _held: &Lock) -> Result<UnixListener, OsError> {
    match statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) if FileType::from_raw_mode(stat.st_mode).is_socket() => {
            unlink(path).map_err(OsError::on("remove", path))?;
        }
        Ok(_) => return Err(OsError::refused("listen on", path, "it is no socket; move it away")),
        Err(Errno::NOENT) => {}
        Err(errno) => return Err(OsError::on("examine", path)(errno)),
    }
    bind(path)
}

/// Connects to a socket. `timeout` bounds the wait for a place in the queue of a listener that does not accept.
///
/// # Errors
/// `NotFound` when nothing is there, `ConnectionRefused` when nobody listens any more, `TimedOut`.
pub fn connect(path: &Path, timeout: Duration) -> Result<UnixStream, OsError> {
    let socket = new_socket(path)?;
    let set_timeout = |timeout| set_socket_timeout(&socket, Timeout::Send, timeout);
    // 0 would mean for ever.
    set_timeout(Some(timeout.max(Duration::from_millis(1)))).map_err(OsError::on("connect to", path))?;
    let address = Address::new(path)?;
    match connect_to(&socket, &address.unix) {
        Ok(()) => {}
        Err(Errno::AGAIN) => return Err(OsError::on("connect to", path)(Errno::TIMEDOUT)),
        Err(errno) => return Err(OsError::on("connect to", path)(errno)),
    }
    set_timeout(None).map_err(OsError::on("connect to", path))?;
    Ok(socket.into())
}

/// Who connected, or who listens: as the kernel noted it at that moment (`SO_PEERCRED`, unix(7)).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer {
    /// Its number, absent when it is in a PID namespace that cannot be seen from here. It may have ended since.
    pub pid: Option<u32>,
    /// Its effective user id.
    pub uid: u32,
}

/// Asks who is at the other end of a connected socket. For a socket pair: who made the pair.
///
/// # Errors
/// What getsockopt(2) says.
pub fn peer(socket: impl AsFd) -> Result<Peer, OsError> {
    let mut credentials = libc::ucred { pid: 0, uid: 0, gid: 0 };
    let mut len = libc::socklen_t::try_from(size_of::<libc::ucred>()).expect("a dozen bytes");
    // SAFETY: both pointers are to live values of this frame, `len` holds the size of the first, and the kernel writes
    // no more than that. rustix is not used because its type has no place for the PID 0 of an invisible peer.
    let result = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut len,
        )
    };
    if result != 0 {
        return Err(OsError::new("ask who is at", "the other end of a socket", std::io::Error::last_os_error()));
    }
    let pid = u32::try_from(credentials.pid).ok().filter(|&pid| pid != 0);
    Ok(Peer { pid, uid: credentials.uid })
}

fn new_socket(path: &Path) -> Result<OwnedFd, OsError> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .map_err(OsError::on("make a socket for", path))
}

/// A path as `struct sockaddr_un` can hold it: 107 bytes. A longer one goes through a descriptor of its folder.
struct Address {
    unix: SocketAddrUnix,
    /// Named in the address, so it stays open as long.
    _folder: Option<OwnedFd>,
}

impl Address {
    fn new(path: &Path) -> Result<Self, OsError> {
        match SocketAddrUnix::new(path) {
            Ok(unix) => return Ok(Self { unix, _folder: None }),
            Err(Errno::NAMETOOLONG) => {}
            Err(errno) => return Err(OsError::on("use the path", path)(errno)),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(OsError::on("use the path", path)(Errno::INVAL));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat(CWD, parent, flags, Mode::empty()).map_err(OsError::on("open", parent))?;
        let short = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name);
        let unix = SocketAddrUnix::new(short).map_err(OsError::on("use the path", path))?;
        Ok(Self { unix, _folder: Some(folder) })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::{ErrorKind, Read as _, Write as _};
    use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
    use std::path::PathBuf;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn paths(dir: &Path) -> [PathBuf; 2] {
        let deep = dir.join("x".repeat(120)).join("y".repeat(120));
        fs::create_dir_all(&deep).unwrap();
        [dir.join("short.sock"), deep.join("control.sock")]
    }

    #[test]
    fn both_ends_know_each_other() {
        let dir = tempfile::tempdir().unwrap();
        for path in paths(dir.path()) {
            let listener = bind(&path).unwrap();
            let metadata = fs::symlink_metadata(&path).unwrap();
            assert!(metadata.file_type().is_socket());
            assert_eq!(metadata.permissions().mode() & 0o777, 0o600);
            let mut client = connect(&path, SECOND).unwrap();
            let (mut server, _) = listener.accept().unwrap();
            client.write_all(b"hello").unwrap();
            let mut buf = [0; 5];
            server.read_exact(&mut buf).unwrap();
            assert_eq!(&buf, b"hello");
            let me = Peer { pid: Some(std::process::id()), uid: rustix::process::geteuid().as_raw() };
            assert_eq!(peer(&client).unwrap(), me);
            assert_eq!(peer(&server).unwrap(), me);
        }
        assert!(peer(fs::File::open("/dev/null").unwrap()).is_err());
    }

    #[test]
    fn what_lies_there_is_removed_only_under_the_lock() {
        let dir = tempfile::tempdir().unwrap();
        let lock = Lock::take(&dir.path().join("lock")).unwrap().unwrap();
        for path in paths(dir.path()) {
            assert_eq!(connect(&path, SECOND).unwrap_err().kind(), ErrorKind::NotFound);
            drop(bind(&path).unwrap());
            assert_eq!(connect(&path, SECOND).unwrap_err().kind(), ErrorKind::ConnectionRefused);
            assert_eq!(bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
            let _listener = bind_over(&path, &lock).unwrap();
            connect(&path, SECOND).unwrap();
            fs::remove_file(&path).unwrap();
            fs::write(&path, "a file of somebody").unwrap();
            let error = bind_over(&path, &lock).unwrap_err();
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!(fs::read(&path).unwrap(), b"a file of somebody");
        }
        let name_too_long = dir.path().join("z".repeat(200));
        assert_eq!(bind(&name_too_long).unwrap_err().kind(), ErrorKind::InvalidFilename);
    }

    #[test]
    fn a_listener_that_does_not_accept_is_not_waited_for_without_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("full.sock");
        let listener = bind(&path).unwrap();
        rustix::net::listen(&listener, 0).unwrap();
        let mut waiting = Vec::new();
        let error = loop {
            match connect(&path, Duration::from_millis(20)) {
                Ok(stream) => waiting.push(stream),
                Err(error) => break error,
            }
            assert!(waiting.len() < 10);
        };
        assert_eq!(error.kind(), ErrorKind::TimedOut);
    }
}
