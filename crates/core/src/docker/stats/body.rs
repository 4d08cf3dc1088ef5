//! What engines answer to `GET /containers/{id}/stats`: API 1.24 to 1.53, Linux with cgroup v1 and v2, Windows, Podman.
//!
//! Only a body that is no JSON object is not understood. A number that is none, negative, or larger than any counter is
//! absent, and so is what depends on it.

use std::fmt;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::{Counters, Memory};
use crate::docker::event::Nanos;

/// What one body tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body {
    /// The container that it says it is of. Engines before API 1.21 do not say it.
    pub id: Option<String>,
    /// The counters.
    pub counters: Counters,
}

/// Reads a body.
///
/// # Errors
/// Says what is wrong with it: it is no JSON object.
pub fn parse(body: &[u8]) -> Result<Body, String> {
    // An array would pass for an object of which all is left out.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is no JSON object".to_owned());
    }
    let written: Written = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(written.into())
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    id: Option<String>,
    read: Option<String>,
    /// From API 1.52 on.
    os_type: Option<String>,
    /// Processors, of Windows alone.
    num_procs: Number,
    cpu_stats: Option<Cpu>,
    memory_stats: Option<Mem>,
    blkio_stats: Option<Blkio>,
    storage_stats: Option<Storage>,
    networks: Option<Networks>,
    pids_stats: Option<Pids>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Cpu {
    cpu_usage: Option<CpuUsage>,
    system_cpu_usage: Number,
    online_cpus: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct CpuUsage {
    total_usage: Number,
    percpu_usage: Option<Length>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Mem {
    usage: Number,
    limit: Number,
    stats: Option<MemStats>,
    privateworkingset: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct MemStats {
    total_inactive_file: Number,
    inactive_file: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Blkio {
    io_service_bytes_recursive: Option<Vec<Entry>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Entry {
    op: Option<String>,
    value: Number,
}

/// Of Windows.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Storage {
    read_size_bytes: Number,
    write_size_bytes: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Network {
    rx_bytes: Number,
    tx_bytes: Number,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Pids {
    current: Number,
}

impl From<Written> for Body {
    fn from(written: Written) -> Self {
        let cpu = written.cpu_stats.unwrap_or_default();
        let usage = cpu.cpu_usage.unwrap_or_default();
        let memory = written.memory_stats.map(Memory::from).filter(|memory| *memory != Memory::default());
        let windows = match written.os_type.as_deref() {
            Some(os) => os == "windows",
            // Linux has a 0 here.
            None => written.num_procs.0.is_some_and(|count| count > 0),
        };
        let positive = |number: Number| number.0.filter(|number| *number > 0);
        let whole = |number: u64| u32::try_from(number).ok();
        let (cpu_nanos, system_nanos, cpus) = if windows {
            let ticks = usage.total_usage.0;
            (ticks.and_then(|ticks| ticks.checked_mul(100)), None, positive(written.num_procs))
        } else {
            let length = usage.percpu_usage.map(|length| length.0).filter(|length| *length > 0);
            (usage.total_usage.0, positive(cpu.system_cpu_usage), positive(cpu.online_cpus).or(length))
        };
        let storage = written.storage_stats.filter(|_| windows).unwrap_or_default();
        let blkio = written.blkio_stats.and_then(|blkio| blkio.io_service_bytes_recursive).unwrap_or_default();
        let networks = written.networks.unwrap_or_default();
        let counters = Counters {
            read: written.read.as_deref().and_then(Nanos::of_rfc3339),
            // What runs has used some: 0 is written where the controller is off.
            cpu_nanos: cpu_nanos.filter(|nanos| *nanos > 0),
            system_nanos,
            cpus: cpus.and_then(whole),
            memory,
            read_bytes: storage.read_size_bytes.0.or_else(|| sum(&blkio, "read")),
            written_bytes: storage.write_size_bytes.0.or_else(|| sum(&blkio, "write")),
            received_bytes: networks.received,
            sent_bytes: networks.sent,
            tasks: written.pids_stats.and_then(|pids| pids.current.0),
        };
        Self { id: written.id.filter(|id| !id.is_empty()), counters }
    }
}

impl From<Mem> for Memory {
    fn from(written: Mem) -> Self {
        let stats = written.stats.unwrap_or_default();
        Self {
            usage: written.usage.0,
            limit: written.limit.0,
            total_inactive_file: stats.total_inactive_file.0,
            inactive_file: stats.inactive_file.0,
            private_working_set: written.privateworkingset.0,
        }
    }
}

/// Of all devices. Docker writes `Read` with cgroup v1 and `read` with v2. Absent when no device is listed: nothing was
/// moved yet, or nothing is counted.
fn sum(entries: &[Entry], operation: &str) -> Option<u64> {
    let of = |entry: &&Entry| entry.op.as_deref().is_some_and(|op| op.eq_ignore_ascii_case(operation));
    let mut all = entries.iter().filter(of).filter_map(|entry| entry.value.0).peekable();
    all.peek()?;
    Some(all.fold(0, u64::saturating_add))
}

/// A counter; anything else than a whole number that is not negative is none.
#[derive(Debug, Clone, Copy, Default)]
struct Number(Option<u64>);

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NumberVisitor)
    }
}

struct NumberVisitor;

impl<'de> Visitor<'de> for NumberVisitor {
    type Value = Number;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number")
    }

    fn visit_u64<E>(self, number: u64) -> Result<Number, E> {
        Ok(Number(Some(number)))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Number, E> {
        Ok(Number(u64::try_from(number).ok()))
    }

    /// Some proxies rewrite numbers as `1e3`; what does not fit into 64 bits arrives here, too.
    fn visit_f64<E>(self, number: f64) -> Result<Number, E> {
        Ok(Number(((0.0..9e15).contains(&number) && number.fract() == 0.0).then_some(number as u64)))
    }

    fn visit_bool<E>(self, _: bool) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_str<E>(self, _: &str) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_unit<E>(self) -> Result<Number, E> {
        Ok(Number(None))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Number, A::Error> {
        while seq.next_element::<IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Number, A::Error> {
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(Number(None))
    }
}

/// How long an array is. Its elements are not kept.
#[derive(Debug)]
struct Length(u64);

impl<'de> Deserialize<'de> for Length {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Counting;
        impl<'de> Visitor<'de> for Counting {
            type Value = Length;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an array")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Length, A::Error> {
                let mut length = 0;
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    length += 1;
                }
                Ok(Length(length))
            }
        }
        deserializer.deserialize_seq(Counting)
    }
}

/// All interfaces together. Their names are not kept. Absent when there are none: the network is that of the host, or of
/// another container.
#[derive(Debug, Default)]
struct Networks {
    received: Option<u64>,
    sent: Option<u64>,
}

impl<'de> Deserialize<'de> for Networks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Adding;
        impl<'de> Visitor<'de> for Adding {
            type Value = Networks;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("interfaces by name")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Networks, A::Error> {
                let mut all = Networks::default();
                let add = |sum: Option<u64>, number: Number| match number.0 {
                    Some(number) => Some(sum.unwrap_or(0).saturating_add(number)),
                    None => sum,
                };
                while let Some((_, network)) = map.next_entry::<IgnoredAny, Option<Network>>()? {
                    let network = network.unwrap_or_default();
                    all.received = add(all.received, network.rx_bytes);
                    all.sent = add(all.sent, network.tx_bytes);
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(Adding)
    }
}
