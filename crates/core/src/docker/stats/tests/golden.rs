//! Bodies in the shapes in which engines write them, and what is made of two of them.

use super::*;

/// What a shape is filled with.
#[derive(Debug, Clone, Copy)]
struct Told {
    /// Seconds of the engine's clock.
    second: u64,
    /// CPU time, of the container and of the system.
    cpu: u64,
    system: u64,
    /// Bytes moved.
    read: u64,
    written: u64,
    received: u64,
    sent: u64,
}

const T0: Told =
    Told { second: 10, cpu: 5 * SECOND, system: 1_000 * SECOND, read: 4_096, written: 0, received: 1_000, sent: 50 };

/// Ten seconds later: half a processor of four was used.
const T1: Told = Told {
    second: 20,
    cpu: 10 * SECOND,
    system: 1_040 * SECOND,
    read: 44_096,
    written: 20_000,
    received: 11_000,
    sent: 550,
};

/// Docker 20.10 with cgroup v1: both kinds of inactive files, operations with capitals, one entry a processor, and the
/// rest of what it writes.
fn docker_20_v1(told: Told) -> String {
    let Told { second, cpu, system, read, written, received, sent } = told;
    format!(
        r#"{{"read":"2026-11-20T10:00:{second:02}.000000000Z","preread":"0001-01-01T00:00:00Z",
        "pids_stats":{{"current":7}},
        "blkio_stats":{{"io_service_bytes_recursive":[
            {{"major":8,"minor":0,"op":"Read","value":{read}}},{{"major":8,"minor":0,"op":"Write","value":{written}}},
            {{"major":8,"minor":0,"op":"Sync","value":0}},{{"major":8,"minor":0,"op":"Async","value":{read}}},
            {{"major":8,"minor":0,"op":"Discard","value":0}},{{"major":8,"minor":0,"op":"Total","value":{read}}},
            {{"major":8,"minor":16,"op":"Read","value":0}},{{"major":8,"minor":16,"op":"Write","value":0}}],
            "io_serviced_recursive":[],"io_queue_recursive":[],"sectors_recursive":[]}},
        "num_procs":0,"storage_stats":{{}},
        "cpu_stats":{{"cpu_usage":{{"total_usage":{cpu},"percpu_usage":[1,2,3,4],"usage_in_kernelmode":0,
            "usage_in_usermode":{cpu}}},"system_cpu_usage":{system},"online_cpus":4,
            "throttling_data":{{"periods":0,"throttled_periods":0,"throttled_time":0}}}},
        "precpu_stats":{{"cpu_usage":{{"total_usage":0,"usage_in_kernelmode":0,"usage_in_usermode":0}},
            "throttling_data":{{"periods":0,"throttled_periods":0,"throttled_time":0}}}},
        "memory_stats":{{"usage":104857600,"max_usage":104857600,"stats":{{"active_file":0,"cache":52428800,
            "hierarchical_memory_limit":134217728,"inactive_file":1048576,"rss":52428800,
            "total_cache":52428800,"total_inactive_file":20971520,"total_rss":52428800}},"limit":134217728}},
        "name":"/web","id":"ab12",
        "networks":{{"eth0":{{"rx_bytes":{received},"rx_packets":1,"rx_errors":0,"rx_dropped":0,"tx_bytes":{sent},
            "tx_packets":1,"tx_errors":0,"tx_dropped":0}}}}}}"#
    )
}

