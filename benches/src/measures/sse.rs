//! What the event stream costs, and how late it tells.

use std::io::{ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use serde_json::json;
use vigie_os::clock;

use crate::failure::{Failure, Result};
use crate::page::{Page, Table};
use crate::procs;
use crate::samples::{Samples, digits, size, time};
use crate::site::{Arena, Site};
use crate::supervisors::vigie::Vigie;
use crate::supervisors::{Peer, Supervisor as _};
use crate::time::{Stopwatch, pass};

/// So many clients of the stream.
const CLIENTS: usize = 200;

/// So many change something at once when nothing holds them back.
const WRITERS: usize = 4;

/// What came of one load.
struct Seen {
    entries: usize,
    took: Duration,
    delays: Samples,
    resyncs: usize,
    cpu: Duration,
    pss: u64,
}

pub(super) fn measure(site: &Rc<Site>, _: &[Peer]) -> Result<Page> {
    let mut page = Page::new(
        "Event stream",
        &[&format!(
            "{CLIENTS} clients of `/v1/stream` over the Unix socket, all read by one process beside the daemon. Entries are put \
             into the journal over the API (tokens that come and go), each of which waits for the disk. *Delay* is from before \
             the request for an entry is sent until a client has read the entry, the disk included. Processor time and memory \
             are those of the daemon, the storing included. None of the peers has such a stream."
        )],
    );
    let mut table = Table::new([
        "load",
        "entries",
        "entries/s",
        "told/s",
        "delay p50",
        "p99",
        "max",
        "resyncs",
        "% of a core",
        "PSS after",
    ]);
    let mut vigie = Vigie::new(Arena::new(site)?);
    crate::command::output(vigie.verb(&["daemon", "start"]))?;
    let daemon = vigie.daemon()?.ok_or_else(|| Failure::new("the daemon does not answer"))?;
    let socket = vigie.home().join("run/daemon.sock");
    let alone = procs::cost(&[daemon])?.pss;
    let mut crowd = Crowd::new(&socket)?;
    pass(Duration::from_secs(2));
    let before = procs::cost(&[daemon])?;
    let window = site.pick(Duration::from_secs(20), Duration::from_secs(6));
    crowd.read_for(window)?;
    let after = procs::cost(&[daemon])?;
    let idle = (after.cpu.saturating_sub(before.cpu)).as_secs_f64() / window.as_secs_f64() * 100.0;
    let loads = [
        ("20 entries/s", 1, site.pick(400, 60), Some(Duration::from_millis(50))),
        ("100 entries/s", 1, site.pick(1_000, 200), Some(Duration::from_millis(10))),
        ("as fast as they are stored", WRITERS, site.pick(4_000, 800), None),
    ];
    for (name, writers, entries, pace) in loads {
        let seen = crowd.under(&socket, daemon, writers, entries, pace)?;
        let seconds = seen.took.as_secs_f64();
        table.row([
            name.to_owned(),
            seen.entries.to_string(),
            digits(seen.entries as f64 / seconds),
            digits(seen.delays.len() as f64 / seconds),
            time(seen.delays.median()),
            time(seen.delays.p99()),
            time(seen.delays.max()),
            seen.resyncs.to_string(),
            digits(seen.cpu.as_secs_f64() / seconds * 100.0),
            size(seen.pss),
        ]);
    }
    page.notes.push(format!(
        "Memory of the daemon: {} alone, {} with {CLIENTS} clients to whom nothing was told yet. The heartbeats of all of them \
         every 5 s take {} % of a core.",
        size(alone),
        size(before.pss),
        digits(idle)
    ));
    drop(crowd);
    vigie.shut_down()?;
    page.tables.push(table);
    Ok(page)
}

/// All clients.
struct Crowd(Vec<Client>);

/// A client of the stream.
struct Client {
    stream: UnixStream,
    /// What was read of a line that is not whole.
    rest: Vec<u8>,
    /// How many of the lines that are waited for it has not read yet.
    left: usize,
}

/// What clients have read.
#[derive(Default)]
struct Heard {
    delays: Samples,
    resyncs: usize,
}

impl Crowd {
    /// Connects all, and reads until each has its first event.
    fn new(socket: &Path) -> Result<Self> {
        let mut clients = Vec::with_capacity(CLIENTS);
        for _ in 0..CLIENTS {
            let mut stream = UnixStream::connect(socket).map_err(Failure::io(socket.display()))?;
            stream
                .write_all(b"GET /v1/stream HTTP/1.1\r\nHost: bench\r\n\r\n")
                .map_err(Failure::io("ask for the stream"))?;
            stream.set_nonblocking(true).map_err(Failure::io("read the stream"))?;
            clients.push(Client { stream, rest: Vec::new(), left: 0 });
        }
        let mut crowd = Self(clients);
        crowd.read_until("event: hello", 1, Duration::from_secs(30))?;
        Ok(crowd)
    }

    /// Reads until each client has read so many lines that have this in them.
    fn read_until(&mut self, end: &str, lines: usize, limit: Duration) -> Result<Heard> {
        self.0.iter_mut().for_each(|client| client.left = lines);
        let (mut heard, since) = (Heard::default(), Stopwatch::start());
        while self.0.iter().any(|client| client.left > 0) {
            if since.elapsed() > limit {
                let late = self.0.iter().filter(|client| client.left > 0).count();
                return Err(Failure::new(format!("{late} clients have not read {end:?} within {} s", limit.as_secs())));
            }
            self.turn(end, &mut heard)?;
        }
        Ok(heard)
    }

    fn read_for(&mut self, window: Duration) -> Result<()> {
        let since = Stopwatch::start();
        while since.elapsed() < window {
            self.turn("(nothing)", &mut Heard::default())?;
        }
        Ok(())
    }

    /// Reads once whatever is there.
    fn turn(&mut self, end: &str, heard: &mut Heard) -> Result<()> {
        let mut waiting: Vec<PollFd<'_>> =
            self.0.iter().map(|client| PollFd::new(&client.stream, PollFlags::IN)).collect();
        let timeout = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };
        poll(&mut waiting, Some(&timeout)).map_err(|errno| Failure::io("wait for events")(errno.into()))?;
        let ready: Vec<bool> = waiting.iter().map(|one| !one.revents().is_empty()).collect();
        for (client, _) in self.0.iter_mut().zip(ready).filter(|(_, ready)| *ready) {
            client.read(end, heard)?;
        }
        Ok(())
    }

    /// Puts so many entries into the journal, at a pace, and reads until every client has the last.
    fn under(
        &mut self,
        socket: &Path,
        daemon: u32,
        writers: usize,
        entries: usize,
        pace: Option<Duration>,
    ) -> Result<Seen> {
        let before = procs::cost(&[daemon])?;
        let (since, left) = (Stopwatch::start(), AtomicUsize::new(writers));
        let pairs = entries / 2 / writers;
        // One of its own: what is told of the end of another load is not to end this one.
        let end = format!("end-of-{writers}-{entries}");
        let heard = std::thread::scope(|scope| {
            let write = |number: usize| {
                let mut writer = Writer::new(socket)?;
                for round in 0..pairs {
                    writer.pair(&format!("w{number}-{round}"), pace)?;
                }
                if left.fetch_sub(1, Ordering::AcqRel) == 1 {
                    writer.pair(&end, None)?;
                }
                Ok::<(), Failure>(())
            };
            let all: Vec<_> = (0..writers).map(|number| scope.spawn(move || write(number))).collect();
            // It comes, and it goes.
            let heard = self.read_until(&end, 2, Duration::from_secs(300));
            for writer in all {
                writer.join().map_err(|_| Failure::new("a writer panicked"))??;
            }
            heard
        })?;
        let took = since.elapsed();
        let after = procs::cost(&[daemon])?;
        Ok(Seen {
            entries: 2 * pairs * writers + 2,
            took,
            delays: heard.delays,
            resyncs: heard.resyncs,
            cpu: after.cpu.saturating_sub(before.cpu),
            pss: after.pss,
        })
    }
}

