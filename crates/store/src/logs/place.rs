//! Where to begin: at a time, or so many lines before the end.

use std::path::Path;

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::logindex::{Entry, Kind};

use super::chunks::Place;
use super::segment::{Segment, Slot, numbers};
use super::{Filter, Item, Line, Lines};
use crate::error::Error;

/// How far from the end the last lines are looked for first, in bytes. Four times as far each time that was too near.
pub(super) const FIRST_WINDOW: u64 = 64 << 10;

/// How far back the beginning of a line is looked for. Of a longer one, only the end is given.
const LONGEST_SEARCH: u64 = 4 << 20;

/// How many entries are looked at to find out whether a stream stands at the start of a line.
const ENTRIES: u32 = 1 << 16;

const SIZE: u64 = Entry::SIZE as u64;

/// A cursor at the first entry that is not before `since`.
pub(super) fn since(dir: &Path, since: Wall, filter: Filter) -> Result<Lines, Error> {
    let mut place = None;
    for number in numbers(dir)?.into_iter().rev() {
        let Some(mut segment) = Segment::open(dir, number)? else { continue };
        place = Some(Place { number, pos: 0, index: 0 });
        if let (_, Some(first)) = entry_from(&mut segment, 0)?
            && first.at < since
        {
            place = Some(first_since(&mut segment, since)?);
            break;
        }
    }
    let mut lines = Lines::new(dir, place, filter);
    if let Some(place) = place {
        lines.begin_within_lines(within_lines(dir, place)?, true);
    }
    Ok(lines)
}

