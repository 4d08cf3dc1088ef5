//! A file system whose server takes some requests and never answers them.
//!
//! The protocol is that of fuse(4) and `include/uapi/linux/fuse.h`. Nothing is cached, so that each look is a request. What
//! is asked of the server decides whether it answers:
//!
//! | name | not answered |
//! |---|---|
//! | `read` | READ |
//! | `attr` | GETATTR |
//! | `write` | WRITE |
//! | `flush` | FLUSH: the close(2) of the file |
//! | `slow-…` | LOOKUP: whatever is done with the name |
//! | `back` | everything is answered: zeroes are read, and what is written is forgotten |

use std::fs::{self, File};
use std::io::{self, PipeReader, PipeWriter, Read as _, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use crate::bed::{Bed, Failure, Made, needs_root};
use crate::raw;

/// `FUSE_ROOT_ID`
const ROOT: u64 = 1;

/// Their number is their place, from 2 on.
const FILES: [&str; 5] = ["read", "attr", "write", "flush", "back"];

/// What each of them is long.
const LENGTH: u64 = 16 << 20;

/// Such a file system, mounted and served.
pub(crate) struct Served {
    pub(crate) point: PathBuf,
    pub(crate) server: u32,
    taken: PipeReader,
}

impl Served {
    /// Mounts one.
    pub(crate) fn new(bed: &mut Bed) -> Made<Self> {
        needs_root("mount")?;
        if !Path::new("/dev/fuse").exists() {
            return Err(Failure::Impossible("the kernel has no FUSE (/dev/fuse is not there)".to_owned()));
        }
        let control = bed.mount_point("control")?;
        raw::mount(Path::new("none"), &control, c"fusectl", "")?;
        let point = bed.mount_point("fuse")?;
        let device = File::options().read(true).write(true).open("/dev/fuse")?;
        let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
        raw::mount(Path::new("vigie-stuck"), &point, c"fuse", &options)?;
        let connection = connection(&point)?;
        bed.undo("abort", control.join(connection.to_string()))?;
        let (taken, tell) = io::pipe()?;
        // The descriptor goes with the closure: nobody but the server has it, so its end is the end of the connection.
        let server = bed.start(c"stuck-server", move || serve(device, &tell))?;
        bed.say("server", server);
        bed.say("mount", point.display());
        bed.say("connection", connection);
        Ok(Self { point, server, taken })
    }

    /// Waits until the server has taken so many requests that it will not answer.
    pub(crate) fn taken(&mut self, count: usize) -> Made {
        let mut bytes = vec![0; count];
        self.taken.read_exact(&mut bytes)?;
        Ok(())
    }
}

/// The minor number of the file system, which is that of the connection. The mount itself is not asked: it might not answer.
fn connection(point: &Path) -> Made<u32> {
    let info = fs::read_to_string("/proc/self/mountinfo")?;
    let line = info.lines().find(|line| line.split(' ').nth(4).is_some_and(|at| Path::new(at) == point));
    let number = line.and_then(|line| line.split(' ').nth(2)?.strip_prefix("0:")?.parse().ok());
    number.ok_or_else(|| Failure::Broken("the mount has no number".to_owned()))
}

/// Answers until the connection ends.
fn serve(mut device: File, taken: &PipeWriter) -> io::Result<()> {
    let mut request = vec![0; 1 << 18];
    let mut taken = taken;
    loop {
        let length = match device.read(&mut request) {
            Ok(length) => length,
            Err(error) if error.raw_os_error() == Some(libc::ENODEV) => return Ok(()),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => continue,
            Err(error) => return Err(error),
        };
        match answer(&request[..length]) {
            Answer::Body(body) => reply(&device, &request, 0, &body)?,
            Answer::Error(errno) => reply(&device, &request, errno, &[])?,
            Answer::Nothing => {}
            Answer::Never => taken.write_all(b".")?,
        }
    }
}

enum Answer {
    Body(Vec<u8>),
    Error(i32),
    /// None is expected.
    Nothing,
    /// One is expected.
    Never,
}

fn answer(request: &[u8]) -> Answer {
    let number = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().unwrap_or_default());
    let short = |at: usize| u32::from_le_bytes(request[at..at + 4].try_into().unwrap_or_default());
    let (opcode, node, body) = (short(4), number(16), &request[40..]);
    let mut bytes = Vec::new();
    match (opcode, name(node)) {
        // INIT: what may be read ahead is asked for at once (ASYNC_READ), and folders are looked through by one at a time.
        (26, _) => {
            push(&mut bytes, &[7, 31, 1 << 16, 1 | 1 << 5, 0, 1 << 16, 1, 0]);
            bytes.resize(64, 0);
        }
        // LOOKUP
        (1, _) if body.starts_with(b"slow-") => return Answer::Never,
        (1, _) => {
            let asked = body.strip_suffix(b"\0").unwrap_or(body);
            let Some(place) = FILES.iter().position(|name| name.as_bytes() == asked) else {
                return Answer::Error(libc::ENOENT);
            };
            let node = place as u64 + 2;
            bytes.extend(node.to_le_bytes());
            bytes.resize(40, 0);
            bytes.extend(attributes(node));
        }
        (3, "attr") | (15, "read") | (16, "write") | (25, "flush") => return Answer::Never,
        // GETATTR, SETATTR
        (3 | 4, _) => {
            bytes.resize(16, 0);
            bytes.extend(attributes(node));
        }
        // OPEN, OPENDIR
        (14 | 27, _) => push(&mut bytes, &[0, 0, 0, 0]),
        // READ
        (15, _) => bytes.resize(usize::try_from(short(40 + 16)).unwrap_or(0), 0),
        // WRITE
        (16, _) => push(&mut bytes, &[short(40 + 16), 0]),
        // RELEASE, FSYNC, FLUSH, RELEASEDIR, DESTROY
        (18 | 20 | 25 | 29 | 38, _) => {}
        // FORGET, INTERRUPT, BATCH_FORGET
        (2 | 36 | 42, _) => return Answer::Nothing,
        _ => return Answer::Error(libc::ENOSYS),
    }
    Answer::Body(bytes)
}

fn name(node: u64) -> &'static str {
    let place = usize::try_from(node).ok().and_then(|node| node.checked_sub(2));
    place.and_then(|place| FILES.get(place)).copied().unwrap_or("")
}

fn reply(mut device: &File, request: &[u8], errno: i32, body: &[u8]) -> io::Result<()> {
    let mut whole = Vec::new();
    push(&mut whole, &[u32::try_from(16 + body.len()).unwrap_or(16), (-errno).cast_unsigned()]);
    whole.extend(&request[8..16]);
    whole.extend(body);
    match device.write_all(&whole) {
        // Whoever asked has been killed meanwhile.
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

fn push(bytes: &mut Vec<u8>, numbers: &[u32]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// `struct fuse_attr`
fn attributes(node: u64) -> Vec<u8> {
    let (mode, length) = if node == ROOT { (libc::S_IFDIR | 0o755, 0) } else { (libc::S_IFREG | 0o644, LENGTH) };
    let mut bytes = node.to_le_bytes().to_vec();
    bytes.extend(length.to_le_bytes());
    // blocks, three times, their nanoseconds
    bytes.resize(60, 0);
    push(&mut bytes, &[mode, 1, 0, 0, 0, 4096, 0]);
    bytes
}
