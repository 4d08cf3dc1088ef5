//! One of many: `crowd FIFO LISTENERS OTHERS` listens on that many ports of 127.0.0.1, opens that many other descriptors,
//! says that it runs as `idle` does, and waits.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpListener;

use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let [fifo, listeners, others] = args.as_slice() else { return Err("usage: crowd FIFO LISTENERS OTHERS".into()) };
    let sockets = (0..listeners.parse()?).map(|_: u32| TcpListener::bind("127.0.0.1:0"));
    let sockets: Vec<TcpListener> = sockets.collect::<Result<_, _>>()?;
    let files = (0..others.parse()?).map(|_: u32| File::open("/dev/null"));
    let files: Vec<File> = files.collect::<Result<_, _>>()?;
    let now = clock_gettime(ClockId::Boottime);
    let line = format!("{} {}\n", std::process::id(), now.tv_sec * 1_000_000_000 + now.tv_nsec);
    // One write of less than PIPE_BUF bytes: lines of many writers never mix (pipe(7)).
    File::options().write(true).open(fifo)?.write_all(line.as_bytes())?;
    loop {
        std::thread::park();
        // Parked threads may wake for no reason; both are held until the process is ended.
        let _ = (&sockets, &files);
    }
}
