//! One cycle: all containers of a source that run, and its host; and in between those that somebody looks at.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use vigie_core::docker::pace::CONTAINERS;
use vigie_core::docker::source::Source;
use vigie_core::docker::stats::{self, Files};
use vigie_core::samples::Metric;
use vigie_docker::Engine;
use vigie_docker::measure::{Gauge, PARALLEL, Round, Stream};
use vigie_docker::watch::About;
use vigie_os::containers::Containers;
use vigie_os::{clock, host};
use vigie_wire::worker::{Measured, Readings, Whole};

use super::disk::is_local;
use super::source::{packed, reach};

/// What is left for the answer of a cycle that was cut short, before it is given up.
const RESERVE: Duration = Duration::from_secs(1);

/// How long an engine may take for the first sample of a stream, and for the next.
const OPEN: Duration = Duration::from_secs(5);
const NEXT: Duration = Duration::from_secs(3);

/// What is kept from one cycle to the next.
pub(super) struct Kit {
    pub(super) about: About,
    engine: Arc<Engine>,
    gauge: Gauge,
    /// What its machine is like, as the engine told the last time.
    told: stats::Host,
    /// The names of those that ran.
    names: BTreeMap<String, String>,
    /// Of containers that somebody looks at and that no file tells of.
    streams: BTreeMap<String, Stream>,
    /// It is an engine of this machine.
    local: bool,
    /// This machine, as it was at the last cycle.
    host: host::Look,
}

/// What came of a cycle. Without a kit the engine has to be reached anew.
pub(super) struct Turn {
    pub(super) kit: Option<Box<Kit>>,
    pub(super) outcome: Result<Found, String>,
}

/// What was measured.
pub(super) struct Found {
    pub(super) containers: Vec<Measured>,
    pub(super) whole: Whole,
}

/// Measures a source. Dropping it closes all connections.
pub(super) async fn measure(source: Source, kit: Option<Box<Kit>>) -> Turn {
    let until = clock::mono() + (CONTAINERS.deadline - RESERVE);
    let mut kit = match kit {
        Some(kit) => kit,
        None => match reach(&source).await {
            Ok((engine, about)) => {
                let local = is_local(&engine, &about);
                // Where they cannot be looked at, the engine is asked.
                let files = Containers::new().ok().map(|files| Box::new(files) as Box<dyn Files>);
                let gauge = Gauge::new(Arc::clone(&engine), files, PARALLEL);
                let (told, names, streams) = (stats::Host::default(), BTreeMap::new(), BTreeMap::new());
                Box::new(Kit { about, engine, gauge, told, names, streams, local, host: host::Look::default() })
            }
            Err(why) => return Turn { kit: None, outcome: Err(why) },
        },
    };
    match kit.gauge.round(until.since(clock::mono())).await {
        Err(error) => Turn { kit: None, outcome: Err(error.reason()) },
        Ok(round) => {
            let found = kit.found(round);
            Turn { kit: Some(kit), outcome: Ok(found) }
        }
    }
}

impl Kit {
    /// Whether it ran at the last cycle.
    pub(super) fn knows(&self, id: &str) -> bool {
        self.names.contains_key(id)
    }

    /// Nobody looks any more.
    pub(super) fn look_away(&mut self) {
        self.streams.clear();
    }

    fn found(&mut self, round: Round) -> Found {
        self.told = round.host;
        let count = |count: usize| u32::try_from(count).unwrap_or(u32::MAX);
        let (measured, running) = (count(round.measured.len()), count(round.running));
        let mut readings: Readings =
            stats::share(round.measured.iter().map(|one| &one.readings)).iter().map(number).collect();
        if running == 0 {
            // That nothing runs was seen: together they use nothing.
            let nothing = [Metric::ContainersCpuOfCore, Metric::ContainersCpuOfHost, Metric::ContainersMemory];
            readings = packed(nothing.map(|metric| (metric, Some(0))));
        }
        readings.extend(packed([
            (Metric::Containers, Some(u64::from(measured))),
            (Metric::ContainersRunning, Some(u64::from(running))),
        ]));
        readings.extend(self.host(round.host.memory));
        readings.sort_unstable();
        let missing = || round.missing.first().map(|one| format!("{}: {}", one.name, one.why));
        let remark = round.remark.as_ref().map(ToString::to_string).or_else(missing);
        let containers: Vec<Measured> = round.measured.iter().map(told).collect();
        self.names = containers.iter().map(|one| (one.id.clone(), one.name.clone())).collect();
        let whole = Whole { readings, measured, running, how: round.how, remark, took: 0, skipped: 0, dropped: 0 };
        Found { containers, whole }
    }

    /// Of the engine's machine: what it says of it, and more where it is this one.
    fn host(&mut self, told: Option<u64>) -> Readings {
        if !self.local {
            return packed([(Metric::HostMemoryTotal, told)]);
        }
        // What cannot be read is absent.
        let now = host::Look::take(Path::new("/proc")).unwrap_or_default();
        let busy = now.busy_percent(&self.host);
        self.host = now;
        packed([
            (Metric::HostCpu, busy.and_then(|percent| Metric::HostCpu.stored(percent))),
            (Metric::HostMemory, now.memory.map(|memory| memory.total.saturating_sub(memory.available))),
            (Metric::HostMemoryTotal, now.memory.map(|memory| memory.total).or(told)),
        ])
    }
}

fn number((metric, value): &(Metric, u64)) -> (u8, u64) {
    (metric.number(), *value)
}

fn told(one: &vigie_docker::measure::Measured) -> Measured {
    Measured { id: one.id.to_string(), name: one.name.clone(), readings: one.readings.iter().map(number).collect() }
}

/// Measures some of its containers now: from files where there are any, else by the engine's streams, which stay open for
/// the next time.
pub(super) async fn look(mut kit: Box<Kit>, containers: Vec<String>) -> (Box<Kit>, Vec<Measured>) {
    let mut found: Vec<Measured> = kit.gauge.glance(containers.iter().map(String::as_str)).iter().map(told).collect();
    let seen: BTreeSet<&str> = found.iter().map(|one| one.id.as_str()).collect();
    let rest: Vec<&String> = containers.iter().filter(|id| !seen.contains(id.as_str())).collect();
    let mut waiting = JoinSet::new();
    for id in rest {
        let Some(name) = kit.names.get(id).cloned() else { continue };
        let (open, engine, host, id) = (kit.streams.remove(id), Arc::clone(&kit.engine), kit.told, id.clone());
        waiting.spawn(async move {
            let mut stream = match open {
                Some(stream) => stream,
                None => tokio::time::timeout(OPEN, Stream::open(&engine, &id, host)).await.ok()?.ok()?,
            };
            match tokio::time::timeout(NEXT, stream.next()).await {
                Ok(Ok(Some(readings))) => Some((id, name, stream, Some(readings))),
                // It is gone, or says what is not understood.
                Ok(Ok(None) | Err(_)) => None,
                Err(_) => Some((id, name, stream, None)),
            }
        });
    }
    // Those of containers at which nobody looks any more.
    kit.streams.clear();
    while let Some(one) = waiting.join_next().await {
        let Ok(Some((id, name, stream, readings))) = one else { continue };
        if let Some(readings) = readings {
            found.push(Measured { id: id.clone(), name, readings: readings.iter().map(number).collect() });
        }
        kit.streams.insert(id, stream);
    }
    (kit, found)
}
