//! The files of the log: segments with their index, continued, rotated, thinned out ([`vigie_core::logindex`]).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::io::Errno;

use vigie_core::clock::{Mono, Now, Wall};
use vigie_core::identity::RunId;
use vigie_core::logindex::{Entry, Kind, file_names, segment_number};
use vigie_os::splice::{self, Moved};

/// Bytes that are moved at once at most, so that a flood of output does not keep a stop waiting.
const TURN: usize = 1 << 20;

/// How far a segment may grow beyond its size while the end of a line is looked for.
const SLACK: u64 = 64 << 10;

/// Bytes that are read at once while the end of a line is looked for.
const LINE: usize = 4 << 10;

/// How often it is checked that nobody has removed the file that is being written.
const STILL_THERE: Duration = Duration::from_secs(1);

/// The folder of one service's log.
#[derive(Debug)]
pub(crate) struct Segments {
    dir: PathBuf,
    max_size: u64,
    keep: u32,
    current: Option<Segment>,
    checked: Mono,
}

/// The segment that is being written.
#[derive(Debug)]
struct Segment {
    number: u32,
    log: File,
    index: File,
    size: u64,
    index_size: u64,
}

/// To whom the bytes belong.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Source<'a> {
    /// The pipe.
    pub(crate) pipe: BorrowedFd<'a>,
    /// Which of the two streams it is.
    pub(crate) kind: Kind,
    /// The run.
    pub(crate) run: RunId,
}

impl Segments {
    pub(crate) fn new(dir: &Path, max_size: u64, keep: u32) -> Self {
        Self { dir: dir.to_owned(), max_size: max_size.max(1), keep: keep.max(1), current: None, checked: Mono(0) }
    }

    /// Where they lie.
    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    /// Moves what is in the pipe into the log. `lost_before` bytes were lost since the last success; they are entered
    /// in front of what is moved now.
    pub(crate) fn take(&mut self, source: Source<'_>, lost_before: u64, now: Now) -> Moved {
        self.notice_removal(now.mono);
        let max_size = self.max_size;
        let segment = match self.open() {
            Ok(segment) => segment,
            Err(error) => return Moved::Failed { errno: errno_of(&error), lost: 0 },
        };
        if segment.size >= max_size {
            if !segment.ends_in_a_line() && segment.size < max_size + SLACK {
                return self.finish_line(source, lost_before, now.wall);
            }
            self.rotate();
        }
        let Some(segment) = &mut self.current else { return Moved::Nothing };
        // When no new segment could be made, the old one goes on: better too large than lost.
        let room = usize::try_from(max_size.saturating_sub(segment.size)).unwrap_or(usize::MAX);
        let limit = if room == 0 { LINE } else { room.min(TURN) };
        let moved = splice::pipe_to_file(source.pipe, segment.log.as_fd(), segment.size, limit);
        if let Moved::Bytes(bytes) = moved {
            segment.enter_loss(lost_before, source.run, now.wall);
            segment.enter(source.kind, bytes, source.run, now.wall);
        }
        moved
    }

    /// Enters a loss that nothing follows.
    pub(crate) fn enter_loss(&mut self, bytes: u64, run: RunId, at: Wall) {
        if let Ok(segment) = self.open() {
            segment.enter_loss(bytes, run, at);
        }
    }

