//! A file system whose server has stopped answering: whoever asks it for anything waits for ever, and so does who only
//! wants to know what a descriptor on it is (`stat` through `/proc/PID/fd`).
//!
//! The protocol is that of fuse(4) and `include/uapi/linux/fuse.h`: one file in one folder, nothing cached, so that each
//! look is a request. The mount is seen by these processes only.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::os::fd::AsRawFd as _;
use std::path::PathBuf;

use crate::raw;
use crate::{Outcome, argument, ready};

/// The name of the one file.
const FILE: &str = "held";

/// `FUSE_ROOT_ID`
const ROOT: u64 = 1;

/// The number of the one file.
const NODE: u64 = 2;

/// Holds a descriptor on such a file system, works in its folder, and listens on a port.
pub(crate) fn hung_mount(args: &[OsString]) -> Outcome {
    let folder: PathBuf = argument(args, 0)?;
    let device = File::options().read(true).write(true).open("/dev/fuse")?;
    raw::own_mounts()?;
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd());
    raw::mount(&folder, "fuse", &options)?;
    let server = match raw::fork_numbered()? {
        None => {
            raw::die_with_parent()?;
            let _ = serve(device);
            raw::quit(0);
        }
        Some(server) => server,
    };
    // The end of the server is to be the end of the connection.
    drop(device);
    let held = File::open(folder.join(FILE))?;
    std::env::set_current_dir(&folder)?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    raw::stop(server)?;
    ready(&format!("hung {}", listener.local_addr()?.port()))?;
    let _kept = (held, listener);
    raw::wait_for_ever()
}

/// Answers until the connection ends.
fn serve(mut device: File) -> io::Result<()> {
    let mut request = vec![0; 1 << 17];
    loop {
        let length = device.read(&mut request)?;
        let number = |at: usize| u64::from_le_bytes(request[at..at + 8].try_into().unwrap_or_default());
        let opcode = u32::from_le_bytes(request[4..8].try_into().unwrap_or_default());
        let (unique, node) = (number(8), number(16));
        let body = &request[40..length];
        let mut answer = Vec::new();
        let error = match opcode {
            // INIT: the version of the kernel, nothing optional.
            26 => {
                push(&mut answer, &[7, 31, 1 << 16, 0, 0, 1 << 16, 1, 0]);
                answer.resize(64, 0);
                0
            }
            // LOOKUP
            1 if body.strip_suffix(b"\0") == Some(FILE.as_bytes()) => {
                answer.extend(NODE.to_le_bytes());
                answer.resize(40, 0);
                answer.extend(attributes(NODE));
                0
            }
            1 => -libc::ENOENT,
            // GETATTR
            3 => {
                answer.resize(16, 0);
                answer.extend(attributes(node));
                0
            }
            // OPEN and OPENDIR: with FOPEN_NOFLUSH, so that the end of the holder does not wait for the server.
            14 | 27 => {
                push(&mut answer, &[0, 0, 1 << 5, 0]);
                0
            }
            // FORGET and BATCH_FORGET want no answer.
            2 | 42 => continue,
            _ => -libc::ENOSYS,
        };
        if error != 0 {
            answer.clear();
        }
        let mut whole = Vec::new();
        push(&mut whole, &[u32::try_from(16 + answer.len()).unwrap_or(16), error.cast_unsigned()]);
        whole.extend(unique.to_le_bytes());
        whole.extend(answer);
        device.write_all(&whole)?;
    }
}

fn push(bytes: &mut Vec<u8>, numbers: &[u32]) {
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
}

/// `struct fuse_attr`
fn attributes(node: u64) -> Vec<u8> {
    let mode = if node == ROOT { libc::S_IFDIR | 0o755 } else { libc::S_IFREG | 0o644 };
    let mut bytes = node.to_le_bytes().to_vec();
    // size, blocks, three times, their nanoseconds
    bytes.resize(60, 0);
    push(&mut bytes, &[mode, 1, 0, 0, 0, 4096, 0]);
    bytes
}
