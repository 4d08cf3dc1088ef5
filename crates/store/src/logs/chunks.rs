//! From entry to entry, from segment to segment: every byte once, with what the index knows of it.
//!
//! The writer appends bytes first and their entry second. So bytes behind the last entry are waited for while the
//! segment may grow, and given without time and stream once it cannot: a later segment is there, something later has
//! an entry, or the reader was told that nobody writes any more.

use std::ops::Range;
use std::path::{Path, PathBuf};

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;
use vigie_core::logindex::{Entry, Kind};

use super::segment::{Segment, Slot, numbers};
use super::{Amount, Filter, Lost, Stream};
use crate::error::Error;

/// How much of a log is read at once.
const BLOCK: u64 = 256 << 10;

/// What the index knows of some bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Meta {
    pub(super) at: Option<Wall>,
    pub(super) stream: Option<Stream>,
    pub(super) run: Option<RunId>,
}

/// Where reading begins or goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) number: u32,
    /// Of the next byte in the log.
    pub(super) pos: u64,
    /// Of the next entry in the index.
    pub(super) index: u64,
}

pub(super) enum Step {
    /// Bytes, to be had by [`Chunks::bytes`] until the next step. None when the filter leaves them out.
    Bytes(Meta, Range<usize>),
    Lost(Lost),
    /// Nothing more now.
    Wait,
}

pub(super) struct Chunks {
    dir: PathBuf,
    filter: Filter,
    segment: Option<Segment>,
    /// When no segment is open: where to begin. When one is: where it stands.
    place: Place,
    stretch: Option<Stretch>,
    /// A later segment is there, so that what this one has is all it will have.
    complete: bool,
    finish: bool,
    /// Nothing behind this is given.
    limit: Option<Place>,
    /// Of the last entry: what bytes without one are taken for, as far as it must be.
    last: Meta,
    block: Vec<u8>,
    block_start: u64,
}

/// Bytes of one entry, or of none, that are not given yet: from the current position to `end`.
#[derive(Clone, Copy)]
struct Stretch {
    meta: Meta,
    end: u64,
    /// The filter leaves them out.
    skip: bool,
}

impl Chunks {
    pub(super) fn new(dir: &Path, start: Option<Place>, filter: Filter) -> Self {
        Self {
            dir: dir.to_owned(),
            filter,
            segment: None,
            place: start.unwrap_or(Place { number: 0, pos: 0, index: 0 }),
            stretch: None,
            complete: false,
            finish: false,
            limit: None,
            last: Meta::default(),
            block: Vec::new(),
            block_start: 0,
        }
    }

    /// Nobody writes any more: what has no entry will not get one.
    pub(super) fn finish(&mut self) {
        self.finish = true;
    }

    /// Nothing behind `end` is wanted now; what lies before it is given, with an entry or without.
    pub(super) fn limit(&mut self, end: Option<Place>) {
        self.limit = end;
    }

    pub(super) fn bytes(&self, range: Range<usize>) -> &[u8] {
        &self.block[range]
    }

    pub(super) fn step(&mut self) -> Result<Step, Error> {
        loop {
            let Some(segment) = &mut self.segment else {
                match self.open(self.place)? {
                    Some(lost) => return Ok(Step::Lost(lost)),
                    None if self.segment.is_some() => continue,
                    None => return Ok(self.wait()),
                }
            };
            if let Some(stretch) = self.stretch {
                if stretch.skip {
                    self.place.pos = stretch.end;
                    self.stretch = None;
                    return Ok(Step::Bytes(stretch.meta, 0..0));
                }
                let range = self.load(stretch.end)?;
                // Nothing: the file became shorter than it was, which only damage explains.
                self.place.pos = if range.is_empty() { stretch.end } else { self.place.pos + range.len() as u64 };
                if self.place.pos >= stretch.end {
                    self.stretch = None;
                }
                if !range.is_empty() {
                    return Ok(Step::Bytes(stretch.meta, range));
                }
                continue;
            }
            if let Some(end) = self.limit
                && (self.place.number, self.place.index) >= (end.number, end.index)
            {
                if self.place.number > end.number || self.place.pos >= end.pos {
                    return Ok(self.wait());
                }
                self.unknown(end.pos);
                continue;
            }
            match segment.slot(self.place.index)? {
                Slot::Damaged => self.place.index += Entry::SIZE as u64,
                Slot::Entry(entry) => {
                    if let Some(lost) = self.enter(entry)? {
                        return Ok(Step::Lost(lost));
                    }
                }
                Slot::End => match self.later()? {
                    // Its last entries were written before the later segment was made: look once more.
                    Some(_) if !self.complete => self.complete = true,
                    later if self.rest(later.is_some() || self.finish)? => {}
                    Some(number) => {
                        if let Some(lost) = self.open(Place { number, pos: 0, index: 0 })? {
                            return Ok(Step::Lost(lost));
                        }
                    }
                    None => return Ok(self.wait()),
                },
            }
        }
    }

