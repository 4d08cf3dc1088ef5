//! An engine for tests: as much of the API as a source needs, from a model of an engine with a ring of 256 events, and with
//! faults on demand.
//!
//! It serves a Unix socket from a thread of its own. What it does wrong, [`Faults`] says; what happens to its containers, a
//! test says.

use std::collections::{BTreeMap, VecDeque};
use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What an engine keeps.
const RING: usize = 256;

/// How long a stream waits before it looks whether it was given up.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// What it does wrong.
#[derive(Debug, Clone)]
pub struct Faults {
    /// The version of the API that it names.
    pub api: &'static str,
    /// Events bear type, action and actor a second time, as those before 29 do.
    pub repeats_fields: bool,
    /// Every answer takes so long.
    pub slow: Duration,
    /// Lines of events arrive in pieces of so many bytes, wherever that cuts them; 0: whole.
    pub split: usize,
    /// Each event comes twice.
    pub doubles: bool,
    /// Between events come lines that nobody understands, and events of types that nobody knows.
    pub babbles: bool,
    /// Streams stay open, and nothing comes any more.
    pub is_deaf: bool,
    /// Its clock, in seconds beside ours.
    pub skew: i64,
    /// Lists are followed by so many bytes of white space.
    pub bloat: usize,
    /// It answers everything with status 500.
    pub is_broken: bool,
}

impl Default for Faults {
    fn default() -> Self {
        Self {
            api: "1.41",
            repeats_fields: true,
            slow: Duration::ZERO,
            split: 0,
            doubles: false,
            babbles: false,
            is_deaf: false,
            skew: 0,
            bloat: 0,
            is_broken: false,
        }
    }
}

#[derive(Debug, Clone)]
struct Event {
    at: u64,
    line: String,
}

#[derive(Debug, Default)]
struct State {
    faults: Faults,
    containers: BTreeMap<String, &'static str>,
    /// With their numbers, so that streams know where they are.
    ring: VecDeque<(u64, Event)>,
    next: u64,
    last: u64,
    /// Streams of earlier ones end.
    generation: u64,
    requests: Vec<String>,
    is_over: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// One of them. Dropping it ends it.
#[derive(Debug)]
pub struct Model {
    shared: Arc<Shared>,
    socket: PathBuf,
    _dir: tempfile::TempDir,
}

impl Model {
    /// Starts one with these faults.
    ///
    /// # Panics
    /// When there is no folder or socket to be had.
    #[allow(clippy::new_without_default, reason = "it starts a thread")]
    pub fn start(faults: Faults) -> Self {
        let dir = tempfile::tempdir().expect("a folder");
        let socket = dir.path().join("engine.sock");
        let listener = UnixListener::bind(&socket).expect("bound");
        let shared = Arc::new(Shared::default());
        shared.lock().faults = faults;
        let serving = Arc::clone(&shared);
        std::thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                if serving.lock().is_over {
                    return;
                }
                let shared = Arc::clone(&serving);
                std::thread::spawn(move || shared.serve(stream));
            }
        });
        Self { shared, socket, _dir: dir }
    }

    /// Where it listens.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// From now on it does this wrong.
    pub fn set(&self, change: impl FnOnce(&mut Faults)) {
        change(&mut self.shared.lock().faults);
        self.shared.changed.notify_all();
    }

    /// Paths that were asked for, until now.
    pub fn requests(&self) -> Vec<String> {
        self.shared.lock().requests.clone()
    }

    /// Something happens to a container: its state follows.
    pub fn happen(&self, action: &str, id: &str) {
        let mut state = self.shared.lock();
        match action {
            "create" => drop(state.containers.insert(id.to_owned(), "created")),
            "start" | "restart" | "unpause" => drop(state.containers.insert(id.to_owned(), "running")),
            "pause" => drop(state.containers.insert(id.to_owned(), "paused")),
            "die" | "stop" => drop(state.containers.insert(id.to_owned(), "exited")),
            "destroy" => drop(state.containers.remove(id)),
            _ => {}
        }
        state.tell("container", action, id);
        drop(state);
        self.shared.changed.notify_all();
    }

    /// A container changes and no event tells of it, as when a listener is too slow.
    pub fn change_silently(&self, id: &str, to: Option<&'static str>) {
        let mut state = self.shared.lock();
        match to {
            Some(to) => drop(state.containers.insert(id.to_owned(), to)),
            None => drop(state.containers.remove(id)),
        }
    }

    /// All streams break.
    pub fn break_streams(&self) {
        self.shared.lock().generation += 1;
        self.shared.changed.notify_all();
    }

    /// It is restarted: streams break, events are forgotten, what ran has ended.
    pub fn restart(&self) {
        let mut state = self.shared.lock();
        state.generation += 1;
        state.ring.clear();
        for container in state.containers.values_mut().filter(|state| **state != "created") {
            *container = "exited";
        }
        state.tell("network", "create", "bridge");
        drop(state);
        self.shared.changed.notify_all();
    }
}

impl Drop for Model {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.changed.notify_all();
        // Wakes whoever accepts.
        let _ = UnixStream::connect(&self.socket);
    }
}

