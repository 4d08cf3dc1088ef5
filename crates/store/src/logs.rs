//! Stored output: the reader of the segments that keepers write. The format is [`vigie_core::logindex`].
//!
//! Three layers, each with its file. *Segments* open a pair of files and read index entries. *Chunks* walk from entry
//! to entry and from segment to segment and give the bytes of each stretch exactly once, whatever the index says of
//! them. *Lines* put the two streams together again: a line may begin in one chunk and end many chunks later, behind
//! bytes of the other stream.
//!
//! **Order.** Lines come in the order in which they end. Each bears the time of its first byte. A prompt without a
//! newline therefore keeps nothing waiting that comes after it, and reading and following give the same order.
//!
//! **Memory** is bounded: a block of the file, and at most [`MAX_PIECE`] bytes of an unfinished line per stream. Longer
//! lines come in pieces ([`End::Continues`]).
//!
//! **Following.** [`Lines::advance`] returns `false` when there is nothing more *now*; the same cursor goes on when there
//! is. It survives rotation, for it holds its segment open, and tells when segments were removed unread.
//!
//! **Two open files** per folder that is read, none while it is empty.

mod chunks;
mod lines;
mod merge;
mod place;
mod segment;

use std::io::Write;
use std::path::{Path, PathBuf};

use vigie_core::clock::Wall;
use vigie_core::identity::RunId;

use crate::error::{Error, io};

pub use lines::Lines;
pub use merge::{Failed, Merged};

/// The longest piece of a line, in bytes.
pub const MAX_PIECE: usize = 64 << 10;

/// Where a line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Out,
    /// Standard error.
    Err,
}

/// A line, or a piece of a long one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Line<'a> {
    /// When its first byte was read from the service. Absent when the index does not know.
    pub at: Option<Wall>,
    /// Where it was written to. Absent when the index does not know.
    pub stream: Option<Stream>,
    /// Which run wrote it. Absent when the index does not know.
    pub run: Option<RunId>,
    /// Its bytes, without the newline.
    pub bytes: &'a [u8],
    /// It begins here; otherwise it goes on from the piece before, or its beginning was removed.
    pub first: bool,
    /// How it ends here.
    pub end: End,
}

impl Line<'_> {
    /// It is a whole line.
    pub fn complete(&self) -> bool {
        self.first && self.end == End::Newline
    }
}

/// How a [`Line`] ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// With a newline.
    Newline,
    /// It is longer than [`MAX_PIECE`]: more of it comes, perhaps after lines of the other stream.
    Continues,
    /// Without a newline: the run is over, output was lost behind it, or there is no more yet.
    Open,
}

/// Output that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost {
    /// When it was lost, or the nearest time before that is known.
    pub at: Option<Wall>,
    /// Which run had written it, when that is known.
    pub run: Option<RunId>,
    /// How much.
    pub amount: Amount,
}

/// How much is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Amount {
    /// So many bytes, by a full disk or by the policy to drop ([`vigie_core::launch::Overflow`]).
    Bytes(u64),
    /// So many whole segments were removed by rotation before this reader came to them.
    Segments(u32),
}

/// What a cursor stands on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Item<'a> {
    /// A line.
    Line(Line<'a>),
    /// A hole.
    Lost(Lost),
}

impl Item<'_> {
    /// Its time.
    pub fn at(&self) -> Option<Wall> {
        match self {
            Item::Line(line) => line.at,
            Item::Lost(lost) => lost.at,
        }
    }
}

/// Which lines to give. Bytes whose stream or run the index does not know are left out when one asks for a stream; when
/// one asks for a run, they count to the run before them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only this stream.
    pub stream: Option<Stream>,
    /// Only this run.
    pub run: Option<RunId>,
    /// Not before this time.
    pub since: Option<Wall>,
    /// Not after this time.
    pub until: Option<Wall>,
}

impl Filter {
    /// What is lost has no stream; it shows unless it is of another run or time.
    fn admits(&self, at: Option<Wall>) -> bool {
        let Some(at) = at else { return true };
        self.since.is_none_or(|since| at >= since) && self.until.is_none_or(|until| at <= until)
    }
}

/// The folder of one service's log. It need not exist yet.
#[derive(Debug, Clone)]
pub struct LogDir {
    path: PathBuf,
}

impl LogDir {
    /// For the log in `path`. Nothing is opened yet.
    pub fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Its folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything that is kept, from the oldest; with a `since`, reading begins there.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn lines(&self, filter: Filter) -> Result<Lines, Error> {
        match filter.since {
            None => Ok(Lines::new(&self.path, None, filter)),
            Some(since) => place::since(&self.path, since, filter),
        }
    }

    /// A cursor in front of the last `count` lines that `filter` and `wanted` admit, so many as there are now. It gives
    /// them, what `wanted` refuses between them, and whatever comes later. Lines that are unfinished at the end count,
    /// but are not left out when they are near: their end may be still to come. Reads only what it must from the end.
    ///
    /// # Errors
    /// [`Error::Io`]
    pub fn tail(
        &self,
        count: usize,
        filter: Filter,
        wanted: &mut dyn FnMut(&Line<'_>) -> bool,
    ) -> Result<Lines, Error> {
        place::tail(&self.path, count, filter, wanted, place::FIRST_WINDOW)
    }

    /// Copies the bytes as they were written, both streams in the order of their arrival. Returns how many. Of `filter`
    /// only stream and run count.
    ///
    /// # Errors
    /// [`Error::Io`] with [`LogDir::path`] when reading fails, with an empty path when writing does.
    pub fn copy_raw(&self, filter: Filter, out: &mut dyn Write) -> Result<u64, Error> {
        let mut chunks = chunks::Chunks::new(&self.path, None, filter);
        chunks.finish();
        let mut copied = 0;
        loop {
            match chunks.step()? {
                chunks::Step::Bytes(_, range) => {
                    let bytes = chunks.bytes(range);
                    out.write_all(bytes).map_err(io("write output to", Path::new("")))?;
                    copied += bytes.len() as u64;
                }
                chunks::Step::Lost(_) => {}
                chunks::Step::Wait => return Ok(copied),
            }
        }
    }
}

#[cfg(test)]
mod fixture;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
