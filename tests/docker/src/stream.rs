//! `GET /events`.

use std::io::{self, Write};
use std::time::Duration;

use crate::answer::pieces;
use crate::engine::Shared;
use crate::faults::Faults;
use crate::state::Event;

/// How long a stream waits before it looks whether it was given up.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// Tells events from `since` on, to `until` or for ever, as the query says it.
pub(crate) fn serve(shared: &Shared, stream: &mut impl Write, query: &str) -> io::Result<()> {
    let since = number(query, "since").unwrap_or(u64::MAX);
    let until = number(query, "until");
    let mut state = shared.lock();
    let generation = state.generation;
    let api = state.faults.api.clone();
    let listener = state.listen(since);
    drop(state);
    let ended = tell(shared, stream, listener, generation, until, &api);
    shared.lock().listeners.remove(&listener);
    ended
}

fn tell(
    shared: &Shared,
    stream: &mut impl Write,
    listener: u64,
    generation: u64,
    until: Option<u64>,
    api: &str,
) -> io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nApi-Version: {api}\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    loop {
        let mut state = shared.lock();
        if state.is_over || state.generation != generation {
            return Ok(());
        }
        let faults = state.faults.clone();
        if faults.is_deaf || state.is_frozen {
            drop(shared.wait(state, LOOK_AGAIN));
            continue;
        }
        let Some(waiting) = state.listeners.get_mut(&listener).map(|listener| &mut listener.waiting) else {
            return Ok(());
        };
        let mut events: Vec<Event> = waiting.drain(..).collect();
        if let Some(until) = until {
            events.retain(|event| event.at <= until);
        }
        if events.is_empty() && until.is_none() {
            drop(shared.wait(state, LOOK_AGAIN));
            continue;
        }
        drop(state);
        let bytes = text(events, &faults);
        pieces(stream, &bytes, Some(if faults.split == 0 { bytes.len().max(1) } else { faults.split }))?;
        if until.is_some() {
            return stream.write_all(b"0\r\n\r\n");
        }
    }
}

fn text(mut events: Vec<Event>, faults: &Faults) -> Vec<u8> {
    if faults.reorders > 1 {
        events.chunks_mut(faults.reorders).for_each(<[Event]>::reverse);
    }
    let mut bytes = Vec::with_capacity(events.iter().map(|event| event.line.len()).sum());
    for event in &events {
        for _ in 0..=u8::from(faults.doubles) {
            bytes.extend_from_slice(event.line.as_bytes());
        }
        if faults.babbles {
            bytes.extend_from_slice("{\"Type\":\n\u{1f433}\n".as_bytes());
            bytes.extend_from_slice(b"{\"Type\":\"wormhole\",\"Action\":\"opened\",\"timeNano\":1}\n\xff\xfe\xc3\n");
        }
    }
    bytes
}

/// `since=1700000000.000000001`, or without a fraction, as nanoseconds.
fn number(query: &str, name: &str) -> Option<u64> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='))?;
    let (seconds, nanos) = value.split_once('.').unwrap_or((value, "0"));
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000_000)?.checked_add(nanos.parse::<u64>().ok()?)
}
