//! cgroup v2: `cgroup.events`, `cgroup.kill` (Linux 5.14), `cgroup.freeze` (Linux 5.2).

use std::path::Path;
use std::time::Duration;

use super::{Cgroup, LOOK_AGAIN, wait_for_change};
use crate::error::OsError;

/// How long freezing may take before the processes are killed one by one without it.
const FREEZE: Duration = Duration::from_millis(100);

/// Rounds of killing one by one: each catches what was forked during the one before. Frozen, one is enough.
const ROUNDS: usize = 64;

pub(super) fn populated(folder: &Path) -> bool {
    // A folder that is gone holds nobody.
    std::fs::read(folder.join("cgroup.events")).is_ok_and(|content| flag(&content, b"populated") == Some(true))
}

/// The value of one key of a flat keyed file.
pub(crate) fn flag(content: &[u8], key: &[u8]) -> Option<bool> {
    content.split(|byte| *byte == b'\n').find_map(|line| match line.strip_prefix(key)? {
        b" 1" => Some(true),
        b" 0" => Some(false),
        _ => None,
    })
}

pub(super) fn kill(cgroup: &Cgroup) -> Result<(), OsError> {
    let file = cgroup.path.join("cgroup.kill");
    match std::fs::write(&file, "1") {
        Ok(()) => return Ok(()),
        // Before Linux 5.14.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && cgroup.path.exists() => {}
        Err(error) => {
            cgroup.kill_each();
            return Err(OsError::on("write", &file)(error));
        }
    }
    kill_frozen(cgroup)
}

/// Freezes first, then kills one by one.
pub(super) fn kill_frozen(cgroup: &Cgroup) -> Result<(), OsError> {
    // A frozen process of v2 acts on KILL without being thawed (kernel documentation, cgroup-v2, "cgroup.freeze").
    let freeze = cgroup.path.join("cgroup.freeze");
    let frozen = std::fs::write(&freeze, "1").map_err(OsError::on("write", &freeze));
    if frozen.is_ok() {
        let deadline = crate::clock::mono() + FREEZE;
        let changes = cgroup.changes();
        while !std::fs::read(cgroup.path.join("cgroup.events"))
            .is_ok_and(|content| flag(&content, b"frozen") == Some(true))
        {
            let left = deadline.since(crate::clock::mono());
            if left.is_zero() {
                break;
            }
            wait_for_change(changes.as_ref(), left.min(LOOK_AGAIN));
        }
    }
    for _ in 0..ROUNDS {
        if cgroup.kill_each() == 0 {
            break;
        }
    }
    if frozen.is_ok() {
        // Else nobody could ever be started in it again; those that were killed are past caring.
        let _ = std::fs::write(&freeze, "0");
    }
    frozen
}
