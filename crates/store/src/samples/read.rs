//! Reading samples: whether somebody writes them or not (R3.3).

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use vigie_core::samples::{Level, Metric, Moment, Point, Rollups, Subject};

use super::tidy::{merge, unpack};
use super::{FORMAT, column, integer, unsigned};
use crate::error::{Error, database};

/// Samples, open for reading. No read outlives its call, so readers never keep the log from being moved for long.
pub struct Reader {
    connection: Connection,
    path: PathBuf,
}

/// A subject that there are samples of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The number under which it is asked for.
    pub id: i64,
    /// It.
    pub subject: Subject,
    /// Its first sample.
    pub born: Moment,
}

/// What was measured of a subject at one moment or in one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// When it was measured; of a bucket where it begins.
    pub at: Moment,
    /// How long the bucket is; of a sample how long after it the next was due. Milliseconds.
    pub span: u64,
    /// It is a bucket.
    pub bucket: bool,
    /// Whoever measured began with it.
    pub begins: bool,
    /// What, ascending by metric.
    pub rollups: Rollups,
}

/// How much there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Bytes of the file.
    pub bytes: u64,
    /// Bytes of the log beside it.
    pub log_bytes: u64,
    /// Samples that were not stored, as far back as is known.
    pub lost: u64,
}

impl Row {
    /// One metric of it.
    pub fn point(&self, metric: Metric) -> Option<Point> {
        let place = self.rollups.binary_search_by_key(&metric, |(metric, _)| *metric).ok()?;
        let Self { at, span, bucket, begins, .. } = *self;
        Some(Point { at, span, bucket, begins, rollup: self.rollups[place].1 })
    }
}

/// The series of one metric. Where whoever measured began with a row that has none of it, the next one that has begins: not so
/// where that row is of another kind of look, of the disk of a source or of all the rest of it.
pub fn series(rows: &[Row], metric: Metric) -> Vec<Point> {
    let of_disk = metric.is_of_disk();
    let mut begins = false;
    let mut points = Vec::with_capacity(rows.len());
    for row in rows {
        begins |= row.begins && row.rollups.iter().any(|(other, _)| other.is_of_disk() == of_disk);
        if let Some(point) = row.point(metric) {
            points.push(Point { begins, ..point });
            begins = false;
        }
    }
    points
}

/// The rows of a subject that bore several names, as of one, in order of time.
pub fn joined(parts: Vec<Vec<Row>>) -> Vec<Row> {
    let mut rows: Vec<Row> = Vec::with_capacity(parts.iter().map(Vec::len).sum());
    let mut all: Vec<Row> = parts.into_iter().flatten().collect();
    all.sort_by_key(|row| row.at);
    for row in all {
        match rows.last_mut() {
            // Of a bucket in which it got another name.
            Some(last) if last.at == row.at => merge(&mut last.rollups, &row.rollups),
            _ => rows.push(row),
        }
    }
    rows
}

