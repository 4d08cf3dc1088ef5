//! The bodies of answers, by version and kind of engine.

use serde_json::{Value, json};

use crate::faults::Kind;
use crate::state::{Container, State};

/// Nanoseconds of a second.
const SECOND: u64 = 1_000_000_000;

/// The id of every engine, as long as nobody wants another.
const ID: &str = "FAKE:ENGI:NEOF:ATES:T";

/// `GET /info`
pub(crate) fn info(state: &State) -> String {
    let windows = state.faults.kind == Kind::Windows;
    let (name, root) =
        state.place.as_ref().map_or(("model", "/var/lib/docker"), |(name, root)| (name.as_str(), root.as_str()));
    let counted = |wanted: &str| state.containers.values().filter(|container| container.state == wanted).count();
    let mut info = json!({
        // Podman invents another one for each answer.
        "ID": if state.faults.kind.is_podman() { format!("podman-{}", state.now()) } else { ID.to_owned() },
        "Name": name,
        "ServerVersion": server_version(state),
        "SystemTime": rfc3339(state.now()),
        "OSType": if windows { "windows" } else { "linux" },
        "Architecture": "x86_64",
        "NCPU": 4,
        "MemTotal": 8_u64 << 30,
        "DockerRootDir": root,
        "Driver": if windows { "windowsfilter" } else { "overlay2" },
        "DriverStatus": [["Backing Filesystem", "extfs"]],
        "Containers": state.containers.len(),
        "ContainersRunning": counted("running"),
        "ContainersPaused": counted("paused"),
        "ContainersStopped": counted("exited"),
    });
    match state.faults.kind {
        Kind::DockerV1 => info["CgroupVersion"] = "1".into(),
        Kind::DockerV2 | Kind::Podman | Kind::OldPodman => info["CgroupVersion"] = "2".into(),
        Kind::Windows => {}
    }
    babble(state, info)
}

/// `GET /version`
pub(crate) fn version(state: &State) -> String {
    let windows = state.faults.kind == Kind::Windows;
    babble(
        state,
        json!({
            "Version": server_version(state),
            "ApiVersion": state.faults.api,
            "MinAPIVersion": "1.24",
            "Os": if windows { "windows" } else { "linux" },
            "Arch": "amd64",
            "Components": [{ "Name": if state.faults.kind.is_podman() { "Podman Engine" } else { "Engine" } }],
        }),
    )
}

fn server_version(state: &State) -> &'static str {
    match (state.faults.kind, state.faults.version()) {
        (Kind::Podman, _) => "5.4.0",
        (Kind::OldPodman, _) => "3.0.1",
        (_, (1, 52..)) => "29.0.0",
        (_, (1, 44..=51)) => "28.0.0",
        _ => "20.10.24",
    }
}

/// `GET /containers/json`
pub(crate) fn list(state: &State, query: &str) -> String {
    let all = query.split('&').any(|pair| matches!(pair, "all=1" | "all=true"));
    let shown = state.containers.iter().filter(|(_, one)| all || matches!(one.state, "running" | "paused"));
    let mut entries: Vec<Value> = shown.map(|(id, container)| entry(state, id, container)).collect();
    let gone = Container {
        name: "gone".to_owned(),
        image: "busybox".to_owned(),
        state: "running",
        health: None,
        exit_code: 0,
        started: state.now(),
        asked: 0,
    };
    entries.extend((0..state.faults.vanishing).map(|number| entry(state, &format!("vanished{number}"), &gone)));
    let mut text = Value::from(entries).to_string();
    text.extend(std::iter::repeat_n(' ', state.faults.bloat));
    text
}

fn entry(state: &State, id: &str, container: &Container) -> Value {
    let health = container.health.as_ref().map_or(String::new(), |health| format!(" ({health})"));
    let status = match container.state {
        "running" => format!("Up 2 minutes{health}"),
        "paused" => "Up 2 minutes (Paused)".to_owned(),
        "exited" => format!("Exited ({}) 5 minutes ago", container.exit_code),
        _ => "Created".to_owned(),
    };
    let mut entry = json!({
        "Id": id,
        "Names": [format!("/{}", container.name)],
        "Image": container.image,
        "ImageID": "sha256:0123",
        "Command": "sleep 1000",
        "Created": container.started / SECOND,
        "Ports": [],
        "Labels": {},
        "State": container.state,
        "Status": status,
    });
    if state.faults.babbles {
        entry["FutureField"] = json!({ "nested": [1] });
    }
    entry
}

