//! The output of a run: two pipes, moved into the log as the service fills them (R6.9).
//!
//! The pipes belong to the keeper and to nobody else, so that neither a daemon that is away nor a reader that is slow
//! ever blocks or ends the service. What the disk does not take is taken out of the pipe all the same, counted, and
//! told: the service goes on.

mod loss;
mod segments;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::io::Errno;

use vigie_core::clock::Now;
use vigie_core::identity::RunId;
use vigie_core::launch::Overflow;
use vigie_core::logindex::Kind;
use vigie_os::splice::{self, Moved};
use vigie_wire::keeper::What;

use loss::Loss;
use segments::{Segments, Source};

/// A pipe that was found half full grows to this. Not from the start: an ordinary user has 64 MiB for all pipes
/// together (`/proc/sys/fs/pipe-user-pages-soft`), and most services never need more than the usual 64 KiB.
const LARGE_PIPE: usize = 1 << 20;

/// The output of one run.
#[derive(Debug)]
pub(crate) struct Output {
    streams: [Stream; 2],
    segments: Segments,
    overflow: Overflow,
    run: RunId,
    null: OwnedFd,
    loss: Loss,
}

/// What one [`Output::take`] did.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    /// So many bytes left the pipe.
    pub(crate) bytes: usize,
    /// Is to be told.
    pub(crate) tell: Option<What>,
}

#[derive(Debug)]
struct Stream {
    kind: Kind,
    /// Until nobody can write to it any more.
    pipe: Option<OwnedFd>,
    large: bool,
}

impl Output {
    /// Makes the pipes; gives back the ends to write to: standard output, standard error.
    ///
    /// # Errors
    /// Those of pipe2(2), and of opening `/dev/null`.
    pub(crate) fn new(
        dir: &Path,
        max_size: u64,
        keep: u32,
        overflow: Overflow,
        run: RunId,
        null: OwnedFd,
    ) -> Result<(Self, [OwnedFd; 2]), Errno> {
        let (out, out_write) = splice::output_pipe()?;
        let (err, err_write) = splice::output_pipe()?;
        let stream = |kind, pipe| Stream { kind, pipe: Some(pipe), large: false };
        let output = Self {
            streams: [stream(Kind::Out, out), stream(Kind::Err, err)],
            segments: Segments::new(dir, max_size, keep),
            overflow,
            run,
            null,
            loss: Loss::default(),
        };
        Ok((output, [out_write, err_write]))
    }

    /// The pipes that can still bring something, each with its number for [`Output::take`].
    pub(crate) fn pipes(&self) -> impl Iterator<Item = (usize, BorrowedFd<'_>)> {
        self.streams.iter().enumerate().filter_map(|(number, stream)| Some((number, stream.pipe.as_ref()?.as_fd())))
    }

    /// Moves once what is in one of the pipes.
    pub(crate) fn take(&mut self, number: usize, now: Now) -> Taken {
        let stream = &mut self.streams[number];
        let Some(pipe) = &stream.pipe else { return Taken::default() };
        if !stream.large && fill(pipe).is_some_and(|(held, size)| held >= size / 2) {
            splice::grow(pipe, LARGE_PIPE);
            stream.large = true;
        }
        let source = Source { pipe: pipe.as_fd(), kind: stream.kind, run: self.run };
        match self.segments.take(source, self.loss.unentered(), now) {
            Moved::Bytes(bytes) => {
                let told = self.loss.entered();
                let dropped = match self.overflow {
                    Overflow::Block => 0,
                    Overflow::Drop => drop_overflow(pipe, &self.null),
                };
                let why = || "the service wrote faster than the disk took it (log.overflow = \"drop\")".to_owned();
                Taken { bytes: bytes + dropped, tell: self.loss.add(dropped, why, now.mono).or(told) }
            }
            Moved::Nothing => Taken::default(),
            Moved::End => {
                stream.pipe = None;
                Taken::default()
            }
            Moved::Failed { errno, lost } => {
                let held = fill(pipe).map_or(0, |(held, _)| held);
                let lost = lost + discard(pipe, &self.null, held);
                let dir = self.segments.dir();
                let why = || format!("cannot write the log in {}: {}", dir.display(), std::io::Error::from(errno));
                Taken { bytes: lost, tell: self.loss.add(lost, why, now.mono) }
            }
        }
    }

    /// The tree is empty: moves what its processes left in the pipes, and hardly more than that. Somebody outside of the
    /// tree may hold an end and go on writing; that must neither hang the keeper nor count as this run's output.
    pub(crate) fn flush(&mut self, now: Now, mut tell: impl FnMut(What)) {
        for number in 0..self.streams.len() {
            let mut left = self.streams[number].pipe.as_ref().and_then(fill).map_or(0, |(held, _)| held);
            while left > 0 {
                let taken = self.take(number, now);
                taken.tell.map(&mut tell);
                if taken.bytes == 0 {
                    break;
                }
                left = left.saturating_sub(taken.bytes);
            }
            self.streams[number].pipe = None;
        }
        let unentered = self.loss.unentered();
        if unentered > 0 {
            self.segments.enter_loss(unentered, self.run, now.wall);
            self.loss.entered().map(&mut tell);
        }
    }
}

fn fill(pipe: &OwnedFd) -> Option<(usize, usize)> {
    splice::fill(pipe).ok()
}

/// A service that must never wait: when its pipe is nearly full although it was just emptied, the content goes.
fn drop_overflow(pipe: &OwnedFd, null: &OwnedFd) -> usize {
    match fill(pipe) {
        Some((held, size)) if held >= size / 4 * 3 => discard(pipe, null, held),
        _ => 0,
    }
}

fn discard(pipe: &OwnedFd, null: &OwnedFd, bytes: usize) -> usize {
    let mut gone = 0;
    while gone < bytes {
        match splice::discard(pipe.as_fd(), null.as_fd(), bytes - gone) {
            Moved::Bytes(more) => gone += more,
            Moved::Nothing | Moved::End | Moved::Failed { .. } => break,
        }
    }
    gone
}

#[cfg(test)]
mod tests;
