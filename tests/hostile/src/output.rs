//! Programs that say too much, or nothing any more.

use std::ffi::OsString;
use std::io::Write as _;
use std::time::Duration;

use crate::{Outcome, argument, content, raw, ready, say};

/// How much is written at once: more than a pipe holds.
const CHUNK: usize = 256 << 10;

pub(crate) fn close_output(_: &[OsString]) -> Outcome {
    ready("close-output")?;
    raw::close(1);
    raw::close(2);
    raw::wait_for_ever()
}

pub(crate) fn flood(args: &[OsString]) -> Outcome {
    let length: usize = argument(args, 0)?;
    let has = |word: &str| args.iter().any(|arg| arg == word);
    // Past the line buffer of the standard library, which would cut the writes at newlines.
    let mut out = std::fs::File::from(rustix::io::dup(std::io::stdout())?);
    for from in (0..length).step_by(CHUNK) {
        out.write_all(&content::lines(from, CHUNK.min(length - from), !has("no-newline")))?;
    }
    if has("wait") {
        raw::wait_for_ever();
    }
    Ok(0)
}

pub(crate) fn bytes(args: &[OsString]) -> Outcome {
    let mut out = std::fs::File::from(rustix::io::dup(std::io::stdout())?);
    out.write_all(&content::bytes(argument(args, 0)?))?;
    Ok(0)
}

pub(crate) fn tick(args: &[OsString]) -> Outcome {
    let pause = Duration::from_millis(argument(args, 0)?);
    for number in 0_u64.. {
        say(&format!("tick {number}"))?;
        raw::pass(pause);
    }
    Ok(0)
}
