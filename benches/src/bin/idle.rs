//! The trivial service: `idle [FIFO]` says once that it runs, as `PID NANOSECONDS` (of `CLOCK_BOOTTIME`), and waits.

use std::io::Write as _;

use rustix::time::{ClockId, clock_gettime};

fn main() -> std::io::Result<()> {
    let now = clock_gettime(ClockId::Boottime);
    if let Some(fifo) = std::env::args_os().nth(1) {
        let line = format!("{} {}\n", std::process::id(), now.tv_sec * 1_000_000_000 + now.tv_nsec);
        // One write of less than PIPE_BUF bytes: lines of many writers never mix (pipe(7)).
        std::fs::OpenOptions::new().write(true).open(fifo)?.write_all(line.as_bytes())?;
    }
    loop {
        std::thread::park();
    }
}
