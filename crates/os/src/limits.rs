//! How many files this process may open.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::error::OsError;

/// Raises the soft limit of open files (`RLIMIT_NOFILE`) to the hard one and returns the soft limit as it was; `None`
/// means unlimited. Whoever spawns gives it back to the child: programs that use select(2) break above 1024.
///
/// # Errors
/// What setrlimit(2) says.
pub fn raise_open_files() -> Result<Option<u64>, OsError> {
    let before = getrlimit(Resource::Nofile);
    if before.current != before.maximum {
        setrlimit(Resource::Nofile, Rlimit { current: before.maximum, maximum: before.maximum })
            .map_err(|errno| OsError::new("raise", "the limit of open files", errno))?;
    }
    Ok(before.current)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn soft_becomes_hard() {
        let before = getrlimit(Resource::Nofile);
        assert_eq!(raise_open_files().unwrap(), before.current);
        let after = getrlimit(Resource::Nofile);
        assert_eq!(after.current, before.maximum);
        assert_eq!(after.maximum, before.maximum);
    }
}