/// A cursor in front of the last `count` lines. `window` is [`FIRST_WINDOW`].
pub(super) fn tail(
    dir: &Path,
    count: usize,
    filter: Filter,
    wanted: &mut dyn FnMut(&Line<'_>) -> bool,
    window: u64,
) -> Result<Lines, Error> {
    let Some(end) = end(dir)? else { return Ok(Lines::new(dir, None, filter)) };
    let mut window = window;
    loop {
        let start = before_end(dir, window)?;
        let within = start.map_or(Ok([None; 2]), |place| within_lines(dir, place))?;
        let leave_out = window < LONGEST_SEARCH;
        let begin = || {
            let mut lines = Lines::new(dir, start, filter);
            lines.begin_within_lines(within, leave_out);
            if leave_out && start.is_some() {
                lines.begin_within_unindexed();
            }
            lines
        };
        let found = count_lines(begin(), end, wanted)?;
        if start.is_none() || found.behind_fragments >= count {
            let mut lines = begin();
            lines.limit(Some(end));
            let mut surplus = found.all.saturating_sub(count);
            while surplus > 0 && lines.advance()? {
                if matches!(lines.item(), Some(Item::Line(line)) if wanted(&line)) {
                    surplus -= 1;
                }
            }
            lines.limit(None);
            return Ok(lines);
        }
        window = window.saturating_mul(4);
    }
}

struct Found {
    all: usize,
    /// Those behind the last line whose beginning lies before the start, and which therefore is missing among them.
    behind_fragments: usize,
}

fn count_lines(mut lines: Lines, end: Place, wanted: &mut dyn FnMut(&Line<'_>) -> bool) -> Result<Found, Error> {
    // A service that writes without pause must not keep this going for ever.
    lines.limit(Some(end));
    // The last line may not be finished; it counts.
    lines.finish();
    let mut found = Found { all: 0, behind_fragments: 0 };
    loop {
        let more = lines.advance()?;
        if lines.fragment_ended() {
            found.behind_fragments = 0;
        }
        if !more {
            return Ok(found);
        }
        if matches!(lines.item(), Some(Item::Line(line)) if wanted(&line)) {
            found.all += 1;
            found.behind_fragments += 1;
        }
    }
}

/// The end of the last segment.
fn end(dir: &Path) -> Result<Option<Place>, Error> {
    for number in numbers(dir)?.into_iter().rev() {
        if let Some(mut segment) = Segment::open(dir, number)? {
            return Ok(Some(Place { number, pos: segment.len(u64::MAX)?, index: segment.index_len()? }));
        }
    }
    Ok(None)
}

/// A place at least `bytes` before the end. `None`: there is not so much.
fn before_end(dir: &Path, bytes: u64) -> Result<Option<Place>, Error> {
    let mut left = bytes;
    for number in numbers(dir)?.into_iter().rev() {
        let Some(mut segment) = Segment::open(dir, number)? else { continue };
        let len = segment.len(u64::MAX)?;
        if len > left {
            return Ok(Some(last_entry_before(&mut segment, len - left)?));
        }
        left -= len;
    }
    Ok(None)
}

/// The last entry that begins at or before `pos`, by halving. A damaged index leads to some other place before, at
/// worst to the beginning.
fn last_entry_before(segment: &mut Segment, pos: u64) -> Result<Place, Error> {
    let beginning = Place { number: segment.number, pos: 0, index: 0 };
    let (mut low, mut high) = (0, segment.index_len()? / SIZE);
    let mut best = beginning;
    while low < high {
        let middle = low + (high - low) / 2;
        match segment.slot(middle * SIZE)? {
            Slot::Entry(entry) if entry.offset <= pos => {
                best = Place { pos: entry.offset, index: middle * SIZE, ..beginning };
                low = middle + 1;
            }
            Slot::Entry(_) => high = middle,
            Slot::Damaged | Slot::End => return Ok(beginning),
        }
    }
    Ok(best)
}

/// The first entry that can be read at or behind `index`, and its place.
fn entry_from(segment: &mut Segment, mut index: u64) -> Result<(u64, Option<Entry>), Error> {
    loop {
        match segment.slot(index)? {
            Slot::Entry(entry) => return Ok((index, Some(entry))),
            Slot::Damaged => index += SIZE,
            Slot::End => return Ok((index, None)),
        }
    }
}

/// The first entry of `segment` that is not before `since`; its end when there is none.
fn first_since(segment: &mut Segment, since: Wall) -> Result<Place, Error> {
    let number = segment.number;
    let mut covered = 0;
    let mut index = 0;
    while let (at, Some(entry)) = entry_from(segment, index)? {
        if entry.at >= since && entry.offset <= segment.len(entry.offset)? {
            return Ok(Place { number, pos: entry.offset, index: at });
        }
        let length = if entry.kind == Kind::Lost { 0 } else { u64::from(entry.length) };
        covered = entry.offset.saturating_add(length);
        index = at + SIZE;
    }
    let pos = covered.min(segment.len(covered)?);
    Ok(Place { number, pos, index })
}

/// The runs that are in the middle of a line of out and err at `place`.
fn within_lines(dir: &Path, place: Place) -> Result<[Option<RunId>; 2], Error> {
    let mut within = [None; 2];
    let mut known = [false; 2];
    let mut left = ENTRIES;
    let mut run = None;
    for number in numbers(dir)?.into_iter().rev().filter(|number| *number <= place.number) {
        let Some(mut segment) = Segment::open(dir, number)? else { continue };
        let mut index = if number == place.number { place.index } else { segment.index_len()? };
        while index >= SIZE && left > 0 && known != [true; 2] {
            index -= SIZE;
            left -= 1;
            let Slot::Entry(entry) = segment.slot(index)? else { continue };
            // A new run and a hole end every line.
            if entry.kind == Kind::Lost || *run.get_or_insert(entry.run) != entry.run {
                return Ok(within);
            }
            let slot = usize::from(entry.kind == Kind::Err);
            if !known[slot] && entry.length > 0 {
                known[slot] = true;
                let last = segment.byte_before(entry.offset.saturating_add(entry.length.into()))?;
                within[slot] = last.filter(|last| *last != b'\n').map(|_| entry.run);
            }
        }
        if left == 0 || known == [true; 2] {
            break;
        }
    }
    Ok(within)
}
