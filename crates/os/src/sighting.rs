//! What the machine has and what a run has of it: for telling afterwards what it left behind (R5.7).
//!
//! Links and lists of the kernel are read, and no file is touched that a process has open. `maps` takes the lock of the
//! process's address space: whoever asks about a process that may be stuck does so from a thread that nobody waits for.

use std::path::PathBuf;

use rustix::fs::{FileType, lstat};

use vigie_core::claim::Held;
use vigie_core::ports::State;
use vigie_core::soak::{FileLock, Kind, Machine, Sighting, Sock};
use vigie_core::text::escaped;

use crate::error::OsError;
use crate::inet::{self, Query};
use crate::ipc;
use crate::proc::stat::number;
use crate::proc::{Proc, Rel};
use crate::strays::System;
use crate::unix_table::{self, Behind};

/// What the machine has now, as far as it can be seen.
///
/// # Errors
/// When a list of the kernel cannot be read.
pub fn machine(proc: &Proc) -> Result<Machine, OsError> {
    let mut sockets = Vec::new();
    for socket in inet::query(proc, &Query { ports: &[], connections: true })? {
        // What is left of a connection has no process and ends by itself.
        if socket.state != State::Left && socket.inode != 0 {
            let Held { address, port, proto, .. } = socket.held();
            let name = format!("{}/{proto}", std::net::SocketAddr::new(address, port));
            sockets.push(Sock { kind: Kind::Socket, inode: socket.inode, cgroup: socket.cgroup, name });
        }
    }
    for socket in unix_table::named(proc)? {
        let name = match &socket.name.0[..] {
            [0, rest @ ..] => format!("@{}", escaped(rest)),
            path => escaped(path),
        };
        sockets.push(Sock { kind: Kind::UnixSocket, inode: socket.inode, cgroup: None, name });
    }
    let mut buf = Vec::new();
    let locks = proc.read_global("locks", &mut buf)?.map(locks).unwrap_or_default();
    Ok(Machine { objects: ipc::objects(proc)?, sockets, locks })
}

/// Adds what a process has. One that is gone has nothing.
///
/// # Errors
/// What the kernel says; mostly `PermissionDenied` for other users' processes.
pub fn add(proc: &Proc, pid: u32, sighting: &mut Sighting) -> Result<(), OsError> {
    let mut buf = Vec::new();
    let Some(name) = proc.stat(pid, &mut buf)?.map(|stat| escaped(stat.comm)) else { return Ok(()) };
    sighting.processes.insert(pid, name);
    let mut links = Vec::new();
    proc.entries(&Rel::new(format_args!("{pid}/fd")), |folder, name| {
        if let Ok(name) = std::ffi::CString::new(name)
            && let Ok(link) = rustix::fs::readlinkat(folder, name, Vec::new())
        {
            links.push(link.into_bytes());
        }
    })?;
    for link in links {
        match link.strip_prefix(b"socket:[").and_then(|rest| number(rest.strip_suffix(b"]")?)) {
            Some(inode) => drop(sighting.sockets.insert(inode)),
            None => sighting.files.extend(ipc::file_of_link(&link)),
        }
    }
    let maps = proc.read(pid, "maps", &mut buf)?.unwrap_or_default();
    for line in maps.split(|&byte| byte == b'\n') {
        // The name is behind the inode, and is all the rest.
        if let Some(place) = line.windows(9).position(|part| part == b"/dev/shm/") {
            sighting.files.extend(ipc::file_of_link(&line[place..]));
        }
    }
    Ok(())
}

/// The file of a Unix socket, as it was while its owner lived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SocketFile {
    /// Where it lies.
    pub path: PathBuf,
    file: (u64, u64),
}

/// The files of those sockets of a run that listen at a path.
///
/// # Errors
/// When the sockets of the machine cannot be listed.
pub fn socket_files(proc: &Proc, sighting: &Sighting) -> Result<Vec<SocketFile>, OsError> {
    use std::os::unix::ffi::OsStrExt as _;
    if sighting.sockets.is_empty() {
        return Ok(Vec::new());
    }
    let system = System::default();
    let mut files = Vec::new();
    for socket in unix_table::named(proc)? {
        if !sighting.sockets.contains(&socket.inode) || socket.name.0.first() == Some(&0) {
            continue;
        }
        let name = std::path::Path::new(std::ffi::OsStr::from_bytes(&socket.name.0));
        // A relative one lies in the folder in which one of them was when it bound it, mostly that in which it still is.
        let folders = sighting.processes.keys().filter_map(|pid| proc.link(*pid, "cwd").ok().flatten());
        let places = std::iter::once(PathBuf::new()).chain(folders.filter(|_| name.is_relative()));
        for path in places.map(|folder| folder.join(name)).filter(|path| path.is_absolute()) {
            if system.may_hang(&path) || !is_behind(proc, &path, socket.inode) {
                continue;
            }
            if let Some(file) = identity(&path) {
                files.push(SocketFile { path, file });
                break;
            }
        }
    }
    Ok(files)
}