/// Docker 24 to 28 with cgroup v2: operations without capitals, no entry a processor, no lists where nothing is.
fn docker_24_v2(told: Told) -> String {
    let Told { second, cpu, system, read, written, received, sent } = told;
    format!(
        r#"{{"read":"2026-11-20T10:00:{second:02}Z","preread":"0001-01-01T00:00:00Z",
        "pids_stats":{{"current":7,"limit":18446744073709551615}},
        "blkio_stats":{{"io_service_bytes_recursive":[{{"major":259,"minor":0,"op":"read","value":{read}}},
            {{"major":259,"minor":0,"op":"write","value":{written}}}],"io_serviced_recursive":null,
            "io_queue_recursive":null,"io_service_time_recursive":null,"io_wait_time_recursive":null}},
        "num_procs":0,"storage_stats":{{}},
        "cpu_stats":{{"cpu_usage":{{"total_usage":{cpu},"usage_in_kernelmode":0,"usage_in_usermode":{cpu}}},
            "system_cpu_usage":{system},"online_cpus":4,"throttling_data":{{}}}},
        "precpu_stats":{{"cpu_usage":{{"total_usage":0}},"throttling_data":{{}}}},
        "memory_stats":{{"usage":104857600,"stats":{{"anon":52428800,"file":52428800,"inactive_file":20971520,
            "slab":0}},"limit":17179869184}},
        "name":"/web","id":"ab12",
        "networks":{{"eth0":{{"rx_bytes":{received},"tx_bytes":{sent}}},"eth1":{{"rx_bytes":0,"tx_bytes":0}}}}}}"#
    )
}

/// API 1.52 and later: the operating system is told, empty parts are left out.
fn docker_29_v2(told: Told) -> String {
    let Told { second, cpu, system, received, sent, .. } = told;
    format!(
        r#"{{"id":"ab12","name":"web","os_type":"linux","read":"2026-11-20T11:00:{second:02}.5+01:00",
        "cpu_stats":{{"cpu_usage":{{"total_usage":{cpu}}},"system_cpu_usage":{system},"online_cpus":4}},
        "memory_stats":{{"usage":104857600,"stats":{{"inactive_file":20971520}},"limit":134217728}},
        "pids_stats":{{"current":7}},
        "networks":{{"eth0":{{"rx_bytes":{received},"tx_bytes":{sent}}}}}}}"#
    )
}

/// Windows: units of 100 nanoseconds, processors by another name, no counter of the system, storage elsewhere.
fn windows(told: Told) -> String {
    let Told { second, cpu, read, written, received, sent, .. } = told;
    let ticks = cpu / 100;
    format!(
        r#"{{"read":"2026-11-20T10:00:{second:02}.1234567Z","preread":"2026-11-20T09:59:59.1234567Z","pids_stats":{{}},
        "blkio_stats":{{"io_service_bytes_recursive":null}},"num_procs":4,
        "storage_stats":{{"read_count_normalized":1,"read_size_bytes":{read},"write_count_normalized":1,
            "write_size_bytes":{written}}},
        "cpu_stats":{{"cpu_usage":{{"total_usage":{ticks},"usage_in_kernelmode":0,"usage_in_usermode":0}},
            "throttling_data":{{"periods":0}}}},
        "memory_stats":{{"commitbytes":99,"commitpeakbytes":99,"privateworkingset":83886080}},
        "name":"/web","id":"ab12",
        "networks":{{"0a1b":{{"rx_bytes":{received},"tx_bytes":{sent},"endpoint_id":"x","instance_id":"y"}}}}}}"#
    )
}

/// Podman: the counter of the system is the container's own, and a limit of the machine is told as one.
fn podman(told: Told) -> String {
    let Told { second, cpu, read, written, received, sent, .. } = told;
    format!(
        r#"{{"read":"2026-11-20T10:00:{second:02}.000000001Z","preread":"0001-01-01T00:00:00Z",
        "pids_stats":{{"current":7}},
        "blkio_stats":{{"io_service_bytes_recursive":[{{"major":0,"minor":0,"op":"Read","value":{read}}},
            {{"major":0,"minor":0,"op":"Write","value":{written}}}],"io_serviced_recursive":null}},
        "num_procs":0,"storage_stats":{{}},
        "cpu_stats":{{"cpu_usage":{{"total_usage":{cpu},"usage_in_kernelmode":0,"usage_in_usermode":{cpu}}},
            "system_cpu_usage":{cpu},"online_cpus":4,"cpu":0.0051,"throttling_data":{{}}}},
        "precpu_stats":{{"cpu_usage":{{"total_usage":0}},"cpu":0}},
        "memory_stats":{{"usage":104857600,"max_usage":0,"limit":17179869184,"stats":{{"inactive_file":20971520}}}},
        "name":"web","Id":"ab12",
        "networks":{{"podman":{{"rx_bytes":{received},"tx_bytes":{sent}}}}}}}"#
    )
}

