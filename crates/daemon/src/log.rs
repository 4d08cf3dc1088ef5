//! `daemon.log` in the state folder: starts, ends and what went wrong. What happens to services is in the journal.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use vigie_api::time::Millis;

/// The file is set aside when it is larger than this, in bytes. One earlier file is kept.
const LIMIT: u64 = 256 << 10;

/// The file's name.
pub(crate) const FILE_NAME: &str = "daemon.log";

/// The log of the daemon.
#[derive(Debug, Clone)]
pub(crate) struct Log(Arc<Mutex<Open>>);

#[derive(Debug)]
struct Open {
    path: PathBuf,
    /// Absent when it could not be opened: a daemon that cannot complain works all the same.
    file: Option<File>,
    written: u64,
}

impl Log {
    /// Opens the log in `folder`.
    pub(crate) fn open(folder: &Path) -> Self {
        let mut open = Open { path: folder.join(FILE_NAME), file: None, written: 0 };
        open.begin();
        Self(Arc::new(Mutex::new(open)))
    }

    /// Writes one line with the time.
    pub(crate) fn line(&self, text: &str) {
        let line = format!("{} {}\n", Millis(vigie_os::clock::now().wall), vigie_core::text::escaped(text.as_bytes()));
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.written + line.len() as u64 > LIMIT {
            open.rotate();
        }
        if let Some(file) = &mut open.file {
            // Nobody could be told.
            let _ = file.write_all(line.as_bytes());
            open.written += line.len() as u64;
        }
    }
}

impl Open {
    fn begin(&mut self) {
        self.file = OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path).ok();
        self.written = self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
    }

    fn rotate(&mut self) {
        let mut earlier = self.path.clone().into_os_string();
        earlier.push(".1");
        // When it cannot be renamed it is emptied: bounded it must be.
        if std::fs::rename(&self.path, earlier).is_err()
            && let Some(file) = &self.file
        {
            let _ = file.set_len(0);
        }
        self.begin();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_bounded_and_one_line_is_one_line() {
        let folder = tempfile::tempdir().expect("folder");
        let log = Log::open(folder.path());
        log.line("first\nline");
        let path = folder.path().join(FILE_NAME);
        let text = std::fs::read_to_string(&path).expect("file");
        assert!(text.ends_with(" first\\nline\n"), "{text}");
        for _ in 0..3 * LIMIT / 1000 {
            log.line(&"x".repeat(1000));
        }
        assert!(std::fs::metadata(&path).expect("file").len() <= LIMIT);
        assert!(std::fs::metadata(folder.path().join("daemon.log.1")).expect("file").len() <= LIMIT);
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 2);
    }
}
