//! Requests and answers.

use std::io::{self, Read, Write};

use crate::engine::Shared;
use crate::{shapes, stats, stream};

/// The longest head of a request that is read.
const HEAD: usize = 64 << 10;

/// One connection, one request.
pub(crate) fn serve(shared: &Shared, mut stream: impl Read + Write) {
    // A connection that breaks is the business of the other end.
    let _ = converse(shared, &mut stream);
}

fn converse(shared: &Shared, stream: &mut (impl Read + Write)) -> io::Result<()> {
    let Some(target) = request(stream)? else { return Ok(()) };
    let mut state = shared.lock();
    while state.is_frozen && !state.is_over {
        state = shared.wait(state, std::time::Duration::from_secs(1));
    }
    if state.is_gone || state.is_over {
        return Ok(());
    }
    state.requests.push(target.clone());
    let slow = state.faults.slow;
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = unversioned(path);
    let api = state.faults.api.clone();
    let scripted = match state.answers.get_mut(path) {
        Some(answer) if answer.left == Some(0) => None,
        Some(answer) => {
            answer.left = answer.left.map(|left| left - 1);
            Some(answer.clone())
        }
        None => None,
    };
    drop(state);
    pass(shared, slow);
    if let Some(answer) = scripted {
        pass(shared, answer.delay);
        answer.write(stream, &api)?;
        if answer.hangs {
            hang(shared);
        }
        return Ok(());
    }
    if path == "/events" {
        return stream::serve(shared, stream, query);
    }
    let container = path.strip_prefix("/containers/").and_then(|rest| rest.rsplit_once('/'));
    if let Some((id, "stats")) = container
        && !query.split('&').any(|pair| matches!(pair, "stream=false" | "stream=0"))
    {
        return stats::stream(shared, stream, id);
    }
    let (status, body) = {
        let mut state = shared.lock();
        match (path, container) {
            ("/_ping", _) => (200, "OK".to_owned()),
            ("/version", _) => (200, shapes::version(&state)),
            ("/info", _) => (200, shapes::info(&state)),
            ("/system/df", _) => (200, shapes::disk(&state, query)),
            ("/containers/json", _) => (200, shapes::list(&state, query)),
            (_, Some((id, "json"))) => shapes::inspect(&state, id),
            (_, Some((id, "stats"))) => stats::once(&mut state, id, query),
            _ => (404, r#"{"message":"page not found"}"#.to_owned()),
        }
    };
    let podman = shared.lock().faults.kind.is_podman();
    let mut head = format!("HTTP/1.1 {status} Fake\r\n");
    if !api.is_empty() {
        head.push_str(&format!("Api-Version: {api}\r\n"));
    }
    if podman {
        head.push_str("Libpod-Api-Version: 5.0.0\r\n");
    }
    head.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes())?;
    stream.write_all(body.as_bytes())
}

/// What is asked for; absent when whoever came has gone again.
fn request(stream: &mut impl Read) -> io::Result<Option<String>> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece)? {
            0 => return Ok(None),
            count if head.len() + count > HEAD => return Ok(None),
            count => head.extend_from_slice(&piece[..count]),
        }
    }
    let text = String::from_utf8_lossy(&head);
    Ok(text.split(' ').nth(1).map(str::to_owned))
}

/// A path without `/v1.41` before it.
fn unversioned(path: &str) -> &str {
    let Some(rest) = path.strip_prefix("/v") else { return path };
    match rest.find('/') {
        Some(end) if rest[..end].bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') => &rest[end..],
        _ => path,
    }
}

/// Lets time pass, unless the engine ends.
fn pass(shared: &Shared, time: std::time::Duration) {
    let clock = || {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
        std::time::Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
    };
    let end = clock() + time;
    let mut state = shared.lock();
    while !state.is_over && clock() < end {
        state = shared.wait(state, end.saturating_sub(clock()));
    }
}

/// Until the engine ends, or its streams break.
fn hang(shared: &Shared) {
    let mut state = shared.lock();
    let generation = state.generation;
    while !state.is_over && state.generation == generation {
        state = shared.wait(state, std::time::Duration::from_secs(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_without_their_version() {
        for (path, wanted) in [
            ("/v1.41/info", "/info"),
            ("/info", "/info"),
            ("/volumes", "/volumes"),
            ("/v1.53/containers/a/json", "/containers/a/json"),
        ] {
            assert_eq!(unversioned(path), wanted);
        }
    }
}
