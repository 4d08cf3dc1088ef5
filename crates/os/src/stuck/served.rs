//! Who serves the connections of FUSE.

use super::descriptors::{connection, holders};
use crate::error::OsError;
use crate::proc::Proc;

/// Everybody who has the device of a connection of FUSE open, with the number of that connection, by PID. Whose descriptors
/// may not be looked at is left out, and so is everybody where the kernel does not tell the connection (`fuse_connection` in
/// `fdinfo`). Several seconds on a machine with many descriptors: to be asked aside.
///
/// # Errors
/// When `/proc` cannot be listed.
pub fn fuse_servers(proc: &Proc) -> Result<Vec<(u32, u32)>, OsError> {
    let all = holders(proc, |link| link == b"/dev/fuse", |info| Some(connection(info)))?;
    Ok(all.found.into_iter().filter_map(|(pid, number)| Some((pid, number?))).collect())
}