fn is_behind(proc: &Proc, path: &std::path::Path, inode: u64) -> bool {
    matches!(unix_table::behind(proc, path), Ok(Behind::Socket(found)) if found == inode)
}

impl SocketFile {
    /// The very file is still there.
    pub fn is_left(&self) -> bool {
        identity(&self.path) == Some(self.file)
    }
}

fn identity(path: &std::path::Path) -> Option<(u64, u64)> {
    let stat = lstat(path).ok()?;
    (FileType::from_raw_mode(stat.st_mode) == FileType::Socket).then_some((stat.st_dev, stat.st_ino))
}

/// Those that are held, in proc_locks(5): `1: FLOCK ADVISORY WRITE PID MAJOR:MINOR:INODE …`. Lines of those who wait have
/// `->` in the second column; a lock without a process that could be named has a number below 1.
fn locks(text: &[u8]) -> Vec<FileLock> {
    let hex = |field: &[u8]| u32::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok();
    let lock = |line: &[u8]| {
        let fields: Vec<&[u8]> = line.split(u8::is_ascii_whitespace).filter(|field| !field.is_empty()).collect();
        let [_, kind, _, _, opener, file, ..] = fields[..] else { return None };
        let mut file = file.split(|&byte| byte == b':');
        let file = (hex(file.next()?)?, hex(file.next()?)?, number(file.next()?)?);
        let opener = number(opener).filter(|pid| *pid != 0)?;
        (kind != b"->").then(|| FileLock { kind: escaped(kind), opener, file })
    };
    text.split(|&byte| byte == b'\n').filter_map(lock).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::fd::AsRawFd as _;
    use std::os::unix::net::UnixListener;

    #[test]
    fn locks_that_are_held() {
        let text = b"1: POSIX  ADVISORY  WRITE 7 fe:00:10 0 EOF\n2: -> FLOCK  ADVISORY  READ 8 fe:00:10 0 EOF\n\
            3: FLOCK  ADVISORY  WRITE 9 fe:1f:11 0 EOF\n4: OFDLCK ADVISORY  WRITE -1 fe:00:12 0 0\nbroken\n";
        let lock = |kind: &str, opener, file| FileLock { kind: kind.to_owned(), opener, file };
        assert_eq!(locks(text), [lock("POSIX", 7, (0xfe, 0, 10)), lock("FLOCK", 9, (0xfe, 0x1f, 11))]);
    }

    #[test]
    fn what_this_process_has() {
        let proc = Proc::system().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().canonicalize().unwrap().join("a.sock");
        let unix = UnixListener::bind(&path).unwrap();
        let tcp = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let shared = tempfile::Builder::new().prefix("vigie-test-").tempfile_in("/dev/shm").unwrap();
        let name = shared.path().display().to_string();
        let mut sighting = Sighting::default();
        add(&proc, std::process::id(), &mut sighting).unwrap();
        let all = machine(&proc).unwrap();
        let files = socket_files(&proc, &sighting).unwrap();
        assert!(sighting.files.contains(&name), "{sighting:?}");
        let object = all.objects.iter().find(|object| object.file.as_deref() == Some(&name)).unwrap();
        assert_eq!(object.uid, crate::user::uid());
        let port = tcp.local_addr().unwrap();
        for (name, fd) in [(format!("{port}/tcp"), tcp.as_raw_fd()), (path.display().to_string(), unix.as_raw_fd())] {
            let socket = all.sockets.iter().find(|socket| socket.name == name).expect("listed");
            assert!(sighting.sockets.contains(&socket.inode));
            let link = std::fs::read_link(format!("/proc/self/fd/{fd}")).unwrap();
            assert_eq!(link.to_string_lossy(), format!("socket:[{}]", socket.inode));
        }
        assert_eq!(files.iter().map(|file| &file.path).collect::<Vec<_>>(), [&path]);
        drop((unix, shared));
        assert!(files[0].is_left());
        // Another one in its place is not it.
        let other = folder.path().join("b.sock");
        let _second = UnixListener::bind(&other).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert!(!files[0].is_left());
    }
}
