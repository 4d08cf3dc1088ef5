//! The one error of this crate: what failed, on what, and why.

use std::io;
use std::path::Path;

use vigie_core::text::OsText;

/// A call to the system that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {target}: {source}")]
pub struct OsError {
    /// The verb: `open`, `signal`, …
    pub action: &'static str,
    /// The path, process or kernel interface that it was done to. Control characters are escaped when it is shown.
    pub target: OsText,
    /// What the kernel said, or why vigie refused.
    pub source: io::Error,
}

impl OsError {
    /// For any target.
    pub fn new(action: &'static str, target: impl Into<OsText>, source: impl Into<io::Error>) -> Self {
        Self { action, target: target.into(), source: source.into() }
    }

    /// For `map_err`: the action on a path.
    pub fn on<E: Into<io::Error>>(action: &'static str, path: &Path) -> impl FnOnce(E) -> Self {
        move |source| Self::new(action, path, source)
    }

    /// For `map_err`: the action on a process.
    pub fn on_process<E: Into<io::Error>>(action: &'static str, pid: u32) -> impl FnOnce(E) -> Self {
        move |source| Self::new(action, format!("process {pid}"), source)
    }

    /// What vigie itself refuses because it would not be safe; `why` says what to do.
    pub fn refused(action: &'static str, path: &Path, why: impl Into<String>) -> Self {
        Self::new(action, path, io::Error::new(io::ErrorKind::PermissionDenied, why.into()))
    }

    /// What the kind of the cause is.
    pub fn kind(&self) -> io::ErrorKind {
        self.source.kind()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_its_target_without_letting_it_draw() {
        let error = OsError::on("open", Path::new("/tmp/a\nb"))(rustix::io::Errno::NOENT);
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
        assert!(error.to_string().starts_with("cannot open /tmp/a\\nb: "), "{error}");
    }
}