    /// The segment is full but its last line is not over: what belongs to that line goes into it, the rest into the
    /// next one.
    fn finish_line(&mut self, source: Source<'_>, lost_before: u64, at: Wall) -> Moved {
        let mut buffer = [0; LINE];
        let bytes = match rustix::io::read(source.pipe, &mut buffer) {
            Ok(0) => return Moved::End,
            Ok(read) => &buffer[..read],
            Err(Errno::AGAIN | Errno::INTR) => return Moved::Nothing,
            Err(errno) => return Moved::Failed { errno, lost: 0 },
        };
        let end = bytes.iter().position(|byte| *byte == b'\n').map(|newline| newline + 1);
        let (line, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let mut lost_before = lost_before;
        let mut written = 0;
        for part in [line, rest] {
            if part.is_empty() {
                continue;
            }
            let Some(segment) = &mut self.current else { break };
            let (_, outcome) = splice::write_at(segment.log.as_fd(), part, segment.size);
            if let Err(errno) = outcome {
                return Moved::Failed { errno, lost: bytes.len() - written };
            }
            segment.enter_loss(std::mem::take(&mut lost_before), source.run, at);
            segment.enter(source.kind, part.len(), source.run, at);
            written += part.len();
            if end.is_some() && written == line.len() {
                self.rotate();
            }
        }
        Moved::Bytes(written)
    }

    /// A log that somebody deletes is begun anew instead of being written into the void.
    fn notice_removal(&mut self, now: Mono) {
        if now.since(self.checked) < STILL_THERE {
            return;
        }
        self.checked = now;
        let gone = |file: &File| file.metadata().is_ok_and(|data| data.nlink() == 0);
        if self.current.as_ref().is_some_and(|segment| gone(&segment.log) || gone(&segment.index)) {
            self.current = None;
        }
    }

    fn open(&mut self) -> io::Result<&mut Segment> {
        if self.current.is_none() {
            std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.dir)?;
            let last = self.numbers()?.into_iter().max().unwrap_or(1);
            self.current = Some(Segment::open(&self.dir, last)?);
        }
        self.current.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn numbers(&self) -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.dir)? {
            numbers.extend(entry?.file_name().to_str().and_then(segment_number));
        }
        Ok(numbers)
    }

    /// The next segment; the oldest beyond those that are kept are removed. When it cannot be made, the current one goes
    /// on, and it is tried again with the next bytes.
    fn rotate(&mut self) {
        let Some(number) = self.current.as_ref().map(|segment| segment.number + 1) else { return };
        let Ok(next) = Segment::open(&self.dir, number) else { return };
        self.current = Some(next);
        for old in self.numbers().unwrap_or_default() {
            if old.saturating_add(self.keep) <= number {
                let (log, index) = file_names(old);
                // What cannot be removed now is found again at the next rotation. The index goes first: a segment
                // without one can still be read, an index without bytes cannot.
                let _ = std::fs::remove_file(self.dir.join(index));
                let _ = std::fs::remove_file(self.dir.join(log));
            }
        }
    }
}

impl Segment {
    /// Opens or makes a segment. A torn entry at the end of its index is cut off.
    fn open(dir: &Path, number: u32) -> io::Result<Self> {
        let open =
            |name| File::options().read(true).write(true).create(true).truncate(false).mode(0o600).open(dir.join(name));
        let (log, index) = file_names(number);
        let (log, index) = (open(log)?, open(index)?);
        let size = log.metadata()?.len();
        let index_size = index.metadata()?.len();
        let whole = index_size - index_size % Entry::SIZE as u64;
        if whole != index_size {
            index.set_len(whole)?;
        }
        Ok(Self { number, log, index, size, index_size: whole })
    }

    fn ends_in_a_line(&self) -> bool {
        let mut last = [0];
        self.size == 0 || (self.log.read_exact_at(&mut last, self.size - 1).is_ok() && last == *b"\n")
    }

    fn enter(&mut self, kind: Kind, bytes: usize, run: RunId, at: Wall) {
        let length = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.write_entry(Entry { kind, length, offset: self.size, at, run });
        self.size += bytes as u64;
    }

    fn enter_loss(&mut self, mut bytes: u64, run: RunId, at: Wall) {
        while bytes > 0 {
            let length = u32::try_from(bytes).unwrap_or(u32::MAX);
            self.write_entry(Entry { kind: Kind::Lost, length, offset: self.size, at, run });
            bytes -= u64::from(length);
        }
    }

    /// An entry that the disk does not take leaves bytes without a time; that is allowed, and less harm than losing them.
    fn write_entry(&mut self, entry: Entry) {
        if self.index.write_all_at(&entry.encode(), self.index_size).is_ok() {
            self.index_size += Entry::SIZE as u64;
        }
    }
}

fn errno_of(error: &io::Error) -> Errno {
    Errno::from_io_error(error).unwrap_or(Errno::IO)
}
