//! Moving bytes from a pipe to a file without looking at them (splice(2)).

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, SpliceFlags};

/// Bytes that a copy through memory moves at once, where splicing is not possible.
const CHUNK: usize = 16 << 10;

/// A pipe: the end to read, which never blocks, and the end to write, which does.
///
/// # Errors
/// `EMFILE`, `ENFILE`, `ENOMEM`.
pub fn output_pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK)?;
    Ok((read, write))
}

/// How full a pipe is: bytes in it, bytes that it can hold.
///
/// # Errors
/// `EBADF` when it is no pipe.
pub fn fill(pipe: impl AsFd) -> Result<(usize, usize), Errno> {
    let held = usize::try_from(rustix::io::ioctl_fionread(pipe.as_fd())?).unwrap_or(usize::MAX);
    Ok((held, rustix::pipe::fcntl_getpipe_size(pipe.as_fd())?))
}

/// Makes a pipe larger, if the kernel allows it (`/proc/sys/fs/pipe-max-size`, pipe(7)); else it stays as it is.
pub fn grow(pipe: impl AsFd, size: usize) {
    let _ = rustix::pipe::fcntl_setpipe_size(pipe, size);
}

/// What became of bytes that were to be moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// So many are in the file.
    Bytes(usize),
    /// The pipe is empty now.
    Nothing,
    /// The pipe is empty and nobody can write to it any more.
    End,
    /// The file does not take them.
    Failed {
        /// Why.
        errno: Errno,
        /// So many were taken out of the pipe and are gone; the others are still in it.
        lost: usize,
    },
}

/// Moves up to `limit` bytes from `pipe` to `file` at `offset`. Neither blocks on the pipe nor moves the file's position.
pub fn pipe_to_file(pipe: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, limit: usize) -> Moved {
    let mut at = offset;
    loop {
        return match rustix::pipe::splice(pipe, None, file, Some(&mut at), limit, SpliceFlags::NONBLOCK) {
            Ok(0) => Moved::End,
            Ok(bytes) => Moved::Bytes(bytes),
            Err(Errno::AGAIN) => Moved::Nothing,
            Err(Errno::INTR) => continue,
            // A file system that cannot be spliced to.
            Err(Errno::INVAL) => copy(pipe, file, offset, limit),
            Err(errno) => Moved::Failed { errno, lost: 0 },
        };
    }
}

/// Takes up to `limit` bytes out of `pipe` and forgets them: into `/dev/null`, which the caller has opened.
pub fn discard(pipe: BorrowedFd<'_>, null: BorrowedFd<'_>, limit: usize) -> Moved {
    loop {
        return match rustix::pipe::splice(pipe, None, null, None, limit, SpliceFlags::NONBLOCK) {
            Ok(0) => Moved::End,
            Ok(bytes) => Moved::Bytes(bytes),
            Err(Errno::AGAIN) => Moved::Nothing,
            Err(Errno::INTR) => continue,
            Err(errno) => Moved::Failed { errno, lost: 0 },
        };
    }
}

/// [`pipe_to_file`] through memory.
pub fn copy(pipe: BorrowedFd<'_>, file: BorrowedFd<'_>, offset: u64, limit: usize) -> Moved {
    let mut buffer = [0; CHUNK];
    let wanted = limit.min(CHUNK);
    let read = loop {
        match rustix::io::read(pipe, &mut buffer[..wanted]) {
            Ok(0) => return Moved::End,
            Ok(read) => break read,
            Err(Errno::AGAIN) => return Moved::Nothing,
            Err(Errno::INTR) => {}
            Err(errno) => return Moved::Failed { errno, lost: 0 },
        }
    };
    match write_at(file, &buffer[..read], offset) {
        (_, Ok(())) => Moved::Bytes(read),
        // The beginning is in the file. Telling of it would leave the rest uncounted, so it is counted as lost, and the
        // next bytes overwrite it.
        (_, Err(errno)) => Moved::Failed { errno, lost: read },
    }
}

/// Writes everything at `offset`; tells how many bytes are in the file, and what stopped it.
pub fn write_at(file: BorrowedFd<'_>, bytes: &[u8], offset: u64) -> (usize, Result<(), Errno>) {
    let mut written = 0;
    while written < bytes.len() {
        match rustix::io::pwrite(file, &bytes[written..], offset + written as u64) {
            Ok(0) => return (written, Err(Errno::IO)),
            Ok(more) => written += more,
            Err(Errno::INTR) => {}
            Err(errno) => return (written, Err(errno)),
        }
    }
    (written, Ok(()))
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Seek as _, SeekFrom, Write as _};

    use super::*;

    /// A pipe with `content` in it, its writer closed.
    fn pipe_with(content: &[u8]) -> OwnedFd {
        let (read, write) = output_pipe().unwrap();
        std::fs::File::from(write).write_all(content).unwrap();
        read
    }

    #[test]
    fn bytes_arrive_at_their_offset_by_either_way() {
        for way in [pipe_to_file, copy] {
            let mut file = tempfile();
            let pipe = pipe_with(b"abc\0\xff\n");
            assert_eq!(way(pipe.as_fd(), file.as_fd(), 2, 4), Moved::Bytes(4));
            assert_eq!(way(pipe.as_fd(), file.as_fd(), 6, 100), Moved::Bytes(2));
            assert_eq!(way(pipe.as_fd(), file.as_fd(), 8, 100), Moved::End);
            let mut content = Vec::new();
            file.seek(SeekFrom::Start(0)).unwrap();
            file.read_to_end(&mut content).unwrap();
            assert_eq!(content, b"\0\0abc\0\xff\n");
        }
    }

    #[test]
    fn an_empty_pipe_does_not_block() {
        let (read, _write) = output_pipe().unwrap();
        assert_eq!(pipe_to_file(read.as_fd(), tempfile().as_fd(), 0, 10), Moved::Nothing);
        assert_eq!(fill(&read).unwrap().0, 0);
    }

    #[test]
    fn a_full_disk_loses_nothing_that_was_not_taken() {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
        let pipe = pipe_with(b"abc");
        // Splicing to a device goes its own way; copying must say what it took.
        assert_eq!(copy(pipe.as_fd(), full.as_fd(), 0, 10), Moved::Failed { errno: Errno::NOSPC, lost: 3 });
        let null = std::fs::OpenOptions::new().write(true).open("/dev/null").unwrap();
        let pipe = pipe_with(b"abc");
        assert_eq!(discard(pipe.as_fd(), null.as_fd(), 2), Moved::Bytes(2));
        assert_eq!(fill(&pipe).unwrap().0, 1);
    }

    fn tempfile() -> std::fs::File {
        let file = rustix::fs::memfd_create(c"splice", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        file.into()
    }
}
