//! Thawing a cgroup, of either version.

use std::fs::File;
use std::io::Write as _;
use std::path::Path;

use rustix::io::Errno;
use vigie_core::clock::Mono;

use super::{needs_root, timed_out, until};
use crate::error::OsError;

/// Thaws a cgroup: `freezer.state` of version 1 (kernel documentation, cgroup-v1, "freezer-subsystem"), `cgroup.freeze` of
/// version 2 (cgroup-v2, "cgroup.freeze"). Returns when the kernel says that everything in it and below it that was not
/// frozen by itself goes on.
///
/// # Errors
/// `NotFound`: there is no such cgroup, or it has no freezer. `PermissionDenied`. `TimedOut`: it is still frozen at the
/// deadline; when that is because one above it is, that one is named.
pub fn thaw_cgroup(version: u8, folder: &Path, deadline: Mono) -> Result<(), OsError> {
    let (file, order) = match version {
        1 => (folder.join("freezer.state"), "THAWED"),
        _ => (folder.join("cgroup.freeze"), "0"),
    };
    let failed = |error: std::io::Error| match error.raw_os_error() {
        Some(errno) => OsError::new("thaw", folder, needs_root(Errno::from_raw_os_error(errno))),
        None => OsError::new("thaw", folder, error),
    };
    // Not `fs::write`, which would make the file where the folder is no cgroup.
    File::options().write(true).open(&file).and_then(|mut file| file.write_all(order.as_bytes())).map_err(failed)?;
    let thawed = || match version {
        1 => Ok(std::fs::read(&file).map_err(failed)?.trim_ascii() == b"THAWED"),
        _ => {
            let events = std::fs::read(folder.join("cgroup.events")).map_err(failed)?;
            Ok(events.split(|byte| *byte == b'\n').any(|line| line == b"frozen 0"))
        }
    };
    if until(deadline, thawed)? {
        return Ok(());
    }
    let why = match frozen_above(version, folder) {
        Some(above) => format!("a cgroup above it is frozen; thaw {}", above.display()),
        None => "the kernel still says that it is frozen".to_owned(),
    };
    Err(OsError::new("thaw", folder, timed_out(why)))
}

/// The nearest folder above that was frozen itself.
fn frozen_above(version: u8, folder: &Path) -> Option<&Path> {
    let file = if version == 1 { "freezer.self_freezing" } else { "cgroup.freeze" };
    folder.ancestors().skip(1).find(|above| std::fs::read(above.join(file)).is_ok_and(|text| text.trim_ascii() == b"1"))
}