/// A Raspberry Pi whose kernel was started without the memory controller, in the network of the host.
fn memory_off(told: Told) -> String {
    let Told { second, cpu, system, .. } = told;
    format!(
        r#"{{"read":"2026-11-20T10:00:{second:02}Z","pids_stats":{{"current":1}},"blkio_stats":{{
            "io_service_bytes_recursive":[]}},"num_procs":0,
        "cpu_stats":{{"cpu_usage":{{"total_usage":{cpu}}},"system_cpu_usage":{system},"online_cpus":4}},
        "memory_stats":{{"usage":0,"limit":0,"stats":{{}}}},"networks":null,"id":"ab12"}}"#
    )
}

/// Before API 1.27 nobody tells how many processors are at work: there are as many as have an entry.
fn old(told: Told) -> String {
    let Told { second, cpu, system, .. } = told;
    format!(
        r#"{{"read":"2026-11-20T10:00:{second:02}Z","cpu_stats":{{"cpu_usage":{{"total_usage":{cpu},
            "percpu_usage":[1,1,1,1]}},"system_cpu_usage":{system}}},
        "memory_stats":{{"usage":104857600,"stats":{{"cache":50}},"limit":134217728}}}}"#
    )
}

fn read(body: &str) -> Counters {
    parse(body.as_bytes()).unwrap_or_else(|error| panic!("{error}: {body}")).counters
}

/// What is made of two bodies, ten seconds apart on our clock too.
fn made(before: Option<&str>, now: &str) -> Readings {
    let at = |seconds, body| Look { how: How::OneShot, ..look(seconds * SECOND, read(body)) };
    readings(before.map(|body| at(10, body)).as_ref(), &at(20, now), &HOST)
}

const CPU: [(Metric, u64); 2] = [(Metric::CpuOfCore, 50_000), (Metric::CpuOfHost, 12_500)];
const MEMORY: (Metric, u64) = (Metric::Memory, 80 * MIB);
const MOVED: [(Metric, u64); 2] = [(Metric::Read, 4_000), (Metric::Written, 2_000)];
const THREADS: (Metric, u64) = (Metric::Threads, 7);
const NETWORK: [(Metric, u64); 2] = [(Metric::Received, 1_000), (Metric::Sent, 50)];
const LIMIT: (Metric, u64) = (Metric::MemoryLimit, 128 * MIB);

#[test]
fn bodies_become_readings() {
    let whole = |limit: &[(Metric, u64)]| [&CPU[..], &[MEMORY], &MOVED, &[THREADS], &NETWORK, limit].concat();
    type Shape = fn(Told) -> String;
    let table: Vec<(&str, Shape, Readings)> = vec![
        ("Docker 20.10, cgroup v1", docker_20_v1, whole(&[LIMIT])),
        ("Docker 24, cgroup v2, no limit", docker_24_v2, whole(&[])),
        ("API 1.53", docker_29_v2, [&CPU[..], &[MEMORY, THREADS], &NETWORK, &[LIMIT]].concat()),
        ("Windows", windows, [&CPU[..], &[MEMORY], &MOVED, &NETWORK].concat()),
        ("Podman", podman, whole(&[])),
        ("no memory controller", memory_off, [&CPU[..], &[(Metric::Threads, 1)]].concat()),
        ("API 1.26", old, [&CPU[..], &[(Metric::Memory, 100 * MIB), LIMIT]].concat()),
    ];
    for (what, shape, expected) in table {
        assert_eq!(made(Some(&shape(T0)), &shape(T1)), expected, "{what}");
        // The first sample of a container has what stands for itself, and no rate.
        let alone = expected
            .iter()
            .filter(|(metric, _)| [Metric::Memory, Metric::MemoryLimit, Metric::Threads].contains(metric));
        assert_eq!(made(None, &shape(T1)), alone.copied().collect::<Vec<_>>(), "{what}, the first");
        // A restart that nobody told of: counters begin anew.
        let anew = Told { cpu: SECOND / 100, read: 1, written: 1, received: 1, sent: 1, ..T1 };
        let first = made(None, &shape(anew));
        assert_eq!(made(Some(&shape(T0)), &shape(anew)), first, "{what}, started again");
    }
}

