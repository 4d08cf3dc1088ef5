//! One segment: its two files, and the entries of its index.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use vigie_core::logindex::{Entry, file_names, segment_number};

use crate::error::{self, Error};

/// How much of an index is read at once. A multiple of [`Entry::SIZE`].
const INDEX_BLOCK: usize = 8 << 10;

/// A segment that is open for reading.
pub(super) struct Segment {
    pub(super) number: u32,
    log: File,
    log_path: PathBuf,
    /// The length of the log when it was last asked for. It only grows.
    known: u64,
    index: Option<File>,
    index_path: PathBuf,
    /// Part of the index, and where it begins there.
    block: Vec<u8>,
    block_start: u64,
}

/// A place in an index.
pub(super) enum Slot {
    /// An entry.
    Entry(Entry),
    /// Something that is not an entry.
    Damaged,
    /// Nothing yet.
    End,
}

impl Segment {
    /// Opens segment `number`. `None` when it is gone.
    pub(super) fn open(dir: &Path, number: u32) -> Result<Option<Self>, Error> {
        let (log, index) = file_names(number);
        let (log_path, index_path) = (dir.join(log), dir.join(index));
        // The index first: rotation removes it first.
        let index = present(&index_path)?;
        let Some(log) = present(&log_path)? else { return Ok(None) };
        Ok(Some(Self { number, log, log_path, known: 0, index, index_path, block: Vec::new(), block_start: 0 }))
    }

    /// How many bytes there are; looks again when fewer than `wanted` were known.
    pub(super) fn len(&mut self, wanted: u64) -> Result<u64, Error> {
        if self.known < wanted {
            self.known = self.log.metadata().map_err(error::io("look at", &self.log_path))?.len();
        }
        Ok(self.known)
    }

    /// Whether somebody removed it. What it holds can be read all the same.
    pub(super) fn removed(&self) -> Result<bool, Error> {
        Ok(self.log.metadata().map_err(error::io("look at", &self.log_path))?.nlink() == 0)
    }

    /// Bytes of the log from `offset`: as many as fit, fewer at its end.
    pub(super) fn read(&self, buffer: &mut [u8], offset: u64) -> Result<usize, Error> {
        // A damaged entry may name any place. Beyond 63 bits pread(2) fails instead of finding nothing there.
        if offset > i64::MAX as u64 - buffer.len() as u64 {
            return Ok(0);
        }
        read_full(&self.log, buffer, offset).map_err(error::io("read", &self.log_path))
    }

    /// The last byte before `offset`.
    pub(super) fn byte_before(&self, offset: u64) -> Result<Option<u8>, Error> {
        let mut byte = [0];
        match offset.checked_sub(1) {
            Some(offset) => Ok((self.read(&mut byte, offset)? == 1).then_some(byte[0])),
            None => Ok(None),
        }
    }

    /// What stands at `offset` (a multiple of [`Entry::SIZE`]) of the index.
    pub(super) fn slot(&mut self, offset: u64) -> Result<Slot, Error> {
        if let Some(slot) = self.held(offset) {
            return Ok(slot);
        }
        if self.index.is_none() {
            self.index = present(&self.index_path)?;
        }
        let Some(index) = &self.index else { return Ok(Slot::End) };
        // Aligned blocks serve both directions. One that was not full is read again: it may have grown.
        self.block_start = offset - offset % INDEX_BLOCK as u64;
        self.block.resize(INDEX_BLOCK, 0);
        let read = read_full(index, &mut self.block, self.block_start).map_err(error::io("read", &self.index_path))?;
        self.block.truncate(read);
        Ok(self.held(offset).unwrap_or(Slot::End))
    }

    fn held(&self, offset: u64) -> Option<Slot> {
        let from = usize::try_from(offset.checked_sub(self.block_start)?).ok()?;
        let bytes = self.block.get(from..from.checked_add(Entry::SIZE)?)?;
        Some(<&[u8; Entry::SIZE]>::try_from(bytes).ok().and_then(Entry::decode).map_or(Slot::Damaged, Slot::Entry))
    }

    /// How many bytes of whole entries the index holds.
    pub(super) fn index_len(&mut self) -> Result<u64, Error> {
        if self.index.is_none() {
            self.index = present(&self.index_path)?;
        }
        let Some(index) = &self.index else { return Ok(0) };
        let len = index.metadata().map_err(error::io("look at", &self.index_path))?.len();
        Ok(len - len % Entry::SIZE as u64)
    }
}

/// The numbers of all segments in `dir`, in order. None when there is no folder.
pub(super) fn numbers(dir: &Path) -> Result<Vec<u32>, Error> {
    let list = || -> io::Result<Vec<u32>> {
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            numbers.extend(entry?.file_name().to_str().and_then(segment_number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    };
    match list() {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Vec::new()),
        other => other.map_err(error::io("list", dir)),
    }
}

fn present(path: &Path) -> Result<Option<File>, Error> {
    match File::open(path) {
        Ok(file) => Ok(Some(file)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error::io("open", path)(error)),
    }
}

fn read_full(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
    let mut read = 0;
    while read < buffer.len() {
        match file.read_at(&mut buffer[read..], offset + read as u64) {
            Ok(0) => break,
            Ok(more) => read += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
