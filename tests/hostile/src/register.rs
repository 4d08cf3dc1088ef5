//! What every mode does first: hold the lifeline, enter itself into the register.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::fd::IntoRawFd as _;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::{Errno, FdFlags, fcntl_setfd};

use crate::Broken;

pub(crate) fn begin() -> Result<(), Broken> {
    if let Some(path) = std::env::var_os("HOSTILE_LIFELINE") {
        keep(OpenOptions::new().write(true).open(path)?)?;
    }
    if let Some(folder) = std::env::var_os("HOSTILE_REGISTER") {
        enter(&PathBuf::from(folder))?;
    }
    Ok(())
}

/// The descriptor is closed by the end of the last process that has it, never before.
fn keep(file: File) -> Result<(), Broken> {
    fcntl_setfd(&file, FdFlags::empty())?;
    let _ = file.into_raw_fd();
    Ok(())
}

fn enter(folder: &Path) -> Result<(), Broken> {
    let run = std::env::var("VIGIE_RUN").unwrap_or_else(|_| "-".to_owned());
    let line = format!("{} {run}\n", std::process::id());
    append(&folder.join("starts"), &line)?;
    let alive = OpenOptions::new().create(true).truncate(false).write(true).open(folder.join("alive"))?;
    match flock(&alive, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => append(&folder.join("doubles"), &line)?,
        Err(errno) => return Err(errno.into()),
    }
    keep(alive)
}

/// One write(2) at the end of the file: lines of several processes never mix.
pub(crate) fn append(path: &Path, line: &str) -> Result<(), Broken> {
    Ok(OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())?)
}
