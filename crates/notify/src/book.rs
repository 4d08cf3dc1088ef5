//! All channels of a user: `channels.json` in the folder of settings.
//!
//! A file of its own, not a table of the journal's database, because its URLs are secrets: a journal is shown around when
//! something went wrong, this file is not. It is 0600; a file that others may read, or that belongs to somebody else, or a
//! link, is refused instead of trusted.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use serde::{Deserialize, Serialize};

use vigie_core::clock::Wall;
use vigie_core::name::Name;

use crate::channel::{Channel, UrlError};

/// The name of the file.
pub const FILE_NAME: &str = "channels.json";

/// One channel as it is kept. Its `Debug` shows no URL.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// What it is called.
    pub name: Name,
    /// Where it leads. A secret.
    pub url: String,
    /// It may reach this machine and private networks.
    #[serde(default)]
    pub private: bool,
    /// When it was added.
    pub since: Wall,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Entry({})", self.name)
    }
}

impl Entry {
    /// The channel.
    ///
    /// # Errors
    /// When its URL is none that this version understands.
    pub fn channel(&self) -> Result<Channel, UrlError> {
        Channel::parse(&self.url, self.private)
    }
}

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BookError {
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// `read`, `write`, …
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Somebody else could read or have written it.
    #[error("{} holds secrets and {why}; look at what is in it, then: chmod 600 {}", path.display(), path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: &'static str,
    },
    /// It is not what it should be.
    #[error("{} is no list of channels: line {line}, column {column}", path.display())]
    Format {
        /// The file.
        path: PathBuf,
        /// Where. What stands there may be a secret.
        line: usize,
        /// Where.
        column: usize,
    },
}

/// All channels.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Book {
    /// In the order in which they were added.
    pub channels: Vec<Entry>,
}

impl Book {
    /// Reads it; empty when there is no file.
    ///
    /// # Errors
    /// See [`BookError`].
    pub fn read(folder: &Path) -> Result<Self, BookError> {
        let path = folder.join(FILE_NAME);
        let io = |source| BookError::Io { doing: "read", path: path.clone(), source };
        let mut file =
            match OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
                Err(error) => return Err(io(error)),
            };
        let about = file.metadata().map_err(io)?;
        let refuse = |why| Err(BookError::NotOurs { path: path.clone(), why });
        if about.uid() != rustix::process::geteuid().as_raw() {
            return refuse("belongs to somebody else");
        }
        if about.mode() & 0o077 != 0 {
            return refuse("others may read or write it");
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(io)?;
        serde_json::from_str(&text).map_err(|error| BookError::Format {
            path: path.clone(),
            line: error.line(),
            column: error.column(),
        })
    }

    /// Changes it: one at a time, whole or not at all. What `change` returns is returned.
    ///
    /// # Errors
    /// See [`BookError`].
    pub fn change<T>(folder: &Path, change: impl FnOnce(&mut Self) -> T) -> Result<T, BookError> {
        let path = folder.join(FILE_NAME);
        let io = |source| BookError::Io { doing: "write", path: path.clone(), source };
        // The folder itself is locked: the file is replaced.
        let lock = File::open(folder).map_err(io)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|errno| io(errno.into()))?;
        let mut book = Self::read(folder)?;
        let before = book.clone();
        let result = change(&mut book);
        if book != before {
            let new = folder.join(format!(".{FILE_NAME}.new"));
            let text = serde_json::to_vec_pretty(&book).map_err(|error| io(io::Error::other(error)))?;
            let flags = OFlags::NOFOLLOW.bits().cast_signed();
            let _ = std::fs::remove_file(&new);
            let mut file = OpenOptions::new()
                .write(true)
                .create_new(true)
                .mode(0o600)
                .custom_flags(flags)
                .open(&new)
                .map_err(io)?;
            file.write_all(&text).and_then(|()| file.sync_all()).map_err(io)?;
            std::fs::rename(&new, &path).map_err(io)?;
            lock.sync_all().map_err(io)?;
        }
        Ok(result)
    }

    /// One of them.
    pub fn get(&self, name: &str) -> Option<&Entry> {
        self.channels.iter().find(|entry| entry.name.as_str() == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    use std::os::unix::fs::PermissionsExt as _;

    fn entry(name: &str) -> Entry {
        let name = Name::new(name).expect("a name");
        Entry { name, url: "ntfy://h/hunter2-topic".to_owned(), private: false, since: Wall(1) }
    }

    #[test]
    fn it_is_whole_private_and_ours() {
        let folder = tempfile::tempdir().expect("a folder");
        assert_eq!(Book::read(folder.path()).expect("there is none"), Book::default());
        Book::change(folder.path(), |book| book.channels.push(entry("a"))).expect("written");
        let path = folder.path().join(FILE_NAME);
        assert_eq!(std::fs::metadata(&path).expect("file").mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(folder.path()).expect("folder").count(), 1, "nothing is left over");
        let book = Book::read(folder.path()).expect("read");
        assert_eq!(book.get("a").map(|entry| entry.url.as_str()), Some("ntfy://h/hunter2-topic"));
        assert!(!format!("{book:?}{:?}", book.channels[0].channel()).contains("hunter2"));

        std::fs::write(&path, "{\"channels\": hunter2}").expect("written");
        let error = Book::read(folder.path()).expect_err("no list").to_string();
        assert!(error.contains("line 1, column 1") && !error.contains("hunter2"), "{error}");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("ours");
        assert!(matches!(Book::read(folder.path()), Err(BookError::NotOurs { .. })));
        std::fs::remove_file(&path).expect("there");
        std::os::unix::fs::symlink("/etc/passwd", &path).expect("made");
        assert!(matches!(Book::read(folder.path()), Err(BookError::Io { .. })), "links are not followed");
    }

    #[test]
    fn many_at_once_lose_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        std::thread::scope(|scope| {
            for number in 0..8 {
                let folder = folder.path();
                scope.spawn(move || {
                    Book::change(folder, |book| book.channels.push(entry(&format!("n{number}")))).expect("written");
                });
            }
        });
        assert_eq!(Book::read(folder.path()).expect("read").channels.len(), 8);
    }
}
