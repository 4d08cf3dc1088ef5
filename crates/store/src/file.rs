//! A database file: made whole, opened, checked, set aside. The journal and the samples are two of them.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use vigie_core::clock::Wall;

use crate::error::{Error, database, io};

/// What tells one kind of file from another.
#[derive(Debug)]
pub(crate) struct Format {
    /// For people: "journal".
    pub(crate) what: &'static str,
    /// The name of the file without its ending.
    pub(crate) stem: &'static str,
    pub(crate) application_id: i64,
    pub(crate) schema_version: i64,
    pub(crate) schema: &'static str,
    /// `FULL`: what was committed survives a loss of power. `NORMAL`: the last commits may not, the file does.
    pub(crate) synchronous: &'static str,
    /// In pages; what the log beside the file may have before it is moved into it.
    pub(crate) checkpoint_pages: i64,
    /// In bytes; to this the log is cut when it was moved.
    pub(crate) log_limit: i64,
    /// In KiB.
    pub(crate) cache: i64,
}

/// Files up to this size in bytes are checked at every opening, which takes some 25 ms; larger ones when they were
/// not closed in order.
const ALWAYS_CHECKED: u64 = 16 << 20;

/// Makes the folder, for its owner only.
pub(crate) fn make_folder(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("make", dir))
}

impl Format {
    pub(crate) fn path(&self, dir: &Path) -> PathBuf {
        dir.join(format!("{}.db", self.stem))
    }

    /// Opens a file for writing; makes it when there is none. `first` is done in a new one.
    pub(crate) fn open(
        &self,
        path: &Path,
        first: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<Connection, Error> {
        let left_open = exists(&beside(path, "-wal"))?;
        if !exists(path)? {
            if left_open {
                return Err(Error::Damaged { path: path.to_owned(), why: "its main file is missing".to_owned() });
            }
            self.create(path, first)?;
        }
        let size = fs::metadata(path).map_err(io("look at", path))?.len();
        if size == 0 {
            // A new one gets its name only when it is whole: this one was emptied.
            return Err(Error::Damaged { path: path.to_owned(), why: "it is empty".to_owned() });
        }
        let connection = self.connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        self.check_version(&connection, path)?;
        if left_open || size <= ALWAYS_CHECKED {
            check_pages(&connection, path)?;
        }
        self.configure(&connection).map_err(database(path))?;
        Ok(connection)
    }

    /// Opens it for reading, beside a writer or without one.
    pub(crate) fn open_to_read(&self, path: &Path) -> Result<Connection, Error> {
        if !exists(path)? {
            return Err(Error::Absent { what: self.what, path: path.to_owned() });
        }
        let opened = self.connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|connection| {
            self.check_version(&connection, path)?;
            Ok(connection)
        });
        match opened {
            Err(Error::Database { source, .. }) if is_locked_out(&source) => {
                // SQLite says only "unable to open" when the file is not ours; the system says why. Not asked before it
                // failed: closing a descriptor of the file gives up this process's locks on it (fcntl_locking(2)).
                fs::File::open(path).map_err(io("open", path))?;
                // WAL needs its index beside the file. Where none can be made, a file that was closed in order can be
                // read as it is; one that was not would be read without its last changes.
                if fs::metadata(beside(path, "-wal")).is_ok_and(|wal| wal.len() > 0) {
                    return Err(Error::FolderNotWritable { path: path.to_owned() });
                }
                let connection = self.open_immutable(path)?;
                self.check_version(&connection, path)?;
                Ok(connection)
            }
            other => other,
        }
    }

