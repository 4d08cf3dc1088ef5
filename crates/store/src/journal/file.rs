//! The file of the journal.

use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use vigie_core::clock::Wall;

use super::Damage;
use crate::error::{Error, database};
use crate::file::Format;

/// The name of the journal in its folder.
pub const FILE_NAME: &str = "journal.db";

/// The version of the schema that this program writes.
pub const SCHEMA_VERSION: i64 = 1;

pub(super) const FORMAT: Format = Format {
    what: "journal",
    stem: "journal",
    // "vgjl"
    application_id: 0x7667_6a6c,
    schema_version: SCHEMA_VERSION,
    schema: SCHEMA,
    synchronous: "FULL",
    checkpoint_pages: 256,
    log_limit: 1 << 20,
    cache: 256,
};

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

/// For a large transaction, in KiB.
const ROOM: i64 = 4096;

/// So many pages of the log may pile up while large ones come one after the other: otherwise each would move its own into the main
/// file, and wait for the disk twice more. The next small one moves them.
const PILE: i64 = 4096;

/// More pages may stay in memory, and in the log.
pub(super) fn make_room(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -ROOM)?;
    connection.pragma_update(None, "wal_autocheckpoint", PILE)
}

/// As many as always, and what that leaves over goes back.
pub(super) fn give_room_back(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update(None, "cache_size", -FORMAT.cache)?;
    connection.pragma_update(None, "wal_autocheckpoint", FORMAT.checkpoint_pages)?;
    connection.release_memory()
}

/// Opens the journal for writing; makes it when there is none.
pub(super) fn open(path: &Path) -> Result<Connection, Error> {
    let connection = FORMAT.open(path, |new| count_from(new, 1))?;
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

/// Renames a damaged journal and begins a new one with what can be saved from it.
pub(super) fn begin_anew(path: &Path, why: String, now: Wall) -> Result<(Connection, Damage), Error> {
    // Milliseconds: above every number that was given before.
    let (connection, kept_as) = FORMAT.begin_anew(path, now, |new| count_from(new, now.0 / 1_000_000))?;
    let mut damage = Damage { why, kept_as, documents: 0, documents_complete: false };
    damage.documents_complete = save_documents(&damage.kept_as, &connection, &mut damage.documents).is_ok();
    Ok((connection, damage))
}

fn count_from(connection: &Connection, first_seq: u64) -> rusqlite::Result<()> {
    let last = super::integer(first_seq) - 1;
    connection.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('entries', ?1)", [last]).map(|_| ())
}

/// Copies documents until the damage is met.
fn save_documents(from: &Path, to: &Connection, saved: &mut u32) -> Result<(), Error> {
    let old = Connection::open_with_flags(from, OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX)
        .map_err(database(from))?;
    // Otherwise a file that is shorter than its header says is not read at all (`lockBtree` in btree.c).
    old.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true).map_err(database(from))?;
    FORMAT.prepare(&old).map_err(database(from))?;
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
