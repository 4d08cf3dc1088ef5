//! The freezer of cgroup v1 (kernel documentation, cgroup-v1, "freezer-subsystem"): freeze, kill all, thaw.

use std::time::Duration;

use super::{Cgroup, wait_for_change};
use crate::error::OsError;

/// How long freezing may take. A process that waits for a disk cannot be frozen; it is killed all the same.
const FREEZE: Duration = Duration::from_millis(200);

pub(super) fn kill(cgroup: &Cgroup) -> Result<(), OsError> {
    let state = cgroup.path.join("freezer.state");
    let freeze = std::fs::write(&state, "FROZEN").map_err(OsError::on("write", &state));
    if freeze.is_ok() {
        let deadline = crate::clock::mono() + FREEZE;
        while !std::fs::read(&state).is_ok_and(|content| content.trim_ascii() == b"FROZEN") {
            let left = deadline.since(crate::clock::mono());
            if left.is_zero() {
                break;
            }
            wait_for_change(None, left);
        }
    }
    // Nobody forks now: one round reaches everybody. They act on it when they are thawed.
    cgroup.kill_each();
    // Must happen whatever else failed: who stays frozen can never end.
    std::fs::write(&state, "THAWED").map_err(OsError::on("write", &state))?;
    freeze
}