impl State {
    fn now(&self) -> u64 {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Realtime);
        let seconds = now.tv_sec + self.faults.skew;
        seconds.unsigned_abs() * 1_000_000_000 + now.tv_nsec.unsigned_abs()
    }

    fn tell(&mut self, kind: &str, action: &str, id: &str) {
        // Times tell events apart: no two have the same.
        self.last = self.now().max(self.last + 1);
        let at = self.last;
        let mut line = format!(
            r#"{{"Type":"{kind}","Action":"{action}","Actor":{{"ID":"{id}","Attributes":{{"name":"{id}-grün","image":"busybox"}}}},"timeNano":{at}"#
        );
        if self.faults.repeats_fields {
            let _ = write!(line, r#","status":"{action}","id":"{id}","from":"busybox","time":{}"#, at / 1_000_000_000);
        }
        line.push_str("}\n");
        self.ring.push_back((self.next, Event { at, line }));
        self.next += 1;
        if self.ring.len() > RING {
            self.ring.pop_front();
        }
    }

    fn list(&self) -> String {
        let entry = |(id, state): (&String, &&str)| {
            format!(r#"{{"Id":"{id}","Names":["/{id}-grün"],"Image":"busybox","State":"{state}","Status":""}}"#)
        };
        let entries: Vec<String> = self.containers.iter().map(entry).collect();
        format!("[{}]{}", entries.join(","), " ".repeat(self.faults.bloat))
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>, time: Duration) -> MutexGuard<'a, State> {
        self.changed.wait_timeout(state, time).unwrap_or_else(PoisonError::into_inner).0
    }

    fn serve(&self, mut stream: UnixStream) {
        let mut request = vec![0; 8192];
        let Ok(length) = stream.read(&mut request) else { return };
        let text = String::from_utf8_lossy(&request[..length]).into_owned();
        let path = text.split(' ').nth(1).unwrap_or_default().to_owned();
        let mut state = self.lock();
        state.requests.push(path.clone());
        let slow = state.faults.slow;
        if !slow.is_zero() {
            state = self.wait(state, slow);
        }
        let path = path.strip_prefix(&format!("/v{}", state.faults.api)).unwrap_or(&path).to_owned();
        let (status, body) = match path.split('?').next().unwrap_or_default() {
            _ if state.faults.is_broken => ("500 Internal Server Error", r#"{"message":"broken"}"#.to_owned()),
            "/_ping" => ("200 OK", "OK".to_owned()),
            "/info" => {
                let now = state.now();
                // 1970-01-01 with more than 24 hours would be no time: days are counted out.
                let time = rfc3339(now);
                ("200 OK", format!(r#"{{"ID":"MODEL","Name":"model","ServerVersion":"0","SystemTime":"{time}"}}"#))
            }
            "/containers/json" => ("200 OK", state.list()),
            "/events" => {
                drop(state);
                return self.stream(stream, &path);
            }
            _ => ("404 Not Found", r#"{"message":"page not found"}"#.to_owned()),
        };
        let api = state.faults.api;
        drop(state);
        let head = format!("HTTP/1.1 {status}\r\nApi-Version: {api}\r\nContent-Length: {}\r\n\r\n", body.len());
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
    }

    fn stream(&self, mut stream: UnixStream, path: &str) {
        let number = |name: &str| {
            let query = path.split_once('?')?.1;
            let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
            let (seconds, nanos) = value.split_once('.').unwrap_or((value, "0"));
            Some(seconds.parse::<u64>().ok()? * 1_000_000_000 + nanos.parse::<u64>().ok()?)
        };
        let (since, until) = (number("since").unwrap_or(u64::MAX), number("until"));
        if stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err() {
            return;
        }
        let mut state = self.lock();
        let generation = state.generation;
        // As moby does it: backwards, up to the first that is older.
        let older = state.ring.iter().rev().find(|(_, event)| event.at < since).map(|(number, _)| number + 1);
        let mut at = older.or(state.ring.front().map(|(number, _)| *number)).unwrap_or(state.next);
        loop {
            if state.is_over || state.generation != generation {
                return;
            }
            let lines: Vec<String> = state
                .ring
                .iter()
                .filter(|(number, event)| *number >= at && until.is_none_or(|until| event.at <= until))
                .map(|(_, event)| event.line.clone())
                .collect();
            let faults = state.faults.clone();
            if !faults.is_deaf {
                at = state.next;
                drop(state);
                let bytes: String = lines.iter().map(|line| faulty(line, &faults)).collect();
                if send(&mut stream, bytes.as_bytes(), faults.split).is_err() {
                    return;
                }
                state = self.lock();
            }
            if until.is_some() {
                drop(state);
                let _ = stream.write_all(b"0\r\n\r\n");
                return;
            }
            if state.next == at || faults.is_deaf {
                state = self.wait(state, LOOK_AGAIN);
            }
        }
    }
}

fn faulty(line: &str, faults: &Faults) -> String {
    let mut text = if faults.doubles { line.repeat(2) } else { line.to_owned() };
    if faults.babbles {
        text.push_str("{\"Type\":\n\u{1f433}\n{\"Type\":\"wormhole\",\"Action\":\"opened\",\"timeNano\":1}\n");
    }
    text
}

fn send(stream: &mut UnixStream, bytes: &[u8], split: usize) -> std::io::Result<()> {
    let size = if split == 0 { bytes.len().max(1) } else { split };
    for piece in bytes.chunks(size) {
        write!(stream, "{:x}\r\n", piece.len())?;
        stream.write_all(piece)?;
        stream.write_all(b"\r\n")?;
    }
    Ok(())
}

/// Of nanoseconds since 1970.
fn rfc3339(nanos: u64) -> String {
    let (seconds, nanos) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let (days, second) = (i64::try_from(seconds / 86_400).unwrap_or(0), seconds % 86_400);
    // The same counting as in `watch`, the other way round.
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + carry;
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanos:09}Z")
}
