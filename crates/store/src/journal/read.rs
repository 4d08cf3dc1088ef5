//! Reading the journal: by the daemon itself, and by commands that look without it (R3.3).

use std::path::{Path, PathBuf};

use rusqlite::types::Value;
use rusqlite::{Connection, OptionalExtension, Row};
use serde::{Deserialize, Serialize};

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::journal::{Entry, Subject, What};
use vigie_core::name::Name;

use super::filter::SubjectFilter;
use super::{FILE_NAME, file, integer, run_column};
use crate::error::{Error, database};

/// An entry with its number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stored {
    /// Its number: larger than that of every earlier entry, never given twice.
    pub seq: u64,
    /// It.
    #[serde(flatten)]
    pub entry: Entry,
}

/// Which entries to read. [`Query::default`]: all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    /// Only numbers above this: to follow, ask again with the last number seen.
    pub after: u64,
    /// Not before this time.
    pub since: Option<Wall>,
    /// Not after this time.
    pub until: Option<Wall>,
    /// About any of these; empty: about anything.
    pub subjects: Vec<SubjectFilter>,
    /// Of this run.
    pub run: Option<RunId>,
    /// Of any of these kinds ([`vigie_core::journal::KINDS`]); empty: of any kind.
    pub kinds: Vec<String>,
    /// At most so many.
    pub limit: Option<u32>,
    /// When there are more than `limit`: the last ones instead of the first. They come in order all the same.
    pub newest: bool,
}

/// The journal, open for reading. No read outlives its call, so readers never keep the writer from tidying up.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

impl Reader {
    /// Opens the journal in `dir`, whether somebody writes it or not.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Newer`], [`Error::FolderNotWritable`], [`Error::Damaged`] (it is left alone: the
    /// daemon sets it aside), [`Error::Io`] when it is not ours.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(FILE_NAME);
        Ok(Self { connection: file::FORMAT.open_to_read(&path)?, path })
    }

    pub(super) fn new(connection: Connection, path: PathBuf) -> Self {
        Self { connection, path }
    }

    pub(super) fn parts_mut(&mut self) -> (&mut Connection, &Path) {
        (&mut self.connection, &self.path)
    }

    pub(crate) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Closes it without touching the file any more.
    pub(super) fn abandon(self) {
        crate::file::abandon(self.connection);
    }

    pub(super) fn close(self) -> Result<(), Error> {
        self.connection.close().map_err(|(_, error)| database(&self.path)(error))
    }

    #[cfg(test)]
    pub(super) fn limit_pages(&self, pages: u32) {
        self.connection
            .pragma_update_and_check(None, "max_page_count", pages, |row| row.get::<_, i64>(0))
            .expect("a pragma");
    }

    /// The entries that match, in order.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Database`].
    pub fn read(&self, query: &Query) -> Result<Vec<Stored>, Error> {
        (|| {
            let (sql, values) = statement(query, file::knows_sources(&self.connection)?);
            let mut select = self.connection.prepare_cached(&sql)?;
            let rows = select.query_map(rusqlite::params_from_iter(values), stored)?;
            let mut found: Vec<Stored> = rows.collect::<Result<_, _>>()?;
            if query.newest {
                found.reverse();
            }
            Ok(found)
        })()
        .map_err(database(&self.path))
    }

    /// Whom there are entries about, each once: for somebody who named something else. It reads the whole journal.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn subjects(&self) -> Result<Vec<SubjectFilter>, Error> {
        (|| {
            let of_source = if file::knows_sources(&self.connection)? { "source, container" } else { "NULL, NULL" };
            let sql = format!("SELECT DISTINCT project, service, mode, {of_source} FROM entries");
            let mut select = self.connection.prepare_cached(&sql)?;
            let rows = select.query_map([], |row| {
                let name = |column| -> rusqlite::Result<Option<Name>> {
                    Ok(row.get::<_, Option<String>>(column)?.map(|name| Name::lossy(&name)))
                };
                Ok(SubjectFilter {
                    project: name(0)?,
                    service: name(1)?,
                    mode: name(2)?,
                    source: name(3)?,
                    container: row.get(4)?,
                })
            })?;
            rows.collect::<Result<_, _>>()
        })()
        .map_err(database(&self.path))
    }

    /// The number of the newest entry; 0 when there was never one.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn last_seq(&self) -> Result<u64, Error> {
        self.number("SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'entries'), 0)", [])
    }

    /// The number of the oldest entry that is left. Absent when none is.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn first_seq(&self) -> Result<Option<u64>, Error> {
        let first = self.number("SELECT coalesce(min(seq), 0) FROM entries", [])?;
        Ok((first > 0).then_some(first))
    }

    /// The highest number of `run` that the journal has had: what a keeper need not repeat. 0 when it has none.
    ///
    /// # Errors
    /// As of [`Reader::read`].
    pub fn last_of_run(&self, run: RunId) -> Result<u64, Error> {
        self.number(
            "SELECT max(coalesce((SELECT max(run_seq) FROM entries WHERE run = ?1), 0),
                        coalesce((SELECT last FROM forgotten WHERE run = ?1), 0))",
            [run_column(run)],
        )
    }

    fn number(&self, sql: &str, values: impl rusqlite::Params) -> Result<u64, Error> {
        (|| {
            let found: Option<i64> =
                self.connection.prepare_cached(sql)?.query_row(values, |row| row.get(0)).optional()?;
            Ok(found.and_then(|found| u64::try_from(found).ok()).unwrap_or(0))
        })()
        .map_err(database(&self.path))
    }
}