impl Client {
    fn read(&mut self, end: &str, heard: &mut Heard) -> Result<()> {
        let mut buffer = [0; 64 << 10];
        match self.stream.read(&mut buffer) {
            Ok(0) => return Err(Failure::new("the daemon closed a stream")),
            Ok(count) => self.rest.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(Failure::io("read the stream")(error)),
        }
        let now = clock::now().wall.0;
        let mut begin = 0;
        while let Some(length) = self.rest[begin..].iter().position(|byte| *byte == b'\n') {
            let line = String::from_utf8_lossy(&self.rest[begin..begin + length]);
            begin += length + 1;
            heard.resyncs += usize::from(line.starts_with("event: resync"));
            if let Some(sent) = sent(&line) {
                heard.delays.add(Duration::from_nanos(now.saturating_sub(sent)));
            }
            self.left = self.left.saturating_sub(usize::from(line.contains(end)));
        }
        self.rest.drain(..begin);
        Ok(())
    }
}

/// When the request for the entry in this line was sent: it stands in the folder of who asked.
fn sent(line: &str) -> Option<u64> {
    let rest = line.split_once(" in /sent/")?.1;
    rest.split_once(' ')?.0.parse().ok()
}

/// Somebody who changes something again and again.
struct Writer(UnixStream);

impl Writer {
    fn new(socket: &Path) -> Result<Self> {
        Ok(Self(UnixStream::connect(socket).map_err(Failure::io(socket.display()))?))
    }

    /// A token comes, and goes.
    fn pair(&mut self, name: &str, pace: Option<Duration>) -> Result<()> {
        let add = json!({"add_token": {"name": name, "right": "read", "sha256": "00".repeat(32)}});
        for change in [add, json!({"remove_token": name})] {
            let since = Stopwatch::start();
            self.change(&change)?;
            if let Some(pace) = pace {
                pass(pace.saturating_sub(since.elapsed()));
            }
        }
        Ok(())
    }

    fn change(&mut self, change: &serde_json::Value) -> Result<()> {
        let cwd = format!("/sent/{}", clock::now().wall.0);
        let origin = json!({"uid": 0, "user": "bench", "terminal": null, "pid": 1, "cwd": cwd});
        let body = json!({"change": change, "origin": origin}).to_string();
        let request = format!(
            "POST /v1/access HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.0.write_all(request.as_bytes()).map_err(Failure::io("ask for a change"))?;
        let (mut answer, mut buffer) = (Vec::new(), [0; 16 << 10]);
        loop {
            let count = self.0.read(&mut buffer).map_err(Failure::io("ask for a change"))?;
            answer.extend_from_slice(&buffer[..count]);
            let text = String::from_utf8_lossy(&answer);
            if count == 0 || !text.starts_with("HTTP/1.1 200") {
                return Err(Failure::new(format!("a change was refused: {text}")));
            }
            // The body is one object, whose last field is the list of tokens.
            if text.ends_with("]}") {
                return Ok(());
            }
        }
    }
}
