//! From the rows of a stretch of time to what is shown of it: the level that answers, columns, gaps, a summary.

use super::{Level, Moment, Rollup};

/// The steps that people can read, in milliseconds.
const STEPS: [u64; 15] = [
    1_000, 2_000, 5_000, 10_000, 15_000, 30_000, 60_000, 120_000, 300_000, 600_000, 1_800_000, 3_600_000, 7_200_000,
    21_600_000, 86_400_000,
];

/// Into about so many columns a stretch of time is cut when nobody says.
const COLUMNS: u64 = 120;

/// One row of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// When it was measured; of a bucket where it begins.
    pub at: Moment,
    /// How long the bucket is; of a sample how long after it the next was due. Milliseconds.
    pub span: u64,
    /// It is a bucket, not a sample.
    pub bucket: bool,
    /// Whoever measured began with this sample: about the time before nobody knows anything.
    pub begins: bool,
    /// What was measured.
    pub rollup: Rollup,
}

impl Point {
    /// How long it speaks from its moment on, in milliseconds: what comes later is behind a gap. A look may be late, on a
    /// busy machine above all.
    fn reach(&self) -> u64 {
        if self.bucket { self.span } else { 2 * self.span + 3_000 }
    }

    /// Where a gap behind it begins.
    fn end(&self) -> Moment {
        if self.bucket { self.at.after(self.span) } else { self.at }
    }
}

/// A stretch of time in which nothing was measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    /// The last sample before it, or the beginning of what was asked for.
    pub from: Moment,
    /// The first sample behind it, or the end of what was asked for.
    pub until: Moment,
}

/// How far apart the rows of a series may lie that is measured all the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// Not further than a bucket: it is measured every few seconds.
    Fine,
    /// Nobody knows any more: it was measured every some minutes, and that was changed now and then. What usually lies
    /// between rows there tells.
    Any,
}

/// So many distances before and behind one tell what is usual there.
const NEIGHBOURS: usize = 3;

/// How far after each row the next may be without a gap, in milliseconds: what two neighbours say of the distance between
/// them is the larger of both. Where nobody knows the pace, what is usual before a distance, or behind it, tells: a pace that
/// somebody changed is usual on one side of it, a gap on none.
fn reaches(points: &[Point], pace: Pace) -> Vec<Reach> {
    let is_fine = pace == Pace::Fine || points.len() < 3 || !points.iter().all(|point| point.bucket);
    if is_fine {
        return points.iter().map(|point| Reach { before: point.reach(), behind: point.reach() }).collect();
    }
    let distances: Vec<u64> = points.windows(2).map(|pair| pair[1].at.distance(pair[0].at)).collect();
    let usual = |around: &[u64], span: u64| {
        let mut around = around.to_vec();
        around.sort_unstable();
        let usual = around.get(around.len().saturating_sub(1) / 2).copied().unwrap_or(0);
        // A look may be late, and one may fail.
        if usual <= span { span.saturating_mul(2) } else { usual.saturating_mul(2).saturating_add(span) }
    };
    let reach = |(place, point): (usize, &Point)| {
        // The distance before the point has the number before its own, that behind it its own.
        let earlier = &distances[place.saturating_sub(NEIGHBOURS)..place];
        let later = &distances[place.min(distances.len())..(place + NEIGHBOURS).min(distances.len())];
        Reach { before: usual(later, point.span), behind: usual(earlier, point.span) }
    };
    points.iter().enumerate().map(reach).collect()
}

/// How far the neighbours of a row may be, in milliseconds.
#[derive(Debug, Clone, Copy)]
struct Reach {
    /// The one before it, by what is usual behind it.
    before: u64,
    /// The next one, by what is usual before it.
    behind: u64,
}

