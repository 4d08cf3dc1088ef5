//! Lines out of chunks: each stream put together again.

use std::ops::Range;
use std::path::Path;

use vigie_core::identity::RunId;

use super::chunks::{Chunks, Meta, Place, Step};
use super::{End, Filter, Item, Line, Lost, MAX_PIECE, Stream};
use crate::error::Error;

/// A cursor over the lines of one log.
///
/// ```no_run
/// # fn main() -> Result<(), vigie_store::Error> {
/// # use vigie_store::logs::{Filter, Item, LogDir};
/// let mut lines = LogDir::new(std::path::Path::new("logs/api")).lines(Filter::default())?;
/// lines.finish();
/// while lines.advance()? {
///     if let Some(Item::Line(line)) = lines.item() {
///         println!("{}", String::from_utf8_lossy(line.bytes));
///     }
/// }
/// # Ok(()) }
/// ```
pub struct Lines {
    chunks: Chunks,
    filter: Filter,
    /// What is left of the chunk at hand.
    piece: Option<(Meta, Range<usize>)>,
    /// A hole that was met, behind the lines that it breaks.
    hole: Option<Lost>,
    /// Unfinished lines of out, err, and of bytes without an entry.
    open: [Open; 3],
    current: Current,
    finish: bool,
    /// For [`Lines::fragment_ended`].
    fragment_ended: bool,
}

/// The beginning of a line whose end was not seen yet.
#[derive(Default)]
struct Open {
    /// Its bytes, without those of earlier pieces.
    bytes: Vec<u8>,
    /// Of its first byte. Absent: nothing is open.
    meta: Option<Meta>,
    /// A piece was given before.
    continued: bool,
    /// Reading began within a line of this stream.
    lead: Option<Lead>,
}

/// The rest of a line whose beginning lies before the place where reading began.
#[derive(Clone, Copy)]
struct Lead {
    /// Absent for bytes without an entry.
    run: Option<RunId>,
    /// It is not given. Otherwise it is, as a later piece.
    leave_out: bool,
    /// Some of it was met.
    met: bool,
}

#[derive(Clone, PartialEq)]
enum Current {
    Nothing,
    /// A line within the chunk at hand.
    Block {
        meta: Meta,
        range: Range<usize>,
        first: bool,
    },
    /// An unfinished line; it is cleared when the cursor goes on.
    Open {
        slot: usize,
        first: bool,
        end: End,
    },
    Lost(Lost),
}

fn slot(meta: Meta) -> usize {
    match meta.stream {
        Some(Stream::Out) => 0,
        Some(Stream::Err) => 1,
        None => 2,
    }
}

impl Lines {
    pub(super) fn new(dir: &Path, start: Option<Place>, filter: Filter) -> Self {
        Self {
            chunks: Chunks::new(dir, start, filter),
            filter,
            piece: None,
            hole: None,
            open: Default::default(),
            current: Current::Nothing,
            finish: false,
            fragment_ended: false,
        }
    }

    /// Says that reading begins within lines of out and err, written by these runs.
    pub(super) fn begin_within_lines(&mut self, within: [Option<RunId>; 2], leave_out: bool) {
        for (open, run) in self.open.iter_mut().zip(within) {
            open.lead = run.map(|run| Lead { run: Some(run), leave_out, met: false });
        }
    }

    /// Says that reading may begin within a line of bytes without an entry. Nothing tells whether it does; what may be
    /// the rest of one is not given. The next entry ends it.
    pub(super) fn begin_within_unindexed(&mut self) {
        self.open[2].lead = Some(Lead { run: None, leave_out: true, met: false });
    }

    /// Nothing behind `end` is wanted now; what lies before it is given, with an entry or without.
    pub(super) fn limit(&mut self, end: Option<Place>) {
        self.chunks.limit(end);
    }

    /// Since the last call: a line whose beginning was not seen came to its end.
    pub(super) fn fragment_ended(&mut self) -> bool {
        std::mem::take(&mut self.fragment_ended)
    }

    /// Nobody writes any more, or nobody waits for more: unfinished lines are given as they are.
    pub fn finish(&mut self) {
        self.finish = true;
        self.chunks.finish();
    }

