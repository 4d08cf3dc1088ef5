//! `run --log`: what the command writes goes into the store, and from there to our own standard output and error,
//! byte for byte.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use vigie_core::identity::RunId;
use vigie_core::logindex::{Entry, Kind, file_names, segment_number};
use vigie_os::watch::Watch;

use crate::failure::Failure;

/// Follows the segments of one run.
#[derive(Debug)]
pub(super) struct Follower {
    dir: PathBuf,
    run: RunId,
    watch: Watch,
    segment: Option<Segment>,
}

#[derive(Debug)]
struct Segment {
    number: u32,
    log: File,
    index: File,
    /// Bytes of the index that were read and are no whole entry yet.
    part: Vec<u8>,
}

impl Follower {
    /// Begins behind what is stored now; `dir` is made when it is not there.
    pub(super) fn new(dir: PathBuf, run: RunId) -> Result<Self, Failure> {
        vigie_os::place::private_dir(dir.parent().unwrap_or(&dir))?;
        vigie_os::place::private_dir(&dir)?;
        let watch = Watch::new()?;
        watch.folder(&dir)?;
        let mut follower = Self { dir, run, watch, segment: None };
        if let Some(last) = follower.numbers()?.last()
            && let Some(mut segment) = follower.open(*last)?
        {
            segment.index.seek(SeekFrom::End(0)).map_err(|error| follower.failed(&error))?;
            follower.segment = Some(segment);
        }
        Ok(follower)
    }

    /// Hands on what has been stored since.
    pub(super) fn pump(&mut self) -> Result<(), Failure> {
        // Before looking: what changes from now on is told again.
        self.watch.wait(vigie_core::clock::Mono(0))?;
        loop {
            if let Some(mut segment) = self.segment.take() {
                let result = self.copy(&mut segment);
                self.segment = Some(segment);
                result?;
            }
            let Some(next) = self.next_segment()? else { break };
            // What was written between the last look and the new segment.
            if let Some(mut segment) = self.segment.take() {
                self.copy(&mut segment)?;
            }
            self.segment = Some(next);
        }
        Ok(())
    }

    fn copy(&self, segment: &mut Segment) -> Result<(), Failure> {
        let failed = |error: std::io::Error| self.failed(&error);
        segment.index.read_to_end(&mut segment.part).map_err(failed)?;
        let whole = segment.part.len() / Entry::SIZE * Entry::SIZE;
        for bytes in segment.part[..whole].as_chunks::<{ Entry::SIZE }>().0 {
            let Some(entry) = Entry::decode(bytes).filter(|entry| entry.run == self.run) else { continue };
            match entry.kind {
                Kind::Out => copy(&mut segment.log, &entry, &mut std::io::stdout().lock())?,
                Kind::Err => copy(&mut segment.log, &entry, &mut std::io::stderr().lock())?,
                Kind::Lost => {}
            }
        }
        segment.part.drain(..whole);
        Ok(())
    }

    fn next_segment(&self) -> Result<Option<Segment>, Failure> {
        let after = self.segment.as_ref().map(|segment| segment.number);
        let next = self.numbers()?.into_iter().find(|number| after.is_none_or(|after| *number > after));
        match next {
            Some(number) => self.open(number),
            None => Ok(None),
        }
    }

    fn numbers(&self) -> Result<Vec<u32>, Failure> {
        let failed = |error: std::io::Error| self.failed(&error);
        let mut numbers = Vec::new();
        for entry in std::fs::read_dir(&self.dir).map_err(failed)? {
            numbers.extend(entry.map_err(failed)?.file_name().to_str().and_then(segment_number));
        }
        numbers.sort_unstable();
        Ok(numbers)
    }

    /// Opens a segment; absent while one of its files is missing.
    fn open(&self, number: u32) -> Result<Option<Segment>, Failure> {
        let (log, index) = file_names(number);
        match (File::open(self.dir.join(log)), File::open(self.dir.join(index))) {
            (Ok(log), Ok(index)) => Ok(Some(Segment { number, log, index, part: Vec::new() })),
            (Err(error), _) | (_, Err(error)) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            (Err(error), _) | (_, Err(error)) => Err(self.failed(&error)),
        }
    }

    fn failed(&self, error: &std::io::Error) -> Failure {
        Failure::io(format_args!("cannot follow the output in {}", self.dir.display()), error)
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.watch.as_fd()
    }
}

fn copy(log: &mut File, entry: &Entry, out: &mut impl Write) -> Result<(), Failure> {
    log.seek(SeekFrom::Start(entry.offset))?;
    std::io::copy(&mut log.take(entry.length.into()), out)?;
    out.flush()?;
    Ok(())
}
