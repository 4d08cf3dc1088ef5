//! Condensing what has become older, forgetting what has become too old or too much. In steps, each a short transaction, so
//! that nothing that was measured meanwhile has to wait for long.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use vigie_core::clock::Wall;
use vigie_core::samples::{Level, Moment, Rollup, Rollups, pack_rollups, unpack_readings, unpack_rollups};

use super::{Samples, column, integer, unsigned};
use crate::error::{Error, database};

/// How many subjects are condensed in one step.
const SUBJECTS: i64 = 1_000;

/// About how many rows are deleted in one step.
const ROWS: usize = 5_000;

/// Where the file is too large, each level loses this share of its time in one step.
const SHARE: u64 = 64;

/// Of what was measured as it was this much is kept whatever the size, in milliseconds: open buckets are made of it.
const FLOOR: u64 = 10 * 60_000;

/// How many pages are given back to the file system in one step.
const PAGES: i64 = 256;

impl Samples {
    /// Does one piece of what there is to do. Returns whether there is more.
    ///
    /// # Errors
    /// As of [`Samples::write`].
    pub fn tidy(&mut self, now: Wall) -> Result<bool, Error> {
        self.try_tidy(Moment::from(now)).map_err(database(&self.path))
    }

    fn try_tidy(&mut self, now: Moment) -> rusqlite::Result<bool> {
        if self.condense(now)? {
            self.to_prune = true;
            return Ok(true);
        }
        // Nothing becomes too old from one second to the next.
        if !self.to_prune {
            return Ok(false);
        }
        if self.forget_old(now)? || self.forget_most(now)? || self.give_back()? {
            return Ok(true);
        }
        self.forget_subjects(now)?;
        self.shorten_log()?;
        self.to_prune = false;
        Ok(false)
    }

    /// Makes a slice of the first bucket that is over.
    fn condense(&mut self, now: Moment) -> rusqlite::Result<bool> {
        let Some((level, bucket, done)) = first_over(&self.connection, now)? else { return Ok(false) };
        let Some(finer) = level.finer() else { return Ok(false) };
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let until = slice(&transaction, finer, bucket, level.span(), done)?;
        let rows = gather(&transaction, finer, bucket, level.span(), done, until.unwrap_or(i64::MAX))?;
        store(&transaction, level, bucket, &rows)?;
        if let Some(until) = until {
            transaction.prepare_cached("UPDATE open SET done = ?3 WHERE level = ?1 AND at = ?2")?.execute(params![
                column(level),
                integer(bucket.0),
                until
            ])?;
        } else {
            transaction
                .prepare_cached("DELETE FROM open WHERE level = ?1 AND at = ?2")?
                .execute(params![column(level), integer(bucket.0)])?;
        }
        transaction.commit()?;
        Ok(true)
    }

    /// Deletes what is older than it is kept; and what lies as far ahead, which a clock has written that was wrong.
    fn forget_old(&mut self, now: Moment) -> rusqlite::Result<bool> {
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut deleted = 0;
        for level in Level::ALL {
            let (oldest, newest) = (now.before(level.kept()), now.after(level.kept()));
            deleted += delete(&transaction, level, Moment(0), oldest, ROWS.saturating_sub(deleted))?;
            deleted += delete(&transaction, level, newest, Moment(u64::MAX), ROWS.saturating_sub(deleted))?;
        }
        transaction
            .prepare_cached("DELETE FROM losses WHERE at < ?1")?
            .execute([integer(now.before(Level::TwoHours.kept()).0)])?;
        transaction.commit()?;
        Ok(deleted >= ROWS)
    }

