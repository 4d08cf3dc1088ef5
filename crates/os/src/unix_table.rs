//! Unix sockets: which one listens at a path, for the rule that an answer counts only if the listener belongs to the run
//! (R2.3); which ones there are; and whether the file of one was left behind (R7.1).
//!
//! A path is found by the file that lies there, not by the name that the listener gave when it bound: that may have been
//! relative, or gone through `/proc/self/fd`. sock_diag tells the inode of the file. Where it is not offered, the names in
//! `/proc/net/unix` are compared.

use std::collections::HashSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

use rustix::fs::{FileType, Stat, major, minor, stat};
use rustix::io::Errno;

use vigie_core::text::OsText;

use crate::error::OsError;
use crate::netlink::{Attributes, SockDiag, u32_at};
use crate::netns;
use crate::proc::Proc;
use crate::proc::stat::number;

const LISTEN: u32 = 10;
/// `UDIAG_SHOW_NAME | UDIAG_SHOW_VFS`
const SHOW: u32 = 3;
/// The fixed part of an answer: `struct unix_diag_msg`.
const MESSAGE: usize = 16;
const ATTRIBUTE_NAME: u16 = 0;
const ATTRIBUTE_FILE: u16 = 1;
/// `__SO_ACCEPTCON`: the column `Flags` of one that listens.
const ACCEPTS: u32 = 0x10000;

/// The number of the socket that listens at `path`, as in `socket:[N]`; see [`crate::owners`]. `None` when nobody does.
///
/// # Errors
/// What stat(2) says of the path, except that nothing is there.
pub fn listener(proc: &Proc, path: &Path) -> Result<Option<u64>, OsError> {
    let Some(file) = socket_file(path)? else { return Ok(None) };
    let mut found = None;
    let mut named = None;
    let asked = SockDiag::open().and_then(|mut diag| {
        diag.dump(&request(1 << LISTEN), |message| match parse(message, &file, path) {
            Some((Match::File, inode)) => found = Some(inode),
            Some((Match::Name, inode)) => named = Some(inode),
            None => {}
        })
    });
    if asked.is_ok() {
        return Ok(found.or(named));
    }
    let mut buf = Vec::new();
    Ok(proc.read_global("net/unix", &mut buf)?.and_then(|table| listener_in(table, path)))
}

/// A Unix socket that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnixSocket {
    /// Its number, as in `socket:[N]`; see [`crate::owners`].
    pub inode: u64,
    /// As it was given to bind(2), so it may be relative to the folder of whoever did. An abstract name begins with a
    /// zero byte.
    pub name: OsText,
    /// It accepts connections.
    pub listens: bool,
    /// Inode number and device of its file, as the kernel keeps them: 32 bits of each. Absent for abstract names, and where
    /// the kernel does not tell.
    file: Option<(u32, u32)>,
}

/// The Unix sockets of this network namespace that have a name, by number.
///
/// # Errors
/// When neither sock_diag nor `/proc/net/unix` can be read.
pub fn named(proc: &Proc) -> Result<Vec<UnixSocket>, OsError> {
    let mut found = Vec::new();
    let asked =
        SockDiag::open().and_then(|mut diag| diag.dump(&request(u32::MAX), |message| found.extend(one(message))));
    if asked.is_err() {
        found.clear();
        let mut buf = Vec::new();
        let table = proc.read_global("net/unix", &mut buf)?.unwrap_or_default();
        found.extend(table.split(|&byte| byte == b'\n').filter_map(one_in_table));
    }
    // Sockets that were accepted bear the name of their listener.
    let listening = found.iter().filter(|socket| socket.listens).map(|socket| (socket.name.clone(), socket.file));
    let listening: HashSet<_> = listening.collect();
    found.retain(|socket| {
        let accepted = || !socket.listens && listening.contains(&(socket.name.clone(), socket.file));
        !socket.name.0.is_empty() && !accepted()
    });
    found.sort_unstable_by_key(|socket| socket.inode);
    Ok(found)
}

/// What stands behind the file of a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behind {
    /// This socket: somebody has it.
    Socket(u64),
    /// Nobody: whoever made the file is gone, and whoever binds there must remove it first.
    Nobody,
    /// Not to be told: the socket may be in a network namespace that cannot be seen.
    Unseen,
    /// It is no socket, or not there.
    NoSocket,
}

/// Looks behind a file, in every network namespace: a file system may be shared where the network is not.
///
/// # Errors
/// What stat(2) says of the path, except that nothing is there; when `/proc` cannot be read.
pub fn behind(proc: &Proc, path: &Path) -> Result<Behind, OsError> {
    let Some(file) = socket_file(path)? else { return Ok(Behind::NoSocket) };
    let at_path = |sockets: &[UnixSocket]| {
        let fits = |socket: &&UnixSocket| fit(&socket.name.0, socket.file, &file, path).is_some();
        sockets.iter().find(fits).map(|socket| socket.inode)
    };
    if let Some(inode) = at_path(&named(proc)?) {
        return Ok(Behind::Socket(inode));
    }
    let namespaces = netns::visible(proc)?;
    let mut blind = namespaces.hidden;
    for other in namespaces.others {
        match netns::within(other, || named(proc)) {
            Some(Ok(sockets)) => {
                if let Some(inode) = at_path(&sockets) {
                    return Ok(Behind::Socket(inode));
                }
            }
            Some(Err(_)) | None => blind = true,
        }
    }
    Ok(if blind { Behind::Unseen } else { Behind::Nobody })
}

