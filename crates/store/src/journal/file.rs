//! The file of the journal: made, opened, checked, set aside.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use vigie_core::clock::Wall;

use super::Damage;
use crate::error::{Error, database, io};

/// The name of the journal in its folder.
pub const FILE_NAME: &str = "journal.db";

/// The version of the schema that this program writes.
pub const SCHEMA_VERSION: i64 = 1;

/// "vgjl"
const APPLICATION_ID: i64 = 0x7667_6a6c;

/// Journals up to this size in bytes are checked at every opening, which takes some 25 ms; larger ones when they were
/// not closed in order.
const ALWAYS_CHECKED: u64 = 16 << 20;

const SCHEMA: &str = "
    CREATE TABLE entries (
        seq INTEGER PRIMARY KEY AUTOINCREMENT,
        at INTEGER NOT NULL,
        kind TEXT NOT NULL,
        project TEXT,
        service TEXT,
        mode TEXT,
        run INTEGER,
        run_seq INTEGER,
        what TEXT NOT NULL,
        source TEXT,
        container TEXT,
        once TEXT
    ) STRICT;
    CREATE UNIQUE INDEX entries_once ON entries (once) WHERE once IS NOT NULL;
    CREATE UNIQUE INDEX entries_of_run ON entries (run, run_seq) WHERE run IS NOT NULL;
    CREATE TABLE documents (kind TEXT NOT NULL, key TEXT NOT NULL, json TEXT NOT NULL, PRIMARY KEY (kind, key))
        STRICT, WITHOUT ROWID;
    CREATE TABLE forgotten (run INTEGER PRIMARY KEY, last INTEGER NOT NULL) STRICT;
";

/// Makes the folder, for its owner only.
pub(super) fn make_folder(dir: &Path) -> Result<(), Error> {
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(io("make", dir))
}

/// Opens the journal for writing; makes it when there is none.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let left_open = exists(&beside(path, "-wal"))?;
    if !exists(path)? {
        if left_open {
            return Err(Error::Damaged { path: path.to_owned(), why: "its main file is missing".to_owned() });
        }
        create(path, 1)?;
    }
    let size = fs::metadata(path).map_err(io("look at", path))?.len();
    if size == 0 {
        // A new one gets its name only when it is whole: this one was emptied.
        return Err(Error::Damaged { path: path.to_owned(), why: "it is empty".to_owned() });
    }
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    check_version(&connection, path)?;
    if left_open || size <= ALWAYS_CHECKED {
        check_pages(&connection, path)?;
    }
    configure(&connection).map_err(database(path))?;
    add_columns(&connection).map_err(database(path))?;
    Ok(connection)
}

/// A journal of before there were sources gets what they need. An earlier program goes on with it: it names the columns
/// that it reads and writes.
fn add_columns(connection: &Connection) -> rusqlite::Result<()> {
    if knows_sources(connection)? {
        return Ok(());
    }
    connection.execute_batch(
        "BEGIN IMMEDIATE;
         ALTER TABLE entries ADD COLUMN source TEXT;
         ALTER TABLE entries ADD COLUMN container TEXT;
         ALTER TABLE entries ADD COLUMN once TEXT;
         CREATE UNIQUE INDEX entries_once ON entries (once) WHERE once IS NOT NULL;
         COMMIT",
    )
}

/// Whether the columns for sources are there: who only reads may come before the daemon that adds them.
pub(super) fn knows_sources(connection: &Connection) -> rusqlite::Result<bool> {
    let mut columns = connection.prepare_cached("SELECT 1 FROM pragma_table_info('entries') WHERE name = 'once'")?;
    columns.exists([])
}

/// Opens it for reading, beside a writer or without one.
pub(super) fn open_to_read(path: &Path) -> Result<Connection, Error> {
    if !exists(path)? {
        return Err(Error::Absent { path: path.to_owned() });
    }
    let opened = connect(path, OpenFlags::SQLITE_OPEN_READ_ONLY).and_then(|connection| {
        check_version(&connection, path)?;
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
            let connection = open_immutable(path)?;
            check_version(&connection, path)?;
            Ok(connection)
        }
        other => other,
    }
}

