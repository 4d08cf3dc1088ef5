//! The talkative service: `emit lines COUNT REPORT` writes numbered lines of 100 bytes, `emit blob BYTES REPORT` the same
//! bytes without a newline. It measures itself: REPORT gets the nanoseconds from the first write until whoever reads its
//! standard output has taken the last byte out of the pipe. Then it waits.

use std::fs::File;
use std::io::Write as _;
use std::path::PathBuf;

use rustix::thread::nanosleep;
use rustix::time::{ClockId, Timespec, clock_gettime};

/// How long a line is, its newline included.
const LINE: usize = 100;

/// How many lines are written at once: what a pipe holds by default.
const BATCH: usize = 65536 / LINE;

/// How often the pipe is asked whether it is empty.
const POLL: Timespec = Timespec { tv_sec: 0, tv_nsec: 20_000 };

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [kind, count, report] = args.as_slice() else {
        return Err("usage: emit lines COUNT REPORT | emit blob BYTES REPORT".into());
    };
    let count: usize = count.parse()?;
    let report = PathBuf::from(report);
    let output = std::io::stdout();
    // Past the line buffer of the standard library, which would cut the writes at newlines.
    let mut sink = File::from(rustix::io::dup(&output)?);
    let begin = nanoseconds();
    match kind.as_str() {
        "lines" => lines(&mut sink, count, b'\n')?,
        "blob" => lines(&mut sink, count / LINE, b'_')?,
        _ => return Err(format!("what is {kind}?").into()),
    }
    while rustix::io::ioctl_fionread(&output)? > 0 {
        // A signal that cuts it short only makes the next question come earlier.
        let _ = nanosleep(&POLL);
    }
    let took = nanoseconds() - begin;
    // Whole or not there: the measurer waits for the name.
    let draft = report.with_extension("draft");
    std::fs::write(&draft, took.to_string())?;
    std::fs::rename(draft, report)?;
    loop {
        std::thread::park();
    }
}

/// Writes `count` lines. Nearly all of a line stays as it is: only its number is counted up, in place, so that the writer
/// costs little beside the reader that is measured.
fn lines(sink: &mut File, count: usize, end: u8) -> std::io::Result<()> {
    let mut batch: Vec<u8> = Vec::with_capacity(BATCH * LINE);
    let mut line = first_line(end);
    let mut left = count;
    while left > 0 {
        batch.clear();
        for _ in 0..left.min(BATCH) {
            batch.extend_from_slice(&line);
            count_up(&mut line);
        }
        sink.write_all(&batch)?;
        left -= left.min(BATCH);
    }
    Ok(())
}

/// The first line; the same text stands in `measures/logs.rs`, which compares every byte.
fn first_line(end: u8) -> [u8; LINE] {
    let mut line = [b'.'; LINE];
    line[..12].fill(b'0');
    line[12] = b' ';
    line[LINE - 1] = end;
    line
}

/// Adds one to the twelve digits.
fn count_up(line: &mut [u8; LINE]) {
    for digit in line[..12].iter_mut().rev() {
        if *digit < b'9' {
            *digit += 1;
            return;
        }
        *digit = b'0';
    }
}

fn nanoseconds() -> i64 {
    let now = clock_gettime(ClockId::Boottime);
    now.tv_sec * 1_000_000_000 + now.tv_nsec
}
