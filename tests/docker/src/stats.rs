//! `GET /containers/ID/stats`: streamed, of two samples, of one.

use std::io::{self, Write};
use std::time::Duration;

use serde_json::{Value, json};

use crate::answer::pieces;
use crate::engine::Shared;
use crate::faults::{Kind, Wrong};
use crate::shapes::{gone, rfc3339};
use crate::state::State;

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// Of four processors, what a container uses between two samples that lie a second apart: half of one.
const USED: u64 = SECOND / 2;

/// Without `stream`. With `one-shot` there is no sample before.
pub(crate) fn once(state: &mut State, id: &str, query: &str) -> (u16, String) {
    let one_shot = query.split('&').any(|pair| matches!(pair, "one-shot=true" | "one-shot=1"));
    match sample(state, id, !one_shot) {
        Some(sample) => (200, sample.to_string()),
        None => gone(state, id),
    }
}

/// With `stream`: a sample a second. The first has none before it.
pub(crate) fn stream(shared: &Shared, stream: &mut impl Write, id: &str) -> io::Result<()> {
    let mut is_first = true;
    loop {
        let mut state = shared.lock();
        if state.is_over {
            return Ok(());
        }
        let Some(sample) = sample(&mut state, id, !is_first) else {
            let (status, body) = gone(&state, id);
            drop(state);
            if is_first {
                let head = format!("HTTP/1.1 {status} Fake\r\nContent-Length: {}\r\n\r\n", body.len());
                stream.write_all(head.as_bytes())?;
                return stream.write_all(body.as_bytes());
            }
            return stream.write_all(b"0\r\n\r\n");
        };
        let split = state.faults.split;
        drop(state);
        if std::mem::take(&mut is_first) {
            stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
        }
        let line = format!("{sample}\n");
        pieces(stream, line.as_bytes(), Some(if split == 0 { line.len() } else { split }))?;
        drop(shared.wait(shared.lock(), Duration::from_secs(1)));
    }
}

/// What a container uses grows by half a processor-second with each sample, whatever time has passed: a test knows what to
/// expect.
fn sample(state: &mut State, id: &str, with_previous: bool) -> Option<Value> {
    let (now, kind, wrong) = (state.now(), state.faults.kind, state.faults.counters);
    let names_os = state.faults.version() >= (1, 52);
    let container = state.containers.get_mut(id)?;
    container.asked += 1;
    if !matches!(container.state, "running" | "paused") {
        // As moby does: names, and no numbers.
        return Some(json!({ "id": id, "name": format!("/{}", container.name), "read": "0001-01-01T00:00:00Z",
            "preread": "0001-01-01T00:00:00Z", "cpu_stats": {}, "precpu_stats": {}, "memory_stats": {} }));
    }
    let asked = match wrong {
        Wrong::Reset => 1,
        Wrong::Backwards => 1_000_u64.saturating_sub(container.asked),
        Wrong::Nothing | Wrong::NoSystem | Wrong::NoMemory => container.asked,
    };
    let previous = if wrong == Wrong::Backwards { asked + 1 } else { asked.saturating_sub(1) };
    let mut sample = json!({
        "id": id,
        "name": format!("/{}", container.name),
        "read": rfc3339(now),
        "preread": if with_previous { rfc3339(now.saturating_sub(SECOND)) } else { "0001-01-01T00:00:00Z".to_owned() },
        "num_procs": if kind == Kind::Windows { 4 } else { 0 },
        "cpu_stats": cpu(kind, wrong, asked),
        "precpu_stats": if with_previous { cpu(kind, wrong, previous) } else { no_cpu() },
        "memory_stats": memory(kind, wrong),
        "networks": { "eth0": { "rx_bytes": asked * 1000, "tx_bytes": asked * 500 } },
    });
    match kind {
        Kind::Windows => {
            sample["storage_stats"] = json!({ "read_size_bytes": asked * 4096, "write_size_bytes": asked * 512 });
        }
        _ => {
            let (read, write) = if kind == Kind::DockerV1 { ("Read", "Write") } else { ("read", "write") };
            let entry = |op: &str, value: u64| json!({ "major": 8, "minor": 0, "op": op, "value": value });
            sample["blkio_stats"] =
                json!({ "io_service_bytes_recursive": [entry(read, asked * 4096), entry(write, asked * 512)] });
            sample["pids_stats"] = json!({ "current": 3, "limit": 100 });
        }
    }
    if names_os {
        sample["os_type"] = if kind == Kind::Windows { "windows" } else { "linux" }.into();
    }
    Some(sample)
}