    /// Deletes the beginning of each level while the file is too large.
    fn forget_most(&mut self, now: Moment) -> rusqlite::Result<bool> {
        if used(&self.connection)? <= self.limit {
            return Ok(false);
        }
        let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut deleted = 0;
        for level in Level::ALL {
            let ends: (Option<i64>, Option<i64>) = transaction
                .prepare_cached(
                    "SELECT (SELECT min(at) FROM times WHERE level = ?1), (SELECT max(at) FROM times WHERE level = ?1)",
                )?
                .query_row([column(level)], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (Some(first), Some(last)) = ends else { continue };
            let mut until = first.saturating_add((last - first) / SHARE as i64 + 1).min(last);
            if level == Level::Raw {
                until = until.min(integer(now.before(FLOOR).0));
            }
            deleted += delete(&transaction, level, Moment(0), Moment(unsigned(until)), ROWS)?;
        }
        transaction.commit()?;
        Ok(deleted > 0)
    }

    /// Gives free pages back to the file system when there are many.
    fn give_back(&self) -> rusqlite::Result<bool> {
        let free = number(&self.connection, "PRAGMA freelist_count")?;
        let all = number(&self.connection, "PRAGMA page_count")?;
        if free < 2 * PAGES || free * 4 < all {
            return Ok(false);
        }
        let mut vacuum = self.connection.prepare_cached(&format!("PRAGMA incremental_vacuum({PAGES})"))?;
        let mut rows = vacuum.query([])?;
        while rows.next()?.is_some() {}
        Ok(true)
    }

    /// Forgets whom nothing is kept of any more.
    fn forget_subjects(&mut self, now: Moment) -> rusqlite::Result<()> {
        let gone = self
            .connection
            .prepare_cached(
                "DELETE FROM subjects WHERE id IN (SELECT id FROM subjects WHERE seen < ?1 OR seen > ?2 LIMIT 1000)",
            )?
            .execute([integer(now.before(Level::TwoHours.kept()).0), integer(now.after(Level::TwoHours.kept()).0)])?;
        if gone > 0 {
            self.known.clear();
        }
        Ok(())
    }

    /// A reader that read long has kept the log from being moved: it is caught up now.
    fn shorten_log(&self) -> rusqlite::Result<()> {
        let log = std::fs::metadata(crate::file::beside(&self.path, "-wal")).map_or(0, |file| file.len());
        if log > 4 * unsigned(super::FORMAT.log_limit) {
            let mut shorten = self.connection.prepare_cached("PRAGMA wal_checkpoint(TRUNCATE)")?;
            let mut rows = shorten.query([])?;
            // One that is busy is for another time.
            while rows.next()?.is_some() {}
        }
        Ok(())
    }
}

/// The first bucket of the finest level that is to be made and is over, and how far it is made.
fn first_over(connection: &Connection, now: Moment) -> rusqlite::Result<Option<(Level, Moment, i64)>> {
    let mut select = connection.prepare_cached("SELECT level, at, done FROM open ORDER BY level, at")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let level = usize::try_from(row.get::<_, i64>(0)?).ok().and_then(|level| Level::ALL.get(level).copied());
        let bucket = Moment(unsigned(row.get(1)?));
        if let Some(level) = level.filter(|level| level.is_over(bucket, now)) {
            return Ok(Some((level, bucket, row.get(2)?)));
        }
    }
    Ok(None)
}

/// Up to which subject the next step goes, so that it has at most [`SUBJECTS`] of each moment. Absent: up to the last.
fn slice(
    transaction: &Transaction<'_>,
    finer: Level,
    bucket: Moment,
    span: u64,
    after: i64,
) -> rusqlite::Result<Option<i64>> {
    transaction
        .prepare_cached(
            "SELECT min(nth) FROM (
                 SELECT (SELECT s.subject FROM samples s WHERE s.level = ?1 AND s.at = t.at AND s.subject > ?4
                         ORDER BY s.subject LIMIT 1 OFFSET ?5) AS nth
                 FROM times t WHERE t.level = ?1 AND t.at >= ?2 AND t.at < ?3)",
        )?
        .query_row(
            params![column(finer), integer(bucket.0), integer(bucket.after(span).0), after, SUBJECTS - 1],
            |row| row.get(0),
        )
}

