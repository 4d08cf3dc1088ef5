//! `GET /metrics`: numbers for Prometheus.
//!
//! Names follow its conventions: `vigie_` first, base units (bytes, seconds, ratios of 0 to 1), `_total` behind counters.
//! What was not observed is absent. `key` makes a service one of its kind where two projects bear one name.

mod text;

use std::path::Path;

use hyper::body::Incoming;
use hyper::header::ACCEPT;
use hyper::{Request, Response};

use vigie_api::incidents::Channel;
use vigie_api::report::Daemon;
use vigie_api::source::Sources;
use vigie_api::status::Service;
use vigie_core::clock::Wall;
use vigie_core::incidents::Severity;
use vigie_core::service::Wanted;
use vigie_os::proc::Proc;

use super::Desk;
use super::answer::{self, Body, Refusal};
use crate::aside::off_thread;
use crate::input::Input;
use crate::{look, views};
use text::{Format, Kind, Text};

/// All numbers.
pub(super) async fn metrics(desk: &Desk, request: &Request<Incoming>) -> Result<Response<Body>, Refusal> {
    let accept = request.headers().get(ACCEPT).and_then(|accept| accept.to_str().ok()).unwrap_or_default();
    let format = Format::of_accept(accept);
    let seen = desk.ask(|reply| Input::Look { watch: false, reply }).await?;
    let sources = desk.ask(Input::LookAtSources).await?;
    let (about, streams) = (desk.about.clone(), (desk.streams.clients(), desk.streams.resyncs()));
    let (state, config, folder) = (desk.state.clone(), desk.config.clone(), desk.services.clone());
    let text = off_thread(move || {
        let mut services: Vec<Service> = seen.into_iter().map(|seen| seen.service).collect();
        if let Ok(proc) = Proc::system() {
            let managed = services.iter().map(|service| service.key.folder()).collect();
            services.extend(look::unmanaged(&folder, &managed, &proc).into_iter().map(|seen| seen.service));
        }
        let facts = Facts {
            about: &about,
            services: &services,
            sources: &sources,
            streams,
            incidents: views::incidents(&state, false, None, true).ok(),
            containers: views::containers(&state).ok(),
            channels: views::channels(&config, &state).map(|channels| channels.channels).unwrap_or_default(),
            lost_samples: vigie_store::samples::Reader::open(&state).and_then(|reader| reader.size()).ok(),
            usage: Usage::read(),
            sizes: sizes(&state),
        };
        facts.write(format)
    });
    Ok(answer::text(format.kind(), text.await.map_err(Refusal::internal)?))
}

/// Everything that is told.
struct Facts<'a> {
    about: &'a Daemon,
    services: &'a [Service],
    sources: &'a Sources,
    streams: (u64, u64),
    incidents: Option<vigie_api::incidents::Report>,
    containers: Option<vigie_api::containers::Containers>,
    channels: Vec<Channel>,
    lost_samples: Option<vigie_store::samples::Size>,
    usage: Option<Usage>,
    sizes: Vec<(&'static str, &'static str, u64)>,
}

/// What the daemon itself uses.
struct Usage {
    resident_bytes: u64,
    cpu_seconds: f64,
}

impl Usage {
    fn read() -> Option<Self> {
        let (proc, mut buffer, own) = (Proc::system().ok()?, Vec::new(), std::process::id());
        let stat = proc.stat(own, &mut buffer).ok()??;
        let ticks = stat.utime_ticks + stat.stime_ticks;
        let pages = proc.statm(own, &mut Vec::new()).ok()??.resident_pages;
        Some(Self {
            resident_bytes: pages * rustix::param::page_size() as u64,
            cpu_seconds: ticks as f64 / rustix::param::clock_ticks_per_second() as f64,
        })
    }
}

/// Database, part and bytes of each file that is there.
fn sizes(state: &Path) -> Vec<(&'static str, &'static str, u64)> {
    let files = [
        ("journal", "file", "journal.db"),
        ("journal", "wal", "journal.db-wal"),
        ("samples", "file", "samples.db"),
        ("samples", "wal", "samples.db-wal"),
    ];
    let size =
        |(database, part, name): (_, _, &str)| Some((database, part, std::fs::metadata(state.join(name)).ok()?.len()));
    files.into_iter().filter_map(size).collect()
}

fn seconds(wall: Wall) -> f64 {
    (wall.0 / 1_000_000) as f64 / 1_000.0
}