/// The file at a path, when it is that of a socket.
fn socket_file(path: &Path) -> Result<Option<Stat>, OsError> {
    match stat(path) {
        Ok(file) if FileType::from_raw_mode(file.st_mode).is_socket() => Ok(Some(file)),
        Ok(_) | Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(OsError::on("examine", path)(errno)),
    }
}

/// `struct unix_diag_req` for everything in one of these states.
fn request(states: u32) -> [u8; 24] {
    let mut request = [0; 24];
    request[0] = 1; // AF_UNIX
    request[4..8].copy_from_slice(&states.to_ne_bytes());
    request[12..16].copy_from_slice(&SHOW.to_ne_bytes());
    request[16..24].fill(0xff);
    request
}

/// Why a listener is taken for the one at the path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Match {
    /// It is bound to the very file.
    File,
    /// Only the name is the same: file systems that show other inode numbers than they use (overlayfs).
    Name,
}

/// Parses one answer and compares it with the file.
fn parse(message: &[u8], file: &Stat, path: &Path) -> Option<(Match, u64)> {
    let socket = one(message)?;
    fit(&socket.name.0, socket.file, file, path).map(|fit| (fit, socket.inode))
}

/// Parses one answer: `struct unix_diag_msg` and its attributes.
fn one(message: &[u8]) -> Option<UnixSocket> {
    let inode = u64::from(u32_at(message, 4)?);
    let listens = u32::from(*message.get(2)?) == LISTEN;
    let mut name: &[u8] = b"";
    let mut file = None;
    for (kind, value) in Attributes(message.get(MESSAGE..)?) {
        match kind {
            ATTRIBUTE_NAME if value.starts_with(b"\0") => name = value,
            ATTRIBUTE_NAME => name = value.strip_suffix(b"\0").unwrap_or(value),
            ATTRIBUTE_FILE => file = u32_at(value, 0).zip(u32_at(value, 4)),
            _ => {}
        }
    }
    Some(UnixSocket { inode, name: OsText(name.to_vec()), listens, file })
}

/// Whether a socket with this name and file lies at a path where `file` is.
fn fit(name: &[u8], place: Option<(u32, u32)>, file: &Stat, path: &Path) -> Option<Match> {
    let name = Path::new(std::ffi::OsStr::from_bytes(name));
    // The kernel tells 32 bits of the inode number, and the device as it keeps it. btrfs shows another device in stat(2);
    // there the last part of the name must do.
    let same_device = |device| device == (major(file.st_dev) << 20 | minor(file.st_dev));
    let same_file = place.is_some_and(|(number, device)| {
        u64::from(number) == file.st_ino & 0xffff_ffff
            && (same_device(device) || (name.file_name().is_some() && name.file_name() == path.file_name()))
    });
    if same_file { Some(Match::File) } else { (name == path).then_some(Match::Name) }
}

/// A line of `net/unix`: address, references, protocol, flags, type, state, inode, path. An abstract name is shown with
/// `@` for its zero bytes.
fn one_in_table(line: &[u8]) -> Option<UnixSocket> {
    let mut rest = line;
    let mut field = || {
        rest = rest.trim_ascii_start();
        let end = rest.iter().position(|&byte| byte == b' ')?;
        let (field, behind) = rest.split_at(end);
        rest = &behind[1..];
        Some(field)
    };
    field().filter(|address| address.ends_with(b":"))?;
    let (_references, _protocol) = (field()?, field()?);
    let flags = u32::from_str_radix(std::str::from_utf8(field()?).ok()?, 16).ok()?;
    let (_kind, _state) = (field()?, field()?);
    let inode = number(field()?)?;
    let name = match rest {
        [b'@', name @ ..] => [b"\0", name].concat(),
        name => name.to_vec(),
    };
    Some(UnixSocket { inode, name: OsText(name), listens: flags & ACCEPTS != 0, file: None })
}

