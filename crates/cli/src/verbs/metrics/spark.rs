//! A series as one line of blocks.

use vigie_api::metrics::Point;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Nothing was measured.
const GAP: char = '·';

/// The least width that tells anything.
pub(super) const NARROWEST: usize = 8;

/// A block for each column of the series, or for several where there are more than `width`; the largest value counts, so that
/// no peak is hidden. The lowest block is 0 and whatever is near it, the highest the largest of all.
pub(super) fn line(points: &[Point], width: usize) -> String {
    let largest =
        |points: &[Point]| points.iter().filter_map(|point| point.max.as_ref()?.as_f64()).max_by(f64::total_cmp);
    let top = largest(points).unwrap_or(0.0);
    let block = |points: &[Point]| match largest(points) {
        None => GAP,
        Some(value) if value > 0.0 && top > 0.0 => {
            BLOCKS[((value / top * BLOCKS.len() as f64).ceil() as usize).clamp(1, BLOCKS.len()) - 1]
        }
        Some(_) => BLOCKS[0],
    };
    let count = points.len().min(width);
    let place = |nth: usize| nth * points.len() / count.max(1);
    (0..count).map(|nth| block(&points[place(nth)..place(nth + 1)])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    use serde_json::Number;
    use vigie_api::time::Millis;
    use vigie_core::clock::Wall;

    fn points(values: &[Option<u64>]) -> Vec<Point> {
        let point = |value: &Option<u64>| {
            let value = value.map(Number::from);
            Point { at: Millis(Wall(0)), min: value.clone(), mean: value.clone(), max: value, count: 1 }
        };
        values.iter().map(point).collect()
    }

    #[test]
    fn blocks_gaps_and_peaks() {
        let some = |values: &[u64]| values.iter().map(|value| Some(*value)).collect::<Vec<_>>();
        for (values, width, expected) in [
            (some(&[0, 1, 2, 3, 4, 5, 6, 7, 8]), 20, "▁▁▂▃▄▅▆▇█"),
            (some(&[5, 5, 5]), 20, "███"),
            (some(&[0, 0]), 20, "▁▁"),
            (vec![Some(1), None, None, Some(2)], 20, "▄··█"),
            (vec![Some(1), None, Some(0), Some(8), None, None, Some(4), None], 4, "▁█·▄"),
            (vec![Some(1), None, Some(0), Some(8), None], 3, "▁▁█"),
            (vec![None, None], 20, "··"),
            (vec![], 20, ""),
        ] {
            assert_eq!(line(&points(&values), width), expected, "{values:?}");
        }
    }
}