    /// Renames a damaged file and begins a new one. Tells where the damaged one lies.
    pub(crate) fn begin_anew(
        &self,
        path: &Path,
        now: Wall,
        first: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> Result<(Connection, PathBuf), Error> {
        let kept_as = self.set_aside(path, now)?;
        self.create(path, first)?;
        let connection = self.connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        self.configure(&connection).map_err(database(path))?;
        Ok((connection, kept_as))
    }

    /// Makes a new file under another name and renames it, so that it is either not there or whole.
    fn create(&self, path: &Path, first: impl FnOnce(&Connection) -> rusqlite::Result<()>) -> Result<(), Error> {
        let new = beside(path, ".new");
        for leftover in [new.clone(), beside(&new, "-journal")] {
            match fs::remove_file(&leftover) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(io("remove", &leftover)(error));
                }
                _ => {}
            }
        }
        // SQLite gives the files beside it the mode of this one.
        fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new).map_err(io("make", &new))?;
        let connection = self.connect(&new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        self.fill(&connection, first).map_err(database(&new))?;
        connection.close().map_err(|(_, error)| database(&new)(error))?;
        fs::rename(&new, path).map_err(io("rename", &new))?;
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))
    }

    fn fill(
        &self,
        connection: &Connection,
        first: impl FnOnce(&Connection) -> rusqlite::Result<()>,
    ) -> rusqlite::Result<()> {
        connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.execute_batch("BEGIN")?;
        connection.execute_batch(self.schema)?;
        first(connection)?;
        connection.pragma_update(None, "application_id", self.application_id)?;
        connection.pragma_update(None, "user_version", self.schema_version)?;
        connection.execute_batch("COMMIT")
    }

    fn connect(&self, path: &Path, access: OpenFlags) -> Result<Connection, Error> {
        let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
        let connection = Connection::open_with_flags(path, flags).map_err(database(path))?;
        self.prepare(&connection).map_err(database(path))?;
        Ok(connection)
    }

    /// For a file that nobody can change: without locks, without anything beside it.
    pub(crate) fn open_immutable(&self, path: &Path) -> Result<Connection, Error> {
        use std::fmt::Write as _;
        use std::os::unix::ffi::OsStrExt;

        let mut uri = "file:".to_owned();
        for byte in path.as_os_str().as_bytes() {
            match byte {
                b'/' | b'.' | b'-' | b'_' | b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' => uri.push(char::from(*byte)),
                // Writing into a `String` cannot fail.
                other => drop(write!(uri, "%{other:02x}")),
            }
        }
        uri.push_str("?immutable=1");
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_URI | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(uri, flags).map_err(database(path))?;
        self.prepare(&connection).map_err(database(path))?;
        Ok(connection)
    }

    /// What holds for every connection: little memory, no trust in the file.
    pub(crate) fn prepare(&self, connection: &Connection) -> rusqlite::Result<()> {
        connection.busy_timeout(std::time::Duration::from_secs(5))?;
        connection.set_prepared_statement_cache_capacity(8);
        connection.pragma_update(None, "cache_size", -self.cache)?;
        connection.pragma_update(None, "mmap_size", 0)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "trusted_schema", false)
    }

    /// What holds for the writer.
    fn configure(&self, connection: &Connection) -> rusqlite::Result<()> {
        let _: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
        connection.pragma_update(None, "synchronous", self.synchronous)?;
        connection.pragma_update(None, "wal_autocheckpoint", self.checkpoint_pages)?;
        connection.pragma_update(None, "journal_size_limit", self.log_limit)
    }

    fn check_version(&self, connection: &Connection, path: &Path) -> Result<(), Error> {
        let number =
            |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(database(path));
        let application = number("application_id")?;
        let found = number("user_version")?;
        if application != self.application_id {
            return Err(Error::Damaged { path: path.to_owned(), why: format!("it is no {} of vigie", self.what) });
        }
        if found > self.schema_version {
            return Err(Error::Newer { path: path.to_owned(), found, known: self.schema_version });
        }
        Ok(())
    }

    fn set_aside(&self, path: &Path, now: Wall) -> Result<PathBuf, Error> {
        let dir = path.parent().unwrap_or(Path::new("."));
        let mut number = now.0;
        let mut kept_as = dir.join(format!("{}.damaged-{number}", self.stem));
        while exists(&kept_as)? {
            number += 1;
            kept_as = dir.join(format!("{}.damaged-{number}", self.stem));
        }
        for suffix in ["", "-wal", "-shm"] {
            let from = beside(path, suffix);
            match fs::rename(&from, beside(&kept_as, suffix)) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io("rename", &from)(error)),
                _ => {}
            }
        }
        Ok(kept_as)
    }
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(io("look at", path))
}

/// `journal.db-wal`
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Closes a damaged file without touching it any more.
pub(crate) fn abandon(connection: Connection) {
    // When even this fails, the close writes into a file that is set aside: nothing is lost by it.
    let _ = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
}

fn check_pages(connection: &Connection, path: &Path) -> Result<(), Error> {
    let verdict: String =
        connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(database(path))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(Error::Damaged { path: path.to_owned(), why: verdict.replace('\n', " ") })
}

/// Whether the file is refused because nothing can be made beside it.
fn is_locked_out(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode::{CannotOpen, ReadOnly};
    matches!(error.sqlite_error_code(), Some(CannotOpen | ReadOnly))
}