/// What a bucket is made of: the rows of the next finer level in it, of the subjects above `after` up to `until`.
fn gather(
    transaction: &Transaction<'_>,
    finer: Level,
    bucket: Moment,
    span: u64,
    after: i64,
    until: i64,
) -> rusqlite::Result<BTreeMap<i64, Rollups>> {
    let mut select = transaction.prepare_cached(
        "SELECT s.subject, s.data FROM times t CROSS JOIN samples s
         ON s.level = ?1 AND s.at = t.at AND s.subject > ?4 AND s.subject <= ?5
         WHERE t.level = ?1 AND t.at >= ?2 AND t.at < ?3 ORDER BY t.at",
    )?;
    let mut rows =
        select.query(params![column(finer), integer(bucket.0), integer(bucket.after(span).0), after, until])?;
    let mut all: BTreeMap<i64, Rollups> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let data = row.get_ref(1)?.as_blob()?;
        // One row that is none must not hide the others.
        let Some(rollups) = unpack(finer, data) else { continue };
        match all.entry(row.get(0)?) {
            Entry::Vacant(vacant) => drop(vacant.insert(rollups)),
            Entry::Occupied(mut occupied) => merge(occupied.get_mut(), &rollups),
        }
    }
    Ok(all)
}

/// A row of any level.
pub(super) fn unpack(level: Level, data: &[u8]) -> Option<Rollups> {
    match level {
        Level::Raw => {
            let readings = unpack_readings(data)?;
            Some(readings.into_iter().map(|(metric, value)| (metric, Rollup::of(value))).collect())
        }
        _ => unpack_rollups(data),
    }
}

/// Takes in what comes later.
pub(super) fn merge(all: &mut Rollups, later: &Rollups) {
    for (metric, rollup) in later {
        match all.binary_search_by_key(metric, |(metric, _)| *metric) {
            Ok(place) => all[place].1.then(rollup),
            Err(place) => all.insert(place, (*metric, *rollup)),
        }
    }
}

fn store(
    transaction: &Transaction<'_>,
    level: Level,
    bucket: Moment,
    rows: &BTreeMap<i64, Rollups>,
) -> rusqlite::Result<()> {
    if rows.is_empty() {
        return Ok(());
    }
    let at = integer(bucket.0);
    transaction
        .prepare_cached("INSERT OR REPLACE INTO times (level, at, every, begins) VALUES (?1, ?2, ?3, 0)")?
        .execute(params![column(level), at, integer(level.span())])?;
    let mut insert = transaction
        .prepare_cached("INSERT OR REPLACE INTO samples (level, at, subject, data) VALUES (?1, ?2, ?3, ?4)")?;
    let mut seen = transaction.prepare_cached("UPDATE subjects SET seen = ?2 WHERE id = ?1")?;
    let mut data = Vec::new();
    for (subject, rollups) in rows {
        data.clear();
        pack_rollups(rollups, &mut data);
        insert.execute(params![column(level), at, subject, data])?;
        if level == Level::TwoHours {
            seen.execute(params![subject, integer(bucket.after(level.span()).0)])?;
        }
    }
    Ok(())
}

/// Deletes whole moments from `from` to before `until`, the earliest first, until at least `rows` rows are gone. Returns how
/// many are.
fn delete(
    transaction: &Transaction<'_>,
    level: Level,
    from: Moment,
    until: Moment,
    rows: usize,
) -> rusqlite::Result<usize> {
    let mut next = transaction
        .prepare_cached("SELECT at FROM times WHERE level = ?1 AND at >= ?2 AND at < ?3 ORDER BY at LIMIT 1")?;
    let mut samples = transaction.prepare_cached("DELETE FROM samples WHERE level = ?1 AND at = ?2")?;
    let mut times = transaction.prepare_cached("DELETE FROM times WHERE level = ?1 AND at = ?2")?;
    let mut deleted = 0;
    while deleted < rows {
        let bounds = params![column(level), integer(from.0), integer(until.0)];
        let Some(at) = next.query_row(bounds, |row| row.get::<_, i64>(0)).optional()? else { break };
        deleted += samples.execute(params![column(level), at])? + times.execute(params![column(level), at])?;
    }
    Ok(deleted)
}

/// Bytes in use.
fn used(connection: &Connection) -> rusqlite::Result<u64> {
    let pages = number(connection, "PRAGMA page_count")? - number(connection, "PRAGMA freelist_count")?;
    Ok(unsigned(pages * number(connection, "PRAGMA page_size")?))
}

fn number(connection: &Connection, sql: &str) -> rusqlite::Result<i64> {
    connection.prepare_cached(sql)?.query_row([], |row| row.get(0))
}