fn statement(query: &Query, knows_sources: bool) -> (String, Vec<Value>) {
    let mut values = vec![Value::Integer(integer(query.after))];
    let of_source = if knows_sources { "source, container" } else { "NULL, NULL" };
    let mut sql = format!(
        "SELECT seq, at, kind, project, service, mode, run, run_seq, what, {of_source} FROM entries WHERE seq > ?"
    );
    let mut also = |condition: &str, value: Value| {
        sql.push_str(" AND ");
        sql.push_str(condition);
        values.push(value);
    };
    if let Some(since) = query.since {
        also("at >= ?", Value::Integer(integer(since.0)));
    }
    if let Some(until) = query.until {
        also("at <= ?", Value::Integer(integer(until.0)));
    }
    if let Some(run) = query.run {
        also("run = ?", Value::Integer(run_column(run)));
    }
    let one_of: Vec<String> =
        query.subjects.iter().map(|subject| condition(subject, knows_sources, &mut values)).collect();
    if !one_of.is_empty() {
        sql.push_str(&format!(" AND ({})", one_of.join(" OR ")));
    }
    if !query.kinds.is_empty() {
        sql.push_str(&format!(" AND kind IN ({})", vec!["?"; query.kinds.len()].join(", ")));
        values.extend(query.kinds.iter().cloned().map(Value::Text));
    }
    sql.push_str(if query.newest { " ORDER BY seq DESC" } else { " ORDER BY seq" });
    if let Some(limit) = query.limit {
        sql.push_str(" LIMIT ?");
        values.push(Value::Integer(limit.into()));
    }
    (sql, values)
}

fn condition(subject: &SubjectFilter, knows_sources: bool, values: &mut Vec<Value>) -> String {
    let name = |name: &Option<Name>| name.as_ref().map(|name| name.as_str().to_owned());
    let parts = [
        ("project", name(&subject.project)),
        ("service", name(&subject.service)),
        ("mode", name(&subject.mode)),
        ("source", name(&subject.source)),
    ];
    if !knows_sources && (subject.source.is_some() || subject.container.is_some()) {
        return "FALSE".to_owned();
    }
    let mut conditions: Vec<String> = parts
        .into_iter()
        .filter_map(|(column, name)| {
            values.push(Value::Text(name?));
            Some(format!("{column} = ?"))
        })
        .collect();
    if let Some(container) = &subject.container {
        // As they stand in the text of an event: in a value, a quotation mark has a backslash before it.
        let mut ways = vec![("container = ?", container.clone())];
        ways.push(("kind = 'container_event' AND instr(what, ?) > 0", format!("\"old_name\":\"{container}\"")));
        if let Some(id) = subject.id() {
            ways.push(("kind = 'container_event' AND instr(what, ?) > 0", format!("\"id\":\"{id}")));
        }
        let ways: Vec<&str> = ways
            .into_iter()
            .map(|(way, value)| {
                values.push(Value::Text(value));
                way
            })
            .collect();
        conditions.push(format!("({})", ways.join(" OR ")));
    }
    if conditions.is_empty() { "TRUE".to_owned() } else { format!("({})", conditions.join(" AND ")) }
}

fn stored(row: &Row<'_>) -> rusqlite::Result<Stored> {
    let name = |column| -> rusqlite::Result<Option<Name>> {
        Ok(row.get::<_, Option<String>>(column)?.map(|name| Name::lossy(&name)))
    };
    let what: String = row.get(8)?;
    let subject = match (name(3)?, name(4)?) {
        (None, _) => match (name(9)?, row.get::<_, Option<String>>(10)?) {
            (None, _) => Subject::Daemon,
            (Some(source), None) => Subject::Source(source),
            (Some(source), Some(name)) => Subject::Container { source, name, id: container_id(&what) },
        },
        (Some(project), None) => Subject::Project(project),
        (Some(project), Some(service)) => Subject::Service { project, service, mode: name(5)? },
    };
    // What cannot be understood is shown as it stands: one odd row must not hide the others.
    let what = match serde_json::from_str(&what) {
        Ok(what) => what,
        Err(_) => What::Other(
            [("kind".to_owned(), row.get::<_, String>(2)?.into()), ("text".to_owned(), what.into())]
                .into_iter()
                .collect(),
        ),
    };
    let unsigned = |number: i64| u64::try_from(number).unwrap_or(0);
    Ok(Stored {
        seq: unsigned(row.get(0)?),
        entry: Entry {
            at: Wall(unsigned(row.get(1)?)),
            subject,
            run: row.get::<_, Option<i64>>(6)?.map(|run| RunId(run.cast_unsigned())),
            run_seq: row.get::<_, Option<i64>>(7)?.map(unsigned),
            what,
        },
    })
}

/// The id of the container that an entry is about.
fn container_id(what: &str) -> String {
    #[derive(Deserialize)]
    struct Id {
        id: String,
    }
    serde_json::from_str::<Id>(what).map(|found| found.id).unwrap_or_default()
}