impl Reader {
    /// Opens the samples in `dir`.
    ///
    /// # Errors
    /// [`Error::Absent`], [`Error::Newer`], [`Error::FolderNotWritable`], [`Error::Damaged`] (they are left alone: the
    /// daemon sets them aside), [`Error::Io`] when they are not ours.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = FORMAT.path(dir);
        let connection = FORMAT.open_to_read(&path)?;
        // Many moments are looked up one after the other, by a process that ends soon.
        connection.pragma_update(None, "cache_size", -8_192).map_err(database(&path))?;
        Ok(Self { connection, path })
    }

    /// Whom there are samples of, by name.
    ///
    /// # Errors
    /// [`Error::Damaged`], [`Error::Database`].
    pub fn subjects(&self) -> Result<Vec<Known>, Error> {
        (|| {
            let mut select =
                self.connection.prepare_cached("SELECT id, name, key, born FROM subjects ORDER BY name, key")?;
            let known = select.query_map([], |row| {
                let subject = Subject { name: row.get(1)?, key: row.get(2)? };
                Ok(Known { id: row.get(0)?, subject, born: Moment(unsigned(row.get(3)?)) })
            })?;
            known.collect::<rusqlite::Result<_>>()
        })()
        .map_err(database(&self.path))
    }

    /// How far back each level goes. Absent where it has nothing.
    ///
    /// # Errors
    /// As of [`Reader::subjects`].
    pub fn oldest(&self) -> Result<[Option<Moment>; 4], Error> {
        (|| {
            let mut oldest = [None; 4];
            for level in Level::ALL {
                oldest[level.number()] = self
                    .connection
                    .prepare_cached(
                        "SELECT min(at) FROM (SELECT min(at) AS at FROM times WHERE level = ?1
                         UNION ALL SELECT min(at) FROM open WHERE level = ?1)",
                    )?
                    .query_row([column(level)], |row| row.get::<_, Option<i64>>(0))?
                    .map(|at| Moment(unsigned(at)));
            }
            Ok(oldest)
        })()
        .map_err(database(&self.path))
    }

    /// What a level has of each of these subjects from `from` to before `until`, in order of time. Buckets that are not
    /// made yet, or no more, are made of the finer level.
    ///
    /// # Errors
    /// As of [`Reader::subjects`].
    pub fn read(&self, level: Level, ids: &[i64], from: Moment, until: Moment) -> Result<Vec<Vec<Row>>, Error> {
        (|| {
            // All of it as it was at one moment.
            let transaction = self.connection.unchecked_transaction()?;
            let of_one = |id: &i64| rows(&transaction, level, *id, level.bucket(from), until);
            let found = ids.iter().map(of_one).collect::<rusqlite::Result<_>>();
            transaction.finish()?;
            found
        })()
        .map_err(database(&self.path))
    }

    /// How large it is, and what is missing.
    ///
    /// # Errors
    /// As of [`Reader::subjects`].
    pub fn size(&self) -> Result<Size, Error> {
        let length = |path: &Path| std::fs::metadata(path).map_or(0, |file| file.len());
        let lost: i64 = self
            .connection
            .query_row("SELECT coalesce(sum(samples), 0) FROM losses", [], |row| row.get(0))
            .map_err(database(&self.path))?;
        Ok(Size {
            bytes: length(&self.path),
            log_bytes: length(&crate::file::beside(&self.path, "-wal")),
            lost: unsigned(lost),
        })
    }
}

fn rows(connection: &Connection, level: Level, id: i64, from: Moment, until: Moment) -> rusqlite::Result<Vec<Row>> {
    let mut found = stored(connection, level, id, from, until)?;
    let Some(finer) = level.finer() else { return Ok(found) };
    for bucket in open(connection, level, from, until)? {
        let place = found.binary_search_by_key(&bucket, |row| row.at);
        if let Ok(place) = place {
            found.remove(place);
        }
        let inner = rows(connection, finer, id, bucket, bucket.after(level.span()))?;
        let mut inner = inner.into_iter();
        let Some(first) = inner.next() else { continue };
        let mut rollups = first.rollups;
        inner.for_each(|row| merge(&mut rollups, &row.rollups));
        let row = Row { at: bucket, span: level.span(), bucket: true, begins: false, rollups };
        found.insert(place.unwrap_or_else(|place| place), row);
    }
    Ok(found)
}

/// The rows as they are stored: the subject is looked up at each moment.
fn stored(connection: &Connection, level: Level, id: i64, from: Moment, until: Moment) -> rusqlite::Result<Vec<Row>> {
    let mut select = connection.prepare_cached(
        "SELECT t.at, t.every, t.begins, s.data FROM times t CROSS JOIN samples s
         ON s.level = ?1 AND s.at = t.at AND s.subject = ?4
         WHERE t.level = ?1 AND t.at >= ?2 AND t.at < ?3 ORDER BY t.at",
    )?;
    let mut rows = select.query(params![column(level), integer(from.0), integer(until.0), id])?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        // One row that is none must not hide the others.
        let Some(rollups) = unpack(level, row.get_ref(3)?.as_blob()?) else { continue };
        found.push(Row {
            at: Moment(unsigned(row.get(0)?)),
            span: unsigned(row.get(1)?),
            bucket: level != Level::Raw,
            begins: row.get(2)?,
            rollups,
        });
    }
    Ok(found)
}

/// The buckets of a level that are to be made.
fn open(connection: &Connection, level: Level, from: Moment, until: Moment) -> rusqlite::Result<Vec<Moment>> {
    let mut select =
        connection.prepare_cached("SELECT at FROM open WHERE level = ?1 AND at >= ?2 AND at < ?3 ORDER BY at")?;
    let rows = select.query_map(params![column(level), integer(from.0), integer(until.0)], |row| {
        Ok(Moment(unsigned(row.get(0)?)))
    })?;
    rows.collect()
}
