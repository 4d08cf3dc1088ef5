//! When something was measured first and last, where rollups answer: the finer levels know it better than a bucket, as long as
//! they have it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use vigie_core::samples::{Level, Metric, Moment, Point, Seen};
use vigie_store::Error;
use vigie_store::samples::{Reader, Row, joined, series};

/// Which of the samples of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// The first.
    First,
    /// The last.
    Last,
}

/// The first and the last buckets of one subject, and what is in them.
pub(super) struct Edges<'a> {
    reader: &'a Reader,
    ids: Vec<i64>,
    now: Moment,
    /// What was read of a bucket: its metrics share it.
    inside: BTreeMap<(Level, Moment), Vec<Row>>,
}

impl<'a> Edges<'a> {
    /// Of the subject with these numbers.
    pub(super) fn new(reader: &'a Reader, ids: Vec<i64>, now: Moment) -> Self {
        Self { reader, ids, now, inside: BTreeMap::new() }
    }

    /// When the sample at the edge of this row of `level` was taken.
    ///
    /// # Errors
    /// When the samples cannot be read.
    pub(super) fn seen(&mut self, level: Level, row: &Point, metric: Metric, edge: Edge) -> Result<Seen, Error> {
        let Some(finer) = level.finer() else { return Ok(row.seen()) };
        let points = series(self.inside(finer, row.at, row.span)?, metric);
        // Where the finer level has lost its beginning, the first that it has is not the first that there was.
        let count = || points.iter().map(|point| point.rollup.count).sum::<u64>();
        let inner = match edge {
            Edge::First => points.first().filter(|_| count() == row.rollup.count),
            Edge::Last => points.last(),
        };
        match inner {
            Some(inner) => self.seen(finer, inner, metric, edge),
            // Nothing was measured yet that lies ahead.
            None => Ok(Seen { at: row.at, before: Some(row.at.after(row.span).min(self.now).max(row.at)) }),
        }
    }

    fn inside(&mut self, finer: Level, at: Moment, span: u64) -> Result<&[Row], Error> {
        Ok(match self.inside.entry((finer, at)) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(vacant) => vacant.insert(joined(self.reader.read(finer, &self.ids, at, at.after(span))?)),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use vigie_core::clock::Wall;
    use vigie_core::samples::{Subject, pack_readings};
    use vigie_store::samples::{Batch, LIMIT, Round, Sample, Samples};

    use super::super::{Asked, Chosen, report};
    use super::*;

    const MINUTE: u64 = 60_000;
    const HOUR: u64 = 60 * MINUTE;

    /// The beginning of a bucket of every level.
    const T: u64 = 1_700_006_400_000;

    fn wall(at: u64) -> Wall {
        Wall(at * 1_000_000)
    }

    fn put(samples: &mut Samples, at: u64, subject: &Arc<Subject>, readings: &[(Metric, u64)]) {
        let mut row = Vec::new();
        pack_readings(readings, &mut row);
        let one = Sample { subject: Arc::clone(subject), row: row.into() };
        let round = Round { at: Moment(at), every: MINUTE, begins: false, samples: vec![one] };
        samples.write(&Batch { now: wall(at), rounds: vec![round] }, 0).expect("stored");
    }

    /// `since`, `since_before`, `last_at`, `last_before` of memory and of processes over 30 days, in milliseconds behind T.
    fn edges(dir: &std::path::Path, now: u64) -> Vec<[Option<u64>; 4]> {
        let reader = Reader::open(dir).expect("opens");
        let known = reader.subjects().expect("reads");
        let chosen = [Chosen { subject: known[0].subject.clone(), known, always: true }];
        let metrics = vec![Metric::Memory, Metric::Processes];
        let from = Moment(now - 30 * 24 * HOUR);
        let asked = Asked { now: Moment(now), from, until: Moment(now), step: None, metrics };
        let report = report(Some(&reader), &chosen, &asked).expect("reads");
        assert_eq!(report.resolution, "2h");
        let of = |at: Option<vigie_api::time::Millis>| at.map(|at| at.0.0 / 1_000_000 - T);
        let series = report.subjects[0].metrics.iter();
        series.map(|one| [of(one.since), of(one.since_before), of(one.last_at), of(one.last_before)]).collect()
    }

    /// As exactly as the finest level that still has it; and then no more than is known.
    #[test]
    fn rollups_are_asked_more_closely_where_it_began_and_ended() {
        let dir = tempfile::tempdir().expect("folder");
        let (mut samples, _) = Samples::open(dir.path(), wall(T), LIMIT).expect("opens");
        let api = Arc::new(Subject { name: "service demo/api".to_owned(), key: "api-0".to_owned() });
        for minute in 0..180 {
            let at = T + minute * MINUTE + 7_000;
            let both = [(Metric::Memory, minute), (Metric::Processes, 1)];
            put(&mut samples, at, &api, if (30..150).contains(&minute) { &both } else { &both[..1] });
            while samples.tidy(wall(at)).expect("tidied") {}
        }
        let last = 179 * MINUTE + 7_000;
        let [memory, processes] = edges(dir.path(), T + last + 10_000)[..] else { panic!("two") };
        // What was measured more than an hour ago is known to the minute.
        assert_eq!(memory, [Some(0), Some(MINUTE), Some(last), None]);
        assert_eq!(processes, [Some(30 * MINUTE), Some(31 * MINUTE), Some(149 * MINUTE + 7_000), None]);
        // Days later only ten minutes, and then two hours.
        for (days, first, final_) in
            [(2, [0, 10 * MINUTE], [170 * MINUTE, 180 * MINUTE]), (9, [0, 2 * HOUR], [2 * HOUR, 4 * HOUR])]
        {
            let now = T + days * 24 * HOUR;
            // Old rows are looked for when there is something new, and after an opening.
            drop(samples);
            (samples, _) = Samples::open(dir.path(), wall(now), LIMIT).expect("opens");
            while samples.tidy(wall(now)).expect("tidied") {}
            let wanted = [Some(first[0]), Some(first[1]), Some(final_[0]), Some(final_[1])];
            assert_eq!(edges(dir.path(), now)[0], wanted, "after {days} days");
        }
    }

    /// A bucket that is not over yet ends at the present.
    #[test]
    fn nothing_was_measured_ahead() {
        let dir = tempfile::tempdir().expect("folder");
        let (mut samples, _) = Samples::open(dir.path(), wall(T), LIMIT).expect("opens");
        let api = Arc::new(Subject { name: "service demo/api".to_owned(), key: "api-0".to_owned() });
        put(&mut samples, T + 7_000, &api, &[(Metric::Memory, 1)]);
        assert_eq!(edges(dir.path(), T + 9_000)[0], [Some(7_000), None, Some(7_000), None]);
    }
}