impl Facts<'_> {
    fn write(&self, format: Format) -> String {
        let mut text = Text::new(format);
        self.daemon(&mut text);
        self.services(&mut text);
        self.sources(&mut text);
        self.incidents(&mut text);
        text.finish()
    }

    fn daemon(&self, text: &mut Text) {
        text.family("vigie_build_info", Kind::Gauge, "Always 1; the version is a label.")
            .sample(&[("version", &self.about.version)], 1);
        let start = Some(seconds(self.about.started.0));
        text.one("vigie_daemon_start_time_seconds", Kind::Gauge, "When the daemon began its work, since 1970.", start);
        let usage = self.usage.as_ref();
        let resident = usage.map(|usage| usage.resident_bytes);
        text.one("vigie_daemon_resident_memory_bytes", Kind::Gauge, "Resident memory of the daemon.", resident);
        let cpu = usage.map(|usage| usage.cpu_seconds);
        text.one("vigie_daemon_cpu_seconds_total", Kind::Counter, "CPU time that the daemon has used.", cpu);
        let mut family = text.family("vigie_database_size_bytes", Kind::Gauge, "Size of a file of a database.");
        for (database, part, bytes) in &self.sizes {
            family.sample(&[("database", database), ("part", part)], bytes);
        }
        let lost = self.lost_samples.map(|size| size.lost);
        text.one("vigie_samples_lost", Kind::Gauge, "Samples of the last 90 days that could not be stored.", lost);
        let (clients, resyncs) = self.streams;
        text.one("vigie_api_stream_clients", Kind::Gauge, "Clients of the event stream.", Some(clients));
        let help = "How often a client of the event stream was told that it missed something.";
        text.one("vigie_api_stream_resyncs_total", Kind::Counter, help, Some(resyncs));
    }

    fn services(&self, text: &mut Text) {
        let mut all = |name, kind, help, value: &dyn Fn(&Service) -> Option<String>| {
            let mut family = text.family(name, kind, help);
            for service in self.services {
                if let Some(value) = value(service) {
                    family.sample(&labels(service, &service.key.folder()), value);
                }
            }
        };
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        all("vigie_service_wanted", Kind::Gauge, "Whether a service is to run.", &|service| {
            Some(u8::from(service.wanted? == Wanted::Up).to_string())
        });
        all(
            "vigie_service_restarts_total",
            Kind::Counter,
            "New starts of a service since it was asked for.",
            &|service| Some(service.restarts.to_string()),
        );
        all(
            "vigie_service_ghosts",
            Kind::Gauge,
            "Earlier runs that no signal ends and that were set aside.",
            &|service| Some(service.ghosts.len().to_string()),
        );
        let help = "When the main process of a service was started, since 1970.";
        all("vigie_service_start_time_seconds", Kind::Gauge, help, &|service| {
            Some(seconds(service.run.as_ref()?.started_at?.0).to_string())
        });
        let help = "CPU time of a service between the last two samples, as a part of one core.";
        all("vigie_service_cpu_usage_ratio", Kind::Gauge, help, &|service| {
            Some((service.run.as_ref()?.cpu_percent_of_core? / 100.0).to_string())
        });
        all("vigie_service_memory_bytes", Kind::Gauge, "Memory of a service.", &|service| {
            number(service.run.as_ref()?.memory_bytes)
        });
        all("vigie_service_processes", Kind::Gauge, "Processes of a service.", &|service| {
            number(service.run.as_ref()?.processes.map(u64::from))
        });
        all("vigie_service_threads", Kind::Gauge, "Threads of a service.", &|service| {
            number(service.run.as_ref()?.threads.map(u64::from))
        });
        let help = "Always 1; the label says where a service stands.";
        let mut family = text.family("vigie_service_state", Kind::Gauge, help);
        for service in self.services {
            let key = service.key.folder();
            let [project, name, mode, key] = labels(service, &key);
            family.sample(&[project, name, mode, key, ("state", service.state.name())], 1);
        }
    }

    fn sources(&self, text: &mut Text) {
        let mut all = |name, kind, help, value: &dyn Fn(&vigie_api::source::Shown) -> Option<u64>| {
            let mut family = text.family(name, kind, help);
            for shown in &self.sources.sources {
                if let Some(value) = value(shown) {
                    family.sample(&[("source", shown.source.name.as_str())], value);
                }
            }
        };
        all("vigie_source_online", Kind::Gauge, "Whether a source answers.", &|shown| shown.online.map(u64::from));
        let help = "Lines of a source that were not understood, since its worker began.";
        all("vigie_source_bad_lines_total", Kind::Counter, help, &|shown| shown.bad_lines);
        let help = "Messages of the worker that found no place in its queue, since it began.";
        all("vigie_source_dropped_messages_total", Kind::Counter, help, &|shown| shown.dropped);
        let worker = self.sources.worker.as_ref().and_then(|worker| worker.memory_bytes);
        text.one("vigie_worker_memory_bytes", Kind::Gauge, "Memory of the process that follows sources.", worker);
        let mut counts = std::collections::BTreeMap::new();
        for container in self.containers.iter().flat_map(|containers| &containers.containers) {
            *counts.entry((container.source.as_str(), container.state.name())).or_insert(0_u64) += 1;
        }
        let mut family = text.family("vigie_containers", Kind::Gauge, "Containers of a source, by state.");
        for ((source, state), count) in counts {
            family.sample(&[("source", source), ("state", state)], count);
        }
    }

    fn incidents(&self, text: &mut Text) {
        if let Some(report) = &self.incidents {
            let mut family = text.family("vigie_incidents_open", Kind::Gauge, "Incidents that are open, by severity.");
            for severity in [Severity::Notice, Severity::Warning, Severity::Critical] {
                let count = report.incidents.iter().filter(|incident| incident.severity == severity).count();
                family.sample(&[("severity", severity.name())], count);
            }
        }
        let mut all = |name, kind, help, value: &dyn Fn(&Channel) -> u64| {
            let mut family = text.family(name, kind, help);
            for channel in &self.channels {
                family.sample(&[("channel", channel.name.as_str())], value(channel));
            }
        };
        all("vigie_messages_waiting", Kind::Gauge, "Messages that wait for a channel.", &|channel| channel.waiting);
        let help = "Messages that a channel took.";
        all("vigie_messages_delivered_total", Kind::Counter, help, &|channel| channel.delivered);
        let help = "Messages to a channel that were given up.";
        all("vigie_messages_dropped_total", Kind::Counter, help, &|channel| channel.dropped);
    }
}

fn labels<'a>(service: &'a Service, key: &'a str) -> [(&'static str, &'a str); 4] {
    [
        ("project", service.project.as_str()),
        ("service", service.service.as_str()),
        ("mode", service.mode.as_ref().map_or("", |mode| mode.as_str())),
        ("key", key),
    ]
}

#[cfg(test)]
mod tests;