    /// Goes on to the next line or hole. `false` when there is none now; when there is one later, this goes on with it.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn advance(&mut self) -> Result<bool, Error> {
        loop {
            self.leave();
            self.current = self.find()?;
            match self.item() {
                None => return Ok(false),
                Some(item) if self.filter.admits(item.at()) => return Ok(true),
                Some(_) => {}
            }
        }
    }

    /// What the cursor stands on.
    pub fn item(&self) -> Option<Item<'_>> {
        Some(match &self.current {
            Current::Nothing => return None,
            Current::Lost(lost) => Item::Lost(*lost),
            Current::Block { meta, range, first } => Item::Line(Line {
                at: meta.at,
                stream: meta.stream,
                run: meta.run,
                bytes: self.chunks.bytes(range.clone()),
                first: *first,
                end: End::Newline,
            }),
            Current::Open { slot, first, end } => {
                let open = &self.open[*slot];
                let meta = open.meta.unwrap_or_default();
                let Meta { at, stream, run } = meta;
                Item::Line(Line { at, stream, run, bytes: &open.bytes, first: *first, end: *end })
            }
        })
    }

    /// Bytes of all buffers.
    #[cfg(test)]
    pub(super) fn memory(&self) -> usize {
        self.chunks.memory() + self.open.iter().map(|open| open.bytes.capacity()).sum::<usize>()
    }

    /// Forgets what was given.
    fn leave(&mut self) {
        if let Current::Open { slot, end, .. } = &self.current {
            let open = &mut self.open[*slot];
            open.bytes.clear();
            open.continued = *end == End::Continues;
            if !open.continued {
                open.meta = None;
            }
            if open.bytes.capacity() > MAX_PIECE / 8 && !open.continued {
                open.bytes = Vec::new();
            }
        }
        self.current = Current::Nothing;
    }

    fn find(&mut self) -> Result<Current, Error> {
        loop {
            if let Some((meta, range)) = self.piece.take() {
                if let Some(ended) = self.end_before(meta) {
                    self.piece = Some((meta, range));
                    return Ok(ended);
                }
                if let Some(current) = self.take(meta, range) {
                    return Ok(current);
                }
                continue;
            }
            if let Some(lost) = self.hole {
                if let Some(ended) = self.end_lines(|_| true, |_| true) {
                    return Ok(ended);
                }
                self.hole = None;
                return Ok(Current::Lost(lost));
            }
            match self.chunks.step()? {
                Step::Bytes(meta, range) => self.piece = Some((meta, range)),
                Step::Lost(lost) => self.hole = Some(lost),
                Step::Wait if self.finish => return Ok(self.end_now().unwrap_or(Current::Nothing)),
                Step::Wait => return Ok(Current::Nothing),
            }
        }
    }

    /// Takes from a chunk what makes a line, or all of it.
    fn take(&mut self, meta: Meta, range: Range<usize>) -> Option<Current> {
        if range.is_empty() {
            return None;
        }
        let slot = slot(meta);
        let bytes = self.chunks.bytes(range.clone());
        let newline = memchr::memchr(b'\n', bytes);
        let length = newline.unwrap_or(bytes.len());
        let open = &mut self.open[slot];
        let after = range.start + length + usize::from(newline.is_some());
        match &mut open.lead {
            Some(lead) if lead.leave_out => {
                lead.met = true;
                if newline.is_some() {
                    open.lead = None;
                    self.fragment_ended = true;
                }
                self.keep(meta, after..range.end);
                return None;
            }
            lead => open.continued |= lead.take().is_some(),
        }
        if newline.is_some() && open.meta.is_none() && length <= MAX_PIECE {
            let first = !std::mem::take(&mut open.continued);
            self.keep(meta, after..range.end);
            return Some(Current::Block { meta, range: range.start..range.start + length, first });
        }
        open.meta.get_or_insert(meta);
        let first = !open.continued;
        let room = MAX_PIECE - open.bytes.len();
        if length > room {
            open.bytes.extend_from_slice(&bytes[..room]);
            self.keep(meta, range.start + room..range.end);
            return Some(Current::Open { slot, first, end: End::Continues });
        }
        open.bytes.extend_from_slice(&bytes[..length]);
        self.keep(meta, after..range.end);
        newline.map(|_| Current::Open { slot, first, end: End::Newline })
    }

    fn keep(&mut self, meta: Meta, range: Range<usize>) {
        self.piece = (!range.is_empty()).then_some((meta, range));
    }

    /// Lines that cannot go on when bytes like these follow: those of another run, and those of unknown origin.
    fn end_before(&mut self, next: Meta) -> Option<Current> {
        let run = next.run?;
        self.end_lines(|lead| lead.run != Some(run), |open| open.run != Some(run))
    }

    /// Every unfinished line, for there is no more. One of which nothing was met since the start lies too far back to
    /// be missed at the end.
    fn end_now(&mut self) -> Option<Current> {
        self.end_lines(|lead| lead.met, |_| true)
    }

    /// The next of the lines that end here.
    fn end_lines(&mut self, lead_ends: impl Fn(Lead) -> bool, ends: impl Fn(Meta) -> bool) -> Option<Current> {
        // In the order in which they are given: a fragment is missing behind the lines that are given before it.
        for (slot, open) in self.open.iter_mut().enumerate() {
            if open.lead.take_if(|lead| lead_ends(*lead)).is_some() {
                self.fragment_ended = true;
            }
            if open.meta.is_some_and(&ends) {
                return Some(Current::Open { slot, first: !open.continued, end: End::Open });
            }
        }
        None
    }
}
