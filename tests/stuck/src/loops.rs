//! Loop devices: a file as a block device.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};

use crate::bed::{Failure, Made};
use crate::raw;

/// ioctl(2) of `/dev/loop-control`: the number of one that is free. loop(4)
const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4c82;

/// Since Linux 5.8.
const LOOP_CONFIGURE: libc::Ioctl = 0x4c0a;

/// It is given back when nobody has it open any more.
const LO_FLAGS_AUTOCLEAR: u32 = 4;

/// The major number of loop devices.
const MAJOR: u32 = 7;

/// One with a file behind it, open.
pub(crate) struct Loop {
    pub(crate) device: File,
    pub(crate) path: PathBuf,
}

impl Loop {
    /// Takes a free one. `flags` are those of open(2).
    pub(crate) fn attach(file: &File, folder: &Path, flags: i32) -> Made<Self> {
        let control =
            File::options().read(true).write(true).open("/dev/loop-control").map_err(|error| {
                Failure::Impossible(format!("there are no loop devices (/dev/loop-control: {error})"))
            })?;
        // Between the answer and the use of it, somebody else may take it.
        for _ in 0..64 {
            let number = raw::ioctl(control.as_fd(), LOOP_CTL_GET_FREE, 0)?.cast_unsigned();
            let path = node(number, folder)?;
            let device = File::options().read(true).write(true).custom_flags(flags).open(&path)?;
            match raw::ioctl_bytes(device.as_fd(), LOOP_CONFIGURE, &mut configuration(file)) {
                Ok(()) => return Ok(Self { device, path }),
                Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Broken("no loop device is free".to_owned()))
    }
}

/// Its file in `/dev`; where nobody makes these, one of our own.
fn node(number: u32, folder: &Path) -> io::Result<PathBuf> {
    let usual = PathBuf::from(format!("/dev/loop{number}"));
    if usual.exists() {
        return Ok(usual);
    }
    let own = folder.join(format!("loop{number}"));
    match mknodat(CWD, &own, FileType::BlockDevice, Mode::from_raw_mode(0o600), makedev(MAJOR, number)) {
        Ok(()) | Err(rustix::io::Errno::EXIST) => Ok(own),
        Err(error) => Err(error.into()),
    }
}

/// `struct loop_config` of `include/uapi/linux/loop.h`
fn configuration(file: &File) -> Vec<u8> {
    let mut bytes = vec![0; 304];
    bytes[..4].copy_from_slice(&file.as_raw_fd().to_ne_bytes());
    bytes[8 + 52..8 + 56].copy_from_slice(&LO_FLAGS_AUTOCLEAR.to_ne_bytes());
    bytes[8 + 56..8 + 56 + 11].copy_from_slice(b"vigie-stuck");
    bytes
}
