//! bpf(2).

use std::ffi::c_long;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};

use rustix::io::Errno;

use super::program::Instruction;

// Commands, kinds: include/uapi/linux/bpf.h.
const MAP_CREATE: c_long = 0;
const PROG_LOAD: c_long = 5;
const LINK_CREATE: c_long = 28;
const ITER_CREATE: c_long = 33;
const MAP_TYPE_ARRAY: u32 = 2;
const PROG_TYPE_TRACING: u32 = 26;
const TRACE_ITER: u32 = 28;
/// It may wait for memory of a process that is not there at the moment.
pub(super) const SLEEPABLE: u32 = 1 << 4;

/// Whom the kernel believes that its helpers may be called: those who reach into it are for programs that one may have
/// under its own licence. MIT allows that.
const LICENSE: &std::ffi::CStr = c"Dual MIT/GPL";

/// The one array that a program works in: one value of this many bytes.
pub(super) fn array(size: usize) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Request {
        kind: u32,
        key_size: u32,
        value_size: u32,
        entries: u32,
    }
    let value_size = u32::try_from(size).map_err(|_| Errno::TOOBIG)?;
    bpf(MAP_CREATE, &Request { kind: MAP_TYPE_ARRAY, key_size: 4, value_size, entries: 1 })
}

/// Loads an iterator. `function` is the number of the kernel's function that describes it; `flags`: [`SLEEPABLE`] or 0.
pub(super) fn load(
    program: &[Instruction],
    function: u32,
    flags: u32,
    log: Option<&mut [u8]>,
) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Request {
        kind: u32,
        count: u32,
        instructions: u64,
        license: u64,
        log_level: u32,
        log_size: u32,
        log: u64,
        kernel_version: u32,
        flags: u32,
        name: [u8; 16],
        interface: u32,
        attach_type: u32,
        // Types, functions and lines of the program's own.
        debugging: [u32; 9],
        attach_function: u32,
        attach_program: u32,
        relocations: u32,
    }
    let address = |pointer: *const u8| pointer as u64;
    let (log_size, log) = log.map_or((0, 0), |log| (log.len(), address(log.as_ptr())));
    let request = Request {
        kind: PROG_TYPE_TRACING,
        count: u32::try_from(program.len()).map_err(|_| Errno::TOOBIG)?,
        instructions: address(program.as_ptr().cast()),
        license: address(LICENSE.as_ptr().cast()),
        log_level: u32::from(log_size > 0),
        log_size: u32::try_from(log_size).map_err(|_| Errno::TOOBIG)?,
        log,
        kernel_version: 0,
        flags,
        name: *b"vigie_tasks\0\0\0\0\0",
        interface: 0,
        attach_type: TRACE_ITER,
        debugging: [0; 9],
        attach_function: function,
        attach_program: 0,
        relocations: 0,
    };
    bpf(PROG_LOAD, &request)
}

/// Puts an iterator to use.
pub(super) fn link(program: &OwnedFd) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Request {
        program: i32,
        target: u32,
        attach_type: u32,
        flags: u32,
    }
    bpf(LINK_CREATE, &Request { program: program.as_raw_fd(), target: 0, attach_type: TRACE_ITER, flags: 0 })
}

/// A file whose reading runs the iterator once.
pub(super) fn iterate(link: &OwnedFd) -> Result<OwnedFd, Errno> {
    #[repr(C)]
    struct Request {
        link: i32,
        flags: u32,
    }
    bpf(ITER_CREATE, &Request { link: link.as_raw_fd(), flags: 0 })
}

/// All of these commands return a descriptor, which is closed on exec.
fn bpf<T>(command: c_long, request: &T) -> Result<OwnedFd, Errno> {
    // SAFETY: the request begins as the `union bpf_attr` of the command does; the kernel takes what follows its size for
    // zero. It only reads the request. What the addresses in it point to outlives the call; the log is written to, and is
    // the caller's, exclusively borrowed.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, request, size_of::<T>()) };
    match i32::try_from(result) {
        // SAFETY: the kernel has just made this descriptor for us.
        Ok(fd) if fd >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(fd) }),
        _ => Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)),
    }
}