/// `GET /containers/ID/json`, with its status.
pub(crate) fn inspect(state: &State, id: &str) -> (u16, String) {
    let Some(container) = state.containers.get(id) else { return gone(state, id) };
    let running = matches!(container.state, "running" | "paused");
    let inspected = json!({
        "Id": id,
        "Name": format!("/{}", container.name),
        "Created": rfc3339(container.started),
        "State": {
            "Status": container.state,
            "Running": running,
            "Paused": container.state == "paused",
            "OOMKilled": false,
            "Pid": 0,
            "ExitCode": container.exit_code,
            "StartedAt": rfc3339(container.started),
        },
        "Image": "sha256:0123",
        "RestartCount": 0,
        "HostConfig": { "Memory": 0, "NanoCpus": 0, "RestartPolicy": { "Name": "no" } },
        "Config": { "Image": container.image, "Labels": {} },
    });
    (200, babble(state, inspected))
}

/// Of a container that is not there (any more).
pub(crate) fn gone(state: &State, id: &str) -> (u16, String) {
    let message = match state.faults.vanished {
        409 if id.starts_with("vanished") => {
            let text = format!("{{\"message\":\"container {id} is marked for removal and cannot be inspected\"}}");
            return (409, text);
        }
        _ => format!("No such container: {id}"),
    };
    (404, json!({ "message": message }).to_string())
}

/// `GET /system/df`: with the fields of old up to 1.52, with those of today from 1.52 on (moby's
/// `api/types/system/disk_usage.go`).
pub(crate) fn disk(state: &State, query: &str) -> String {
    let version = state.faults.version();
    let verbose = query.split('&').any(|pair| matches!(pair, "verbose=1" | "verbose=true"));
    let (images, writable, volumes, cache) = (3_u64 << 30, 64_u64 << 20, 2_u64 << 30, 1_u64 << 30);
    let mut disk = json!({});
    if version < (1, 53) && !(version == (1, 52) && verbose) {
        let containers = state.containers.iter().map(|(id, one)| {
            let mut entry = entry(state, id, one);
            (entry["SizeRw"], entry["SizeRootFs"]) = (writable.into(), (writable + images).into());
            entry
        });
        disk["LayersSize"] = images.into();
        // Two that share their layers: their sizes add up to more than there is.
        disk["Images"] = json!([{ "Id": "sha256:a", "Size": images, "SharedSize": images - 10, "Containers": 1 },
            { "Id": "sha256:b", "Size": images - 5, "SharedSize": images - 10, "Containers": 0 }]);
        disk["Containers"] = containers.collect::<Vec<_>>().into();
        disk["Volumes"] = json!([{ "Name": "data", "UsageData": { "Size": volumes, "RefCount": 1 } }]);
        disk["BuildCache"] = json!([{ "ID": "c", "Size": cache, "InUse": false, "Shared": false }]);
    }
    if version >= (1, 52) {
        let usage = |total: u64, count: usize| json!({ "ActiveCount": count, "TotalCount": count, "TotalSize": total });
        disk["ImageUsage"] = usage(images, 2);
        disk["ContainerUsage"] = usage(writable * state.containers.len() as u64, state.containers.len());
        disk["VolumeUsage"] = usage(volumes, 1);
        disk["BuildCacheUsage"] = usage(cache, 1);
    }
    babble(state, disk)
}

fn babble(state: &State, mut body: Value) -> String {
    if state.faults.babbles {
        body["FutureField"] = json!({ "nested": [1, null] });
    }
    body.to_string()
}

/// Of nanoseconds since 1970, as RFC 3339 writes it.
pub(crate) fn rfc3339(nanos: u64) -> String {
    let (seconds, nanos) = (nanos / SECOND, nanos % SECOND);
    let (days, second) = (i64::try_from(seconds / 86_400).unwrap_or(0), seconds % 86_400);
    // Days are counted from the first of March, so that a leap day is the last of its year.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        assert_eq!(rfc3339(0), "1970-01-01T00:00:00.000000000Z");
        assert_eq!(rfc3339(1_709_251_199_123_456_789), "2024-02-29T23:59:59.123456789Z");
    }

    /// What a client may rely on differs by version, and so does what is answered.
    #[test]
    fn the_disk_in_old_and_new_words() {
        for (api, query, old, new) in [
            ("1.41", "", true, false),
            ("1.51", "", true, false),
            ("1.52", "", true, true),
            ("1.52", "verbose=1", false, true),
            ("1.53", "", false, true),
        ] {
            let mut state = State::default();
            state.faults.api = api.to_owned();
            let disk: Value = serde_json::from_str(&disk(&state, query)).expect("JSON");
            assert_eq!((disk["LayersSize"].is_u64(), disk["ImageUsage"].is_object()), (old, new), "{api} {query}");
        }
    }
}
