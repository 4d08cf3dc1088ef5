use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn values() -> impl Strategy<Value = Vec<u64>> {
    vec(prop_oneof![0..5_u64, 0..1_u64 << 53], 1..200)
}

fn of(values: &[u64]) -> Rollup {
    let mut all = Rollup::of(values[0]);
    values[1..].iter().for_each(|value| all.then(&Rollup::of(*value)));
    all
}

proptest! {
    /// However samples are cut into buckets, and those into buckets again: the same as of the samples themselves.
    #[test]
    fn a_rollup_of_rollups_is_the_rollup_of_the_samples(values in values(), cut in 1..20_usize, again in 1..5_usize) {
        let fine: Vec<Rollup> = values.chunks(cut).map(of).collect();
        let fold = |many: &[Rollup]| {
            let mut all = many[0];
            many[1..].iter().for_each(|one| all.then(one));
            all
        };
        let coarse: Vec<Rollup> = fine.chunks(again).map(fold).collect();
        prop_assert_eq!(fold(&coarse), of(&values));
        let all = of(&values);
        prop_assert!(all.min <= all.first && all.first <= all.max && all.min <= all.last && all.last <= all.max);
        prop_assert!(all.min as f64 <= all.mean() * 1.000_001 && all.mean() <= all.max as f64 * 1.000_001);
    }

    #[test]
    fn rows_are_read_as_they_were_written(all in vec(values(), 0..8), cut in 0..400_usize) {
        let rollups: Rollups = Metric::ALL.into_iter().zip(&all).map(|(metric, values)| (metric, of(values))).collect();
        let readings: Readings = Metric::ALL.into_iter().zip(&all).map(|(metric, values)| (metric, values[0])).collect();
        let (mut packed, mut raw) = (Vec::new(), Vec::new());
        pack_rollups(&rollups, &mut packed);
        pack_readings(&readings, &mut raw);
        prop_assert_eq!(unpack_rollups(&packed), Some(rollups));
        prop_assert_eq!(unpack_readings(&raw), Some(readings));
        // Whatever is left of a row is read without a panic.
        let _ = (unpack_rollups(&packed[..cut.min(packed.len())]), unpack_readings(&raw[..cut.min(raw.len())]));
    }

    #[test]
    fn any_bytes_are_a_row_or_none(bytes in vec(any::<u8>(), 0..64)) {
        let _ = unpack_readings(&bytes);
        if let Some(rollups) = unpack_rollups(&bytes) {
            for (_, rollup) in rollups {
                prop_assert!(rollup.min <= rollup.max && rollup.count > 0);
            }
        }
    }

    /// Every sample lies in exactly one column, and columns and gaps never contradict: within a gap there is none.
    #[test]
    fn columns_keep_every_sample_and_gaps_hold_none(
        times in vec((0..600_000_u64, any::<bool>()), 0..60),
        step in 500..90_000_u64,
    ) {
        let base = Moment(1_700_000_000_000);
        let mut times = times;
        times.sort_unstable();
        times.dedup_by_key(|(at, _)| *at);
        let points: Vec<Point> = times
            .iter()
            .map(|(at, begins)| {
                let rollup = Rollup::of(*at);
                Point { at: base.after(*at), span: 5_000, bucket: false, begins: *begins, rollup }
            })
            .collect();
        let until = base.after(600_000);
        let columns = columns(&points, base, until, step);
        let counted: u64 = columns.iter().flatten().map(|column| column.count).sum();
        prop_assert_eq!(counted, points.len() as u64);
        let mut last = base;
        for gap in gaps(&points, base, until, base, Pace::Any) {
            prop_assert!(last <= gap.from && gap.from < gap.until && gap.until <= until);
            let inside = |point: &&Point| point.at > gap.from && point.at < gap.until;
            prop_assert!(!points.iter().any(|point| inside(&point)), "{:?}", gap);
            last = gap.until;
        }
    }

    /// A bucket holds the moment, and the coarser one holds the bucket.
    #[test]
    fn buckets_lie_within_each_other(at in 0..4_000_000_000_000_u64) {
        let mut inner = Moment(at);
        for level in Level::ALL {
            let bucket = level.bucket(Moment(at));
            prop_assert!(bucket <= Moment(at) && at < bucket.0 + level.span().max(1));
            prop_assert_eq!(level.bucket(inner), bucket);
            inner = bucket;
        }
    }
}