/// Two processors were added between the looks: the counter of the system had four for a part of the time.
#[test]
fn processors_that_come() {
    let more = docker_24_v2(Told { system: T1.system + 15 * SECOND, ..T1 })
        .replace(r#""online_cpus":4"#, r#""online_cpus":6"#);
    let made = made(Some(&docker_24_v2(T0)), &more);
    assert_eq!(of(&made, Metric::CpuOfCore), Some(50_000), "by the clock");
    assert_eq!(of(&made, Metric::CpuOfHost), Some(8_333));
}

#[test]
fn numbers_that_are_none_are_absent_and_the_rest_is_read() {
    let body = docker_24_v2(T1);
    let with = |from: &str, to: &str| {
        assert!(body.contains(from), "{from}");
        read(&body.replace(from, to))
    };
    let whole = read(&body);
    for lie in ["-1", "1.5", "1e400", "\"5\"", "null", "true", "[1,[2]]", "{\"a\":{}}", "99999999999999999999999"] {
        // serde_json refuses what no float can hold; then there is no body.
        if lie == "1e400" {
            assert!(parse(body.replace("104857600", lie).as_bytes()).is_err());
            continue;
        }
        let read = with(r#""usage":104857600"#, &format!(r#""usage":{lie}"#));
        assert_eq!(read.memory.expect("told").usage, None, "{lie}");
        assert_eq!((read.cpu_nanos, read.received_bytes), (whole.cpu_nanos, whole.received_bytes), "{lie}");
        assert_eq!(with(&format!(r#""total_usage":{}"#, T1.cpu), &format!(r#""total_usage":{lie}"#)).cpu_nanos, None);
    }
    assert_eq!(with(r#""usage":104857600"#, r#""usage":1e6"#).memory.expect("told").usage, Some(1_000_000));
    let huge = u64::MAX.to_string();
    for field in [r#""rx_bytes":11000"#, r#""usage":104857600"#, r#""value":44096"#, r#""current":7"#] {
        let (name, _) = field.split_once(':').expect("a field");
        let lying = body.replace(field, &format!("{name}:{huge}"));
        let made = made(Some(&docker_24_v2(T0)), &lying);
        assert!(made.iter().all(|(_, value)| *value <= LARGEST), "{field}: {made:?}");
        assert_eq!(of(&made, Metric::CpuOfCore), Some(50_000));
    }
}

#[test]
fn what_is_no_body() {
    for text in ["", "{", "[]", "null", "7", "\"x\"", "{\"read\":5}", "{\"networks\":[1]}", "\u{fffd}"] {
        assert!(parse(text.as_bytes()).is_err(), "{text}");
    }
    assert!(parse(b"\xff{}").is_err());
    let nothing = parse(b"{}").expect("an object");
    assert_eq!(nothing, Body { id: None, counters: Counters::default() });
    assert_eq!(parse(docker_20_v1(T0).as_bytes()).expect("reads").id.as_deref(), Some("ab12"));
    // A container that does not run: Docker answers with an empty shape.
    let stopped = r#"{"read":"0001-01-01T00:00:00Z","preread":"0001-01-01T00:00:00Z","pids_stats":{},"blkio_stats":{
        "io_service_bytes_recursive":null},"num_procs":0,"storage_stats":{},"cpu_stats":{"cpu_usage":{"total_usage":0,
        "usage_in_kernelmode":0,"usage_in_usermode":0},"throttling_data":{"periods":0}},"memory_stats":{},
        "name":"/web","id":"ab12"}"#;
    assert_eq!(read(stopped), Counters::default());
}