    /// Takes the entry at the current place as the next stretch, or the bytes without an entry in front of it.
    fn enter(&mut self, entry: Entry) -> Result<Option<Lost>, Error> {
        let Some(segment) = &mut self.segment else { return Ok(None) };
        let length = if entry.kind == Kind::Lost { 0 } else { u64::from(entry.length) };
        let claimed = entry.offset.saturating_add(length);
        let len = segment.len(claimed)?;
        if entry.offset > len || (length > 0 && entry.offset == len) {
            // It speaks of bytes that are not there.
            self.place.index += Entry::SIZE as u64;
            return Ok(None);
        }
        if entry.offset > self.place.pos {
            self.unknown(entry.offset);
            return Ok(None);
        }
        self.place.index += Entry::SIZE as u64;
        let stream = match entry.kind {
            Kind::Out => Some(Stream::Out),
            Kind::Err => Some(Stream::Err),
            Kind::Lost => None,
        };
        let meta = Meta { at: Some(entry.at), stream, run: Some(entry.run) };
        self.last = meta;
        if entry.kind == Kind::Lost {
            if self.filter.run.is_some_and(|run| run != entry.run) {
                return Ok(None);
            }
            let amount = Amount::Bytes(entry.length.into());
            return Ok(Some(Lost { at: meta.at, run: meta.run, amount }));
        }
        let end = claimed.min(len);
        if end > self.place.pos {
            let other_stream = self.filter.stream.is_some_and(|stream| meta.stream != Some(stream));
            let other_run = self.filter.run.is_some_and(|run| meta.run != Some(run));
            self.stretch = Some(Stretch { meta, end, skip: other_stream || other_run });
        }
        Ok(None)
    }

    /// Bytes without an entry, up to `end`.
    fn unknown(&mut self, end: u64) {
        let other_run = self.filter.run.is_some_and(|run| self.last.run != Some(run));
        self.stretch = Some(Stretch { meta: Meta::default(), end, skip: self.filter.stream.is_some() || other_run });
    }

    /// At the end of the index: whether bytes without an entry are left that are to be given now.
    fn rest(&mut self, give: bool) -> Result<bool, Error> {
        let Some(segment) = &mut self.segment else { return Ok(false) };
        if !give {
            return Ok(false);
        }
        let len = segment.len(u64::MAX)?;
        if len > self.place.pos {
            self.unknown(len);
        }
        Ok(self.stretch.is_some())
    }

    /// The segment after this one, when there is one.
    fn later(&self) -> Result<Option<u32>, Error> {
        let numbers = numbers(&self.dir)?;
        if let Some(number) = numbers.iter().find(|number| **number > self.place.number) {
            return Ok(Some(*number));
        }
        // Ours was removed, but not by rotation: somebody emptied the folder, and the numbers began anew.
        match (numbers.first(), &self.segment) {
            (Some(number), Some(segment)) if segment.removed()? => Ok(Some(*number)),
            _ => Ok(None),
        }
    }

    /// Opens the segment of `place`, or the first one after it when it is gone. Tells when that leaves a hole.
    fn open(&mut self, place: Place) -> Result<Option<Lost>, Error> {
        let before = self.segment.as_ref().map(|segment| segment.number);
        let mut place = place;
        loop {
            if let Some(segment) = Segment::open(&self.dir, place.number)? {
                self.segment = Some(segment);
                break;
            }
            match numbers(&self.dir)?.into_iter().find(|number| *number > place.number) {
                Some(number) => place = Place { number, pos: 0, index: 0 },
                None => return Ok(None),
            }
        }
        self.place = place;
        self.complete = false;
        self.block.clear();
        let missed = before.map_or(0, |before| place.number.saturating_sub(before).saturating_sub(1));
        Ok((missed > 0).then_some(Lost { at: self.last.at, run: None, amount: Amount::Segments(missed) }))
    }

    /// The bytes from the current position that are in memory, at most up to `end`.
    fn load(&mut self, end: u64) -> Result<Range<usize>, Error> {
        let Some(segment) = &mut self.segment else { return Ok(0..0) };
        let pos = self.place.pos;
        if pos < self.block_start || pos >= self.block_start + self.block.len() as u64 {
            let size = segment.len(end)?.saturating_sub(pos).min(BLOCK);
            self.block.resize(size as usize, 0);
            let read = segment.read(&mut self.block, pos)?;
            self.block.truncate(read);
            self.block_start = pos;
        }
        let from = (pos - self.block_start) as usize;
        let to = self.block.len().min(from + (end - pos).min(BLOCK) as usize);
        Ok(from..to)
    }

    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.block.capacity()
    }

    /// A thousand followed services must not hold a thousand blocks.
    fn wait(&mut self) -> Step {
        self.block = Vec::new();
        Step::Wait
    }
}