/// Looks a path up in the content of `net/unix`: address, references, protocol, flags, type, state, inode, path. Other
/// users choose paths too, and may forge lines with a newline in one; so the table only names a socket, and whose it is,
/// is asked of [`crate::owners`].
fn listener_in(table: &[u8], path: &Path) -> Option<u64> {
    table.split(|&byte| byte == b'\n').find_map(|line| {
        let name = path.as_os_str().as_bytes();
        let head = line.strip_suffix(name)?.strip_suffix(b" ")?;
        let mut fields = head.split(|&byte| byte == b' ').filter(|field| !field.is_empty());
        let flags = std::str::from_utf8(fields.nth(3)?).ok()?;
        let listens = u32::from_str_radix(flags, 16).ok()? & ACCEPTS != 0;
        let inode = number(fields.nth(2)?)?;
        (listens && fields.next().is_none()).then_some(inode)
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::{UnixDatagram, UnixListener};

    use super::*;
    use crate::socket::bind;

    fn inode(fd: impl std::os::fd::AsFd) -> u64 {
        rustix::fs::fstat(fd).unwrap().st_ino
    }

    #[test]
    fn however_it_was_bound() {
        let proc = Proc::system().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain.sock");
        let short = UnixListener::bind(&plain).unwrap();
        assert_eq!(listener(&proc, &plain).unwrap(), Some(inode(&short)));
        let deep = dir.path().join("x".repeat(150));
        std::fs::create_dir(&deep).unwrap();
        let deep = deep.join("plain.sock");
        let long = bind(&deep).unwrap();
        assert_eq!(listener(&proc, &deep).unwrap(), Some(inode(&long)));
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&deep, &link).unwrap();
        assert_eq!(listener(&proc, &link).unwrap(), Some(inode(&long)));
        // Replaced by a second one at the same path: the file decides, not the name.
        std::fs::remove_file(&plain).unwrap();
        let second = UnixListener::bind(&plain).unwrap();
        assert_eq!(listener(&proc, &plain).unwrap(), Some(inode(&second)));
    }

    #[test]
    fn what_does_not_listen() {
        let proc = Proc::system().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        assert_eq!(listener(&proc, &path).unwrap(), None);
        drop(UnixListener::bind(&path).unwrap());
        assert_eq!(listener(&proc, &path).unwrap(), None);
        std::fs::remove_file(&path).unwrap();
        let _datagrams = UnixDatagram::bind(&path).unwrap();
        assert_eq!(listener(&proc, &path).unwrap(), None);
        assert_eq!(listener(&proc, dir.path()).unwrap(), None);
    }

    #[test]
    fn all_that_have_a_name() {
        let proc = Proc::system().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let (path, datagrams) = (dir.path().join("stream"), dir.path().join("datagrams"));
        let listener = UnixListener::bind(&path).unwrap();
        let receiver = UnixDatagram::bind(&datagrams).unwrap();
        let _client = std::os::unix::net::UnixStream::connect(&path).unwrap();
        let _accepted = listener.accept().unwrap();
        let found = named(&proc).unwrap();
        let at = |path: &Path| -> Vec<(u64, bool)> {
            let here = found.iter().filter(|socket| socket.name.as_path() == path);
            here.map(|socket| (socket.inode, socket.listens)).collect()
        };
        assert_eq!(at(&path), [(inode(&listener), true)], "and not those that were accepted");
        assert_eq!(at(&datagrams), [(inode(&receiver), false)]);
        let mut buf = Vec::new();
        let table = proc.read_global("net/unix", &mut buf).unwrap().unwrap();
        let lines: Vec<UnixSocket> = table.split(|&byte| byte == b'\n').filter_map(one_in_table).collect();
        for socket in found.iter().filter(|socket| socket.name.as_path().starts_with(dir.path())) {
            let same = |line: &&UnixSocket| line.inode == socket.inode;
            let line = lines.iter().find(same).expect("in both");
            assert_eq!((&line.name, line.listens), (&socket.name, socket.listens));
        }
    }

    #[test]
    fn a_file_that_was_left_behind() {
        let proc = Proc::system().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.sock");
        assert_eq!(behind(&proc, &path).unwrap(), Behind::NoSocket);
        let receiver = UnixDatagram::bind(&path).unwrap();
        assert_eq!(behind(&proc, &path).unwrap(), Behind::Socket(inode(&receiver)));
        drop(receiver);
        let left = behind(&proc, &path).unwrap();
        let blind = netns::visible(&proc).unwrap().hidden;
        assert_eq!(left, if blind { Behind::Unseen } else { Behind::Nobody });
        assert_eq!(behind(&proc, dir.path()).unwrap(), Behind::NoSocket);
    }

    #[test]
    fn the_table() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path\n\
            0000000000000000: 00000003 00000000 00000000 0001 03 500 /run/a b.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 501 /run/a b.sock\n\
            0000000000000000: 00000002 00000000 00010000 0001 01  7 @/run/abstract\n\
            0000000000000000: 00000002 00000000 00010000 0001 01 502 /other/run/a b.sock\n";
        assert_eq!(listener_in(table, Path::new("/run/a b.sock")), Some(501));
        assert_eq!(listener_in(table, Path::new("b.sock")), None);
        assert_eq!(listener_in(table, Path::new("/run/abstract")), None);
        assert_eq!(listener_in(table, Path::new("/run/none")), None);
        let mut buf = Vec::new();
        let proc = Proc::system().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("real.sock");
        let socket = UnixListener::bind(&path).unwrap();
        let real = proc.read_global("net/unix", &mut buf).unwrap().unwrap();
        assert_eq!(listener_in(real, &path), Some(inode(&socket)));
    }
}