/// The gaps of a series between `from` and `until`. `points` are ascending. What lies before `born`, the first sample that the
/// subject ever had, is none.
pub fn gaps(points: &[Point], from: Moment, until: Moment, born: Moment, pace: Pace) -> Vec<Gap> {
    let from = from.max(born);
    let (Some(first), Some(last)) = (points.first(), points.last()) else {
        return Vec::from_iter((from < until).then_some(Gap { from, until }));
    };
    let reaches = reaches(points, pace);
    let mut gaps = Vec::new();
    let due = if first.bucket {
        // What reaches over a bucket, reaches backwards, too.
        let more = reaches[0].before.saturating_sub(first.span);
        Moment(from.0 - from.0 % first.span.max(1)).after(more + 1)
    } else {
        from.after(first.reach() + 1)
    };
    if due <= first.at {
        gaps.push(Gap { from, until: first.at });
    }
    for (pair, reach) in points.windows(2).zip(reaches.windows(2)) {
        let (before, after) = (&pair[0], &pair[1]);
        if after.begins || before.at.after(reach[0].behind.max(reach[1].before)) < after.at {
            gaps.push(Gap { from: before.end(), until: after.at });
        }
    }
    if last.at.after(reaches.last().map_or(0, |reach| reach.behind)) < until {
        gaps.push(Gap { from: last.end(), until });
    }
    gaps
}

/// The series in columns of `step` milliseconds from `from` on, as many as there are until `until`. A column in which nothing
/// lies is absent.
pub fn columns(points: &[Point], from: Moment, until: Moment, step: u64) -> Vec<Option<Rollup>> {
    let step = step.max(1);
    let count = until.0.saturating_sub(from.0).div_ceil(step);
    let mut columns = vec![None; usize::try_from(count).unwrap_or(0)];
    for point in points {
        let Some(offset) = point.at.0.checked_sub(from.0) else { continue };
        let place = usize::try_from(offset / step).unwrap_or(usize::MAX);
        match columns.get_mut(place) {
            Some(Some(column)) => Rollup::then(column, &point.rollup),
            Some(column) => *column = Some(point.rollup),
            None => {}
        }
    }
    columns
}

/// When a sample was taken, as far as that is known: a bucket says that it was in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Then, or not before.
    pub at: Moment,
    /// Not known more exactly than that it was before this.
    pub before: Option<Moment>,
}

impl Point {
    /// When the samples of it were taken.
    pub fn seen(&self) -> Seen {
        Seen { at: self.at, before: self.bucket.then(|| self.at.after(self.span)) }
    }
}

/// A series in a few numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Everything.
    pub all: Rollup,
    /// The first sample.
    pub first: Seen,
    /// The last sample.
    pub last: Seen,
}

impl Summary {
    /// Of `points`, ascending. Absent when there are none.
    pub fn of(points: &[Point]) -> Option<Self> {
        let (first, last) = (points.first()?, points.last()?);
        let mut all = first.rollup;
        points[1..].iter().for_each(|point| all.then(&point.rollup));
        Some(Self { all, first: first.seen(), last: last.seen() })
    }
}

/// Which level answers: the finest that still is kept for the whole stretch of time; with `step` milliseconds the
/// coarsest of those whose buckets are not longer. `oldest` is what each level really has: where it has lost its
/// beginning, the next coarser one answers if that has more.
pub fn level_for(from: Moment, now: Moment, step: Option<u64>, oldest: &[Option<Moment>; 4]) -> Level {
    let ago = now.0.saturating_sub(from.0);
    let enough = || Level::ALL.into_iter().filter(|level| level.age() >= ago);
    let finest = enough().next().unwrap_or(Level::TwoHours);
    let asked = step.and_then(|step| enough().rfind(|level| level.span() <= step));
    let mut level = asked.unwrap_or(finest);
    while let Some(coarser) = level.coarser() {
        let begins = oldest[level.number()];
        let has_all = begins.is_some_and(|begins| begins <= from);
        let more = |other: Moment| begins.is_none_or(|begins| other.after(coarser.span()) <= begins);
        if has_all || !oldest[coarser.number()].is_some_and(more) {
            break;
        }
        level = coarser;
    }
    level
}

/// How long a column is, in milliseconds: what was asked for, else so that there are about 120 of them; but never so
/// short that there are columns in which nothing could have been measured. `every` is the longest time between two looks
/// that the rows tell.
pub fn step_for(from: Moment, until: Moment, level: Level, every: u64, asked: Option<u64>) -> u64 {
    // Two looks may lie further apart than they should, so each column has room for two.
    let least = if level == Level::Raw { (2 * every).max(1_000) } else { level.span() };
    let wanted = asked.unwrap_or_else(|| {
        let wanted = (until.0.saturating_sub(from.0) / COLUMNS).max(least);
        STEPS.into_iter().find(|step| *step >= wanted).unwrap_or_else(|| wanted.next_multiple_of(86_400_000))
    });
    match level {
        Level::Raw => wanted.max(least),
        _ => wanted.max(least).next_multiple_of(level.span()),
    }
}