fn no_cpu() -> Value {
    json!({ "cpu_usage": { "total_usage": 0, "usage_in_kernelmode": 0, "usage_in_usermode": 0 } })
}

fn cpu(kind: Kind, wrong: Wrong, samples: u64) -> Value {
    // Windows counts in units of 100 ns.
    let total = if kind == Kind::Windows { samples * USED / 100 } else { samples * USED };
    let mut cpu = json!({
        "cpu_usage": { "total_usage": total, "usage_in_kernelmode": total / 4, "usage_in_usermode": total / 4 * 3 },
        "throttling_data": { "periods": 0, "throttled_periods": 0, "throttled_time": 0 },
    });
    if kind == Kind::DockerV1 {
        cpu["cpu_usage"]["percpu_usage"] = json!([total / 4, total / 4, total / 4, total / 4]);
    }
    if kind != Kind::Windows && wrong != Wrong::NoSystem {
        // Podman takes it from the cgroup: it is no clock of the machine.
        cpu["system_cpu_usage"] = if kind.is_podman() { total } else { samples * 4 * SECOND }.into();
        cpu["online_cpus"] = 4.into();
    }
    cpu
}

fn memory(kind: Kind, wrong: Wrong) -> Value {
    let (used, cache) = (96_u64 << 20, 32_u64 << 20);
    match kind {
        _ if wrong == Wrong::NoMemory => json!({}),
        Kind::Windows => json!({ "commitbytes": used, "commitpeakbytes": used, "privateworkingset": used - cache }),
        Kind::DockerV1 => json!({ "usage": used, "max_usage": used, "limit": 8_u64 << 30,
            "stats": { "cache": cache, "inactive_file": cache / 2, "total_inactive_file": cache } }),
        Kind::DockerV2 | Kind::Podman | Kind::OldPodman => {
            json!({ "usage": used, "limit": 8_u64 << 30, "stats": { "inactive_file": cache, "file": cache } })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(kind: Kind, api: &str) -> State {
        let mut state = State::default();
        (state.faults.kind, state.faults.api) = (kind, api.to_owned());
        state.happen("start", "a", &[]);
        state
    }

    fn used(state: &mut State) -> (u64, u64) {
        let (status, body) = once(state, "a", "stream=false&one-shot=true");
        assert_eq!(status, 200);
        let sample: Value = serde_json::from_str(&body).expect("JSON");
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        (number(&sample["cpu_stats"]["cpu_usage"]["total_usage"]), number(&sample["cpu_stats"]["system_cpu_usage"]))
    }

    #[test]
    fn counters_grow_unless_they_are_wrong() {
        let mut state = state(Kind::DockerV2, "1.41");
        let (first, second) = (used(&mut state), used(&mut state));
        assert_eq!((second.0 - first.0, second.1 - first.1), (USED, 4 * SECOND));
        state.faults.counters = Wrong::Reset;
        assert_eq!(used(&mut state).0, USED);
        state.faults.counters = Wrong::Backwards;
        assert!(used(&mut state).0 > used(&mut state).0);
        state.faults.counters = Wrong::NoSystem;
        assert_eq!(used(&mut state).1, 0);
    }

    #[test]
    fn shapes_by_kind_and_version() {
        for (kind, api, os, limit, working_set) in [
            (Kind::DockerV1, "1.41", None, true, false),
            (Kind::DockerV2, "1.52", Some("linux"), true, false),
            (Kind::Windows, "1.53", Some("windows"), false, true),
        ] {
            let (_, body) = once(&mut state(kind, api), "a", "stream=false");
            let sample: Value = serde_json::from_str(&body).expect("JSON");
            let memory = &sample["memory_stats"];
            let seen = (sample["os_type"].as_str(), memory["limit"].is_u64(), memory["privateworkingset"].is_u64());
            assert_eq!(seen, (os, limit, working_set), "{kind:?}");
        }
        assert_eq!(once(&mut State::default(), "a", "").0, 404);
    }
}