/// Renames a damaged journal and begins a new one with what can be saved from it.
pub(super) fn begin_anew(path: &Path, why: String, now: Wall) -> Result<(Connection, Damage), Error> {
    let kept_as = set_aside(path, now)?;
    // Milliseconds: above every number that was given before.
    create(path, now.0 / 1_000_000)?;
    let connection = connect(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    configure(&connection).map_err(database(path))?;
    let mut damage = Damage { why, kept_as, documents: 0, documents_complete: false };
    damage.documents_complete = save_documents(&damage.kept_as, &connection, &mut damage.documents).is_ok();
    Ok((connection, damage))
}

fn exists(path: &Path) -> Result<bool, Error> {
    path.try_exists().map_err(io("look at", path))
}

/// `journal.db-wal`
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// Makes a new journal under another name and renames it, so that a journal is either not there or whole.
fn create(path: &Path, first_seq: u64) -> Result<(), Error> {
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
    let connection = connect(&new, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    fill(&connection, first_seq).map_err(database(&new))?;
    connection.close().map_err(|(_, error)| database(&new)(error))?;
    fs::rename(&new, path).map_err(io("rename", &new))?;
    let dir = path.parent().unwrap_or(Path::new("."));
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io("sync", dir))
}

fn fill(connection: &Connection, first_seq: u64) -> rusqlite::Result<()> {
    connection.pragma_update(None, "auto_vacuum", "INCREMENTAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch("BEGIN")?;
    connection.execute_batch(SCHEMA)?;
    connection
        .execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entries', ?1)", [super::integer(first_seq) - 1])?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    connection.execute_batch("COMMIT")
}

fn connect(path: &Path, access: OpenFlags) -> Result<Connection, Error> {
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(database(path))?;
    prepare(&connection).map_err(database(path))?;
    Ok(connection)
}

/// For a file that nobody can change: without locks, without anything beside it.
pub(super) fn open_immutable(path: &Path) -> Result<Connection, Error> {
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
    prepare(&connection).map_err(database(path))?;
    Ok(connection)
}

/// What holds for every connection: little memory, no trust in the file.
fn prepare(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(std::time::Duration::from_secs(5))?;
    connection.set_prepared_statement_cache_capacity(8);
    connection.pragma_update(None, "cache_size", -256)?;
    connection.pragma_update(None, "mmap_size", 0)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.pragma_update(None, "trusted_schema", false)
}

/// What holds for the writer.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    let _: String = connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "wal_autocheckpoint", 256)?;
    connection.pragma_update(None, "journal_size_limit", 1 << 20)
}

fn check_version(connection: &Connection, path: &Path) -> Result<(), Error> {
    let number = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0)).map_err(database(path));
    let application = number("application_id")?;
    let found = number("user_version")?;
    if application != APPLICATION_ID {
        return Err(Error::Damaged { path: path.to_owned(), why: "it is not a journal of vigie".to_owned() });
    }
    if found > SCHEMA_VERSION {
        return Err(Error::Newer { path: path.to_owned(), found, known: SCHEMA_VERSION });
    }
    Ok(())
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

fn set_aside(path: &Path, now: Wall) -> Result<PathBuf, Error> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut number = now.0;
    let mut kept_as = dir.join(format!("journal.damaged-{number}"));
    while exists(&kept_as)? {
        number += 1;
        kept_as = dir.join(format!("journal.damaged-{number}"));
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

/// Copies documents until the damage is met.
fn save_documents(from: &Path, to: &Connection, saved: &mut u32) -> Result<(), Error> {
    let old = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(database(from))?;
    // Otherwise a file that is shorter than its header says is not read at all (`lockBtree` in btree.c).
    old.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true).map_err(database(from))?;
    prepare(&old).map_err(database(from))?;
    let mut select = old.prepare("SELECT kind, key, json FROM documents").map_err(database(from))?;
    let mut rows = select.query([]).map_err(database(from))?;
    while let Some(row) = rows.next().map_err(database(from))? {
        let (kind, key, json): (String, String, String) =
            (|| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))().map_err(database(from))?;
        if serde_json::from_str::<serde::de::IgnoredAny>(&json).is_ok() {
            to.execute("INSERT OR REPLACE INTO documents (kind, key, json) VALUES (?1, ?2, ?3)", [kind, key, json])
                .map_err(database(from))?;
            *saved += 1;
        }
    }
    Ok(())
}
